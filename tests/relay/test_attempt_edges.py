"""What an attempt leaves behind in bills, breakers and records, and what the client may see before that."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from spillway.engines.failures import Failure
from spillway.fleet.breaker import Breaker
from spillway.relay import attempt, deliver
from spillway.relay.commit import Client
from spillway.relay.hedge import _spare
from spillway.relay.step import AttemptFailed, Step
from spillway.slo.hedges import HedgeBudget
from spillway.testing.answers import answer_text
from spillway.testing.fake_upstream import Fault, Reply
from spillway.testing.raw_client import MESSAGES
from spillway.vocabulary import Bill, Choice, Outcome
from tests.fleet.test_prefixes import prompt

from .conftest import SetUp, Stage, script
from .test_watch import REFUSAL, Watching, watched

BOTH = pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])


async def test_what_was_refused_is_not_billed_when_the_caller_leaves(stage: SetUp) -> None:
    """A cloud that says it is loading has read nothing, however often it was asked."""
    here: Stage = await stage(cloud="cloud")
    script(here, "cloud", Reply(fault=Fault.LOADING, times=99))
    asking = asyncio.create_task(here.ask())
    await here.fakes["cloud"].requests(2)
    asking.cancel()
    await asyncio.wait({asking})
    (noted,) = here.books.outcomes[0].attempts
    assert (noted.error_code, noted.usage, noted.is_sent) == ("client_closed", None, True)


@pytest.mark.parametrize(("fault", "left"), [(Fault.CLOSED_BEFORE_HEADERS, 0), (Fault.ERROR_500, 1)])
async def test_a_node_that_hung_up_may_hold_nothing_any_more(stage: SetUp, fault: Fault, left: int) -> None:
    """It was restarted, perhaps; one that answers with an error was not."""
    here: Stage = await stage(mini="local")
    prefixes = here.fleet.upstreams["mini"].prefixes
    assert prefixes is not None
    prefixes.hold(prompt("a" * 2000), None)
    script(here, "mini", Reply(fault=fault, times=2))
    await here.ask()
    assert len(prefixes) == left


async def test_a_long_stream_is_bounded_by_what_waits_only(
    stage: SetUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the client has taken does not count towards the most that is kept."""
    monkeypatch.setattr(attempt, "MAX_ANSWER_BYTES", 1200)
    here: Stage = await stage(mini="local")
    script(here, "mini", Reply(fault=Fault.SLOW_TOKENS, gap_s=0.01))
    got = await here.ask(stream=True)
    assert len(got.body) > 1200
    assert got.is_whole_stream


async def test_an_attempt_is_recorded_with_its_forecast_and_its_neighbours(stage: SetUp) -> None:
    """Reports compare the one with what happened; the other shares the node's cost."""
    here: Stage = await stage(mini="local")
    (plain,) = here.choices()
    told = replace(plain, ttft_s=1.0, total_s=2.0, ttft_p95_s=3.0, total_p95_s=4.0, cached_tokens=5.0)
    script(here, "mini", *[Reply(fault=Fault.SLOW_FIRST_TOKEN, delay_s=0.1)] * 2)
    both = await asyncio.gather(*(here.ask(choices=(told,)) for _ in range(2)))
    attempts = [got.outcome.attempts[0] for got in both if got.outcome]
    assert sorted(each.in_flight for each in attempts) == [1, 2]
    first = attempts[0]
    assert (first.forecast_ttft_s, first.forecast_ttft_p95_s, first.forecast_total_p95_s) == (1.0, 3.0, 4.0)
    assert first.forecast_cached_tokens == 5.0


async def test_an_answer_that_failed_on_its_way_is_no_outage(stage: SetUp) -> None:
    """A model that refuses is well: its node is not left alone."""
    here: Stage = await stage(relay={"verifier": Watching()}, mini="local", cloud="cloud")
    here.fleet.upstreams["mini"].breaker = Breaker(threshold=1)
    script(here, "mini", Reply(text=REFUSAL))
    assert (await watched(here)).attempts[0] == ("mini", "first", "gate_refusal")
    assert here.fleet.upstreams["mini"].breaker.state(0) == "closed"


