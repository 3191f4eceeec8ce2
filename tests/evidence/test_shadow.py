"""Comparisons are asked for beside the traffic, within the budget, never of what is private, and make way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from spillway.api.shadow import NONSENSE_LIMIT, Gate, Shadow, ShadowSettings
from spillway.api.shadow_ask import Budget, Target
from spillway.clock import SystemClock
from spillway.engines.openai_compatible import OpenAICompatible
from spillway.engines.payload import Payload
from spillway.evidence import EvidenceBook, QualityLimits, key_of
from spillway.evidence.desk import EvidenceDesk
from spillway.evidence.store import disagreements, shadow_spend_usd
from spillway.fleet.registry import Fleet, Upstream
from spillway.ledger.cost import NodeRates, bill_of
from spillway.ledger.rows import rows_of
from spillway.ledger.store import LedgerStore
from spillway.ledger.writer import LedgerWriter
from spillway.relay.run import Job
from spillway.testing.fake_clock import FakeClock
from spillway.testing.fake_upstream import FakeUpstream, Fault, Reply
from spillway.vocabulary import Attempt, Bill, Decision, ModelFacts, Outcome, Rates, RequestFacts, Side, Usage

RATES = Rates(Decimal("0.15"), Decimal("0.6"))
NODE = NodeRates(Decimal("0.00001"), Decimal("0.00002"))
CLOUD = Target("openai", "cloud", "gpt-4o-mini")
KEY = key_of("extraction", "mini", "qwen3-4b", None)
PRICE = 2 * Decimal("0.15") / 1_000_000


def bill(attempt: Attempt) -> Bill:
    """By list price or by the node's time."""
    return bill_of(attempt, RATES, NODE)


