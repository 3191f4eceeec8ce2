"""A request that waits for one node and is answered by another that was free first."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec import structs

from spillway.slo.hedges import HedgeBudget
from spillway.testing.fake_upstream import Fault, Reply

from .conftest import Got, SetUp, Stage, script


async def waiting(here: Stage, **given: Any) -> tuple[asyncio.Task[Got], list[asyncio.Task[Got]]]:
    """One that waits for ``one``, with all as its choices; ``two`` is free first."""
    for node in ("one", "two"):
        here.fleet.upstreams[node].slots = 1
    script(here, "one", Reply(fault=Fault.SLOW_FIRST_TOKEN, delay_s=0.3))
    script(here, "two", Reply(fault=Fault.SLOW_FIRST_TOKEN, delay_s=0.1))
    before = [asyncio.create_task(here.ask(choices=here.choices(node))) for node in ("one", "two")]
    await asyncio.sleep(0.03)
    choices = tuple(structs.replace(choice, queue_s=5.0) for choice in here.choices())
    return asyncio.create_task(here.ask(choices=choices, **given)), before


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
async def test_the_node_that_is_free_answers(stage: SetUp, is_stream: bool) -> None:
    """The caller and the books are told who answered, and why another than was decided."""
    here: Stage = await stage(one="local", two="local", cloud="cloud")
    task, before = await waiting(here, stream=is_stream)
    got = await task
    assert got.attempts == [("two", "first", None)]
    assert got.headers["x-spillway-upstream"] == "two"
    assert "taken_over" in got.headers["x-spillway-reason"]
    assert got.outcome
    assert got.outcome.reasons[-1] == "taken_over"
    await asyncio.gather(*before)
    assert [len(fake.received) for fake in here.fakes.values()] == [1, 2, 0]
    assert here.in_flight() == 0


async def test_when_that_one_fails_the_one_it_waited_for_is_asked(stage: SetUp) -> None:
    """It is left among the choices, in front, and the failure is the other's."""
    here: Stage = await stage(one="local", two="local", cloud="cloud")
    task, before = await waiting(here)
    script(here, "two", Fault.ERROR_500)
    got = await task
    assert got.attempts == [("two", "first", "upstream_failed"), ("one", "failover", None)]
    await asyncio.gather(*before)
    assert here.in_flight() == 0


async def test_a_hedge_still_ends_the_wait(stage: SetUp) -> None:
    """What is asked beside the queue is no longer there to take the request over."""
    here: Stage = await stage(relay={"hedges": HedgeBudget(share=1.0)}, one="local", two="local")
    task, before = await waiting(here, hedge_delay_s=0.02)
    got = await task
    assert [attempt for attempt in got.attempts if attempt[2] is None] == [("two", "hedge", None)]
    assert got.outcome
    assert "taken_over" not in got.outcome.reasons
    await asyncio.gather(*before)
    assert here.in_flight() == 0
