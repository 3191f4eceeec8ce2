"""Nodes whose token counts are no help, or do not say what a cache held, are measured by what is known."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import date

import pytest

from spillway.measuring.campaign import Campaign, Limits
from spillway.measuring.prompts import Prompts
from spillway.measuring.result import profile_of
from spillway.measuring.target import find_target
from tests.measuring.test_held_back import Writer, served


@dataclass(frozen=True)
class Miscounter(Writer):
    """An engine that says the same of every prompt."""

    says: int = 0

    def _event(self, writer: asyncio.StreamWriter, chunk: dict[str, object]) -> None:
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            chunk = {**chunk, "usage": {**usage, "prompt_tokens": self.says}}
        super()._event(writer, chunk)


@pytest.mark.parametrize(("says", "warning"), [(0, "reports no token counts"), (10, "do not grow")])
async def test_counts_that_are_no_help_are_not_believed(says: int, warning: str) -> None:
    """Prompts differ in length all the same, what a cache held is not guessed, and a warning says so."""
    async with served(Miscounter(step_s=0.001, says=says)) as url:
        target = await find_target(url, None, None)
        limits = Limits(duration_s=20, max_concurrency=2, max_requests=30)
        measured = await Campaign(target, limits, seed=3).run()
        await target.close()
    assert len({read.prompt_tokens for read in measured.reads}) > 5
    assert min(read.prompt_tokens for read in measured.reads) >= Prompts().shortest_tokens
    assert warning in measured.warnings[0]
    assert profile_of(measured, target, "x", date(2026, 11, 30)).pace.prefill_token_s > 0


@dataclass(frozen=True)
class Cacher(Writer):
    """An engine that reads only what follows a prompt it has seen, and counts two tokens a word.

    One token more marks a prompt of which it knew the beginning.
    """

    tells: bool = False
    seen: list[str] = field(default_factory=list)

    def _read(self, text: str) -> tuple[int, dict[str, object]]:
        words = text.split()
        known = max((_shared(words, before.split()) for before in self.seen), default=0)
        self.seen.append(text)
        usage: dict[str, object] = {"prompt_tokens": 2 * len(words) + (known > FEW_WORDS)}
        if self.tells:
            usage["prompt_tokens_details"] = {"cached_tokens": 2 * known}
        return len(words) - known, usage


FEW_WORDS = 6
"""More words at the beginning than the template of all prompts."""


def _shared(words: list[str], before: list[str]) -> int:
    pairs = zip(words, before, strict=False)
    return next((k for k, (one, other) in enumerate(pairs) if one != other), min(len(words), len(before)))


@pytest.mark.parametrize("tells", [True, False])
async def test_what_a_cache_helped_is_learned_only_where_it_is_told(tells: bool) -> None:
    """vLLM reports no cached tokens unless told to: what it read of a known prompt is no prompt's time."""
    engine = Cacher(step_s=0.001, tells=tells)
    async with served(engine) as url:
        target = await find_target(url, None, None)
        limits = Limits(duration_s=20, max_concurrency=2, max_requests=40)
        measured = await Campaign(target, limits, seed=3).run()
        await target.close()
    assert any(read.cached_tokens > 2 * FEW_WORDS for read in measured.reads) is tells
    assert any(read.prompt_tokens % 2 for read in measured.reads) is tells