def answer_of(text: str, **message: Any) -> bytes:
    """A whole answer that says that."""
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": text, **message},
    }
    return json.dumps({"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 3}}).encode()


def job_of(number: int = 1, *, capture: bool = False, gates: tuple[str, ...] = (), **facts: Any) -> Job:
    """A request for a class that can be compared."""
    body = {"model": "auto", "stream": True, "messages": [{"role": "user", "content": "Red or blue?"}]}
    raw = json.dumps(body | facts.pop("body", {})).encode()
    values: dict[str, Any] = {"operation": "chat", "model": "auto", "task": "extraction", "input_tokens": 5}
    return Job(
        RequestFacts(request_id=f"req_{number}", **(values | facts)),
        Payload(raw, "auto", include_usage=False, has_ours=False),
        Decision((), (), gates=gates),
        0.0,
        1_790_000_000.0,
        raw.decode() if capture else None,
    )


def outcome_of(job: Job, side: Side = "local", **changes: Any) -> Outcome:
    """It was answered by that side."""
    where = (
        {"upstream": "mini", "model": "qwen3-4b"}
        if side == "local"
        else {"upstream": "openai", "model": "gpt-4o-mini"}
    )
    values: dict[str, Any] = {
        **where,
        "index": 0,
        "side": side,
        "started_s": 0.0,
        "ended_s": 0.1,
        "status": 200,
        "usage": Usage(5, 3),
    }
    attempt = Attempt(**(values | changes))
    return Outcome(
        facts=job.facts,
        accepted_wall_s=job.accepted_wall_s,
        total_s=0.1,
        attempts=(attempt,),
        status=200,
        result="ok",
    )


@dataclass
class Stage:
    """A node, a cloud, and a ledger."""

    node: FakeUpstream
    cloud: FakeUpstream
    fleet: Fleet
    writer: LedgerWriter
    desk: EvidenceDesk
    shadows: list[Shadow]

    def shadow(self, gate: Gate = lambda job, choice, body: None, **changes: Any) -> Shadow:
        """One that compares everything, with what the test changes."""
        values: dict[str, Any] = {"share": 1.0, "usd_per_day": Decimal(1), "reference": CLOUD}
        made = Shadow(
            ShadowSettings(**(values | changes)),
            fleet=self.fleet,
            desk=self.desk,
            writer=self.writer,
            clock=SystemClock(),
            bill=bill,
            rates_of=lambda upstream, model: RATES,
            gate=gate,
        )
        self.shadows.append(made)
        return made

    async def settle(self, job: Job, outcome: Outcome) -> None:
        """The request is in the ledger."""
        await self.writer.record(rows_of(outcome, [bill(each) for each in outcome.attempts]))

    async def compare(self, shadow: Shadow, job: Job, answer: bytes, outcome: Outcome | None = None) -> None:
        """The whole way of one request, until its comparison is over."""
        outcome = outcome or outcome_of(job)
        await self.settle(job, outcome)
        assert shadow.wants(job)
        shadow.note(job, outcome, answer)
        await idle(shadow)


async def idle(shadow: Shadow) -> None:
    """Nothing runs any more."""
    while shadow._running:
        await asyncio.wait(shadow._running)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """All of it on loopback."""
    async with FakeUpstream() as node, FakeUpstream() as cloud:
        fleet = Fleet((), SystemClock())
        fleet.add(
            Upstream("mini", "local", OpenAICompatible(node.url, None), (ModelFacts("qwen3-4b"),), slots=1)
        )
        fleet.add(Upstream("openai", "cloud", OpenAICompatible(cloud.url, "k"), (ModelFacts("gpt-4o-mini"),)))
        writer = LedgerWriter.at(f"sqlite:///{tmp_path}/ledger.db")
        await writer.start()
        desk = EvidenceDesk(EvidenceBook(QualityLimits(), can_compare=True), writer, SystemClock())
        made = Stage(node, cloud, fleet, writer, desk, [])
        yield made
        for shadow in made.shadows:
            await shadow.close()
        await desk.close()
        await writer.close()
        await fleet.close()


async def test_a_local_answer_is_compared_with_the_reference(stage: Stage) -> None:
    """The reference is asked the same, unstreamed and bounded, and agreement reaches the evidence."""
    stage.cloud.default = Reply(text="Blue.")
    await stage.compare(stage.shadow(), job_of(), answer_of("blue"))
    (asked,) = await stage.cloud.requests(1)
    assert asked.json["model"] == "gpt-4o-mini"
    assert "stream" not in asked.json
    assert asked.json["max_tokens"] == 512
    assert (stage.desk.book.records[KEY].gap.n, stage.desk.book.records[KEY].gap.mean) == (1, 0.0)


async def test_what_it_cost_is_in_the_ledger(stage: Stage) -> None:
    """A shadow attempt with its bill, the request's cost with it, and the day's spending."""
    stage.cloud.default = Reply(text="red")
    shadow = stage.shadow()
    await stage.compare(shadow, job_of(), answer_of("blue"))

    def read(store: LedgerStore) -> tuple[list[Any], list[Any], Decimal]:
        attempts = list(store.query("SELECT kind, side, price_usd FROM attempts ORDER BY attempt_index"))
        return (
            attempts,
            list(store.query("SELECT attempts, cost_usd FROM requests")),
            shadow_spend_usd(store, 0),
        )

    attempts, ((count, cost_usd),), spent = await stage.writer.ask(read)
    assert [(kind, side) for kind, side, _ in attempts] == [("first", "local"), ("shadow", "cloud")]
    assert spent > 0
    assert attempts[1][2] == pytest.approx(float(spent))
    assert count == 2
    assert cost_usd > attempts[1][2]
    assert shadow.budget.left_usd == pytest.approx(Decimal(1) - spent)


async def test_a_cloud_answer_is_tried_on_an_idle_node(stage: Stage) -> None:
    """Before a class goes local at all, the node shows what it would have said; that costs no money."""
    stage.node.default = Reply(text="red")
    shadow = stage.shadow(usd_per_day=Decimal(0))
    job = job_of(task="math")
    await stage.compare(shadow, job, answer_of("blue"), outcome_of(job, "cloud"))
    (asked,) = await stage.node.requests(1)
    assert asked.json["model"] == "qwen3-4b"
    record = stage.desk.book.records[key_of("math", "mini", "qwen3-4b", None)]
    assert (record.gap.n, record.gap.mean) == (1, 1.0)


async def test_gates_come_first_for_a_node_on_trial(stage: Stage) -> None:
    """An answer that gates would have turned away counts for them and is not compared."""
    shadow = stage.shadow(gate=lambda job, choice, body: "gate_json")
    job = job_of()
    await stage.compare(shadow, job, answer_of("blue"), outcome_of(job, "cloud"))
    record = stage.desk.book.records[KEY]
    assert (record.gate.n, record.gap.n) == (1, 0)


@pytest.mark.parametrize(
    "facts",
    [
        {"is_private": True},
        {"pin": "local"},
        {"pin": "cloud"},
        {"model": "local"},
        {"model": "mini/qwen3-4b"},
        {"model": "at-home"},
        {"model": "own-box"},
        {"task": None},
        {"operation": "embedding"},
        {"choices": 2},
        {"task": "code"},
        {"body_bytes": 10**7},
    ],
)
async def test_what_must_not_or_cannot_be_compared_is_left_alone(stage: Stage, facts: dict[str, Any]) -> None:
    """Private and pinned requests above all, and those whose name keeps them on a side; nobody is asked."""
    aliases = {"at-home": "local", "own-box": "mini/qwen3-4b"}
    shadow = stage.shadow(tasks=frozenset({"extraction"}), aliases=aliases)
    job = job_of(**facts)
    assert not shadow.wants(job)
    shadow.note(job, outcome_of(job), answer_of("blue"))
    await idle(shadow)
    assert (stage.cloud.received, stage.node.received) == ([], [])


@pytest.mark.parametrize(
    "changes",
    [
        {"error_code": "gate_json"},
        {"kind": "continuation"},
        {"side": "cloud", "upstream": "other"},
    ],
)
async def test_answers_that_tell_nothing_are_not_compared(stage: Stage, changes: dict[str, Any]) -> None:
    """One that failed its gates, one of two models, one of a cloud that is not the reference."""
    shadow, job = stage.shadow(), job_of()
    shadow.note(job, outcome_of(job, **changes), answer_of("blue"))
    await idle(shadow)
    assert (stage.cloud.received, stage.node.received) == ([], [])


async def test_nothing_is_paid_without_a_budget(stage: Stage) -> None:
    """The default budget is zero, and an unknown price counts as too dear."""
    shadow = stage.shadow(usd_per_day=Decimal(0))
    await stage.compare(shadow, job_of(), answer_of("blue"))
    unpriced = stage.shadow()
    unpriced._rates_of = lambda upstream, model: None
    await stage.compare(unpriced, job_of(2), answer_of("blue"))
    assert stage.cloud.received == []
    assert (shadow.stats.over_budget, unpriced.stats.over_budget) == (1, 1)
    assert (shadow.stats.failed, unpriced.stats.failed) == (0, 0)


async def test_the_budget_holds_over_many_requests(stage: Stage) -> None:
    """However many are offered, the day's spending stays within it, also after a restart."""
    stage.cloud.default = Reply(text="blue")
    limit = Decimal("0.002")
    shadow = stage.shadow(usd_per_day=limit, max_parallel=8)
    for number in range(60):
        job = job_of(number)
        await stage.settle(job, outcome_of(job))
        shadow.note(job, outcome_of(job), answer_of("blue"))
        if number % 4 == 0:
            await idle(shadow)
    await idle(shadow)
    spent = await stage.writer.ask(lambda store: shadow_spend_usd(store, 0))
    assert 0 < spent <= limit
    assert shadow.stats.over_budget + shadow.stats.busy + shadow.stats.compared == 60


async def test_a_restart_remembers_what_was_spent(stage: Stage) -> None:
    """Starting anew does not open the budget a second time on the same day."""
    first = stage.shadow()
    await stage.compare(first, job_of(), answer_of("blue"))
    await stage.writer.ask(lambda store: store.write([("UPDATE requests SET accepted_at = ?", [(9e9,)])]))
    second = stage.shadow()
    await second.start()
    assert second.budget.left_usd == pytest.approx(first.budget.left_usd)


async def test_only_so_many_at_once(stage: Stage) -> None:
    """What comes while enough run is dropped, not queued."""
    stage.cloud.default = Reply(fault=Fault.SILENT)
    shadow = stage.shadow(max_parallel=2)
    for number in range(5):
        job = job_of(number)
        shadow.note(job, outcome_of(job), answer_of("blue"))
    assert len(shadow._running) == 2
    assert shadow.stats.busy == 3


async def test_closing_cancels_and_notes_what_was_begun(stage: Stage) -> None:
    """A shutdown does not wait for an upstream that is silent; the attempt is in the ledger as unknown."""
    stage.cloud.default = Reply(fault=Fault.SILENT)
    shadow, job = stage.shadow(), job_of()
    await stage.settle(job, outcome_of(job))
    shadow.note(job, outcome_of(job), answer_of("blue"))
    await stage.cloud.requests(1)
    await asyncio.wait_for(shadow.close(), 2)
    rows = await stage.writer.ask(
        lambda store: list(store.query("SELECT error_code, cost_usd FROM attempts WHERE kind = 'shadow'"))
    )
    assert rows == [("abandoned", None)]
    shadow.note(job, outcome_of(job), answer_of("blue"))
    assert not shadow._running


async def test_a_node_makes_way_for_real_requests(stage: Stage) -> None:
    """Its slot is free in the same moment, before anybody decides where the request goes."""
    stage.node.default = Reply(fault=Fault.SILENT)
    shadow, job = stage.shadow(), job_of()
    shadow.note(job, outcome_of(job, "cloud"), answer_of("blue"))
    await stage.node.requests(1)
    mini = stage.fleet.upstreams["mini"]
    assert mini.in_flight == 1
    shadow.make_way()
    assert mini.in_flight == 0
    await idle(shadow)
    assert (mini.in_flight, shadow.stats.made_way) == (0, 1)


async def test_a_busy_or_ailing_node_is_not_asked(stage: Stage) -> None:
    """Only a node with nothing to do, that is up and trusted, tries answers."""
    mini, shadow, job = stage.fleet.upstreams["mini"], stage.shadow(), job_of()
    for name, value in (("in_flight", 1), ("is_up", False), ("is_draining", True), ("is_quarantined", True)):
        before = getattr(mini, name)
        setattr(mini, name, value)
        shadow.note(job, outcome_of(job, "cloud"), answer_of("blue"))
        setattr(mini, name, before)
    mini.models = (ModelFacts("qwen3-4b", context_tokens=10), ModelFacts("far", remote_host="elsewhere"))
    shadow.note(job, outcome_of(job, "cloud"), answer_of("blue"))
    await idle(shadow)
    assert stage.node.received == []


@pytest.mark.parametrize(
    "fault",
    [
        *(Fault.HTML_502, Fault.HTML_200, Fault.EMPTY_BODY, Fault.RATE_LIMITED, Fault.RESET_BEFORE_HEADERS),
        *(Fault.EMPTY_COMPLETION, Fault.CONTENT_FILTER, Fault.UNAUTHORIZED, Fault.LENGTH_LONG),
    ],
)
async def test_a_failing_reference_is_no_verdict(stage: Stage, fault: Fault) -> None:
    """Nothing is held against either side, and real requests may still be sent there."""
    stage.cloud.default = Reply(fault=fault)
    shadow = stage.shadow()
    await stage.compare(shadow, job_of(), answer_of("blue"))
    assert shadow.stats.failed + shadow.stats.no_score == 1
    assert KEY not in stage.desk.book.records
    assert stage.fleet.upstreams["openai"].breaker.state(0.0) == "closed"


async def test_disagreements_are_kept_with_texts_only_where_capture_is_on(stage: Stage) -> None:
    """The owner can read why, if the owner wanted texts kept."""
    stage.cloud.default = Reply(text="red")
    shadow = stage.shadow()
    await stage.compare(shadow, job_of(1, capture=True), answer_of("blue"))
    await stage.compare(shadow, job_of(2), answer_of("blue"))
    await stage.desk.close()
    found = await stage.writer.ask(lambda store: disagreements(store, 10))
    assert {each.request_id: each.local_text for each in found} == {"req_1": "blue", "req_2": None}


LONG = "The colour of the sky at noon on a clear day is a shade of blue that many painters tried to catch."


async def test_texts_go_to_the_judge_twice(stage: Stage) -> None:
    """Both orders are asked, both are billed, and the verdict counts."""
    stage.cloud.script(Reply(text=LONG), Reply(text='{"better": "A"}'), Reply(text='{"better": "B"}'))
    shadow = stage.shadow(judge=CLOUD)
    await stage.compare(shadow, job_of(), answer_of(LONG + " Indeed, they did."))
    record = stage.desk.book.records[KEY]
    assert (record.gap.n, record.gap.mean) == (1, -1.0)
    rows = await stage.writer.ask(lambda store: list(store.query("SELECT kind FROM attempts")))
    assert [kind for (kind,) in rows].count("shadow") == 3


async def test_a_judge_that_answers_nonsense_is_rested(stage: Stage) -> None:
    """No score comes of it, and after a few times nobody pays for more."""
    stage.cloud.default = Reply(text=LONG)
    shadow = stage.shadow(judge=CLOUD)
    for number in range(NONSENSE_LIMIT + 3):
        await stage.compare(shadow, job_of(number), answer_of(LONG + " Indeed."))
    assert shadow.stats.no_score == NONSENSE_LIMIT + 3
    assert KEY not in stage.desk.book.records
    assert len(stage.cloud.received) == (NONSENSE_LIMIT + 3) + NONSENSE_LIMIT


async def test_without_a_judge_texts_have_no_score(stage: Stage) -> None:
    """Nothing is guessed about free text, and answers that are the same by chance earn no trust."""
    stage.cloud.default = Reply(text=LONG)
    shadow = stage.shadow()
    for number, answer in enumerate((LONG + " Indeed.", LONG)):
        await stage.compare(shadow, job_of(number), answer_of(answer))
    assert (shadow.stats.no_score, shadow.stats.compared) == (2, 0)
    assert KEY not in stage.desk.book.records


async def test_gates_teach_even_where_nothing_is_compared(stage: Stage) -> None:
    """With comparisons off, answers with gates are still counted."""
    shadow, job = stage.shadow(share=0.0), job_of(gates=("json",))
    assert shadow.wants(job)
    shadow.note(job, outcome_of(job, error_code="gate_json"), answer_of("x"))
    assert stage.desk.book.records[KEY].gate.mean == 1.0
    assert not shadow.wants(job_of())


def test_a_budget_opens_again_at_midnight() -> None:
    """Days are UTC; a reservation that turns out dearer or unknown counts as it was made."""
    clock = FakeClock(wall_s=86_400.0 * 10)
    budget = Budget(Decimal(1), clock)
    assert budget.reserve(Decimal("0.7"))
    assert not budget.reserve(Decimal("0.4"))
    budget.settle(Decimal("0.7"), Decimal("0.1"))
    assert budget.left_usd == Decimal("0.9")
    assert budget.reserve(Decimal("0.9"))
    budget.settle(Decimal("0.9"), None)
    assert budget.left_usd == 0
    clock.set_wall_s(86_400.0 * 11)
    assert budget.left_usd == 1


def test_what_is_out_at_midnight_counts_for_the_day_it_comes_back() -> None:
    """An answer that was asked for yesterday and comes today frees nothing of what was set aside today."""
    clock = FakeClock(wall_s=86_400.0 * 11 - 1)
    budget = Budget(Decimal(1), clock)
    assert budget.reserve(Decimal("0.5"))
    clock.set_wall_s(86_400.0 * 11)
    assert budget.reserve(Decimal("0.5"))
    budget.settle(Decimal("0.5"), Decimal("0.1"))
    assert budget.left_usd == Decimal("0.4")
    assert not budget.reserve(Decimal("0.5"))
