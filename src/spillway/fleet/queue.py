"""Requests that wait in the gateway for a slot of one node, and who is served next (``slo.turns``)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heapify, heappop, heappush, nsmallest
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from spillway.fleet.record import Entry
from spillway.slo.turns import MOST_COMPARED, next_up
from spillway.vocabulary import Choice

if TYPE_CHECKING:
    from spillway.fleet.registry import Upstream

__all__ = ["Caller", "Grant", "QueueTimeout", "SlotQueue", "Waiting"]


class QueueTimeout(Exception):
    """No slot came free in time, or too many wait already; ``retry_after_s`` is when one should be."""

    def __init__(self, retry_after_s: float | None = None) -> None:
        super().__init__("no slot came free in time")
        self.retry_after_s = retry_after_s


SLACK = 64
"""Places of those who left that may be kept."""


class Caller(Struct):
    """Who asks for a slot, and where else it could be answered."""

    waited_s: float = 0.0
    """Seconds that it waited for other upstreams before."""
    choice_at: Callable[[str], Choice | None] = lambda upstream: None
    """The choice for that upstream, where it is still to be tried."""
    move: Callable[[Choice], None] = lambda choice: None
    """Takes note that the request goes there instead."""
    note_wait: Callable[[float], None] = lambda waited_s: None
    """Takes note of how long it has waited once that is over, ``waited_s`` before it included."""


class Grant(NamedTuple):
    """A slot that was handed over: whose it is, and the request as that node counts it."""

    node: Upstream
    entry: Entry


class Waiting(NamedTuple):
    """One request in the queue; they sort by who is due first, behind all that may not be overtaken."""

    may_be_overtaken: bool
    due_s: float
    order: int
    leaves_s: float
    future: asyncio.Future[Grant]
    entry: Entry
    caller: Caller


class SlotQueue:
    """Hands out the slots of one node. The node says when one is free; this says who gets it."""

    def __init__(self, node: Upstream) -> None:
        """``node`` is asked to hand over what is free when somebody joined or left."""
        self._node = node
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

    async def wait(
        self, entry: Entry, caller: Caller, due_s: float, leaves_s: float, patience_s: float
    ) -> Grant:
        """The slot once one has been handed over, be it another node's; QueueTimeout after ``patience_s``.

        ``due_s`` is when its first token is due, ``leaves_s`` when its patience ends (both monotonic).
        """
        future: asyncio.Future[Grant] = asyncio.get_running_loop().create_future()
        self._order += 1
        may_be_overtaken = entry.yields_s > 0.0
        heappush(self._heap, Waiting(may_be_overtaken, due_s, self._order, leaves_s, future, entry, caller))
        self._waiting[entry] = None
        self._node.fill()
        try:
            async with asyncio.timeout(patience_s):
                await future
        except TimeoutError:
            if not _was_granted(future):
                raise QueueTimeout from None
        except asyncio.CancelledError:
            if _was_granted(future):
                node, granted = future.result()
                node.queue._called.pop(granted, None)
                node.give_back()
            raise
        finally:
            self._waiting.pop(entry, None)
            if not future.done():
                future.cancel()
            self._forget_the_gone()
            if future.cancelled():
                self._node.fill()  # the next one may be small enough to go
        grant = future.result()
        grant.node.queue._called.pop(grant.entry, None)
        return grant

    def hand_over(self, now_s: float, may_go: Callable[[Entry], bool]) -> bool:
        """Gives one free slot to whoever is next; False when nobody waits, or that one may not go yet."""
        found = self._next(now_s)
        if found is None or not may_go(found.entry):
            return False
        self._grant(found, Grant(self._node, found.entry))
        return True

    def hand_on(
        self, now_s: float, may_move: Callable[[Waiting], bool], grant_of: Callable[[Waiting], Grant]
    ) -> bool:
        """Gives another node's slot to whoever is next of those who ``may_move`` there; False when nobody is.

        ``grant_of`` says which slot that is.
        """
        found = self._next(now_s, may_move)
        if found is None:
            return False
        self._grant(found, grant_of(found))
        return True

    def _grant(self, waiting: Waiting, grant: Grant) -> None:
        self._waiting.pop(waiting.entry, None)
        grant.node.queue._called[grant.entry] = None
        waiting.future.set_result(grant)

    def _next(self, now_s: float, may_move: Callable[[Waiting], bool] | None = None) -> Waiting | None:
        heap = self._heap
        while heap and heap[0].future.done():
            heappop(heap)
        if not heap:
            return None
        if may_move is None and (not heap[0].may_be_overtaken or len(self._waiting) == 1):
            return heap[0]
        found = self._first_ones(may_move)
        if not found or not found[0].may_be_overtaken:
            return found[0] if found else None
        yields_s, leaves_s = [one.entry.yields_s for one in found], [one.leaves_s for one in found]
        return found[next_up(now_s, yields_s, leaves_s, len(found), [False] * len(found))]

    def _first_ones(self, may_move: Callable[[Waiting], bool] | None) -> list[Waiting]:
        """Those who are compared, in their order; just the first where nobody may overtake it."""
        left = (one for one in self._heap if not one.future.done())
        if may_move is None:
            return nsmallest(MOST_COMPARED, left)
        found: list[Waiting] = []
        for one in sorted(left):
            if may_move(one):
                found.append(one)
                if not one.may_be_overtaken or len(found) == MOST_COMPARED:
                    break
        return found

    def _forget_the_gone(self) -> None:
        """Those who left are passed over when a slot comes free; where none does, they must not pile up."""
        if len(self._heap) > 2 * len(self._waiting) + SLACK:
            self._heap = [waiting for waiting in self._heap if not waiting.future.done()]
            heapify(self._heap)


def _was_granted(future: asyncio.Future[Grant]) -> bool:
    return future.done() and not future.cancelled()
