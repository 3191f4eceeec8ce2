"""Callers that leave at any moment: nothing is leaked, every request is recorded once."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from spillway.engines.connection import Connection
from spillway.engines.http_client import HttpClient
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


async def test_what_was_never_sent_costs_nothing(stage: SetUp, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller who leaves while a cloud is still being connected to is billed no tokens there."""
    here: Stage = await stage(cloud="cloud")
    is_connecting = asyncio.Event()

    async def connect(client: HttpClient, connect_s: float) -> Connection:
        is_connecting.set()
        await asyncio.sleep(connect_s)
        raise AssertionError("the caller left before")

    monkeypatch.setattr(HttpClient, "_connect", connect)
    asking = asyncio.create_task(here.ask())
    await is_connecting.wait()
    asking.cancel()
    await asyncio.wait({asking})
    (attempt,) = here.books.outcomes[0].attempts
    assert (attempt.error_code, attempt.usage, attempt.is_sent) == ("client_closed", None, False)


async def test_what_was_sent_is_billed(stage: SetUp) -> None:
    """A caller who leaves before the first byte of the answer has been read for all the same."""
    here: Stage = await stage(cloud="cloud")
    script(here, "cloud", Fault.SILENT)
    asking = asyncio.create_task(here.ask())
    await here.fakes["cloud"].requests()
    asking.cancel()
    await asyncio.wait({asking})
    (attempt,) = here.books.outcomes[0].attempts
    assert attempt.usage
    assert attempt.usage.input_tokens
