"""Leaves an upstream alone for a moment after it failed repeatedly."""

from __future__ import annotations

from spillway.vocabulary import BreakerState

__all__ = ["Breaker"]


class Breaker:
    """Closed while all is well; open for ``cooldown_s`` after ``threshold`` failures running; then half open.

    Half open admits one request at a time. Results carry the generation they were admitted in, so a late one
    from before the breaker opened cannot overwrite what was learnt since.
    """

    def __init__(self, threshold: int = 3, cooldown_s: float = 5.0) -> None:
        self._threshold = threshold
        self._cooldown_s = cooldown_s
        self._failures = 0
        self._open_until_s: float | None = None
        self._probe_started_s: float | None = None
        self._generation = 0

    @property
    def generation(self) -> int:
        """Changes whenever the breaker opens or closes."""
        return self._generation

    def state(self, now_s: float) -> BreakerState:
        """``open`` also while the one request of the half-open state is still out."""
        if self._open_until_s is None:
            return "closed"
        if now_s < self._open_until_s or self._is_probing(now_s):
            return "open"
        return "half_open"

    def admit(self, now_s: float) -> int:
        """Notes that a request is being sent; returns the generation to report its result with."""
        if self._open_until_s is not None:
            self._probe_started_s = now_s
        return self._generation

    def succeed(self, generation: int) -> None:
        """A request of that generation was answered."""
        if generation != self._generation:
            return
        self._failures = 0
        if self._open_until_s is not None:
            self.close()

    def fail(self, generation: int, now_s: float) -> None:
        """A request of that generation failed for a reason that lies with the upstream."""
        if generation != self._generation:
            return
        self._failures += 1
        if self._failures >= self._threshold or self._open_until_s is not None:
            self._open_until_s = now_s + self._cooldown_s
            self._probe_started_s = None
            self._generation += 1

    def release(self, generation: int) -> None:
        """A request of that generation ended without telling anything (its caller hung up)."""
        if generation == self._generation:
            self._probe_started_s = None

    def close(self) -> None:
        """Trusts the upstream again, as after a probe that found it well."""
        self._failures = 0
        self._open_until_s = None
        self._probe_started_s = None
        self._generation += 1

    def _is_probing(self, now_s: float) -> bool:
        started_s = self._probe_started_s
        return started_s is not None and now_s - started_s < 2 * self._cooldown_s
