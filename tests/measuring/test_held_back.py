"""Answers that something on the way collects are told from those of engines that are fast or guess ahead."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from itertools import count

import pytest

from spillway.errors import MeasureFailed
from spillway.measuring.ask import Answered
from spillway.measuring.campaign import Campaign, Limits
from spillway.measuring.held_back import held_back_ratio
from spillway.measuring.result import profile_of
from spillway.measuring.target import find_target
from spillway.planner.profile import Profile

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
READ_S = 0.0003
HEAD = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: "


def answer(*gaps_s: float, first_s: float = 0.1) -> Answered:
    """An answer whose tokens came that long after one another."""
    moments = [first_s]
    for gap_s in gaps_s:
        moments.append(moments[-1] + gap_s)
    return Answered(0.0, tuple(moments), 20, 0, len(moments))


@pytest.mark.parametrize(
    ("gaps_s", "is_held_back"),
    [
        ((0.02,) * 47, False),
        ((0.0003,) * 47, False),  # more than 3,000 tok/s
        ((0.02, 0.0, 0.0, 0.0, 0.0) * 9, False),  # five at a time
        ((0.02, *(0.0,) * 7) * 6, False),  # eight at a time
        ((0.0002,) * 23 + (0.004,) + (0.0002,) * 23, False),  # the client waited for a core
        ((0.02,) * 20 + (0.5,) + (0.02,) * 20, False),  # it paused once
        ((0.00001,) * 47, True),
        ((0.0001,) * 47, True),  # three times as fast as it reads
        ((0.0,) * 5, True),
        ((*(0.0,) * 15, 0.08) * 2 + (0.0,) * 15, True),
        ((*(0.0001,) * 15, 0.08) * 2 + (0.0001,) * 15, True),
        ((0.0, 0.0), False),  # too short to tell
    ],
)
def test_what_comes_together(gaps_s: tuple[float, ...], is_held_back: bool) -> None:
    """Speed alone is no sign, nor a few tokens at once; impossible speed is one, and many after a pause."""
    assert held_back_ratio([answer(*gaps_s)], READ_S) == is_held_back


def test_most_answers_decide() -> None:
    """The share counts answers that are long enough to tell."""
    fine, held, short = answer(*(0.02,) * 20), answer(*(0.0,) * 20), answer(0.0)
    assert held_back_ratio([fine, held, held, fine, short], READ_S) == 0.5
    assert held_back_ratio([short], READ_S) == 0.0


@dataclass(frozen=True)
class Writer:
    """An engine on loopback that reads and writes at a given pace."""

    step_s: float = 0.003
    at_a_time: int = 1
    most_tokens: int = 1000
    is_at_once: bool = False
    """Whether it writes everything when it has ended, though each token by itself."""
    event_bytes: int = 250
    held_every: int = 1
    """Which of its answers ``is_at_once`` is true of: each, each second …"""
    number: Iterator[int] = field(default_factory=count)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, then the connection ends."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
            body = await reader.readexactly(int(lengths[0].split(b":")[1])) if lengths else b""
            if head.startswith(b"GET /v1/models "):
                writer.write(HEAD + b'application/json\r\n\r\n{"data": [{"id": "m"}]}')
            elif b"/chat/completions " in head:
                await self._answer(json.loads(body), writer)
            else:
                writer.write(HEAD.replace(b"200 OK", b"404 No") + b"text/plain\r\n\r\n")
            await writer.drain()

    async def _answer(self, asked: dict[str, object], writer: asyncio.StreamWriter) -> None:
        read, usage = self._read(json.dumps(asked["messages"]))
        tokens = min(int(str(asked["max_tokens"])), self.most_tokens)
        is_held = self.is_at_once and next(self.number) % self.held_every == 0
        writer.write(HEAD + b"text/event-stream\r\n\r\n")
        await _pause(read * READ_S + is_held * self.step_s * tokens)
        for number in range(tokens):
            if number % self.at_a_time == 0 and not is_held:
                await _pause(self.step_s)
            self._event(writer, {"choices": [{"index": 0, "delta": {"content": "w "}}]})
        self._event(writer, {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]})
        self._event(writer, {"choices": [], "usage": {**usage, "completion_tokens": tokens}})
        writer.write(b"data: [DONE]\n\n")

    def _read(self, text: str) -> tuple[int, dict[str, object]]:
        """How many tokens of the prompt it has to read, and what it says of the prompt."""
        prompt = len(text.split())
        return prompt, {"prompt_tokens": prompt}

    def _event(self, writer: asyncio.StreamWriter, chunk: dict[str, object]) -> None:
        writer.write(b"data: " + json.dumps(chunk).ljust(self.event_bytes).encode() + b"\n\n")


async def _pause(seconds: float) -> None:
    """To the fraction of a millisecond, which sleeping is not."""
    due_s = time.monotonic() + seconds
    while (left_s := due_s - time.monotonic()) > 0:  # noqa: ASYNC110 - a moment is no event
        await asyncio.sleep(0.001 if left_s > 0.003 else 0)


@asynccontextmanager
async def served(writer: Writer, collects_bytes: int = 0) -> AsyncIterator[str]:
    """The URL of the engine, or of a proxy before it that passes on so many bytes at a time."""
    connections: list[asyncio.Task[None] | None] = []

    def ended(serve: Serve) -> Serve:
        async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connections.append(asyncio.current_task())
            with suppress(ConnectionError):
                await serve(reader, writer)
            await _closed(writer)

        return served

    engine = await asyncio.start_server(ended(writer.serve), "127.0.0.1", 0)
    port = engine.sockets[0].getsockname()[1]

    async def collect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", port)
        pump = asyncio.create_task(_pump(reader, forth))
        kept = b""
        while block := await back.read(65536):
            kept += block
            while len(kept) >= collects_bytes:
                writer.write(kept[:collects_bytes])
                kept = kept[collects_bytes:]
        writer.write(kept)
        pump.cancel()
        await _closed(forth)

    proxy = await asyncio.start_server(ended(collect), "127.0.0.1", 0) if collects_bytes else engine
    async with engine, proxy:
        try:
            yield f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
        finally:
            await asyncio.gather(*(each for each in connections if each is not None))


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while block := await reader.read(65536):
        writer.write(block)


async def profile(writer: Writer, collects_bytes: int = 0, requests: int = 60) -> Profile:
    """What comes of a short measurement."""
    async with served(writer, collects_bytes) as url:
        target = await find_target(url, None, None)
        limits = Limits(duration_s=4, max_concurrency=2, max_requests=requests)
        measured = await Campaign(target, limits, seed=3).run()
        await target.close()
        return profile_of(measured, target, "x", date(2026, 11, 24))


@pytest.mark.parametrize(
    ("writer", "collects_bytes"),
    [
        (Writer(is_at_once=True), 0),
        (Writer(step_s=0.0), 0),
        (Writer(), 4096),
        (Writer(event_bytes=60), 4096),
        (Writer(), 100_000),
    ],
)
async def test_what_is_held_back_is_no_measurement(writer: Writer, collects_bytes: int) -> None:
    """The whole answer at its end, in one write or in many, or kilobytes of it: a proxy is asked for."""
    with pytest.raises(MeasureFailed, match="all at once, or many at a time: does a proxy"):
        await profile(writer, collects_bytes)


@pytest.mark.parametrize("writer", [Writer(step_s=0.0005), Writer(step_s=0.01, at_a_time=5)])
async def test_fast_engines_are_measured(writer: Writer) -> None:
    """2,000 tok/s, and several tokens at once by guessing ahead, are a true pace."""
    found = await profile(writer)
    assert not any("held them back" in warning for warning in found.warnings)
    # no more than that: a machine with other work takes longer
    assert found.pace.decode_step_s(1, 100) > 0.7 * writer.step_s / writer.at_a_time


async def test_what_is_partly_held_back_is_said() -> None:
    """Where some answers are collected, the profile is not complete and says how many were."""
    found = await profile(Writer(is_at_once=True, held_every=5))
    assert not found.is_complete
    assert any("came many tokens at once" in warning for warning in found.warnings)


async def test_answers_of_one_token_are_no_proxys_fault() -> None:
    """A model that stops at once says nothing of steps, and that is what the sentence says."""
    with pytest.raises(MeasureFailed, match="ends every answer after one token"):
        await profile(Writer(most_tokens=1), requests=30)
