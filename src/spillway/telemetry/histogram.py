"""Durations counted by upper bound, cheaply."""

from __future__ import annotations

from bisect import bisect_left

__all__ = ["SECONDS", "Histogram"]

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 300.0)


class Histogram:
    """Counts by upper bound in seconds, and their sum."""

    __slots__ = ("counts", "sum_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(SECONDS) + 1)
        self.sum_s = 0.0

    def observe(self, value_s: float) -> None:
        """Adds one duration."""
        self.counts[bisect_left(SECONDS, value_s)] += 1
        self.sum_s += value_s

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative counts as Prometheus wants them."""
        total = 0
        pairs = []
        for bound, count in zip((*SECONDS, "+Inf"), self.counts, strict=True):
            total += count
            pairs.append((str(bound), float(total)))
        return pairs
