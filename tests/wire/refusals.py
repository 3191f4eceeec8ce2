"""Requests no gateway should forward, what it says of them, and how tests look at that."""

from __future__ import annotations

import json
from typing import Any

from spillway.testing.raw_client import MESSAGES, Wire, raw_connection

from .conftest import Running

CHAT = "/v1/chat/completions"
SAID = '"messages":[{"role":"user","content":"hi"}]'
GOOD = json.dumps({"model": "auto", "messages": MESSAGES}).encode()

NOT_JSON: dict[str, bytes] = {
    "nothing": b"",
    "truncated": b'{"model":"auto","messages":[',
    "text after the end": f'{{"model":"auto",{SAID}}}{{}}'.encode(),
    "byte order mark": b"\xef\xbb\xbf" + GOOD,
    "UTF-16": GOOD.decode().encode("utf-16"),
    "NaN": f'{{"model":"auto","temperature":NaN,{SAID}}}'.encode(),
    "infinity": f'{{"model":"auto","temperature":-Infinity,{SAID}}}'.encode(),
    "leading zero": f'{{"model":"auto","temperature":01,{SAID}}}'.encode(),
    "single quotes": b"{'model':'auto'}",
    "comment": f'{{"model":"auto",/* */{SAID}}}'.encode(),
    "trailing comma": f'{{"model":"auto",{SAID},}}'.encode(),
    "control character": f'{{"model":"auto","user":"a\x01b",{SAID}}}'.encode(),
    "invalid UTF-8 in content": b'{"model":"auto","messages":[{"role":"user","content":"\xff"}]}',
    "invalid UTF-8 in model": b'{"model":"\xc3\x28","messages":[{"role":"user","content":"x"}]}',
    "surrogate bytes in content": b'{"model":"auto","messages":[{"role":"user","content":"\xed\xa0\x80"}]}',
    "lone surrogate in model": f'{{"model":"\\ud800",{SAID}}}'.encode(),
    "lone surrogate in content": b'{"model":"auto","messages":[{"role":"user","content":"a\\ud800b"}]}',
    "lone surrogate elsewhere": f'{{"model":"auto","user":"\\udc00",{SAID}}}'.encode(),
    "lone surrogate in a key": f'{{"model":"auto","\\ud800":1,{SAID}}}'.encode(),
    "deep list elsewhere": f'{{"model":"auto","x":{"[" * 40_000}{"]" * 40_000},{SAID}}}'.encode(),
    "deep list without end": f'{{"model":"auto","x":{"[" * 90_000}'.encode(),
    "deep object elsewhere": b'{"model":"auto","x":' + b'{"a":' * 9_000,
    "deep list in tools": f'{{"model":"auto","tools":[{"[" * 40_000}{"]" * 40_000}],{SAID}}}'.encode(),
    "deep list in stream options": f'{{"stream_options":{{"x":{"[" * 40_000}{"]" * 40_000}}}}}'.encode(),
}

WRONG_CHAT: dict[str, tuple[str, str | None]] = {
    "[]": ("invalid_type", None),
    "null": ("invalid_type", None),
    "42": ("invalid_type", None),
    '"text"': ("invalid_type", None),
    f"{{{SAID}}}": ("missing_required_parameter", "model"),
    f'{{"model":1,{SAID}}}': ("invalid_type", "model"),
    f'{{"model":null,{SAID}}}': ("invalid_type", "model"),
    f'{{"model":"",{SAID}}}': ("invalid_type", "model"),
    '{"model":"auto"}': ("missing_required_parameter", "messages"),
    '{"model":"auto","messages":null}': ("invalid_type", "messages"),
    '{"model":"auto","messages":[]}': ("invalid_type", "messages"),
    '{"model":"auto","messages":{}}': ("invalid_type", "messages"),
    '{"model":"auto","messages":["x"]}': ("invalid_type", "messages[0]"),
    '{"model":"auto","messages":[{"content":"x"}]}': ("missing_required_parameter", "messages[0].role"),
    '{"model":"auto","messages":[{"role":1,"content":"x"}]}': ("invalid_type", "messages[0].role"),
    '{"model":"auto","messages":[{"role":"user","content":5}]}': ("invalid_type", "messages[0].content"),
    '{"model":"auto","messages":[{"role":"user","content":["x"]}]}': (
        "invalid_type",
        "messages[0].content[0]",
    ),
    '{"model":"auto","messages":[{"role":"user","content":[{"text":"x"}]}]}': (
        "missing_required_parameter",
        "messages[0].content[0].type",
    ),
    f'{{"model":"auto","messages":{"[" * 9_000}{"]" * 9_000}}}': ("invalid_type", "messages[0]"),
    f'{{"model":"auto","stream":"yes",{SAID}}}': ("invalid_type", "stream"),
    f'{{"model":"auto","stream":1,{SAID}}}': ("invalid_type", "stream"),
    f'{{"model":"auto","n":0,{SAID}}}': ("invalid_type", "n"),
    f'{{"model":"auto","n":1.5,{SAID}}}': ("invalid_type", "n"),
    f'{{"model":"auto","max_tokens":-1,{SAID}}}': ("invalid_type", "max_tokens"),
    f'{{"model":"auto","max_tokens":"5",{SAID}}}': ("invalid_type", "max_tokens"),
    f'{{"model":"auto","max_tokens":1.5,{SAID}}}': ("invalid_type", "max_tokens"),
    f'{{"model":"auto","max_tokens":true,{SAID}}}': ("invalid_type", "max_tokens"),
    f'{{"model":"auto","max_tokens":1e400,{SAID}}}': ("invalid_type", "max_tokens"),
    f'{{"model":"auto","max_tokens":5,"max_tokens":-5,{SAID}}}': ("invalid_type", "max_tokens"),
    f'{{"model":"auto","max_completion_tokens":-5,{SAID}}}': ("invalid_type", "max_completion_tokens"),
    f'{{"model":"auto","stream_options":[],{SAID}}}': ("invalid_type", "stream_options"),
    f'{{"model":"auto","stream_options":{{"include_usage":"y"}},{SAID}}}': (
        "invalid_type",
        "stream_options.include_usage",
    ),
    f'{{"model":"auto","usage":{{"include":1}},{SAID}}}': ("invalid_type", "usage.include"),
    f'{{"model":"auto","models":"x",{SAID}}}': ("invalid_type", "models"),
    f'{{"model":"auto","models":[1],{SAID}}}': ("invalid_type", "models[0]"),
    f'{{"model":"auto","tools":{{}},{SAID}}}': ("invalid_type", "tools"),
    f'{{"model":"auto","response_format":"json",{SAID}}}': ("invalid_type", "response_format"),
    f'{{"model":"auto","response_format":{{}},{SAID}}}': (
        "missing_required_parameter",
        "response_format.type",
    ),
}

