"""Canaries on a node that has better things to do: only when it is idle, within a budget, and given up at
once when a request comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from spillway.pinning.answers import Answer, CanaryUnanswered, NodeBusy
from spillway.pinning.budget import CanaryBudget
from spillway.pinning.canaries import Canary
from spillway.pinning.lock import LockedCanary
from spillway.pinning.runs import Doubt, recheck

__all__ = ["CanaryRunner", "Job", "PoliteAsker"]

QUIET_S = 0.5
"""How long a node must have been idle: requests come in bursts (guess)."""
LOOK_EVERY_S = 0.1
"""How often a busy node is looked at again."""
WATCH_EVERY_S = 0.01
"""How often a running canary looks for requests that nobody announced by ``interrupt``."""
USUAL_S = 0.5
"""What a canary is taken to cost before the first one ran (guess)."""


class PoliteAsker(Protocol):
    """Answers canaries, and tells whether others use the node."""

    async def ask(self, canary: Canary, model: str) -> Answer:
        """The answer; CanaryUnanswered when there is none. Cancelling it stops the node's work."""
        ...

    async def is_busy(self) -> bool:
        """Whether the node works on something that did not come from us, where it tells."""
        ...


class Job(Struct, frozen=True):
    """One canary to be asked of one model."""

    model: str
    canary: Canary
    pinned: LockedCanary


class CanaryRunner:
    """Asks one node's canaries, one at a time."""

    def __init__(
        self,
        asker: PoliteAsker,
        is_idle: Callable[[], bool],
        now_s: Callable[[], float],
        budget: CanaryBudget | None = None,
    ) -> None:
        """``is_idle`` tells whether the gateway has nothing on the node; ``now_s`` is monotonic."""
        self.asker = asker
        self._is_idle = is_idle
        self._now_s = now_s
        self.budget = budget or CanaryBudget()
        self.interruptions = 0
        self.longest_s = 0.0
        self.asking = asyncio.Event()
        """Set while a canary is on the node."""
        self._noisy: set[tuple[str, str]] = set()
        """Model and canary of those that gave different answers to the same prompt."""
        self._running: asyncio.Task[Doubt] | None = None
        self._busy_at_s = float("-inf")

    @property
    def is_asking(self) -> bool:
        """Whether a canary is on the node right now."""
        return self.asking.is_set()

    def interrupt(self) -> None:
        """A request comes: the canary that runs is cancelled before the request is sent."""
        self._busy_at_s = self._now_s()
        if self._running is not None:
            self._running.cancel()

    async def run(self, job: Job) -> Doubt:
        """What that canary showed, once the node was idle long enough; CanaryUnanswered when the node does
        not answer, or is too slow for its budget."""
        while True:
            await self.quiet()
            left_s = self.budget.left_s(self._now_s())
            if left_s < max(self.longest_s, USUAL_S):
                await asyncio.sleep(self.budget.next_s(self._now_s()))
                continue
            doubt = await self._try(job, left_s)
            if doubt is not None:
                if doubt.is_noisy:
                    self._noisy.add((job.model, job.canary.name))
                return doubt

    async def _try(self, job: Job, left_s: float) -> Doubt | None:
        """``None`` when it was interrupted."""
        started_s = self._now_s()
        is_noisy = (job.model, job.canary.name) in self._noisy
        task = asyncio.create_task(
            recheck(self.asker, job.model, job.canary, job.pinned, self._may_go_on, is_noisy=is_noisy)
        )
        self._running = task
        self.asking.set()
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=WATCH_EVERY_S)
                if not self._is_idle():
                    self.interrupt()
                elif self._now_s() - started_s > left_s:
                    break
        finally:
            self._running = None
            self.asking.clear()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            spent_s = self._now_s() - started_s
            self.budget.spend(started_s, spent_s)
        if task.cancelled():
            if self._now_s() - started_s > left_s:
                raise CanaryUnanswered(f"it took more than the {left_s:.0f} s an hour that canaries may")
            self.interruptions += 1
            return None
        self.longest_s = max(self.longest_s, spent_s)
        try:
            return task.result()
        except NodeBusy:
            self.interruptions += 1
            return None

    async def _may_go_on(self) -> bool:
        return self._is_idle()

    async def quiet(self) -> None:
        """Returns when the node has been idle for a moment."""
        while True:
            if not self._is_idle() or await self.asker.is_busy():
                self._busy_at_s = self._now_s()
            elif self._now_s() - self._busy_at_s >= QUIET_S:
                return
            await asyncio.sleep(LOOK_EVERY_S)
