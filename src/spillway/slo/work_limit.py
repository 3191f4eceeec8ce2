"""Under overload not all requests fit: those that cost most work leave first, so that most stay local."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from itertools import accumulate

__all__ = ["WorkLimit"]

RATE = 0.05
"""Weight of the newest answer in how much work a second really holds (guess)."""
MOST_ERROR = math.log(4.0)


class WorkLimit:
    """The most work a request may be to stay local, such that those below it just fill the nodes.

    Looks at the last ``window`` arrivals; ``fill`` is how full they may be: 1 was best or nearly so on all
    traces tried (0.8 to 1.2). Work is in seconds of a whole, full node, as estimated; ``note_done`` tells how
    much of it such a node really does in a second.
    """

    def __init__(self, window: int = 400, fill: float = 1.0, every: int = 25) -> None:
        self.limit = math.inf
        """The most work, in units."""
        self._recent: deque[tuple[float, float]] = deque(maxlen=window)
        self._fill = fill
        self._every = every
        self._seen = 0
        self._log_error = 0.0

    def note_done(self, work_s: float, seconds: float) -> None:
        """A node that was full all the time took so long for a request estimated at ``work_s``."""
        if work_s > 0.0 and seconds > 0.0:
            seen = min(max(math.log(work_s / seconds), -MOST_ERROR), MOST_ERROR)
            self._log_error += RATE * (seen - self._log_error)

    def see(self, now_s: float, work_s: float, nodes: int, unit_s: float = 1.0) -> None:
        """One more arrival that may go to one of ``nodes`` nodes, wherever it will go.

        ``unit_s`` is what a typical request takes now; the limit counts in it, so that a node getting slower
        does not look as if its requests had become larger.
        """
        self._recent.append((now_s, work_s / unit_s))
        self._seen += 1
        if self._seen % self._every:
            return
        span_s = now_s - self._recent[0][0]
        if span_s > 0:
            sizes = sorted(work for _, work in self._recent)
            room = self._fill * math.exp(self._log_error) * nodes * span_s / unit_s
            fits = bisect_left(list(accumulate(sizes)), room)
            self.limit = sizes[fits] if fits < len(sizes) else math.inf
