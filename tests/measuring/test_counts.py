"""Nodes whose token counts are no help are measured by the words they were sent."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
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
