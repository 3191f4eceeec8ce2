"""How much of a node's time canaries may take: a share of any hour, whatever they cost."""

from __future__ import annotations

from collections import deque

__all__ = ["CanaryBudget"]

WINDOW_S = 3600.0
SHARE = 0.01


class CanaryBudget:
    """Seconds of one node that canaries spent during the last hour, at most ``share`` of it."""

    def __init__(self, share: float = SHARE) -> None:
        self._limit_s = share * WINDOW_S
        self._spent: deque[tuple[float, float]] = deque()

    def left_s(self, now_s: float) -> float:
        """Seconds that may still be spent now."""
        while self._spent and self._spent[0][0] <= now_s - WINDOW_S:
            self._spent.popleft()
        return max(0.0, self._limit_s - sum(seconds for _, seconds in self._spent))

    def spend(self, now_s: float, seconds: float) -> None:
        """Counts what one run took."""
        self._spent.append((now_s, seconds))

    def next_s(self, now_s: float) -> float:
        """Seconds until some of what was spent is given back; 0 when nothing was."""
        return max(0.0, self._spent[0][0] + WINDOW_S - now_s) if self._spent else 0.0
