"""How long answers are, by kind of request and size of its prompt, from those that ended."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Hashable, Iterator
from typing import NamedTuple

__all__ = ["Lengths", "OutputLengths", "half_octaves", "octaves", "usual_of_ranked"]

USUAL_TOKENS, LONG_TOKENS = 200.0, 400.0
"""Assumed before the first answers of any kind (guess)."""
WINDOW = 300
FEW = 10
"""Below so many answers of its own a kind is judged by a wider one."""
MOST_KINDS = 1000
LONG_SHARE = 0.8
USUAL_SHARE = 0.97
"""Share of the answers, the shortest ones, that a usual one is the mean of: the longest tell little."""


class Lengths(NamedTuple):
    """Tokens of a usual answer, and a length that one in five exceeds."""

    usual: float
    long: float


def octaves(tokens: int) -> int:
    """How often a count doubled from 1."""
    count = 0
    while tokens >> (count + 1):
        count += 1
    return count


def half_octaves(tokens: int) -> int:
    """The same in steps of the square root of 2."""
    whole = octaves(tokens)
    return 2 * whole + (1 if tokens * tokens >= 1 << (2 * whole + 1) else 0)


def usual_of_ranked(count: int) -> int:
    """How many of so many answers, the shortest, the usual one is the mean of."""
    return max(int(USUAL_SHARE * count), 1)


class _Record:
    """The last answers of one kind."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque()
        self._ranked: list[float] = []
        self._lengths: Lengths | None = None

    @property
    def count(self) -> int:
        return len(self._recent)

    @property
    def lengths(self) -> Lengths:
        if self._lengths is None:
            top = usual_of_ranked(self.count)
            long = self._ranked[int(LONG_SHARE * (self.count - 1))]
            self._lengths = Lengths(sum(self._ranked[:top]) / top, long)
        return self._lengths

    def learn(self, tokens: float) -> None:
        if len(self._recent) == WINDOW:
            del self._ranked[bisect_left(self._ranked, self._recent.popleft())]
        self._recent.append(tokens)
        insort(self._ranked, tokens)
        self._lengths = None


class OutputLengths:
    """Answer lengths of the recent past.

    How long an answer gets is told by the task class and by how much there is to read, altogether and anew
    (half of the variance in Azure's conversations, two thirds in agents' calls; bench/planner). The
    narrowest kind that has been seen a few times counts.
    """

    def __init__(self) -> None:
        self._kinds: dict[Hashable, _Record] = {}

    def learn(
        self, task: str | None, tokens: float, input_tokens: int | None = None, cached_tokens: float = 0.0
    ) -> None:
        """One more answer ended, to a prompt of that size."""
        for kind in _kinds(task, input_tokens, cached_tokens):
            record = self._kinds.get(kind)
            if record is None and (len(self._kinds) < MOST_KINDS or kind is None):
                record = self._kinds[kind] = _Record()
            if record is not None:
                record.learn(tokens)

    def expect(
        self,
        task: str | None,
        max_tokens: int | None,
        input_tokens: int | None = None,
        cached_tokens: float = 0.0,
    ) -> Lengths:
        """What an answer to come may take; never above ``max_tokens``."""
        usual, long = self._known(task, input_tokens, cached_tokens)
        if max_tokens is None:
            return Lengths(usual, long)
        return Lengths(min(usual, max_tokens), min(long, max_tokens))

    def _known(self, task: str | None, input_tokens: int | None, cached_tokens: float) -> Lengths:
        for kind in _kinds(task, input_tokens, cached_tokens):
            record = self._kinds.get(kind)
            if record is not None and (record.count >= FEW or kind is None):
                return record.lengths
        return Lengths(USUAL_TOKENS, LONG_TOKENS)


def _kinds(task: str | None, input_tokens: int | None, cached_tokens: float) -> Iterator[Hashable]:
    """What a request is like, from narrow to wide; ``None`` is any request."""
    if input_tokens is not None:
        size = half_octaves(max(input_tokens, 1))
        yield task, size, octaves(max(input_tokens - int(cached_tokens), 1))
        yield task, size
    if task is not None:
        yield task
    yield None
