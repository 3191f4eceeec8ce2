"""Requests that wait in the gateway for a slot of one node, the one with the earliest deadline first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heapify, heappop, heappush

from spillway.fleet.record import Entry

__all__ = ["QueueTimeout", "SlotQueue"]


class QueueTimeout(Exception):
    """No slot came free in time, or too many wait already; ``retry_after_s`` is when one should be."""

    def __init__(self, retry_after_s: float | None = None) -> None:
        super().__init__("no slot came free in time")
        self.retry_after_s = retry_after_s


SLACK = 64
"""Places of those who left that may be kept."""


class SlotQueue:
    """Hands out the slots of one node. The node's owner says when one is free; this says who gets it."""

    def __init__(self, give_back: Callable[[], None]) -> None:
        """``give_back`` is told of a slot whose new owner was cancelled before it could use it."""
        self._give_back = give_back
        self._heap: list[tuple[float, int, asyncio.Future[None], Entry]] = []
        self._order = 0
        self._waiting: dict[Entry, None] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Those who wait, in the order of their arrival."""
        return tuple(self._waiting)

    async def wait(self, entry: Entry, deadline_s: float, patience_s: float) -> None:
        """Returns once a slot has been handed over; QueueTimeout after ``patience_s``.

        ``deadline_s`` (monotonic) is the order of service.
        """
        future = asyncio.get_running_loop().create_future()
        self._order += 1
        heappush(self._heap, (deadline_s, self._order, future, entry))
        self._waiting[entry] = None
        try:
            async with asyncio.timeout(patience_s):
                await future
        except TimeoutError:
            if not _was_granted(future):
                raise QueueTimeout from None
        except asyncio.CancelledError:
            if _was_granted(future):
                self._give_back()
            raise
        finally:
            self._waiting.pop(entry, None)
            if not future.done():
                future.cancel()
            self._forget_the_gone()

    def hand_over(self) -> bool:
        """Gives one free slot to whoever is most urgent; False when nobody waits."""
        while self._heap:
            _, _, future, entry = heappop(self._heap)
            if not future.done():
                self._waiting.pop(entry, None)
                future.set_result(None)
                return True
        return False

    def _forget_the_gone(self) -> None:
        """Those who left are passed over when a slot comes free; where none does, they must not pile up."""
        if len(self._heap) > 2 * len(self._waiting) + SLACK:
            self._heap = [waiting for waiting in self._heap if not waiting[2].done()]
            heapify(self._heap)


def _was_granted(future: asyncio.Future[None]) -> bool:
    return future.done() and not future.cancelled()
