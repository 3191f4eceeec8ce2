"""Under load requests of less work go local first: how large each one is beside the usual request."""

from __future__ import annotations

__all__ = ["UsualWork", "next_size", "next_usual", "weighed_s"]

RATE = 0.003
"""Weight of the newest arrival in what is usual (chosen on traces, where 0.001 to 0.01 do as well)."""
SIZE_RATE = 0.02
"""Weight of the newest arrival in the usual sizes of prompts and answers (guess)."""
LEAST_SIZE = 0.5
"""Below this size nobody is preferred any further, or too many would wait in vain (chosen on traces: decision
0011)."""


def next_usual(usual: float, work: float, arrivals: float) -> float:
    """The usual work after one more arrival, the ``arrivals``-th; a plain mean at first."""
    return usual + max(RATE, 1.0 / arrivals) * (work - usual)


def next_size(usual_tokens: float, tokens: float) -> float:
    """The usual size of prompts, or of answers, after one more."""
    return usual_tokens + SIZE_RATE * (tokens - usual_tokens)


def weighed_s(wait_s: float, work_s: float, usual_s: float) -> float:
    """What a wait counts for in admission: as many times as long as the request is large, squared.

    Nobody large waits where much waits already, so that the room there is left to many small ones; beside an
    idle node nobody waits, and size does not matter.

    >>> weighed_s(1.0, 0.2, 0.2), weighed_s(1.0, 0.4, 0.2), weighed_s(1.0, 0.01, 0.2)
    (1.0, 4.0, 0.25)
    """
    size = max(work_s / usual_s, LEAST_SIZE)
    return wait_s * size * size


class UsualWork:
    """A running mean over arrivals that a node might answer, in whatever unit it is told."""

    def __init__(self) -> None:
        self.value: float | None = None
        """``None`` before the first."""
        self._arrivals = 0

    def see(self, work: float) -> None:
        """One more arrival."""
        self._arrivals += 1
        self.value = next_usual(self.value or 0.0, work, self._arrivals)
