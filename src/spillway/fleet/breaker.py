"""Leaves an upstream alone for a moment after it failed repeatedly."""

from __future__ import annotations

from collections import deque

from spillway.vocabulary import BreakerState

__all__ = ["Breaker", "BreakerOpen"]

LONGEST_COOLDOWN_S = 30.0
"""However often it fails again, it gets another chance after this long (guess)."""
LEAST_WAIT_S = 1.0
WINDOW_S = 10.0
"""Results that are older say nothing of now."""
KEPT_RESULTS = 100
SURE_FAILURES = 10
"""So many failures in a row are no bad luck, however well it went shortly before."""


class BreakerOpen(Exception):
    """The upstream is to be left alone; ``retry_after_s`` is for how long."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__("the breaker is open")
        self.retry_after_s = retry_after_s


class Breaker:
    """Closed while all is well; open for a while after ``threshold`` failures running; then half open.

    Under much traffic a few failures in a row are chance where a part of all requests fails, so while it is
    asked often it opens only if at least half of the latest results are failures. A first token counts as a
    success: under load the good answers are still being written when the bad ones have already failed.

    Half open admits one request at a time, and only while the upstream's metadata, where somebody asks for
    it, can be had. Each failure of such a request doubles the pause. Results carry the generation they were
    admitted in, so a late one from before the breaker opened cannot overwrite what was learnt since.
    """

    def __init__(self, threshold: int = 3, cooldown_s: float = 5.0) -> None:
        self._threshold = threshold
        self._first_cooldown_s = cooldown_s
        self._cooldown_s = cooldown_s
        self._failures = 0
        self._latest: deque[tuple[float, bool]] = deque(maxlen=KEPT_RESULTS)
        """Pairs of (time, whether it failed), in order."""
        self._open_until_s: float | None = None
        self._trial_started_s: float | None = None
        self._is_silent = False
        """Whether its metadata could not be had when it was last asked for."""
        self._generation = 0

    @property
    def generation(self) -> int:
        """Changes whenever the breaker opens or closes."""
        return self._generation

    def state(self, now_s: float) -> BreakerState:
        """``open`` also while the one request of the half-open state is still out."""
        if self._open_until_s is None:
            return "closed"
        if now_s < self._open_until_s or self._is_silent or self._is_on_trial(now_s):
            return "open"
        return "half_open"

    def retry_after_s(self, now_s: float) -> float:
        """When to come back while it is open."""
        return max(LEAST_WAIT_S, (self._open_until_s or now_s) - now_s)

    def check(self, now_s: float) -> None:
        """BreakerOpen unless a request may be sent now."""
        if self.state(now_s) == "open":
            raise BreakerOpen(self.retry_after_s(now_s))

    def admit(self, now_s: float) -> int:
        """Notes that a request is being sent; returns the generation to report its result with."""
        if self._open_until_s is not None:
            self._trial_started_s = now_s
        return self._generation

    def succeed(self, generation: int, now_s: float) -> None:
        """A request of that generation is being answered, or was."""
        if generation != self._generation:
            return
        self._failures = 0
        self._latest.append((now_s, False))
        if self._open_until_s is not None:
            self.close()

    def fail(self, generation: int, now_s: float) -> None:
        """A request of that generation failed for a reason that lies with the upstream."""
        if generation != self._generation:
            return
        self._failures += 1
        self._latest.append((now_s, True))
        if self._open_until_s is not None:
            self._cooldown_s = min(2 * self._cooldown_s, LONGEST_COOLDOWN_S)
        elif not self._has_enough(now_s):
            return
        self._open_until_s = now_s + self._cooldown_s
        self._trial_started_s = None
        self._generation += 1

    def release(self, generation: int) -> None:
        """A request of that generation ended without telling anything (its caller hung up)."""
        if generation == self._generation:
            self._trial_started_s = None

    def note_probe(self, *, is_well: bool) -> None:
        """Its metadata was asked for. A server that did not answer and does again is trusted at once; one
        that answered all the time proves nothing by it, since generation may hang while metadata works."""
        if is_well and self._is_silent:
            self.close()
        self._is_silent = not is_well

    def close(self) -> None:
        """Trusts the upstream again."""
        self._failures = 0
        self._latest.clear()
        self._open_until_s = None
        self._trial_started_s = None
        self._is_silent = False
        self._cooldown_s = self._first_cooldown_s
        self._generation += 1

    def _has_enough(self, now_s: float) -> bool:
        """Whether the failures so far are reason to open."""
        if self._failures < self._threshold or self._failures >= SURE_FAILURES:
            return self._failures >= self._threshold
        latest = [has_failed for at_s, has_failed in self._latest if now_s - at_s <= WINDOW_S]
        return 2 * sum(latest) >= len(latest)

    def _is_on_trial(self, now_s: float) -> bool:
        """Whether the one request is out; after some time it no longer counts, should it never end."""
        started_s = self._trial_started_s
        return started_s is not None and now_s - started_s < 2 * self._cooldown_s
