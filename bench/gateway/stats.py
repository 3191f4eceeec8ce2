"""Percentiles, and what a gateway added by comparing its blocks with the direct blocks run between them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Pair", "added", "is_noisy", "percentile", "pooled"]

NOISY_SPREAD_RATIO = 0.25


@dataclass(frozen=True)
class Pair:
    """Two blocks run one right after the other, through the gateway and past it: seconds, every request."""

    gateway_s: tuple[float, ...]
    direct_s: tuple[float, ...]


def percentile(values: Sequence[float], ratio: float) -> float | None:
    """The smallest value with at least that share of all at or below it (nearest rank); None of nothing."""
    if not 0 < ratio <= 1:
        raise ValueError(f"ratio must lie in (0, 1], not {ratio}")
    if not values:
        return None
    return sorted(values)[math.ceil(ratio * len(values)) - 1]


def pooled(pairs: Iterable[Pair], side: Callable[[Pair], tuple[float, ...]]) -> list[float]:
    """Every value of that side, of all pairs."""
    return [value for pair in pairs for value in side(pair)]


def added(pairs: Sequence[Pair], ratio: float) -> float | None:
    """Gateway minus direct in milliseconds, may be negative; None when either side of any pair is empty.

    Pooled before the percentile: the p99 of one short block is hardly more than its maximum.
    """
    if not all(pair.gateway_s and pair.direct_s for pair in pairs):
        return None
    gateway_s = percentile(pooled(pairs, lambda pair: pair.gateway_s), ratio)
    direct_s = percentile(pooled(pairs, lambda pair: pair.direct_s), ratio)
    return None if gateway_s is None or direct_s is None else (gateway_s - direct_s) * 1000


def is_noisy(passes: Sequence[float | None], floor: float = 0.0) -> bool:
    """True when a figure differs too much from pass to pass; differences up to ``floor`` never count."""
    known = [value for value in passes if value is not None]
    if len(known) < 2:
        return False
    spread = max(known) - min(known)
    middle = abs(sum(known) / len(known))
    return spread > max(floor, NOISY_SPREAD_RATIO * middle)
