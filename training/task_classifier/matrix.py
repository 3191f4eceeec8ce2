"""Feature names and values to sparse rows, with the very code the gateway runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
from scipy.sparse import csr_matrix

from spillway.classify.facts import facts_of
from spillway.classify.features import features_of

__all__ = ["Row", "Vocabulary", "featurise"]

Row: TypeAlias = tuple[list[str], list[float]]


def featurise(bodies: Iterable[dict[str, Any]]) -> list[Row]:
    """Feature names and values of every body."""
    return [features_of(facts_of(body)) for body in bodies]


class Vocabulary:
    """Feature names with their rarity; rows hold value × idf. Unknown names count in a family's size."""

    def __init__(self, rows: Sequence[Row], groups: Sequence[str]) -> None:
        """Keeps names that two groups share; what one wording or one pasted text says teaches nothing."""
        counts = Counter(name for names, _ in rows for name in names)
        first: dict[str, str] = {}
        shared: set[str] = set()
        for (names, _), group in zip(rows, groups, strict=True):
            shared.update([name for name in names if first.setdefault(name, group) != group])
        self.names = sorted(shared)
        self.index = {name: i for i, name in enumerate(self.names)}
        frequency = np.array([counts[name] for name in self.names], dtype=float)
        self.idf = np.minimum(np.log((1 + len(rows)) / (1 + frequency)) + 1, 7.0)
        self.frequency = frequency / max(1, len(rows))

    def rows(self, rows: Sequence[Row]) -> csr_matrix:
        """One sparse row for each list of names."""
        indices: list[int] = []
        values: list[float] = []
        starts = [0]
        for names, scales in rows:
            for name, scale in zip(names, scales, strict=True):
                i = self.index.get(name)
                if i is not None:
                    indices.append(i)
                    values.append(float(self.idf[i]) * scale)
            starts.append(len(indices))
        matrix = csr_matrix((values, indices, starts), shape=(len(rows), len(self.names)))
        matrix.sum_duplicates()
        return matrix
