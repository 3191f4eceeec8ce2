"""When to try a node again that was late when it was last heard of, and gets nothing since."""

from __future__ import annotations

__all__ = ["Doubt"]

FIRST_PAUSE_S = 30.0
LONGEST_PAUSE_S = 300.0
"""A node that stays slow costs one late answer in so long, or none where it is hedged (guess)."""


class Doubt:
    """Forecasts learn from answers alone: one that says "late" ends the answers that could prove it wrong.

    A first answer that waited for a model to load, or another user of the machine, would keep a node out for
    ever. So it is tried again, after pauses that double while it stays late.

    >>> doubt = Doubt()
    >>> doubt.learn(False, 0.0)
    >>> doubt.is_due(29.0), doubt.is_due(30.0)
    (False, True)
    """

    def __init__(self) -> None:
        self._since_s: float | None = None
        self._pause_s = FIRST_PAUSE_S

    def is_due(self, now_s: float) -> bool:
        """Whether what was learned is so old that one request should test it."""
        return self._since_s is not None and now_s - self._since_s >= self._pause_s

    def note_sent(self, now_s: float) -> None:
        """A request was sent; if a test was due, this is it."""
        if self.is_due(now_s):
            self._since_s = now_s
            self._pause_s = min(2.0 * self._pause_s, LONGEST_PAUSE_S)

    def learn(self, is_in_time: bool, now_s: float) -> None:
        """One more answer: in time, the forecasts are trusted; late, they are doubted after a pause."""
        self._since_s = None if is_in_time else now_s
        if is_in_time:
            self._pause_s = FIRST_PAUSE_S
