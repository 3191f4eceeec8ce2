"""Follows a decision: tries its choices in order until one answers, and brings that answer to the client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf

from msgspec import structs

from spillway.clock import Clock
from spillway.engines.failures import Failure, left_alone, no_slot, unfit
from spillway.engines.profiles import Prefill, prefill_of
from spillway.fleet.registry import BreakerOpen, Fleet, QueueTimeout, Unfit
from spillway.relay.asking import asking_for
from spillway.relay.attempt import LiveAttempt
from spillway.relay.books import Books
from spillway.relay.commit import CLOSED, STOPPING, TOO_SLOW, Client, ClientTooSlow
from spillway.relay.deliver import Held, break_off, give_up, hold, pass_on, release, stop
from spillway.relay.hedge import HedgeOutcome, race
from spillway.relay.observe import show
from spillway.relay.route import Route
from spillway.relay.run import Job, Run
from spillway.relay.step import AttemptFailed, Step
from spillway.relay.verifier import Observer, Verifier, Watch
from spillway.slo.hedges import HedgeBudget
from spillway.vocabulary import Attempt, Choice

__all__ = ["Relay"]


NO_SLOT = "node_full"
"""The reason of ``routing.reasons`` that applies when the slot a decision counted on did not come free."""


LOOPING, CONFIDENCE = "looping", "confidence"
"""Gates of ``verify`` that are treated apart."""


class GateFailed(AttemptFailed):
    """The answer is complete and failed a gate; it is kept in case nobody gives a better one."""

    def __init__(self, code: str, held: Held, attempt: Attempt) -> None:
        super().__init__(
            Failure(code, "its answer failed a check", counts_against=False, status=200, is_verdict=True)
        )
        self.held = held
        self.attempt = attempt


class Relay:
    """Carries out decisions. It follows them and never chooses."""

    def __init__(
        self,
        fleet: Fleet,
        books: Books,
        clock: Clock,
        *,
        hedges: HedgeBudget | None = None,
        on_hedge: Callable[[HedgeOutcome], None] = lambda outcome: None,
        verifier: Verifier | None = None,
        observer: Observer | None = None,
    ) -> None:
        """``hedges`` allows second attempts beside late ones; without it there are none."""
        self._fleet = fleet
        self._books = books
        self._clock = clock
        self._hedges = hedges
        self._on_hedge = on_hedge
        self._verifier = verifier
        self._observer = observer

    async def carry_out(self, job: Job, client: Client) -> None:
        """Answers the client, from the first choice that can; UpstreamFailed when none could.

        A failure is passed over while the client has seen nothing; after that an alternate is asked to go on
        where the stream broke, or the stream ends with an error. When the client hangs up, the task is
        cancelled, the upstream's connection closed, and the request recorded as far as it went. It is the
        same with ClientTooSlow, and where the gateway stops: GatewayStopping if nothing was sent so far.
        """
        run = Run(job, client, self._books, self._clock)
        if self._hedges is not None:
            self._hedges.note_request()
        observer = self._observer if self._observer is not None and self._observer.wants(job) else None
        if observer is not None:
            client.keep_copy()
        try:
            await self._answer(run)
        except asyncio.CancelledError:
            if client.line.end_code == STOPPING:
                await stop(run)
            else:
                run.note_unfinished("cancelled", CLOSED, 499)
                raise
        except ClientTooSlow:
            run.note_unfinished("cancelled", TOO_SLOW, 499)
            raise
        except BaseException:
            run.note_unfinished("error", "internal_error", 500)
            raise
        finally:
            if observer is not None:
                show(run, observer)

    async def _answer(self, run: Run) -> None:
        route = Route(run, self._prefill_of)
        refused: GateFailed | None = None
        while (step := route.next()) is not None:
            if step.pause_s:
                await asyncio.sleep(step.pause_s)
            try:
                await self._attempt(run, route, step)
                return
            except GateFailed as verdict:
                refused = verdict
                route.failed(verdict.step or step, verdict.failure)
            except AttemptFailed as error:
                tried = error.step or step
                self._learn(tried, error.failure)
                route.failed(tried, error.failure)
        await _end_without(run, route, refused)

    async def _attempt(self, run: Run, route: Route, step: Step) -> None:
        """One try, and with it the end of the request; AttemptFailed when another one may follow."""
        if step.kind == "escalation":
            run.note_event("escalated")
        live = await self._first_to_speak(run, route, step)
        with live:
            watch = self._watch(run.job, step, live)
            if not live.asking.is_held and await pass_on(run, live, watch):
                return
            held = await hold(run, live, watch)
            code = self._verdict(run.job, held)
            attempt = live.succeed(code)
            if code is not None:
                raise GateFailed(code, held, attempt)
            await release(run, held, attempt)

    async def _first_to_speak(self, run: Run, route: Route, step: Step) -> LiveAttempt:
        """The attempt that has begun to answer: this step's, or that of a hedge beside it."""
        decision, hedges = run.job.decision, self._hedges
        is_foreseen = decision.hedge_delay_s is not None and step.choice is decision.choices[0]
        if hedges is not None and is_foreseen and step.kind == "first":
            return await race(run, route, step, lambda s: self._speak(run, route, s), hedges, self._on_hedge)
        return await self._speak(run, route, step)

    async def _speak(self, run: Run, route: Route, step: Step) -> LiveAttempt:
        """Waits for a slot, sends, waits for the first token; a failure is noted and raised."""
        asking = asking_for(run, step, self._prefill_of(step.choice), self._verifier is not None)
        facts, beginning, caller = run.job.facts, run.job.beginning, route.caller(step)
        try:
            lease = await self._fleet.admit(facts, step.choice, run.remaining_s(inf), beginning, caller)
        except BreakerOpen as ill:
            raise AttemptFailed(left_alone(ill.retry_after_s)) from ill
        except Unfit as changed:
            run.note_event(changed.reason)
            raise AttemptFailed(unfit(str(changed))) from changed
        except QueueTimeout as full:
            run.note_event(NO_SLOT)
            raise AttemptFailed(no_slot(full.retry_after_s)) from full
        with LiveAttempt(run, step, lease, self._clock, asking) as live:
            await live.begin()
        return live

    def _watch(self, job: Job, step: Step, live: LiveAttempt) -> Watch | None:
        """What judges the answer on its way. One that is held is only broken off for endless repetition, and
        only while somebody else can be asked: for all else it might still be the best there is."""
        if not live.asking.is_gated or self._verifier is None:
            return None
        if not live.asking.is_held:
            return self._verifier.watch(job)
        can_break_off = LOOPING in job.decision.gates and not step.is_last
        return self._verifier.watch(_with_gates(job, (LOOPING,))) if can_break_off else None

    def _verdict(self, job: Job, held: Held) -> str | None:
        asking = held.live.asking
        if not asking.is_gated or self._verifier is None:
            return None
        if not asking.is_held:  # its log-probabilities were not asked for
            job = _with_gates(job, tuple(gate for gate in job.decision.gates if gate != CONFIDENCE))
        return self._verifier.judge(job, held.live.choice, held.body)

    def _prefill_of(self, choice: Choice) -> Prefill:
        upstream = self._fleet.upstreams[choice.upstream]
        if "prefill" in upstream.engine.refused:
            return "none"
        return prefill_of(upstream.kind, upstream.name)

    def _learn(self, step: Step, failure: Failure) -> None:
        """An upstream that refuses to go on from a beginning need not be asked that way again."""
        if step.method == "prefill" and failure.status in (400, 422) and not failure.may_fail_over:
            self._fleet.upstreams[step.choice.upstream].engine.refused.add("prefill")


def _with_gates(job: Job, gates: tuple[str, ...]) -> Job:
    return structs.replace(job, decision=structs.replace(job.decision, gates=gates))


async def _end_without(run: Run, route: Route, refused: GateFailed | None) -> None:
    """Nothing is left to try: the client gets what there is, else an error."""
    choice, failure = route.last or (run.job.decision.choices[0], _NO_TIME)
    if run.client.has_committed:
        await break_off(run, choice, failure)
    elif refused is not None:
        run.note_event("gate_failed")
        run.answer_with(refused.attempt)
        await release(run, refused.held, refused.attempt)
    else:
        await give_up(run, choice, failure)


_NO_TIME = Failure("upstream_timeout", "its time was over before it could be asked", counts_against=False)
