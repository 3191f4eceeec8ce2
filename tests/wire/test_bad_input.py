"""Bodies sent by mistake or on purpose: refused naming the field, forwarded nowhere, survived."""

from __future__ import annotations

import json

import pytest

from spillway.testing.raw_client import MESSAGES, raw_connection

from .conftest import Running
from .refusals import (
    GOOD,
    NOT_JSON,
    SAID,
    WRONG_CHAT,
    WRONG_ELSEWHERE,
    error_of,
    nothing_happened,
    post,
)


async def test_bodies_that_are_not_json(running: Running) -> None:
    """Whatever is not strict JSON in UTF-8, or nested too deeply, is refused as such."""
    for case, body in NOT_JSON.items():
        error = error_of(await post(running, body), 400, case)
        assert error["code"] == "invalid_json", case
    await nothing_happened(running)


async def test_wrong_types_name_the_field(running: Running) -> None:
    """A missing field, a wrong type or a value out of range is refused with the path of the field."""
    for body, (code, param) in WRONG_CHAT.items():
        error = error_of(await post(running, body.encode()), 400, body[:200])
        assert (error["code"], error["param"]) == (code, param), body[:200]
    for (path, body), (code, param) in WRONG_ELSEWHERE.items():
        error = error_of(await post(running, body.encode(), path), 400, body)
        assert (error["code"], error["param"]) == (code, param), (path, body)
    await nothing_happened(running)


async def test_refusals_leave_the_connection_usable(running: Running) -> None:
    """After a refused body the same connection serves the next request."""
    async with raw_connection(running.port) as client:
        for body, status in ((b"{", 400), (b"[]", 400), (b'{"model":"nope"}', 400), (GOOD, 200)):
            client.send(body)
            assert (await client.answer()).status == status


async def test_unknown_model(running: Running) -> None:
    """A model nobody serves is 404 naming the field, however odd or long its name."""
    for name in (
        "nope",
        "x" * 50_000,
        "a\x00b",
        "a\r\nset-cookie: b",
        "mini/nope",
        "nope/mini-model",
        "../auto",
    ):
        body = json.dumps({"model": name, "messages": MESSAGES}).encode()
        error = error_of(await post(running, body), 404, name[:40])
        assert (error["code"], error["param"]) == ("model_not_found", "model"), name[:40]
    await nothing_happened(running)


async def test_duplicate_keys_mean_the_last(running: Running) -> None:
    """Of a repeated key the last counts, as in the parsers of upstreams."""
    wire = await post(running, f'{{"model":"openai-model","model":"mini-model",{SAID}}}'.encode())
    assert b"x-spillway-upstream: mini" in wire.head
    assert (await running.upstreams["mini"].requests())[0].json["model"] == "mini-model"
    wire = await post(running, f'{{"model":"auto","stream":true,"stream":false,{SAID}}}'.encode())
    assert wire.json["object"] == "chat.completion"


async def test_odd_but_legal_json_passes_through(running: Running) -> None:
    """Huge exponents, escapes, depth and unknown fields are the upstream's business, byte for byte."""
    odd = '"seed":1e999,"x":' + "[" * 300 + "]" * 300 + ',"ü":"\\ud83d\\ude00\\u0000","t":-0.0e-0'
    wire = await post(running, f'{{"model":"auto",{odd},{SAID}}}'.encode())
    assert wire.status == 200
    assert odd.encode() in (await running.upstreams["mini"].requests())[0].body


@pytest.mark.parametrize("bad", [b"\xc3\x28", b"\xc0\xaf", b"\xed\xa0\x80"])
@pytest.mark.parametrize("form", ['"@":1', '"user":"@"'])
async def test_invalid_utf8_in_unread_fields(running: Running, form: str, bad: bytes) -> None:
    """Bytes that are not UTF-8 are refused wherever they stand, in fields the gateway does not read too."""
    body = f'{{"model":"auto",{form},{SAID}}}'.encode().replace(b"@", bad)
    assert error_of(await post(running, body), 400, form)["code"] == "invalid_json"
    await nothing_happened(running)


async def test_absurd_limits(running: Running) -> None:
    """A token limit that no database integer holds is refused naming the field."""
    body = f'{{"model":"auto","max_tokens":{10**30},{SAID}}}'.encode()
    assert error_of(await post(running, body), 400, "10**30")["param"] == "max_tokens"
    await nothing_happened(running)
