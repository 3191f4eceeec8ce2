"""How long answers are, by kind of request, from those that ended."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

__all__ = ["Lengths", "OutputLengths"]

USUAL_TOKENS, LONG_TOKENS = 200.0, 400.0
"""Assumed before the first answers of any kind (guess)."""
WINDOW = 300
EVERY = 20
FEW = 10
"""Below so many answers of its own a kind is judged by all kinds together."""
MOST_KINDS = 500
LONG_SHARE = 0.8


class Lengths(NamedTuple):
    """Tokens of a usual answer, and a length that one in five exceeds."""

    usual: float
    long: float


class _Record:
    def __init__(self) -> None:
        self.lengths: Lengths | None = None
        self._recent: deque[float] = deque(maxlen=WINDOW)
        self._seen = 0

    @property
    def count(self) -> int:
        return len(self._recent)

    def learn(self, tokens: float) -> None:
        self._recent.append(tokens)
        self._seen += 1
        if self._seen % EVERY == 0 or self._seen in (1, 2, 5, 10):
            ordered = sorted(self._recent)
            mean = sum(ordered) / len(ordered)
            self.lengths = Lengths(mean, ordered[int(LONG_SHARE * (len(ordered) - 1))])


class OutputLengths:
    """Answer lengths of the recent past; a kind is a task class, or anything else that hints at length."""

    def __init__(self) -> None:
        self._all = _Record()
        self._kinds: dict[str, _Record] = {}

    def learn(self, kind: str | None, tokens: float) -> None:
        """One more answer ended."""
        self._all.learn(tokens)
        if kind is None:
            return
        record = self._kinds.get(kind)
        if record is None and len(self._kinds) < MOST_KINDS:
            record = self._kinds[kind] = _Record()
        if record is not None:
            record.learn(tokens)

    def expect(self, kind: str | None, max_tokens: int | None) -> Lengths:
        """What an answer to come may take; never above ``max_tokens``."""
        record = self._kinds.get(kind) if kind is not None else None
        known = record.lengths if record is not None and record.count >= FEW else self._all.lengths
        usual, long = known or Lengths(USUAL_TOKENS, LONG_TOKENS)
        if max_tokens is None:
            return Lengths(usual, long)
        return Lengths(min(usual, max_tokens), min(long, max_tokens))
