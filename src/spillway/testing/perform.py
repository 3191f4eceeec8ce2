"""Carries out a plan on a connection, byte for byte and at its times."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

from spillway.testing.http_server import Connection, response_head
from spillway.testing.plans import BEFORE_HEAD, Plan

__all__ = ["Gate", "perform"]

TRAP_S = 0.001
"""How long after the end of a stream the keep-alive trap closes; llama.cpp's server took up to 3 ms."""


class Gate:
    """Holds whoever comes until it is opened, then holds the next ones."""

    def __init__(self) -> None:
        self.waiting = 0
        self._opened = asyncio.Event()
        self._changed = asyncio.Event()

    def open(self) -> None:
        """Lets everyone go who waits now."""
        self._opened.set()
        self._opened = asyncio.Event()

    async def wait_for(self, count: int) -> None:
        """Returns once so many wait."""
        while self.waiting < count:
            await self._changed.wait()

    async def hold(self, connection: Connection) -> bool:
        """Waits to be let go; whether the client is still there then."""
        self.waiting += 1
        self._notify()
        opened = asyncio.ensure_future(self._opened.wait())
        gone = asyncio.ensure_future(connection.gone.wait())
        try:
            await asyncio.wait({opened, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            opened.cancel()
            gone.cancel()
            self.waiting -= 1
            self._notify()
        return not connection.gone.is_set()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


async def perform(connection: Connection, plan: Plan, gate: Gate) -> bool:
    """Whether the plan came to its end; ``False`` when the client hung up before that."""
    if not await _before_head(connection, plan, gate):
        return False
    if plan.stop_after == BEFORE_HEAD:
        return await _end(connection, plan)
    connection.send(plan.preamble + _head(plan))
    stop = len(plan.pieces) if plan.stop_after is None else plan.stop_after
    for index, piece in enumerate(plan.pieces[:stop]):
        if not await _before_piece(connection, plan, gate, index):
            return False
        await _write(connection, _framed(plan, piece), plan, index)
    if connection.gone.is_set():
        return False
    if plan.stop_after is None and plan.framing == "chunked":
        connection.send(b"0\r\n\r\n")
    return await _end(connection, plan)


def _head(plan: Plan) -> bytes:
    framing = {
        "chunked": ("transfer-encoding", "chunked"),
        "length": ("content-length", str(sum(map(len, plan.pieces)) + plan.length_error_bytes)),
        "close": ("connection", "close"),
    }
    return response_head(plan.status, (*plan.headers, framing[plan.framing]))


def _framed(plan: Plan, piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece) if plan.framing == "chunked" else piece


async def _before_head(connection: Connection, plan: Plan, gate: Gate) -> bool:
    if plan.gate_at == BEFORE_HEAD and not await gate.hold(connection):
        return False
    return await connection.pause(plan.before_head_s)


async def _before_piece(connection: Connection, plan: Plan, gate: Gate, index: int) -> bool:
    if plan.gate_at == index and not await gate.hold(connection):
        return False
    pause_s = dict(plan.pauses_s).get(index, plan.gap_s if index else 0.0)
    return await connection.pause(pause_s)


async def _write(connection: Connection, data: bytes, plan: Plan, index: int) -> None:
    if plan.segment_bytes is None:
        connection.send(data)
        await connection.drain()
        return
    for segment in _segments(data, plan.segment_bytes, seed=index):
        connection.send(segment)
        await asyncio.sleep(0)  # a turn for the reader, so that it meets the segments one by one


def _segments(data: bytes, largest: int, seed: int) -> Iterator[bytes]:
    generator = random.Random(seed)
    at = 0
    while at < len(data):
        size = generator.randint(1, largest)
        yield data[at : at + size]
        at += size


async def _end(connection: Connection, plan: Plan) -> bool:
    connection.send(plan.stop_bytes)
    if plan.ending == "stall":
        return await connection.pause(None)
    if plan.ending == "reset":
        await _let_bytes_out(connection, plan)
        connection.reset()
    elif plan.ending == "fin" or plan.framing == "close":
        connection.close()
    elif plan.lies_about_keep_alive:
        await connection.pause(TRAP_S)
        connection.close()
    connection.drops_next = plan.drops_next
    return True


async def _let_bytes_out(connection: Connection, plan: Plan) -> None:
    """A reset discards what the client has not read, so it gets a moment to read what was meant for it."""
    if plan.stop_after is not None and plan.stop_after > BEFORE_HEAD:
        await connection.pause(0.02)
