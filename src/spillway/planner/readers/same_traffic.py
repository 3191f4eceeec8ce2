"""Whether two files hold the same requests, told by how many there are in each hour, and how long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

import numpy as np

from spillway.planner.readers.formats import Format
from spillway.planner.workload import Chunk, Floats, Ints, WorkloadError

__all__ = ["Course", "compare_courses"]

HOUR_S = 3600
LEAST_REQUESTS = 20
"""Fewer are alike by chance."""
ALIKE_RATIO = 0.9
"""Two tools leave out different failures, and put a request that crosses an hour into different ones."""
Hours = Counter[int]


class Course:
    """What a file's requests add up to in each hour since 1970, or since its own zero."""

    def __init__(self, source: str, kind: Format) -> None:
        self.source = source
        self.kind = kind.name
        self.ids = kind.ids
        self.hours: Hours = Counter()
        self.sums: tuple[Hours, Hours, Hours] = Counter(), Counter(), Counter()
        """Input tokens, output tokens, and seconds since each hour began."""

    def counted(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        """The same chunks, whose requests are counted as they pass."""
        for chunk in chunks:
            begun, place, counts = np.unique(chunk.time_s // HOUR_S, return_inverse=True, return_counts=True)
            hours = begun.astype(np.int64).tolist()
            self.hours.update(dict(zip(hours, counts.tolist(), strict=True)))
            of_each: Sequence[Ints | Floats] = (
                chunk.input_tokens,
                chunk.output_tokens,
                chunk.time_s % HOUR_S // 1,
            )
            for found, values in zip(self.sums, of_each, strict=True):
                sums = np.bincount(place, values).astype(np.int64).tolist()
                found.update(dict(zip(hours, sums, strict=True)))
            yield chunk

    def is_same_in(self, hour: int, other: Course) -> bool:
        """Whether both have the same number of requests in that hour, as long and at the same seconds."""
        return self.hours[hour] == other.hours[hour] and all(
            mine[hour] == theirs[hour] for mine, theirs in zip(self.sums, other.sums, strict=True)
        )


def compare_courses(courses: Sequence[Course]) -> Iterator[str]:
    """One sentence per two files of different tools that hold nearly the same numbers at the same time.

    Files of one format are told apart by the ids of their requests; where there are none, ``WorkloadError``
    for two of which at least half of what they share in time is the same to the token and second.
    """
    for one, other in combinations(courses, 2):
        first = max(min(one.hours, default=0), min(other.hours, default=0))
        last = min(max(one.hours, default=-1), max(other.hours, default=-1))
        mine, theirs = (
            Counter({hour: count for hour, count in each.hours.items() if first <= hour <= last})
            for each in (one, other)
        )
        most = max(mine.total(), theirs.total())
        if (one.kind, one.ids) != (other.kind, other.ids):
            alike = (mine & theirs).total()
            if alike >= max(LEAST_REQUESTS, ALIKE_RATIO * most):
                yield _alike(one, other, mine.total(), theirs.total())
        elif not one.ids:
            same = sum(count for hour, count in mine.items() if one.is_same_in(hour, other))
            if same >= max(LEAST_REQUESTS, most / 2):
                raise WorkloadError(
                    f"{one.source} and {other.source} hold the same {same:,} requests, to the token and the "
                    "second, which would count twice; give only one of them, or export them so that they "
                    "do not overlap"
                )


def _alike(one: Course, other: Course, mine: int, theirs: int) -> str:
    return (
        f"{one.source} ({one.kind}) and {other.source} ({other.kind}) hold nearly as many requests "
        f"hour by hour, {mine:,} and {theirs:,} in the same time; if two tools saw "
        "the same requests, they count twice: give only one of the files"
    )
