"""Requests that wait in the gateway for a slot of one node, and who is served next (``slo.turns``)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heapify, heappop, heappush, nsmallest
from typing import NamedTuple

from spillway.fleet.record import Entry
from spillway.slo.turns import MOST_COMPARED, next_up

__all__ = ["QueueTimeout", "SlotQueue"]


class QueueTimeout(Exception):
    """No slot came free in time, or too many wait already; ``retry_after_s`` is when one should be."""

    def __init__(self, retry_after_s: float | None = None) -> None:
        super().__init__("no slot came free in time")
        self.retry_after_s = retry_after_s


SLACK = 64
"""Places of those who left that may be kept."""


class Waiting(NamedTuple):
    """One request in the queue; they sort by who is due first, behind all that may not be overtaken."""

    may_be_overtaken: bool
    due_s: float
    order: int
    leaves_s: float
    future: asyncio.Future[None]
    entry: Entry


class SlotQueue:
    """Hands out the slots of one node. The node's owner says when one is free; this says who gets it."""

    def __init__(self, fill: Callable[[], None], give_back: Callable[[], None]) -> None:
        """``fill`` is asked to hand over what is free when one more joined; ``give_back`` is told of a slot
        whose new owner was cancelled before it could use it."""
        self._fill = fill
        self._give_back = give_back
        self._heap: list[Waiting] = []
        self._order = 0
        self._waiting: dict[Entry, None] = {}
        self._called: dict[Entry, None] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Those who wait, in the order of their arrival."""
        return tuple(self._waiting)

    @property
    def called(self) -> tuple[Entry, ...]:
        """Those who have a slot and are about to use it."""
        return tuple(self._called)

    async def wait(self, entry: Entry, due_s: float, leaves_s: float, patience_s: float) -> None:
        """Returns once a slot has been handed over; QueueTimeout after ``patience_s``.

        ``due_s`` is when its first token is due, ``leaves_s`` when its patience ends (both monotonic).
        """
        future = asyncio.get_running_loop().create_future()
        self._order += 1
        heappush(self._heap, Waiting(entry.yields_s > 0.0, due_s, self._order, leaves_s, future, entry))
        self._waiting[entry] = None
        self._fill()
        try:
            async with asyncio.timeout(patience_s):
                await future
        except TimeoutError:
            if not _was_granted(future):
                raise QueueTimeout from None
        except asyncio.CancelledError:
            if _was_granted(future):
                self._called.pop(entry, None)
                self._give_back()
            raise
        finally:
            self._waiting.pop(entry, None)
            self._called.pop(entry, None)
            if not future.done():
                future.cancel()
            self._forget_the_gone()
            if future.cancelled():
                self._fill()  # the next one may be small enough to go

    def hand_over(self, now_s: float, may_go: Callable[[Entry], bool]) -> bool:
        """Gives one free slot to whoever is next; False when nobody waits, or that one may not go yet."""
        found = self._next(now_s)
        if found is None or not may_go(found.entry):
            return False
        self._waiting.pop(found.entry, None)
        self._called[found.entry] = None
        found.future.set_result(None)
        return True

    def _next(self, now_s: float) -> Waiting | None:
        heap = self._heap
        while heap and heap[0].future.done():
            heappop(heap)
        if not heap:
            return None
        if not heap[0].may_be_overtaken or len(self._waiting) == 1:
            return heap[0]
        found = nsmallest(MOST_COMPARED, (one for one in heap if not one.future.done()))
        yields_s, leaves_s = [one.entry.yields_s for one in found], [one.leaves_s for one in found]
        return found[next_up(now_s, yields_s, leaves_s, len(found), [False] * len(found))]

    def _forget_the_gone(self) -> None:
        """Those who left are passed over when a slot comes free; where none does, they must not pile up."""
        if len(self._heap) > 2 * len(self._waiting) + SLACK:
            self._heap = [waiting for waiting in self._heap if not waiting.future.done()]
            heapify(self._heap)


def _was_granted(future: asyncio.Future[None]) -> bool:
    return future.done() and not future.cancelled()
