"""Time limits of the client hold however slowly the peer speaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from spillway.engines import http_client
from spillway.engines.http_client import HttpClient
from spillway.engines.wire import Origin, PeerClosed, PeerTimeout
from spillway.testing.http_server import Connection, HttpRequest, HttpServer

GAP_S = 0.05
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n"


@asynccontextmanager
async def trickling(pieces: Sequence[bytes]) -> AsyncIterator[HttpClient]:
    """A client of a server that sends a piece now and then, never silent for longer than a moment."""

    async def serve(connection: Connection, request: HttpRequest) -> None:
        for piece in pieces:
            connection.send(piece)
            if not await connection.pause(GAP_S):
                return

    server = HttpServer(serve)
    await server.start()
    client = HttpClient(Origin.parse(f"http://{server.host}:{server.port}"))
    try:
        yield client
    finally:
        await client.close()
        await server.stop()


async def test_headers_that_trickle_in_do_not_renew_the_limit() -> None:
    """A status line that comes byte by byte has to be there in time like any other."""
    async with trickling([bytes([byte]) for byte in HEAD]) as client:
        began_s = asyncio.get_running_loop().time()
        with pytest.raises(PeerTimeout):
            await client.open("GET", "/", head_s=4 * GAP_S)
        assert asyncio.get_running_loop().time() - began_s < 20 * GAP_S


async def test_a_body_that_trickles_in_does_not_renew_the_limit() -> None:
    """Blanks sent to keep a connection alive do not buy a whole answer more time than it has."""
    async with trickling([HEAD, *([b" "] * 60)]) as client:
        exchange = await client.open("GET", "/")
        began_s = asyncio.get_running_loop().time()
        with pytest.raises(PeerTimeout):
            await exchange.body(10_000, 4 * GAP_S)
        assert asyncio.get_running_loop().time() - began_s < 20 * GAP_S


@pytest.mark.parametrize(("stale_s", "asked"), [(0.0, 2), (60.0, 3)])
async def test_what_ran_for_a_while_is_not_sent_again(
    monkeypatch: pytest.MonkeyPatch, stale_s: float, asked: int
) -> None:
    """A kept connection that closes at once never ran the request; one that closes later did, and somebody
    may be paid for it: sending it again is the relay's to decide and the ledger's to know."""
    monkeypatch.setattr(http_client, "STALE_S", stale_s)
    served: list[HttpRequest] = []

    async def serve(connection: Connection, request: HttpRequest) -> None:
        served.append(request)
        if len(served) == 2:
            await connection.pause(GAP_S)
            connection.close()
        else:
            connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    server = HttpServer(serve)
    await server.start()
    client = HttpClient(Origin.parse(f"http://{server.host}:{server.port}"))
    await (await client.open("POST", "/", body=b"{}")).body(10)
    try:
        await (await client.open("POST", "/", body=b"{}")).body(10)
    except PeerClosed:
        assert asked == 2
    assert len(served) == asked
    await client.close()
    await server.stop()
