"""Compares a sample of answers with those of the other side, off the caller's path, and tells the evidence.

A local answer is also asked of the reference; an answer of the reference is also asked of an idle node,
before its class goes local at all. Never for private or pinned requests, never beyond the day's budget, never
more at once than configured, and a comparison on a node makes way as soon as a real request comes.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from decimal import Decimal

from spillway.api.shadow_ask import Asker, Budget, Target, dearest_usd
from spillway.api.shadow_state import ShadowSettings, ShadowStats
from spillway.api.shadow_words import capped, judge_body, prompt_text, reply_of, wants_json
from spillway.clock import Clock
from spillway.errors import LedgerError
from spillway.evidence.book import share_of
from spillway.evidence.compare import Comparison, Reply, compare
from spillway.evidence.compare_code import code_in, examples_in
from spillway.evidence.compare_run import compare_runs
from spillway.evidence.desk import EvidenceDesk
from spillway.evidence.events import Event
from spillway.evidence.judge import JudgeNonsense, judge_pair
from spillway.evidence.store import DISAGREES_BELOW, shadow_spend_usd
from spillway.fleet.registry import Fleet, Upstream
from spillway.ledger.rows import attempt_row
from spillway.ledger.store import LedgerStore
from spillway.ledger.writer import LedgerWriter
from spillway.relay.run import Job
from spillway.vocabulary import Attempt, Bill, Choice, ModelFacts, Outcome, Rates

__all__ = ["Gate", "Shadow", "ShadowSettings", "ShadowStats"]

Gate = Callable[[Job, Choice, bytes], str | None]
"""The code of the gate that a node's answer fails, like ``relay.Verifier.judge``."""

SIDES = ("local", "cloud")
NONSENSE_LIMIT = 5
"""A judge that answers nonsense so often in a row is not asked again for ``JUDGE_PAUSE_S``."""
JUDGE_PAUSE_S = 3600.0
JUDGE_TOKENS = 64
MAX_BODY_BYTES = 512 * 1024

log = logging.getLogger("spillway.evidence")


