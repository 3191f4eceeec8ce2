"""Time limits of the client hold however slowly the peer speaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from spillway.engines.http_client import HttpClient
from spillway.engines.wire import Origin, PeerTimeout
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
