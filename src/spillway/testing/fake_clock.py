"""A clock that stands still until a test moves it."""

from __future__ import annotations

__all__ = ["FakeClock"]


class FakeClock:
    """Implements ``spillway.clock.Clock``; both readings move together, and only by ``advance``.

    >>> clock = FakeClock(wall_s=1_000.0)
    >>> clock.advance(2.5)
    >>> clock.monotonic_s(), clock.wall_s()
    (2.5, 1002.5)
    """

    def __init__(self, *, monotonic_s: float = 0.0, wall_s: float = 1_750_000_000.0) -> None:
        self._monotonic_s = monotonic_s
        self._wall_s = wall_s

    def monotonic_s(self) -> float:
        """Seconds on the clock that never goes back."""
        return self._monotonic_s

    def wall_s(self) -> float:
        """Seconds since 1970-01-01T00:00:00Z."""
        return self._wall_s

    def advance(self, seconds: float) -> None:
        """Moves both readings forward; refuses to go back (``set_wall_s`` can)."""
        if seconds < 0:
            raise ValueError("a monotonic clock cannot go back")
        self._monotonic_s += seconds
        self._wall_s += seconds

    def set_wall_s(self, wall_s: float) -> None:
        """Jumps the wall clock, forwards or back, as a time server does; monotonic time does not move."""
        self._wall_s = wall_s