WRONG_ELSEWHERE: dict[tuple[str, str], tuple[str, str | None]] = {
    ("/v1/embeddings", "[]"): ("invalid_type", None),
    ("/v1/embeddings", '{"input":"x"}'): ("missing_required_parameter", "model"),
    ("/v1/embeddings", '{"model":"auto"}'): ("missing_required_parameter", "input"),
    ("/v1/embeddings", '{"model":"auto","input":5}'): ("invalid_type", "input"),
    ("/v1/embeddings", '{"model":"auto","input":{}}'): ("invalid_type", "input"),
    ("/v1/embeddings", '{"model":"auto","input":[[1,"x"]]}'): ("invalid_type", "input[0][1]"),
    ("/v1/completions", '{"model":"auto"}'): ("missing_required_parameter", "prompt"),
    ("/v1/completions", '{"model":"auto","prompt":null}'): ("invalid_type", "prompt"),
    ("/v1/completions", '{"model":"auto","prompt":1}'): ("invalid_type", "prompt"),
    ("/v1/completions", '{"model":"auto","prompt":"x","max_tokens":-1}'): ("invalid_type", "max_tokens"),
}

WRONG_HEADERS: list[tuple[str, str]] = [
    ("x-spillway-pin", "mars"),
    ("x-spillway-pin", "LOCAL"),
    ("x-spillway-private", "maybe"),
    ("x-spillway-private", ""),
    ("x-spillway-privat", "true"),
    ("x-spillway-slo-ttft-ms", "nan"),
    ("x-spillway-slo-ttft-ms", "inf"),
    ("x-spillway-slo-ttft-ms", "-1"),
    ("x-spillway-slo-ttft-ms", "0"),
    ("x-spillway-slo-total-ms", "soon"),
    ("x-spillway-task", "Bad Task"),
]

NOT_HTTP: dict[str, bytes] = {
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "made-up method": b"BREW /v1/models HTTP/1.1\r\nhost: x\r\n\r\n",
    "proxy tunnel": b"CONNECT example.test:443 HTTP/1.1\r\nhost: x\r\n\r\n",
    "blank in header name": b"GET /health/live HTTP/1.1\r\nhost : x\r\n\r\n",
    "NUL in header": b"GET /health/live HTTP/1.1\r\nhost: x\x00y\r\n\r\n",
    "bare line feeds": b"GET /health/live HTTP/1.1\nhost: x\n\n",
    "length and chunks": b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n"
    b"transfer-encoding: chunked\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcdef",
    "negative length": b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n",
    "signed length": b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: +5\r\n\r\nabcde",
    "length in words": b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: five\r\n\r\n",
    "length beyond 64 bits": b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999999\r\n\r\n",
    "unknown transfer coding": b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\n",
    "chunk size in words": b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
}


async def post(running: Running, body: bytes, path: str = CHAT, *headers: tuple[str, str]) -> Wire:
    """One request to the gateway and its whole answer."""
    async with raw_connection(running.port) as client:
        client.send(body, path, headers)
        return await client.answer()


async def send(running: Running, data: bytes) -> Wire:
    """Raw bytes to the gateway and what comes back."""
    async with raw_connection(running.port) as client:
        client.send_bytes(data)
        return await client.answer()


def error_of(wire: Wire, status: int, case: str) -> dict[str, Any]:
    """The error object; checks the status and OpenAI's shape."""
    assert wire.status == status, (case, wire.raw[:300])
    assert b"content-type: application/json" in wire.head, case
    error: dict[str, Any] = wire.json["error"]
    assert {"message", "type", "param", "code"} <= set(error), case
    assert error["type"] == "invalid_request_error", case
    assert error["message"], case
    assert len(error["message"]) < 500, case
    return error


async def nothing_happened(running: Running) -> None:
    """Checks that no upstream was asked, nothing is in flight, and a good request is still answered."""
    assert [len(upstream.received) for upstream in running.upstreams.values()] == [0, 0]
    assert running.in_flight() == 0
    assert (await post(running, GOOD)).status == 200
