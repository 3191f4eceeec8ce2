"""A request that waits for one node and is answered by another that was free first."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec import structs

from spillway.slo.hedges import HedgeBudget
from spillway.testing.fake_upstream import Fault, Reply
from spillway.vocabulary import Side

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


@pytest.mark.parametrize("cloud", [{"cloud": "cloud"}, {}], ids=["somebody-left", "nobody-left"])
async def test_a_node_that_changed_during_the_wait_is_not_asked(stage: SetUp, cloud: dict[str, Side]) -> None:
    """It is passed over as if it had never been listed, and the reason is told; alone it is an error."""
    here: Stage = await stage(one="local", **cloud)
    node = here.fleet.upstreams["one"]
    node.slots = 1
    script(here, "one", Reply(fault=Fault.SLOW_FIRST_TOKEN, delay_s=1.0))
    before = asyncio.create_task(here.ask(choices=here.choices("one")))
    choices = tuple(structs.replace(choice, queue_s=5.0) for choice in here.choices())
    while not node.in_flight:  # noqa: ASYNC110 - a node tells nobody that it is busy
        await asyncio.sleep(0.01)
    task = asyncio.create_task(here.ask(choices=choices))
    while not len(node.queue):  # noqa: ASYNC110 - a queue tells nobody that it grew
        await asyncio.sleep(0.01)
    node.models = (structs.replace(node.models[0], remote_host="https://elsewhere.example"),)
    got = await task
    assert got.outcome
    assert got.outcome.reasons[-1] == "cloud_passthrough"
    if cloud:
        assert got.attempts == [("cloud", "first", None)]
    else:
        assert (got.status, got.attempts) == (503, [])
        assert got.error
        assert (got.error.code, got.error.retry_after_s) == ("upstream_unfit", 5.0)
    await before
    assert len(here.fakes["one"].received) == 1
    assert here.in_flight() == 0


async def test_the_time_of_a_failed_attempt_is_no_wait(stage: SetUp) -> None:
    """Who failed after a third of a second leaves the next node's patience as it was."""
    here: Stage = await stage(one="local", two="local")
    here.fleet.upstreams["two"].slots = 1
    script(here, "one", Reply(fault=Fault.SLOW_FIRST_TOKEN, delay_s=1.0))
    script(here, "two", Reply(fault=Fault.SLOW_FIRST_TOKEN, delay_s=0.3))
    hasty = structs.replace(here.deadlines, first_token_s=0.3)
    one, two = (structs.replace(choice, queue_s=0.3, miss_weight=1.0) for choice in here.choices())
    task = asyncio.create_task(here.ask(choices=(structs.replace(one, deadlines=hasty), two)))
    await asyncio.sleep(0.2)
    before = asyncio.create_task(here.ask(choices=here.choices("two")))
    got = await task
    assert got.attempts == [("one", "first", "upstream_timeout"), ("two", "failover", None)]
    await before
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
