"""Second attempts beside late first ones."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from spillway.relay.hedge import HedgeOutcome
from spillway.slo.hedges import HedgeBudget
from spillway.testing.fake_upstream import Fault, Reply

from .conftest import QUICK, SetUp, Stage, script

BOTH = pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
OUTCOMES: list[HedgeOutcome] = []


@pytest.fixture
def hedging() -> Iterator[dict[str, Any]]:
    """Options of a relay that may hedge everything, and notes how it went in ``OUTCOMES``."""
    OUTCOMES.clear()
    yield {"hedges": HedgeBudget(share=1.0), "on_hedge": OUTCOMES.append}
    OUTCOMES.clear()


@BOTH
async def test_a_late_first_is_overtaken(stage: SetUp, hedging: dict[str, Any], is_stream: bool) -> None:
    """When the first token is late the alternate is asked as well, relayed, and the first one cancelled."""
    here: Stage = await stage(relay=hedging, mini="local", cloud="cloud")
    script(here, "mini", Fault.HEADERS_THEN_SILENT)
    got = await here.ask(stream=is_stream, hedge_delay_s=0.05)
    assert got.attempts == [("mini", "first", "hedge_lost"), ("cloud", "hedge", None)]
    assert got.headers["x-spillway-upstream"] == "cloud"
    assert got.headers["x-spillway-attempts"] == "2"
    assert "hedged" in got.headers["x-spillway-reason"]
    assert got.outcome
    assert got.outcome.total_s < 0.3
    await here.fakes["mini"].disconnected()
    assert OUTCOMES == ["won"]
    assert here.in_flight() == 0
    assert here.fleet.upstreams["mini"].breaker.state(0) == "closed"


@BOTH
async def test_a_late_first_may_still_win(stage: SetUp, hedging: dict[str, Any], is_stream: bool) -> None:
    """The first upstream that speaks while the alternate is silent is relayed; the alternate is paid for."""
    here: Stage = await stage(relay=hedging, mini="local", cloud="cloud")
    script(here, "mini", Reply(fault=Fault.SLOW_FIRST_TOKEN, delay_s=0.15))
    script(here, "cloud", Fault.SILENT)
    got = await here.ask(stream=is_stream, hedge_delay_s=0.05)
    assert got.attempts == [("cloud", "hedge", "hedge_lost"), ("mini", "first", None)]
    assert got.outcome
    assert got.outcome.attempts[0].usage
    assert got.outcome.attempts[0].usage.grade == "estimated"
    assert OUTCOMES == ["lost"]
    await here.fakes["cloud"].disconnected()


async def test_in_time_means_no_hedge(stage: SetUp, hedging: dict[str, Any]) -> None:
    """Nothing is asked twice when the first token comes in time."""
    here: Stage = await stage(relay=hedging, mini="local", cloud="cloud")
    got = await here.ask(hedge_delay_s=0.3)
    assert got.attempts == [("mini", "first", None)]
    assert not here.fakes["cloud"].received
    assert OUTCOMES == []


async def test_a_slow_upload_is_no_late_answer(stage: SetUp, hedging: dict[str, Any]) -> None:
    """The time to wait counts from when the body was there, however long the caller took to send it."""
    here: Stage = await stage(relay=hedging, mini="local", cloud="cloud")
    job = here.job(hedge_delay_s=0.3)
    slow = replace(job, accepted_s=job.accepted_s - 1.0, arrived_s=job.accepted_s)
    assert (await here.carry_out(slow)).attempts == [("mini", "first", None)]
    assert OUTCOMES == []


async def test_a_quick_failure_is_a_failover(stage: SetUp, hedging: dict[str, Any]) -> None:
    """A first upstream that fails before the delay is followed, not accompanied."""
    here: Stage = await stage(relay=hedging, mini="local", cloud="cloud")
    script(here, "mini", Fault.ERROR_500)
    assert (await here.ask(hedge_delay_s=0.3)).attempts[1] == ("cloud", "failover", None)


async def test_a_hedge_that_fails_leaves_the_first(stage: SetUp, hedging: dict[str, Any]) -> None:
    """The failure of a hedge is noted, and the first upstream goes on."""
    here: Stage = await stage(relay=hedging, mini="local", cloud="cloud")
    script(here, "mini", Reply(fault=Fault.SLOW_FIRST_TOKEN, delay_s=0.15))
    script(here, "cloud", Fault.ERROR_500)
    got = await here.ask(hedge_delay_s=0.05)
    assert got.attempts == [("cloud", "hedge", "upstream_failed"), ("mini", "first", None)]


@BOTH
async def test_a_hedge_that_breaks_is_named(stage: SetUp, hedging: dict[str, Any], is_stream: bool) -> None:
    """Where a hedge won and broke with no attempt left, the error names it, not the one that it overtook."""
    here: Stage = await stage(relay=hedging, mini="local", cloud="cloud")
    script(here, "mini", Fault.SILENT)
    script(here, "cloud", Fault.CUT)
    got = await here.ask(stream=is_stream, hedge_delay_s=0.05, max_attempts=2)
    assert got.attempts[-1] == ("cloud", "hedge", "upstream_closed")
    named = got.chunks[-1]["error"]["upstream"] if is_stream else got.error and got.error.upstream
    assert named == "cloud"


async def test_when_both_fail_the_next_is_asked(stage: SetUp, hedging: dict[str, Any]) -> None:
    """Both contenders count as tried; whoever is left in the plan comes next."""
    here: Stage = await stage(relay=hedging, mini="local", cloud="cloud", other="cloud")
    script(here, "mini", Fault.SILENT)
    script(here, "cloud", Fault.ERROR_500)
    got = await here.ask(hedge_delay_s=0.05)
    assert [a[:2] for a in got.attempts] == [("cloud", "hedge"), ("mini", "first"), ("other", "failover")]


async def test_the_cap_holds(stage: SetUp) -> None:
    """However many requests are late, no more than the share is asked twice."""
    OUTCOMES.clear()
    options = {"hedges": HedgeBudget(share=0.05), "on_hedge": OUTCOMES.append}
    here: Stage = await stage(relay=options, mini="local", cloud="cloud")
    here.fakes["mini"].default = Reply(fault=Fault.SLOW_FIRST_TOKEN, delay_s=0.1)
    async with asyncio.TaskGroup() as group:
        for _ in range(100):
            group.create_task(here.ask(hedge_delay_s=0.02))
    hedges = sum(a.kind == "hedge" for outcome in here.books.outcomes for a in outcome.attempts)
    assert hedges == 5
    assert OUTCOMES.count("capped") == 95
    assert here.in_flight() == 0


async def test_hanging_up_ends_both(stage: SetUp, hedging: dict[str, Any]) -> None:
    """A client that leaves during the race ends both attempts, and both are in the record."""
    here: Stage = await stage(relay=hedging, mini="local", cloud="cloud")
    script(here, "mini", Fault.SILENT)
    script(here, "cloud", Fault.SILENT)
    asking = asyncio.create_task(here.ask(hedge_delay_s=0.02))
    await here.fakes["cloud"].requests()
    asking.cancel()
    await asyncio.wait({asking})
    await here.fakes["mini"].disconnected()
    await here.fakes["cloud"].disconnected()
    outcome = here.books.outcomes[0]
    assert outcome.result == "cancelled"
    assert sorted((a.upstream, a.error_code) for a in outcome.attempts) == [
        ("cloud", "client_closed"),
        ("mini", "client_closed"),
    ]
    assert here.in_flight() == 0


@BOTH
async def test_an_overtaken_hedge_may_still_be_needed(
    stage: SetUp, hedging: dict[str, Any], is_stream: bool
) -> None:
    """A first that wins the race and then breaks is continued, or made anew, by the one it overtook."""
    here: Stage = await stage(relay=hedging, mini="local", cloud="cloud")
    script(here, "mini", Reply(fault=Fault.HELD, after=4))
    script(here, "cloud", Fault.SILENT)
    asking = asyncio.create_task(here.ask(stream=is_stream, hedge_delay_s=0.0))
    await here.fakes["cloud"].requests()
    got = await asking
    assert [a[:2] for a in got.attempts] == [
        ("cloud", "hedge"),
        ("mini", "first"),
        ("cloud", "continuation" if is_stream else "failover"),
    ]
    assert got.status == 200
    assert here.in_flight() == 0


async def test_an_overtaken_first_may_still_be_needed(stage: SetUp, hedging: dict[str, Any]) -> None:
    """A hedge that wins and then breaks is continued by the first, which was only late."""
    patient = replace(QUICK, first_token_s=3.0)
    here: Stage = await stage(relay=hedging, deadlines=patient, mini="local", cloud="cloud")
    script(here, "mini", Fault.SILENT)
    script(here, "cloud", Reply(fault=Fault.CUT, after=4))
    got = await here.ask(stream=True, hedge_delay_s=0.02)
    assert [a[:2] for a in got.attempts] == [("mini", "first"), ("cloud", "hedge"), ("mini", "continuation")]
    assert got.is_whole_stream


async def test_a_request_counts_once_towards_the_cap(stage: SetUp) -> None:
    """One that finds its first choice full and goes on to the next does not earn two shares of a hedge."""
    budget = HedgeBudget(share=0.5)
    here: Stage = await stage(relay={"hedges": budget}, mini="local", cloud="cloud")
    node = here.fleet.upstreams["mini"]
    node.slots = 1
    node.take()
    got = await here.ask(hedge_delay_s=5.0)
    assert got.attempts == [("cloud", "first", None)]
    assert not budget.take()


async def test_only_the_choice_that_was_forecast_is_hedged(stage: SetUp, hedging: dict[str, Any]) -> None:
    """The time to wait is that of the first choice: whoever takes its place is not overtaken at once."""
    here: Stage = await stage(relay=hedging, mini="local", cloud="cloud", other="cloud")
    here.fleet.upstreams["mini"].slots = 1
    here.fleet.upstreams["mini"].take()
    script(here, "cloud", Reply(fault=Fault.SLOW_FIRST_TOKEN, delay_s=0.1))
    assert (await here.ask(hedge_delay_s=0.01)).attempts == [("cloud", "first", None)]


def test_a_budget_saves_no_more_than_its_burst() -> None:
    """Quiet hours do not pile up hedges for a storm."""
    budget = HedgeBudget(share=0.1, burst=2)
    for _ in range(1000):
        budget.note_request()
    assert [budget.take() for _ in range(4)] == [True, True, False, False]
