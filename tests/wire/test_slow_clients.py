"""Real connections whose clients do not read, or read slowly."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from spillway.api import line
from spillway.api.app import Limits
from spillway.routing import Policy
from spillway.testing.raw_client import MESSAGES, raw_connection
from spillway.vocabulary import Deadlines
from tests.torrent import torrent

from .conftest import PATIENCE, Running, serve, upstream_of

ASKED = json.dumps({"model": "auto", "messages": MESSAGES, "stream": True}).encode()
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
Flood = Callable[..., Awaitable[Running]]


@pytest.fixture
async def flood() -> AsyncIterator[Flood]:
    """Starts a gateway before an upstream whose answers are that many megabytes."""
    async with AsyncExitStack() as stack:

        async def start(
            megabytes: int = 1_000_000, patience: Deadlines = PATIENCE, silence_s: float = 0.2
        ) -> Running:
            url = await stack.enter_async_context(torrent(megabytes))
            node = upstream_of("mini", "local", url)
            policy = Policy(deadlines={"mini": patience})
            return await serve(stack, [node], policy, limits=Limits(body_silence_s=silence_s))

        yield start


async def test_a_client_that_reads_nothing_is_hung_up_on(
    flood: Flood, caplog: pytest.LogCaptureFixture
) -> None:
    """Its slot is free again, the connection is gone, and that is no fault in the log."""
    running = await flood(patience=Deadlines())
    async with raw_connection(running.port) as client:
        client.send(ASKED)
        (outcome,) = await running.books.wait()
        assert (outcome.result, outcome.error_code) == ("cancelled", "client_too_slow")
        assert running.in_flight() == 0
        assert not (await client.answer(to_the_end=True)).is_whole
    assert not caplog.records


async def test_a_slow_reader_has_until_the_time_is_over(flood: Flood) -> None:
    """One that reads on is never silent, although the gateway's own buffer stands still for long."""
    running = await flood()
    loop = asyncio.get_running_loop()
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.setblocking(False)
        await loop.sock_connect(sock, ("127.0.0.1", running.port))
        await loop.sock_sendall(sock, HEAD % len(ASKED) + ASKED)
        while not running.books.outcomes:
            await loop.sock_recv(sock, 16384)
            await asyncio.sleep(0.02)
    assert running.books.outcomes[0].error_code == "client_too_slow"
    assert running.books.outcomes[0].total_s >= PATIENCE.total_s


async def test_nobody_has_to_read_the_rest(flood: Flood, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection of a whole answer that its client does not take is not kept for ever."""
    monkeypatch.setattr(line, "LAST_BYTES_S", 0.05)
    running = await flood(megabytes=10)
    async with raw_connection(running.port) as client:
        client.send(ASKED.replace(b"true", b"false"), headers=(("connection", "close"),))
        await running.books.wait()
        await asyncio.sleep(10 * line.LAST_BYTES_S)
        assert not (await client.answer(to_the_end=True)).is_whole


async def test_a_gateway_that_stops_does_not_wait_for_a_reader(flood: Flood) -> None:
    """A stream that cannot even take an error event is cut off, and recorded as ended by us."""
    running = await flood(patience=Deadlines(), silence_s=60.0)
    async with raw_connection(running.port) as client:
        client.send(ASKED)
        await asyncio.sleep(0.5)
        assert running.server is not None
        running.server.should_exit = running.server.force_exit = True
        (outcome,) = await running.books.wait()
        assert (outcome.result, outcome.error_code) == ("cut", "gateway_stopping")
        assert running.in_flight() == 0
        assert not (await client.answer(to_the_end=True)).is_whole
