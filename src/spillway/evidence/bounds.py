"""Bounds on a mean that hold at every moment, however often one looks: betting confidence sequences.

For scores x in [0, 1] that arrive one after another, a gambler who starts with one unit and puts the share
``t`` of it on "the mean is above m" has ``prod(1 - t + t * x / m)``. If the conditional mean never exceeds
``m`` that is a non-negative supermartingale, and so is any mixture of such gamblers over fixed shares ``t``.
By Ville's inequality it ever reaches ``1 / alpha`` with probability at most ``alpha``. Hence ``m`` may be
ruled out the moment the mixture's capital against it reaches ``1 / alpha``, and the smallest ``m`` that was
not is a lower confidence bound valid at all times at once (Waudby-Smith and Ramdas, "Estimating means of
bounded random variables by betting", JRSS-B 2023, section 4; Howard, Ramdas, McAuliffe and Sekhon,
"Time-uniform, nonparametric, nonasymptotic confidence sequences", Annals of Statistics 2021, for the
framework). Upper bounds are the same for 1 - x. Scores from another interval are mapped onto [0, 1] first.

Shares are fixed in advance, so the capital depends on how often each score came, not on their order: a few
counts are the whole state. Scores are kept in hundredths.

Quality may also change. A ``Tally`` therefore keeps a reserve from which new gamblers start every
``RESTART_EVERY`` scores, the k-th with 1/(2k(k+1)) of the money. Their sum, with the reserve, is one unit at
the start, hence still a supermartingale; closing an old gambler only loses money. Such a sum finds a change
after a long good time, at the price of a few more scores (the mixture e-detector idea of Shin, Ramdas and
Rinaldo, 2023, with the total capital bounded so that the error probability, not only the run length, is
controlled).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import exp, inf, log

from msgspec import Struct, field

__all__ = ["PAIRED", "UNIT", "Interval", "Tally", "hundredths"]

RESTART_EVERY = 50
KEPT_RUNS = 7
"""The first and the six newest gamblers: the newest find a change among the last 300 scores fast."""
FIRST_SHARE = 0.5
STAKES = (0.04, 0.1, 0.25, 0.55, 1.0)
"""Shares of the capital that the gamblers put at risk; close enough together that the best is never far."""
STAKE_WEIGHTS = (0.15, 0.2, 0.2, 0.2, 0.25)
LOG_WEIGHTS = tuple(log(weight) for weight in STAKE_WEIGHTS)
BISECTIONS = 30
SCALE = 100


class Interval(Struct, frozen=True):
    """The interval scores come from."""

    low: float
    high: float

    def unit(self, score: float) -> float:
        """Where a score lies between the ends, 0 to 1."""
        return (score - self.low) / (self.high - self.low)


UNIT = Interval(0.0, 1.0)
PAIRED = Interval(-1.0, 1.0)
"""Differences of two scores from 0 to 1."""

Counts = Mapping[int, int]
"""Score in hundredths → how often it came."""


def hundredths(score: float) -> int:
    """The nearest hundredth, as a whole number."""
    return round(score * SCALE)


class Run(Struct):
    """The scores since one gambler began."""

    began: int
    """How many scores had come before."""
    share: float
    """How much of the one unit it began with."""
    counts: dict[int, int] = field(default_factory=dict)


class Tally(Struct):
    """Scores of one kind so far, and what may be said of their mean. Serialises as plain JSON."""

    n: int = 0
    runs: list[Run] = field(default_factory=lambda: [Run(0, FIRST_SHARE)])

    @property
    def counts(self) -> Counts:
        """All scores."""
        return self.runs[0].counts

    @property
    def mean(self) -> float | None:
        """Their mean; ``None`` before the first."""
        if self.n == 0:
            return None
        return sum(score * count for score, count in self.counts.items()) / (SCALE * self.n)

    def add(self, score: float) -> None:
        """Takes in one more."""
        if self.n and self.n % RESTART_EVERY == 0:
            self._begin_run()
        self.n += 1
        key = hundredths(score)
        for run in self.runs:
            run.counts[key] = run.counts.get(key, 0) + 1

    def replace(self, position: int, old: float, new: float) -> None:
        """The score that came as number ``position`` (from 0) was not ``old`` but ``new``."""
        gone, come = hundredths(old), hundredths(new)
        for run in self.runs:
            if run.began <= position and run.counts.get(gone, 0) > 0:
                run.counts[gone] -= 1
                if run.counts[gone] == 0:
                    del run.counts[gone]
                run.counts[come] = run.counts.get(come, 0) + 1

    def _begin_run(self) -> None:
        number = self.n // RESTART_EVERY
        self.runs.append(Run(self.n, (1 - FIRST_SHARE) / (number * (number + 1))))
        if len(self.runs) > KEPT_RUNS:
            del self.runs[1]

    def is_above(self, limit: float, alpha: float, interval: Interval) -> bool:
        """Whether the mean was shown to exceed ``limit`` at some time; ever wrong with chance ``alpha``."""
        return self._log_capital(limit, interval) >= -log(alpha)

    def is_below(self, limit: float, alpha: float, interval: Interval) -> bool:
        """Whether the mean over all scores has been shown to be under ``limit``, on the same terms.

        Only the first gambler speaks here: to be good for a while is not enough.
        """
        return _log_against_high(self.counts, limit, interval) >= -log(alpha)

    def lower_bound(self, alpha: float, interval: Interval) -> float:
        """The smallest mean not ruled out from below; the interval's end before the first score."""
        return _edge(lambda m: self._log_capital(m, interval) >= -log(alpha), interval)

    def upper_bound(self, alpha: float, interval: Interval) -> float:
        """The largest mean not ruled out from above."""
        low, high = interval.low, interval.high
        mirrored = Interval(-high, -low)
        return -_edge(lambda m: _log_against_high(self.counts, -m, interval) >= -log(alpha), mirrored)

    def _log_capital(self, limit: float, interval: Interval) -> float:
        mean = interval.unit(limit)
        terms = [log(run.share) + _log_mixture(_on_unit(run.counts, interval), mean) for run in self.runs]
        return _log_sum(terms)


