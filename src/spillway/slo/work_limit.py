"""Under overload not all requests fit: those that cost most work leave first, so that most stay local."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from itertools import accumulate

__all__ = ["WorkLimit"]


class WorkLimit:
    """The most work a request may be to stay local, such that those below it just fill the nodes.

    Looks at the last ``window`` arrivals; ``fill`` is how full they may be: 1 was best or nearly so on all
    traces tried (0.8 to 1.2). Work is in seconds of a whole, full node.
    """

    def __init__(self, window: int = 400, fill: float = 1.0, every: int = 25) -> None:
        self.limit_s = math.inf
        self._recent: deque[tuple[float, float]] = deque(maxlen=window)
        self._fill = fill
        self._every = every
        self._seen = 0

    def see(self, now_s: float, work_s: float, nodes: int) -> None:
        """One more arrival that may go to one of ``nodes`` nodes, wherever it will go."""
        self._recent.append((now_s, work_s))
        self._seen += 1
        if self._seen % self._every:
            return
        span_s = now_s - self._recent[0][0]
        if span_s > 0:
            sizes = sorted(work for _, work in self._recent)
            fits = bisect_left(list(accumulate(sizes)), self._fill * nodes * span_s)
            self.limit_s = sizes[fits] if fits < len(sizes) else math.inf
