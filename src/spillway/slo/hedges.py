"""How many requests may be sent twice because the first is late: a share of all, also when everything is."""

from __future__ import annotations

__all__ = ["BURST", "LEAST_DELAY_S", "ONE", "HedgeBudget", "saved_after"]

BURST = 10.0
"""Hedges that may be saved up (guess)."""
LEAST_DELAY_S = 0.05
"""Sooner than this a second request costs more than it can win (guess)."""
ONE = 1.0 - 1e-9
"""A whole hedge, whatever the rounding of its parts."""


def saved_after(saved: float, share: float, burst: float) -> float:
    """The budget after one more request."""
    return min(burst, saved + share)


class HedgeBudget:
    """Keeps hedges to a share of all requests, also when everything is late.

    A bucket: every request adds ``share`` of a hedge, up to ``burst`` that may be saved.

    >>> budget = HedgeBudget(0.5, burst=1)
    >>> budget.note_request(), budget.take(), budget.take()
    (None, False, False)
    >>> budget.note_request(), budget.take()
    (None, True)
    """

    def __init__(self, share: float = 0.05, burst: float = BURST) -> None:
        self._share = share
        self._burst = burst
        self._saved = 0.0

    def note_request(self) -> None:
        """One more request came."""
        self._saved = saved_after(self._saved, self._share, self._burst)

    def take(self) -> bool:
        """Whether one more hedge is within the share; if so it is counted."""
        if self._saved < ONE:
            return False
        self._saved -= 1.0
        return True