def _log_against_high(counts: Counts, limit: float, interval: Interval) -> float:
    """Log capital of a gambler against "the mean is at least ``limit``"."""
    flipped = [(1.0 - x, count) for x, count in _on_unit(counts, interval)]
    return _log_mixture(flipped, 1.0 - interval.unit(limit))


def _on_unit(counts: Counts, interval: Interval) -> list[tuple[float, int]]:
    return [(interval.unit(score / SCALE), count) for score, count in counts.items()]


def _log_mixture(scores: list[tuple[float, int]], mean: float) -> float:
    """Log of the mixture's capital against "the mean is at most ``mean``"; falls as ``mean`` grows."""
    if mean <= 0.0:
        return inf if any(x > 0.0 for x, _ in scores) else 0.0
    terms = []
    for stake, log_weight in zip(STAKES, LOG_WEIGHTS, strict=True):
        total = log_weight
        for x, count in scores:
            factor = 1.0 - stake + stake * x / mean
            if factor <= 0.0:
                total = -inf
                break
            total += count * log(factor)
        terms.append(total)
    return _log_sum(terms)


def _log_sum(logs: list[float]) -> float:
    top = max(logs)
    if top in (inf, -inf):
        return top
    return top + log(sum(exp(each - top) for each in logs))


def _edge(is_ruled_out: Callable[[float], bool], interval: Interval) -> float:
    """Where ruling out ends, seen from the low end of the interval; never beyond what is ruled out."""
    low, high = interval.low, interval.high
    if is_ruled_out(high):
        return high
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if is_ruled_out(middle):
            low = middle
        else:
            high = middle
    return low