async def test_a_slow_opening_is_not_kept_back_for_long(
    stage: SetUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client has the first words before they are enough to be judged: a break is continued."""
    monkeypatch.setattr(deliver, "OPENING_S", 0.0)
    here: Stage = await stage(relay={"verifier": Watching()}, mini="local", cloud="cloud")
    script(here, "mini", Reply(fault=Fault.HELD, after=4))
    got = await watched(here)
    assert [each[:2] for each in got.attempts] == [("mini", "first"), ("cloud", "continuation")]


@BOTH
async def test_nobody_sees_the_end_of_an_answer_before_it_is_in_the_books(
    stage: SetUp, is_stream: bool
) -> None:
    """What a client was told is complete would survive a crash."""
    here: Stage = await stage(mini="local")
    seen, at_settling = bytearray(), list[bytes]()

    async def settle(outcome: Outcome, bills: Sequence[Bill]) -> None:
        at_settling.append(bytes(seen))
        here.books.note(outcome, bills)

    async def send(message: MutableMapping[str, Any]) -> None:
        seen.extend(message.get("body", b""))

    here.books.settle = settle  # type: ignore[method-assign]
    await here.relay.carry_out(here.job(stream=is_stream), Client(send))
    assert len(at_settling) == 1
    assert b"[DONE]" not in at_settling[0]
    assert is_stream or not at_settling[0]
    assert len(seen) > len(at_settling[0])


@BOTH
@pytest.mark.parametrize("fault", [Fault.SLOW_TOKENS, Fault.CUT])
async def test_all_bytes_of_an_answer_are_counted(stage: SetUp, fault: Fault, is_stream: bool) -> None:
    """Of every piece, also where it breaks off."""
    here: Stage = await stage(mini="local")
    script(here, "mini", Reply(fault=fault, after=6, gap_s=0.01))
    got = await here.ask(stream=is_stream)
    assert got.outcome
    counted = got.outcome.response_bytes
    assert counted == (len(got.body) if got.outcome.result == "ok" else len(b"".join(got.pieces[:-1])))


async def test_what_is_kept_of_a_continued_answer_is_all_of_it(stage: SetUp) -> None:
    """Where capture is on, both parts make the text."""
    here: Stage = await stage(mini="local", cloud="cloud")
    script(here, "mini", Reply(fault=Fault.CUT, after=5))
    got = await here.carry_out(replace(here.job(stream=True, temperature=0), prompt_text="where"))
    assert got.outcome
    assert got.outcome.completion_text == answer_text({"messages": MESSAGES})


async def test_a_wait_before_the_attempt_is_part_of_the_hedge_s_delay(stage: SetUp) -> None:
    """Who has waited longer than that for a slot already is accompanied at once."""
    here: Stage = await stage(relay={"hedges": HedgeBudget(share=1.0)}, mini="local", cloud="cloud")
    script(here, "mini", Fault.HEADERS_THEN_SILENT)
    job = here.job(hedge_delay_s=0.9)
    got = await here.carry_out(replace(job, accepted_s=job.accepted_s - 1.0))
    assert got.attempts == [("mini", "first", "hedge_lost"), ("cloud", "hedge", None)]


async def test_a_hedge_that_was_overtaken_is_the_next_to_be_asked(stage: SetUp) -> None:
    """Before those that come after it in the plan."""
    relay = {"hedges": HedgeBudget(share=1.0)}
    here: Stage = await stage(relay=relay, mini="local", cloud="cloud", other="cloud")
    script(here, "mini", Reply(fault=Fault.HELD, after=4))
    script(here, "cloud", Fault.SILENT)
    got = await here.ask(stream=True, temperature=0, hedge_delay_s=0.0)
    assert got.attempts[-1][:2] == ("cloud", "continuation")


async def test_only_a_hedge_that_did_nothing_wrong_is_asked_again() -> None:
    """One that failed is not put back among the choices."""
    failure = Failure("upstream_failed", "it answered 500")

    async def speak() -> Any:
        return None

    async def fail() -> Any:
        raise AttemptFailed(failure)

    async def wait() -> Any:
        await asyncio.Event().wait()

    class Spared:
        def __init__(self) -> None:
            self.steps: list[Step] = []

        def spare(self, step: Step) -> None:
            self.steps.append(step)

    tasks = [asyncio.create_task(each) for each in (speak(), fail(), wait())]
    await asyncio.wait(tasks[:2])
    steps = [Step(Choice(name, "cloud", "m")) for name in ("won", "failed", "late")]
    route: Any = Spared()
    _spare(dict(zip(tasks, steps, strict=True)), tasks[0], route)
    assert route.steps == [steps[2]]
    assert isinstance(tasks[1].exception(), AttemptFailed)
    tasks[2].cancel()
