"""Callers that leave at any moment: nothing is leaked, every request is recorded once."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from spillway.slo.hedges import HedgeBudget
from spillway.testing.fake_upstream import Fault, Reply

from .conftest import SetUp, Stage, script

FAULTS = (
    *(Fault.SLOW_TOKENS, Fault.SLOW_FIRST_TOKEN, Fault.CUT, Fault.STALLED, Fault.ERROR_500, Fault.SILENT),
    *(Fault.HEADERS_THEN_SILENT, Fault.RESET_MID_STREAM, Fault.LOADING, Fault.RATE_LIMITED, Fault.NEVER_ENDS),
)
REQUESTS = 150


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_leaving_at_any_moment_leaks_nothing(stage: SetUp, seed: int) -> None:
    """Random faults, hedges, continuations and callers that leave: all counts return to zero."""
    generator = random.Random(seed)
    here: Stage = await stage(
        relay={"hedges": HedgeBudget(share=0.5)}, mini="local", box="local", cloud="cloud"
    )
    for name in ("mini", "box"):
        replies = [
            Reply(fault=generator.choice(FAULTS), gap_s=0.01, delay_s=0.05) for _ in range(2 * REQUESTS)
        ]
        script(here, name, *replies)
        here.fleet.upstreams[name].slots = 40

    async def one() -> None:
        hedge_delay_s = generator.choice((None, 0.02))
        job = here.job(stream=generator.random() < 0.7, temperature=0, hedge_delay_s=hedge_delay_s)
        asking = asyncio.create_task(here.carry_out(job))
        await asyncio.wait({asking}, timeout=generator.uniform(0, 0.3) if generator.random() < 0.5 else None)
        asking.cancel()
        await asyncio.wait({asking})

    await asyncio.gather(*[one() for _ in range(REQUESTS)])
    await asyncio.gather(*[fake.idle() for fake in here.fakes.values()])
    assert here.in_flight() == 0
    assert [len(upstream.queue) for upstream in here.fleet.upstreams.values()] == [0, 0, 0]
    asked = Counter(outcome.facts.request_id for outcome in here.books.outcomes)
    assert set(asked.values()) == {1}
    assert len(asked) == REQUESTS
    assert {outcome.result for outcome in here.books.outcomes} >= {"ok", "cancelled"}
    for outcome in here.books.outcomes:
        assert len({attempt.index for attempt in outcome.attempts}) == len(outcome.attempts)
        assert len(outcome.attempts) <= 3