class Shadow:
    """The relay's ``Observer``. ``start`` after the desk, ``close`` before it."""

    def __init__(
        self,
        settings: ShadowSettings,
        *,
        fleet: Fleet,
        desk: EvidenceDesk,
        writer: LedgerWriter,
        clock: Clock,
        bill: Callable[[Attempt], Bill],
        rates_of: Callable[[str, str], Rates | None],
        gate: Gate = lambda job, choice, answer: None,
        on_bills: Callable[[Sequence[Bill]], None] = lambda bills: None,
    ) -> None:
        """``on_bills`` is told what each comparison cost."""
        self.stats = ShadowStats()
        self.budget = Budget(settings.usd_per_day, clock)
        self._settings = settings
        self._fleet = fleet
        self._desk = desk
        self._writer = writer
        self._clock = clock
        self._bill = bill
        self._rates_of = rates_of
        self._gate = gate
        self._on_bills = on_bills
        self._running: set[asyncio.Task[None]] = set()
        self._on_nodes: dict[asyncio.Task[None], Asker] = {}
        self._nonsense_in_a_row = 0
        self._judge_rests_until_s = 0.0
        self._is_closed = False

    async def start(self) -> None:
        """What was spent today before counts."""
        if self._settings.share <= 0:
            return
        since_s = self.budget.day_began_s

        def spent(store: LedgerStore) -> Decimal:
            return shadow_spend_usd(store, since_s)

        try:
            self.budget.note_spent(await self._writer.ask(spent))
        except LedgerError as error:
            self.budget.note_spent(self.budget.left_usd)
            log.warning("no paid comparisons today, since what was spent cannot be read: %s", error.message)

    async def close(self) -> None:
        """Everything that runs is cancelled; what it cost so far is noted."""
        self._is_closed = True
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    # the relay's observer

    def wants(self, job: Job) -> bool:
        """Whether the answer is needed: for what its gates said, or because it is in the sample."""
        self.make_way()
        return (job.facts.task is not None and bool(job.decision.gates)) or self.is_sampled(job)

    def note(self, job: Job, outcome: Outcome, answer: bytes) -> None:
        """One request as it ended."""
        if job.decision.gates:
            self._desk.note_attempts(outcome)
        if self._is_closed or outcome.result != "ok" or not answer or not self.is_sampled(job):
            return
        if len(self._running) >= self._settings.max_parallel:
            self.stats.busy += 1
            return
        target = self._other_side(job, outcome)
        if target is not None:
            task = asyncio.get_running_loop().create_task(self._run(job, outcome, answer, target))
            self._running.add(task)
            task.add_done_callback(self._forget)

    def make_way(self) -> None:
        """Comparisons on nodes are given up at once, so that a real request finds its slot free."""
        for task, asker in list(self._on_nodes.items()):
            if asker.lease is not None:
                asker.lease.release()
            task.cancel()
            self.stats.made_way += 1
        self._on_nodes.clear()

    def is_sampled(self, job: Job) -> bool:
        """Whether this request may be compared and is one of the sample; the same every time it is asked."""
        facts, settings = job.facts, self._settings
        return (
            settings.share > 0
            and settings.reference is not None
            and facts.operation == "chat"
            and facts.task is not None
            and not facts.is_private
            and facts.pin is None
            and not self._is_forced(facts.model)
            and facts.choices == 1
            and facts.body_bytes <= MAX_BODY_BYTES
            and (not settings.tasks or facts.task in settings.tasks)
            and share_of(facts.request_id, "shadow") < settings.share
        )

    def _is_forced(self, name: str) -> bool:
        """Whether the caller chose the side or the upstream: then nobody else is to see the request."""
        name = self._settings.aliases.get(name, name)
        return name in SIDES or name.partition("/")[0] in self._fleet.upstreams

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)

    # whom to ask

    def _other_side(self, job: Job, outcome: Outcome) -> Target | None:
        last, reference = outcome.last, self._settings.reference
        if last is None or reference is None or last.error_code is not None:
            return None
        if any(attempt.kind == "continuation" for attempt in outcome.attempts):
            return None  # it is two models' answer
        if last.side == "local":
            return reference
        if (last.upstream, last.model) != (reference.upstream, reference.model):
            return None
        if any(attempt.side == "local" for attempt in outcome.attempts):
            return None  # a node was asked already, and its gates have spoken
        return self._idle_node(job)

    def _idle_node(self, job: Job) -> Target | None:
        """The node with nothing to do whose answers to this class are known least."""
        best: tuple[int, Target] | None = None
        for upstream in self._fleet.upstreams.values():
            if not _is_idle(upstream, self._clock.monotonic_s()):
                continue
            for model in upstream.models:
                if not _can_answer(model, upstream, job):
                    continue
                known = self._known(job.facts.task or "", upstream.name, model.name)
                if best is None or known < best[0]:
                    best = known, Target(upstream.name, "local", model.name)
        return best[1] if best else None

    def _known(self, task: str, upstream: str, model: str) -> int:
        record = self._desk.book.records.get(self._desk.key_for(task, upstream, model))
        return record.gap.n if record is not None else 0

    # one comparison

    async def _run(self, job: Job, outcome: Outcome, answer: bytes, target: Target) -> None:
        asker = Asker(self._fleet, self._clock, self._bill, job, len(outcome.attempts))
        try:
            other = await self._ask_other(asker, job, outcome, target)
            if other is None:
                self.stats.failed += 1
            else:
                await self._compare(asker, job, outcome, target, answer, other)
        except _OverBudget:
            self.stats.over_budget += 1
        except Exception:
            self.stats.failed += 1
            log.exception("comparing request %s failed", job.facts.request_id)
        finally:
            self._record(job, asker)

    async def _ask_other(self, asker: Asker, job: Job, outcome: Outcome, target: Target) -> bytes | None:
        last = outcome.last
        said_tokens = last.usage.output_tokens if last is not None and last.usage is not None else None
        body, cap_tokens = capped(job, target.model, said_tokens)
        return await self._ask_within_budget(asker, target, body, job.facts.input_tokens, cap_tokens)

    async def _ask_within_budget(
        self, asker: Asker, target: Target, body: bytes, input_tokens: int, output_tokens: int
    ) -> bytes | None:
        """The answer; ``None`` when there is none. _OverBudget when it was not asked."""
        if target.side == "local":
            return await self._ask_node(asker, target, body)
        rates = self._rates_of(target.upstream, target.model)
        room_tokens = max(2 * input_tokens, len(body) // 2)
        most = None if rates is None else dearest_usd(rates, room_tokens, output_tokens)
        if most is None or not self.budget.reserve(most):
            raise _OverBudget
        before, spent = len(asker.attempts), None
        try:
            answer = await asker.ask(target, body)
            costs = [bill.cost_usd for _, bill in asker.attempts[before:]]
            spent = sum((most if cost is None else cost for cost in costs), Decimal(0))
            return answer
        finally:
            self.budget.settle(most, spent)

    async def _ask_node(self, asker: Asker, target: Target, body: bytes) -> bytes | None:
        """Asks a node, ready to make way."""
        task = asyncio.current_task()
        assert task is not None
        self._on_nodes[task] = asker
        try:
            return await asker.ask(target, body)
        finally:
            self._on_nodes.pop(task, None)

    async def _compare(
        self, asker: Asker, job: Job, outcome: Outcome, target: Target, answer: bytes, other: bytes
    ) -> None:
        is_local = target.side == "local"
        local_body, reference_body = (other, answer) if is_local else (answer, other)
        node = target if is_local else _target_of(outcome)
        choice = Choice(node.upstream, node.side, node.model)
        if is_local and (code := self._gate(job, choice, other)) is not None:
            self.stats.turned_away += 1
            self._desk.note_gates(job.facts, node.upstream, node.model, [code])
            return
        local, reference = reply_of(local_body), reply_of(reference_body)
        if local is None or reference is None:
            self.stats.no_score += 1
            return
        found = await self._score(asker, job, local, reference)
        if found is None:
            self.stats.no_score += 1
            return
        self.stats.compared += 1
        self._desk.take(self._event(job, node, found, local, reference))

    def _event(self, job: Job, node: Target, found: Comparison, local: Reply, reference: Reply) -> Event:
        keeps_texts = job.prompt_text is not None and found.score < DISAGREES_BELOW
        return Event(
            request_id=job.facts.request_id,
            key=self._desk.key_for(job.facts.task or "", node.upstream, node.model),
            kind="shadow",
            score=found.score,
            at_s=self._clock.wall_s(),
            detail=found.how,
            local_text=_shown(local) if keeps_texts else None,
            reference_text=_shown(reference) if keeps_texts else None,
        )

    async def _score(self, asker: Asker, job: Job, local: Reply, reference: Reply) -> Comparison | None:
        found = compare(local, reference, job.facts.task, wants_json=wants_json(job))
        if found is not None:
            return found
        prompt = prompt_text(job)
        if self._settings.runs_code and job.facts.task == "code":
            ran = await _compare_runs(local, reference, prompt)
            if ran is not None:
                return Comparison(ran, "runs")
        return await self._judge(asker, prompt, local, reference)

    async def _judge(self, asker: Asker, prompt: str, local: Reply, reference: Reply) -> Comparison | None:
        judge = self._settings.judge
        if judge is None or self._clock.monotonic_s() < self._judge_rests_until_s:
            return None

        async def ask(messages: list[dict[str, str]]) -> str:
            body = judge_body(judge.model, messages, JUDGE_TOKENS)
            answer = await self._ask_within_budget(asker, judge, body, len(body) // 2, JUDGE_TOKENS)
            reply = None if answer is None else reply_of(answer)
            if reply is None:
                raise _NoVerdict
            return reply.text

        mark = f"====={secrets.token_hex(8)}"
        try:
            found = await judge_pair(prompt, local.text, reference.text, ask, mark)
        except (_NoVerdict, _OverBudget):
            return None
        except JudgeNonsense:
            self._note_nonsense()
            return None
        self._nonsense_in_a_row = 0
        return found

    def _note_nonsense(self) -> None:
        self._nonsense_in_a_row += 1
        if self._nonsense_in_a_row >= NONSENSE_LIMIT:
            self._nonsense_in_a_row = 0
            self._judge_rests_until_s = self._clock.monotonic_s() + JUDGE_PAUSE_S
            log.warning("quality.shadow.judge answers no verdicts; it is not asked for an hour")

    def _record(self, job: Job, asker: Asker) -> None:
        """Every attempt is in the ledger, and its cost in that of the request it was made for."""
        request_id = job.facts.request_id
        rows = [attempt_row(request_id, attempt, bill) for attempt, bill in asker.attempts]
        if rows:
            self._on_bills([bill for _, bill in asker.attempts])
            self._writer.post(lambda store: store.append_attempts(request_id, rows))


class _NoVerdict(Exception):
    """The judge could not be asked."""


class _OverBudget(Exception):
    """What is left of the day's budget does not cover the next question, or nobody knows its price."""


async def _compare_runs(local: Reply, reference: Reply, prompt: str) -> float | None:
    ours, theirs = code_in(local.text), code_in(reference.text)
    if ours is None or theirs is None:
        return None
    return await compare_runs(ours, theirs, examples_in(prompt))


def _target_of(outcome: Outcome) -> Target:
    last = outcome.last
    assert last is not None
    return Target(last.upstream, last.side, last.model)


def _shown(reply: Reply) -> str:
    calls = [f"{name}({arguments})" for name, arguments in reply.calls]
    return "\n".join([reply.text, *calls]).strip()


def _is_idle(upstream: Upstream, now_s: float) -> bool:
    return (
        upstream.side == "local"
        and upstream.is_up
        and not upstream.is_draining
        and not upstream.is_quarantined
        and upstream.in_flight == 0
        and upstream.breaker.state(now_s) == "closed"
    )


def _can_answer(model: ModelFacts, upstream: Upstream, job: Job) -> bool:
    facts = job.facts
    room_tokens = facts.input_tokens + int(facts.long_output_tokens)
    return (
        model.remote_host is None
        and (model.capabilities is None or facts.needs <= model.capabilities - upstream.withheld)
        and (model.context_tokens is None or room_tokens <= model.context_tokens)
    )
