"""Answers that end before the other prompts of their wave are read: what they tell, and what they do not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date

import pytest

from spillway.measuring.campaign import Campaign, Limits, Measured
from spillway.measuring.result import profile_of
from spillway.measuring.target import find_target
from spillway.planner.profile import Profile
from tests.measuring.test_held_back import HEAD, Writer, served

STEP_S = 0.002


@dataclass
class Sequence:
    """One request in the engine: tokens it has still to write, and a mark for each that it wrote."""

    left: int
    written: asyncio.Queue[bool] = field(default_factory=asyncio.Queue)


@dataclass(frozen=True)
class Batcher(Writer):
    """An engine that reads one prompt a pass, in which those it has read write one token each."""

    slots: int = 64
    waiting: list[Sequence] = field(default_factory=list)
    running: list[Sequence] = field(default_factory=list)

    async def work(self) -> None:
        """Pass after pass, until cancelled."""
        while True:
            await asyncio.sleep(STEP_S)
            if self.waiting and len(self.running) < self.slots:
                self.running.append(self.waiting.pop(0))
            for sequence in list(self.running):
                sequence.left -= 1
                sequence.written.put_nowait(sequence.left > 0)
                if not sequence.left:
                    self.running.remove(sequence)

    async def _answer(self, asked: dict[str, object], writer: asyncio.StreamWriter) -> None:
        prompt = len(json.dumps(asked["messages"]).split())
        tokens = min(int(str(asked["max_tokens"])), self.most_tokens)
        sequence = Sequence(tokens)
        self.waiting.append(sequence)
        writer.write(HEAD + b"text/event-stream\r\n\r\n")
        has_more = True
        while has_more:
            has_more = await sequence.written.get()
            self._event(writer, {"choices": [{"index": 0, "delta": {"content": "w "}}]})
        self._event(writer, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        self._event(writer, {"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": tokens}})
        writer.write(b"data: [DONE]\n\n")


@asynccontextmanager
async def working(engine: Batcher) -> AsyncIterator[str]:
    """The URL of the engine while it works."""
    task = asyncio.create_task(engine.work())
    try:
        async with served(engine) as url:
            yield url
    finally:
        task.cancel()


async def measured(engine: Batcher, most: int = 8) -> tuple[Measured, Profile]:
    """What comes of measuring it."""
    async with working(engine) as url:
        target = await find_target(url, None, None)
        limits = Limits(duration_s=20, max_concurrency=most, max_requests=60)
        found = await Campaign(target, limits, seed=3).run()
        await target.close()
        return found, profile_of(found, target, "x", date(2026, 11, 24))


async def test_short_answers_are_no_limit_of_slots() -> None:
    """One that ended before the last prompt was read made no room, and the profile says what it lacks."""
    found, profile = await measured(Batcher(most_tokens=4))
    assert found.is_complete
    assert profile.slots is None
    assert profile.tested_concurrency < 8
    (warning,) = [each for each in profile.warnings if "side by side" in each]
    assert "its answers end after 4 tokens, choose a --model that writes longer ones" in warning
    assert not profile.knows_batches
    assert "never timed answers side by side" in profile.flaws


@pytest.mark.parametrize(("slots", "most_tokens"), [(2, 1000), (2, 9), (1, 1000), (1, 4)])
async def test_a_limit_of_slots_shows_in_longer_ones(slots: int, most_tokens: int) -> None:
    """Who waits although the first had time to write more than the prompts took waits for a slot."""
    _, profile = await measured(Batcher(slots=slots, most_tokens=most_tokens))
    assert profile.slots == slots
    assert not any("side by side" in each for each in profile.warnings)


async def test_what_was_never_asked_at_once_is_said() -> None:
    """One request at a time tells nothing of two."""
    _, profile = await measured(Batcher(), most=1)
    assert (profile.slots, profile.usable_slots) == (None, 1)
    assert any("allow a --max-concurrency of 2 or more" in each for each in profile.warnings)
