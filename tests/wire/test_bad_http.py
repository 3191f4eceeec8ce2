"""Broken, hostile or odd HTTP: refused in OpenAI's shape, forwarded nowhere, survived."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from openai import APIStatusError, AsyncOpenAI

from spillway.api import server
from spillway.testing.raw_client import MESSAGES, raw_connection

from .conftest import Running, Start
from .refusals import (
    CHAT,
    GOOD,
    NOT_HTTP,
    NOT_JSON,
    WRONG_HEADERS,
    error_of,
    nothing_happened,
    post,
    send,
)


async def test_errors_carry_the_callers_id(running: Running) -> None:
    """An error answer echoes the caller's request id; one that could split headers is replaced."""
    wire = await post(running, b"{", CHAT, ("x-request-id", "mine-7"))
    assert b"x-request-id: mine-7" in wire.head
    for odd in ("a" * 500, "é", "two words"):
        wire = await post(running, b"{", CHAT, ("x-request-id", odd))
        assert b"x-request-id: req_" in wire.head


async def test_unknown_routes_and_methods(running: Running) -> None:
    """A path or method that does not exist is 404 or 405, and says so."""
    paths = (
        "/",
        "/v1",
        "/v1/nope",
        f"{CHAT}/",
        f"/{CHAT}",
        "/v1/../v1/models",
        "/" + "x" * 3000,
        "/%ed%a0%80",
    )
    for path in paths:
        assert error_of(await post(running, GOOD, path), 404, path)["code"] == "unknown_route"
    for method, path in (("GET", CHAT), ("PUT", CHAT), ("OPTIONS", CHAT), ("DELETE", "/v1/models")):
        wire = await send(running, f"{method} {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        assert error_of(wire, 405, method)["code"] == "method_not_allowed"
    await nothing_happened(running)


async def test_head_is_answered_at_once(running: Running) -> None:
    """A monitor that asks with HEAD gets the head alone, and the connection serves its next request."""
    async with raw_connection(running.port) as client:
        for path, status in (("/health/live", b"200"), ("/v1/models", b"200"), ("/v1/nope", b"404")):
            client.send_bytes(f"HEAD {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            head = (await client.answer(enough=b"\r\n\r\n")).head
            assert head.startswith(b"http/1.1 " + status), path
        client.send_bytes(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await client.answer()).json == {"status": "live"}


async def test_wrong_spillway_headers(running: Running) -> None:
    """A mistyped wish is an error that names the header: guessing could send a private request away."""
    for header in WRONG_HEADERS:
        error = error_of(await post(running, GOOD, CHAT, header), 400, str(header))
        assert error["param"] == header[0], header
    both = (("x-spillway-private", "true"), ("x-spillway-pin", "cloud"))
    assert error_of(await post(running, GOOD, CHAT, *both), 400, "both")["param"] == "x-spillway-pin"
    error_of(await post(running, GOOD, CHAT, ("content-encoding", "gzip")), 400, "gzip")
    await nothing_happened(running)


async def test_bytes_that_are_not_http(running: Running) -> None:
    """Broken or ambiguous HTTP is refused in the same shape and the connection closed."""
    for case, data in NOT_HTTP.items():
        async with raw_connection(running.port) as client:
            client.send_bytes(data)
            wire = await client.answer(to_the_end=True)
        assert error_of(wire, 400, case)["code"] == "invalid_http", case
        assert wire.ending != "complete", case
    await nothing_happened(running)


async def test_oversized_bodies(running: Running) -> None:
    """A body over the limit is 413, whether its length was announced or only found out."""
    chunk = b"%x\r\n%b\r\n" % (60_000, b"x" * 60_000)
    chunked = b"POST %b HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" % CHAT.encode()
    announced = b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999\r\n\r\n" % CHAT.encode()
    for wire in (
        await post(running, b"x" * 200_000),
        await send(running, chunked + chunk + chunk),
        await send(running, announced),
    ):
        assert error_of(wire, 413, "oversized")["code"] == "body_too_large"
        assert b"connection: close" in wire.head
    await nothing_happened(running)


async def test_header_bombs(running: Running) -> None:
    """Too many, too long or endless headers are 431 and the connection closed, before any body is read."""
    bombs = {
        "many": b"".join(b"h%d: v\r\n" % i for i in range(300)) + b"\r\n",
        "long": b"h: " + b"v" * 100_000 + b"\r\n\r\n",
        "endless": b"h: " + b"v" * 300_000,
        "many endless": b"h: v\r\n" * 60_000,
    }
    for case, headers in bombs.items():
        wire = await send(running, b"POST %b HTTP/1.1\r\nhost: x\r\n%b" % (CHAT.encode(), headers))
        assert error_of(wire, 431, case)["code"] == "headers_too_large", case
    wire = await send(running, b"GET /" + b"y" * 300_000)
    assert error_of(wire, 431, "request line")["code"] == "headers_too_large"
    await nothing_happened(running)


async def test_slow_headers(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A head that does not end in time is refused and the connection closed."""
    monkeypatch.setattr(server, "HEAD_TIMEOUT_S", 0.05)
    async with raw_connection(running.port) as client:
        client.send_bytes(b"POST %b HTTP/1.1\r\nhost: x\r\n" % CHAT.encode())
        wire = await client.answer(to_the_end=True)
    assert error_of(wire, 400, "slow head")["code"] == "headers_timeout"
    await nothing_happened(running)


async def test_body_that_stops_half_way(running: Running) -> None:
    """A body that stops arriving is 408; a client that hangs up in the middle of it leaves no trace."""
    half = b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: 500\r\n\r\n{" % CHAT.encode()
    wire = await send(running, half)
    assert error_of(wire, 408, "half")["code"] == "body_timeout"
    assert b"connection: close" in wire.head
    async with raw_connection(running.port) as client:
        client.send_bytes(half)
    assert running.books.outcomes == []
    await nothing_happened(running)


async def test_many_bad_clients_at_once(running: Running) -> None:
    """A crowd of broken clients leaves a gateway that answers good ones meanwhile and afterwards."""
    bad = [post(running, body) for body in NOT_JSON.values()] + [send(running, d) for d in NOT_HTTP.values()]
    wires = await asyncio.gather(*bad, *(post(running, GOOD) for _ in range(20)))
    assert [wire.status for wire in wires] == [400] * len(bad) + [200] * 20
    assert running.in_flight() == 0


async def test_http_1_0_and_pipelining(running: Running) -> None:
    """An HTTP/1.0 client is answered and closed; pipelined requests are answered in order."""
    async with raw_connection(running.port) as client:
        client.send_bytes(b"GET /health/live HTTP/1.0\r\n\r\n")
        wire = await client.answer(to_the_end=True)
        assert (wire.status, wire.ending) == (200, "fin")
    async with raw_connection(running.port) as client:
        client.send(b"{")
        client.send(GOOD)
        assert (await client.answer()).status == 400
        assert (await client.answer()).status == 200


async def test_http_1_0_knows_no_chunks(running: Running) -> None:
    """A stream for an HTTP/1.0 client comes without chunk framing and ends with the connection."""
    body = json.dumps({"model": "auto", "messages": MESSAGES, "stream": True}).encode()
    async with raw_connection(running.port) as client:
        client.send_bytes(
            b"POST %b HTTP/1.0\r\ncontent-length: %d\r\n\r\n" % (CHAT.encode(), len(body)) + body
        )
        wire = await client.answer(to_the_end=True)
    assert b"transfer-encoding" not in wire.head
    assert wire.payload.startswith(b"data: {")
    assert wire.payload.endswith(b"data: [DONE]\n\n")
    assert wire.text


async def test_a_silent_connection_is_closed(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever connects and sends nothing does not hold a connection for ever."""
    monkeypatch.setattr(server, "KEEP_ALIVE_S", 0.05)
    running = await start(mini="local")
    async with raw_connection(running.port) as client:
        wire = await client.answer(to_the_end=True)
    assert (wire.raw, wire.ending) == (b"", "fin")


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [("x-spillway-private", "true", "false"), ("x-spillway-pin", "local", "cloud")],
)
async def test_contradicting_wishes_fail_closed(running: Running, name: str, first: str, last: str) -> None:
    """A privacy header sent twice with different values never lets a request out."""
    body = json.dumps({"model": "openai-model", "messages": MESSAGES}).encode()
    await post(running, body, CHAT, (name, first), (name, last))
    assert running.upstreams["openai"].received == []


async def test_offered_upgrade_is_ignored(running: Running) -> None:
    """A client that offers HTTP/2 over plain text, as Java's does by default, is answered in HTTP/1.1."""
    offer = (("connection", "Upgrade, HTTP2-Settings"), ("upgrade", "h2c"), ("http2-settings", "AAEAAEAA"))
    assert (await post(running, GOOD, CHAT, *offer)).status == 200


async def test_official_client_sees_413(running: Running) -> None:
    """A client that is still sending a far too large body gets to read why it is refused."""
    async with AsyncOpenAI(base_url=running.url, api_key="k", max_retries=0) as client:
        huge: Any = [{"role": "user", "content": "x" * 16_000_000}]
        with pytest.raises(APIStatusError, match="413"):
            await client.chat.completions.create(model="auto", messages=huge)


async def test_405_says_what_is_allowed(running: Running) -> None:
    """A wrong method is answered with ``Allow``, as RFC 9110 demands."""
    wire = await send(running, f"GET {CHAT} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    assert b"\r\nallow: post" in wire.head


async def test_unknown_slo_class(running: Running) -> None:
    """An SLO class that configuration does not know is refused naming the header, as other typos are."""
    wire = await post(running, GOOD, CHAT, ("x-spillway-slo-class", "goldd"))
    assert error_of(wire, 400, "class")["param"] == "x-spillway-slo-class"
