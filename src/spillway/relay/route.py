"""The way through a decision's choices: which is next, after what has happened so far."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from functools import partial

from spillway.engines.failures import CONTEXT, LOADING, RATE_LIMITED, Failure
from spillway.engines.profiles import Prefill
from spillway.fleet.queue import Caller
from spillway.relay.continuation import methods_for
from spillway.relay.run import Run
from spillway.relay.step import Method, Step
from spillway.vocabulary import AttemptKind, Choice

__all__ = ["Route"]

TAKEN_OVER = "taken_over"
"""The reason of ``routing.reasons`` that applies where a node that was free took the request from a queue."""
BACKOFF_S = 0.5
"""First pause before the same upstream is asked again without its advice; doubles each time."""


class Route:
    """Gives the choices in order, each once; then those again whose trouble passes by itself.

    One budget of attempts and one of time hold for all of it.
    """

    def __init__(
        self,
        run: Run,
        prefill_of: Callable[[Choice], Prefill],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """``prefill_of`` says how a choice goes on from a beginning; ``jitter`` gives numbers from 0 to 1."""
        self._run = run
        self._prefill_of = prefill_of
        self._jitter = jitter
        self._left = deque(run.job.decision.choices)
        self._failed: list[tuple[Choice, Failure]] = []
        self._has_waited_for_load = False
        self._methods: deque[Method] = deque()
        self._continuing: Choice | None = None
        self.last: tuple[Choice, Failure] | None = None
        """Who failed last, and how."""

    def failed(self, step: Step, failure: Failure) -> None:
        """Takes note of how a step ended."""
        self.last = (step.choice, failure)
        self._failed.append(self.last)
        self._has_waited_for_load |= failure.code == LOADING and step.is_last
        if failure.counts_against or failure.code == CONTEXT:
            self._methods.clear()  # it is ill, or too small: another way of asking will not help

    def next(self) -> Step | None:
        """What to try now; ``None`` when nothing is left that could help."""
        run, decision = self._run, self._run.job.decision
        if run.started >= decision.max_attempts or run.elapsed_s() >= decision.total_s:
            return None
        if run.client.has_committed:
            return self._next_to_continue()
        if self.last is not None and not self.last[1].may_fail_over:
            return None
        choice = self._next_choice()
        if choice is None:
            return self._again()
        return Step(choice, self._kind(), is_last=not self._may_follow())

    def alternate(self) -> Step | None:
        """Who could be asked beside the one that is running; taken out of the choices that are left."""
        most = self._run.job.decision.max_attempts
        if self._run.started >= most:
            return None
        choice = self._next_choice()
        return None if choice is None else Step(choice, "hedge", is_last=self._run.started + 1 >= most)

    def spare(self, step: Step) -> None:
        """Puts back one that was overtaken: it did nothing wrong, and may be needed if the winner breaks."""
        self._left.appendleft(step.choice)

    def caller(self, step: Step) -> Caller:
        """Who waits for a slot in that step: another node that is left may take it over.

        What an upstream took to answer or to fail is no wait: a stream that broke after a minute waits as
        long for the next upstream as one that broke at once.
        """
        run = self._run
        if step.method is not None:  # made for one upstream
            return Caller(run.waited_s, note_wait=run.note_wait)
        waited_s = run.waited_s
        if step.kind == "hedge":  # beside the first, which may be waiting still
            waited_s = max(waited_s, run.since_arrival_s)
        return Caller(waited_s, self._node_left, partial(self._move, step), run.note_wait)

    def _node_left(self, upstream: str) -> Choice | None:
        for choice in self._left:
            if choice.upstream == upstream and choice.side == "local" and self._is_larger(choice):
                return choice
        return None

    def _move(self, step: Step, choice: Choice) -> None:
        """``choice`` is tried in that step; its own is left for later."""
        self._left.remove(choice)
        self._left.appendleft(step.choice)
        step.choice = choice
        self._run.note_event(TAKEN_OVER)

    @property
    def has_alternates(self) -> bool:
        """Whether somebody else could be tried beside the attempt that runs now."""
        return bool(self._left) and self._run.started < self._run.job.decision.max_attempts

    def _may_follow(self) -> bool:
        """Whether somebody else could be tried after the attempt that is to begin."""
        return bool(self._left) and self._run.started + 1 < self._run.job.decision.max_attempts

    def _next_choice(self) -> Choice | None:
        while self._left:
            choice = self._left.popleft()
            if self._is_larger(choice):
                return choice
        return None

    def _is_larger(self, choice: Choice) -> bool:
        """Whether a prompt that was too long elsewhere may fit; where nobody knows, it is tried."""
        for other, failure in self._failed:
            if failure.code != CONTEXT:
                continue
            limit_tokens = failure.context_tokens or other.context_tokens
            if choice.context_tokens is not None and choice.context_tokens <= (limit_tokens or 0):
                return False
        return True

    def _kind(self) -> AttemptKind:
        if self.last is None or self._run.started == 0:
            return "first"  # whoever had no slot for it was never asked
        return "escalation" if self.last[1].is_verdict else "failover"

    # the same upstream again

    def _again(self) -> Step | None:
        """Waits for an upstream that loads its model or limits our rate, where there is time for that."""
        steps = [
            self._retry(choice) for choice in {id(choice): choice for choice, _ in self._failed}.values()
        ]
        return min([step for step in steps if step], key=lambda step: step.pause_s, default=None)

    def _retry(self, choice: Choice) -> Step | None:
        failures = [failure for failed, failure in self._failed if failed is choice]
        failure = failures[-1]
        if failure.code == LOADING and not self._has_waited_for_load:
            return Step(choice, "retry", is_last=True)
        if failure.code != RATE_LIMITED:
            return None
        pause_s = failure.retry_after_s
        if pause_s is None:
            pause_s = BACKOFF_S * 2 ** (len(failures) - 1) * (0.5 + self._jitter())
        limit_s = min(self._run.job.decision.total_s, choice.deadlines.first_token_s)
        return Step(choice, "retry", pause_s, True) if self._run.elapsed_s() + pause_s < limit_s else None

    # an answer that somebody else began

    def _next_to_continue(self) -> Step | None:
        seam = self._run.seam
        if seam is None:
            return None
        if not self._methods:
            self._continuing = self._next_choice()
            if self._continuing is None:
                return None
            left = self._run.job.decision.max_attempts - self._run.started
            prefill = self._prefill_of(self._continuing)
            self._methods.extend(methods_for(self._run.job, seam, prefill, left))
        assert self._continuing is not None
        method = self._methods.popleft()
        is_last = not self._left and not self._methods
        return Step(self._continuing, "continuation", is_last=is_last, method=method)
