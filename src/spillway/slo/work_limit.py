"""Under overload not all requests fit: those that cost most work leave first, so that most stay local."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from itertools import accumulate
from typing import Literal

__all__ = ["Spill", "WorkLimit", "next_fill"]

RATE = 0.05
"""Weight of the newest answer in how much work a second really holds (guess)."""
MOST_ERROR = math.log(4.0)
WINDOW = 400
"""Arrivals that are looked at."""
EVERY = 25
"""Arrivals after which the limit is worked out anew."""
FILL = 1.0
LEAST_FILL, MOST_FILL = 0.3, 1.5
FILL_DOWN, FILL_UP = 0.99, 1.03

Spill = Literal["late", "work"]
"""Why a request could not stay: every node would be late, or one would not but the request is too much."""


def next_fill(fill: float, was_late: bool) -> float:
    """How full the nodes may be after one more spill.

    When requests below the limit spill because nodes would be late, large ones have taken their place: a
    little less must fit. When only the limit keeps requests away there is room: a little more may. Three of
    the first weigh as much as one of the second.
    """
    return max(fill * FILL_DOWN, LEAST_FILL) if was_late else min(fill * FILL_UP, MOST_FILL)


class WorkLimit:
    """The most work a request may be to stay local, such that those below it just fill the nodes.

    Looks at the last ``window`` arrivals; ``fill`` is how full they may make the nodes, learned from why
    requests spill: 0.4 to 1.1 are best, by how bursts and objective go together (bench/planner). Work is in
    seconds of a whole, full node, as estimated; ``note_done`` tells how much of it such a node really does
    in a second.
    """

    def __init__(self, window: int = WINDOW, fill: float = FILL, every: int = EVERY) -> None:
        self.limit = math.inf
        """The most work, in units."""
        self.fill = fill
        self._recent: deque[tuple[float, float]] = deque(maxlen=window)
        self._every = every
        self._seen = 0
        self._log_error = 0.0

    def note_done(self, work_s: float, seconds: float) -> None:
        """A node that was full all the time took so long for a request estimated at ``work_s``."""
        if work_s > 0.0 and seconds > 0.0:
            seen = min(max(math.log(work_s / seconds), -MOST_ERROR), MOST_ERROR)
            self._log_error += RATE * (seen - self._log_error)

    def see(
        self, now_s: float, work_s: float, nodes: int, unit_s: float = 1.0, spill: Spill | None = None
    ) -> None:
        """One more arrival that may go to one of ``nodes`` nodes; ``spill`` says why it did not.

        ``unit_s`` is what a typical request takes now; the limit counts in it, so that a node getting slower
        does not look as if its requests had become larger.
        """
        if spill == "work" or (spill == "late" and work_s / unit_s <= self.limit):
            self.fill = next_fill(self.fill, spill == "late")
        self._recent.append((now_s, work_s / unit_s))
        self._seen += 1
        if self._seen % self._every:
            return
        span_s = now_s - self._recent[0][0]
        if span_s > 0:
            sizes = sorted(work for _, work in self._recent)
            room = self.fill * math.exp(self._log_error) * nodes * span_s / unit_s
            fits = bisect_left(list(accumulate(sizes)), room)
            self.limit = sizes[fits] if fits < len(sizes) else math.inf
