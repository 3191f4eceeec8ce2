"""Whether files of two tools hold the same requests, told by how many there are in each hour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

import numpy as np

from spillway.planner.workload import Chunk

__all__ = ["Course", "compare_courses"]

HOUR_S = 3600
LEAST_REQUESTS = 20
"""Fewer are alike by chance."""
ALIKE_RATIO = 0.9
"""Two tools leave out different failures, and put a request that crosses an hour into different ones."""


class Course:
    """How many requests a file holds in each hour since 1970, or since its own zero."""

    def __init__(self, source: str, kind: str) -> None:
        """``kind`` is the name of the file's format."""
        self.source = source
        self.kind = kind
        self.hours: Counter[int] = Counter()

    def counted(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        """The same chunks, whose requests are counted as they pass."""
        for chunk in chunks:
            hours, counts = np.unique((chunk.time_s // HOUR_S).astype(np.int64), return_counts=True)
            self.hours.update(dict(zip(hours.tolist(), counts.tolist(), strict=True)))
            yield chunk


def compare_courses(courses: Sequence[Course]) -> Iterator[str]:
    """One sentence per two files of different formats that hold nearly the same numbers at the same time.

    Files of one format are told apart by the ids of their requests.
    """
    for one, other in combinations(courses, 2):
        if one.kind == other.kind or not one.hours or not other.hours:
            continue
        first = max(min(one.hours), min(other.hours))
        last = min(max(one.hours), max(other.hours))
        mine, theirs = (
            Counter({hour: count for hour, count in each.hours.items() if first <= hour <= last})
            for each in (one, other)
        )
        alike = (mine & theirs).total()
        if alike >= max(LEAST_REQUESTS, ALIKE_RATIO * max(mine.total(), theirs.total())):
            yield (
                f"{one.source} ({one.kind}) and {other.source} ({other.kind}) hold nearly as many requests "
                f"hour by hour, {mine.total():,} and {theirs.total():,} in the same time; if two tools saw "
                "the same requests, they count twice: give only one of the files"
            )
