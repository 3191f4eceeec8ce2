"""Time as a value that is handed in: monotonic seconds for durations, wall seconds for dates."""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """Two readings of time; tests pass one that they move by hand."""

    def monotonic_s(self) -> float:
        """Seconds on a clock that never goes back; only differences mean anything."""
        ...

    def wall_s(self) -> float:
        """Seconds since 1970-01-01T00:00:00Z; may jump, so never subtract two of them."""
        ...


class SystemClock:
    """The machine's own clocks."""

    monotonic_s = staticmethod(time.monotonic)
    wall_s = staticmethod(time.time)
