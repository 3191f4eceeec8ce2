"""What first tokens tell of reading: prompts that wait are read in one pass, or one after another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spillway.slo.forecast import step_s
from spillway.slo.pace import LinearPace, chunks_of

if TYPE_CHECKING:
    from spillway.fleet.record import Entry

__all__ = ["LEAST_STEP_SHARE", "Reading"]

MOST_TOGETHER = 64
"""Prompts of one reading at most: a node much faster than believed, never at rest, is known then (guess)."""
TOGETHER_RATIO = 0.5
"""A first token that follows another sooner than this part of its prompt's time was read with it (guess)."""
LEAST_STEP_SHARE = 0.2
"""Least part of a time that is taken to be reading or decoding, whatever else went on meanwhile (guess)."""


class Reading:
    """Prompts that were read together, from when the engine could begin until their first tokens came."""

    __slots__ = ("_running", "began_s", "ended_s", "entries", "is_over", "is_spoilt", "unknown")

    def __init__(self, began_s: float, running: int) -> None:
        """``running`` answers were being written meanwhile. All times are monotonic seconds."""
        self.began_s = self.ended_s = began_s
        self.entries: list[Entry] = []
        self.is_over = False
        """Whether no further prompt belongs to it."""
        self.is_spoilt = False
        """Whether the node read something meanwhile that had no first token."""
        self.unknown = 0
        """Prompts of which the engine has yet to say how much it had cached."""
        self._running = running

    def takes(self, entry: Entry, now_s: float, pace: LinearPace | None) -> bool:
        """Whether the prompt whose first token came now was read together with the others."""
        if len(self.entries) >= MOST_TOGETHER:
            return False
        alone_s = self.ended_s - self.began_s
        if pace is not None:
            alone_s = pace.prefill_s(entry.prompt_tokens, entry.cached_tokens)
        return now_s - self.ended_s < TOGETHER_RATIO * alone_s

    def add(self, entry: Entry, now_s: float) -> None:
        """One more prompt of it has been read."""
        self.entries.append(entry)
        self.ended_s = now_s

    @property
    def prompts(self) -> list[tuple[float, float]]:
        """Pairs of (prompt tokens, those of them that were cached)."""
        return [(entry.prompt_tokens, entry.cached_tokens) for entry in self.entries]

    def seconds(self, pace: LinearPace | None) -> float:
        """How long its prompts alone were read, without the steps of the answers running meanwhile."""
        seconds = self.ended_s - self.began_s
        if pace is None or not self._running:
            return seconds
        tokens, cached = map(sum, zip(*self.prompts, strict=True))
        stepping_s = chunks_of(tokens, cached) * step_s(pace, self._running, 0.0)
        return max(seconds - stepping_s, LEAST_STEP_SHARE * seconds)
