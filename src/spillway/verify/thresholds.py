"""Confidence thresholds whose kept answers are wrong at most as often as the owner allows.

Calibration is hypothesis testing (Angelopoulos, Bates, Candès, Jordan, Lei: "Learn then Test: Calibrating
Predictive Algorithms to Achieve Risk Control", 2021, theorem 1 with fixed-sequence testing). For each
threshold of a fixed grid the hypothesis "of the answers at least that confident more than ``alpha`` are
wrong" has a p-value. Given how many answers were kept, the number of wrong ones among them is binomial, so
P(Binomial(kept, alpha) ≤ wrong) is exact: the test whose inversion is the Clopper-Pearson bound. Shares of
points between 0 and 1 use the Hoeffding-Bentkus p-value (Bates et al.: "Distribution-Free, Risk-Controlling
Prediction Sets", 2021). Thresholds are tested from strict to loose at level ``delta`` until the first
hypothesis stands; the last one rejected is chosen. To choose a wrong one, the first true hypothesis must have
been rejected, which has probability at most ``delta``.

What is promised: with probability ≥ 1 - ``delta`` over the draw of the calibration answers, answers *like
those* that are kept are wrong at most at the rate ``alpha``. It says nothing of other kinds of traffic.

Assumptions: calibration answers are independent draws of the traffic. With ``start`` given in advance nothing
else. Without it, testing starts where enough answers are kept for a test to be passed at all; that looks at
confidences, not at correctness, and keeps the promise if confidence is not perverse around ``alpha``: where
the answers above a threshold are wrong too often, those between it and a looser one are too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

__all__ = ["GRID", "Threshold", "choose_threshold", "least_answers", "lower_bound", "p_value", "upper_bound"]

_LOGITS: Final = tuple(x / 4 for x in range(56, -57, -1))
GRID: Final[tuple[float, ...]] = (*(1.0 / (1.0 + math.exp(-x)) for x in _LOGITS), 0.0)
"""Thresholds from strict to loose: log-odds 14 to -14 in quarters, and 0 (keeps all)."""


class Threshold(Struct, frozen=True):
    """A chosen threshold and what it was chosen on."""

    value: float | None
    """Least confidence to keep; ``None`` when the data support none, so nothing may be kept."""
    alpha: float
    delta: float
    n: int
    """Calibration answers."""
    kept: int = 0
    wrong: float = 0.0
    """Losses among the kept, in whole answers when each is right or wrong."""

    @property
    def gate_value(self) -> float:
        """What to hand to ``check``: infinity when nothing may be kept."""
        return math.inf if self.value is None else self.value

    @property
    def kept_ratio(self) -> float | None:
        """Share of the calibration answers that the threshold keeps; ``None`` without any."""
        return self.kept / self.n if self.n else None


def choose_threshold(
    pairs: Iterable[tuple[float, float]],
    *,
    alpha: float,
    delta: float = 0.05,
    start: float | None = None,
    grid: Sequence[float] = GRID,
) -> Threshold:
    """The loosest threshold that the promise above allows.

    ``pairs`` are (confidence, correctness) of answers of one task class; correctness is 1 or 0, or a share of
    points between. ``start`` is the strictest threshold to test. ``grid`` (falling) and ``start`` must not
    come from looking at the same answers' correctness. Raises ``ValueError`` when ``alpha`` or ``delta`` is
    not between 0 and 1.
    """
    if not 0 < alpha < 1 or not 0 < delta < 1:
        raise ValueError("alpha and delta must lie between 0 and 1")
    losses = sorted(((score, 1.0 - float(right)) for score, right in pairs), reverse=True)
    counts = _kept_at(grid, losses)
    is_binary = all(loss in (0.0, 1.0) for _, loss in losses)
    chosen: int | None = None
    least = _answers_to_begin(len(losses), alpha, delta, is_binary=is_binary)
    for place in range(_first_place(grid, counts, start, least), len(grid)):
        kept, lost = counts[place]
        if p_value(lost, kept, alpha, is_binary=is_binary) > delta:
            break
        chosen = place
    if chosen is None:
        return Threshold(None, alpha, delta, len(losses))
    return Threshold(grid[chosen], alpha, delta, len(losses), *counts[chosen])


def _kept_at(grid: Sequence[float], losses: list[tuple[float, float]]) -> list[tuple[int, float]]:
    """(answers kept, their losses) at each threshold; ``grid`` and ``losses`` fall."""
    out: list[tuple[int, float]] = []
    place, lost = 0, 0.0
    for threshold in grid:
        while place < len(losses) and losses[place][0] >= threshold:
            lost += losses[place][1]
            place += 1
        out.append((place, lost))
    return out


def least_answers(alpha: float, delta: float, wrong: int = 0) -> int:
    """How many answers, ``wrong`` of them wrong, it takes to support any threshold.

    >>> least_answers(0.02, 0.05), least_answers(0.02, 0.05, wrong=1)
    (149, 236)
    """
    kept = math.ceil(math.log(delta) / math.log1p(-alpha))
    while binomial_cdf(wrong, kept, alpha) > delta:
        kept += 1
    return kept


def _answers_to_begin(n: int, alpha: float, delta: float, *, is_binary: bool) -> int:
    """How many answers the first test should rest on, so that one wrong one does not end it all."""
    if not is_binary:
        return math.ceil(math.log(1 / delta) / _divergence(alpha / 2, alpha))
    forgiving = least_answers(alpha, delta, wrong=1)
    return forgiving if n >= 1.5 * forgiving else least_answers(alpha, delta)


def _first_place(
    grid: Sequence[float], counts: list[tuple[int, float]], start: float | None, least: int
) -> int:
    if start is not None:
        return next((i for i, threshold in enumerate(grid) if threshold <= start), len(grid))
    return next((i for i, (kept, _) in enumerate(counts) if kept >= least), len(grid))


def p_value(lost: float, kept: int, alpha: float, *, is_binary: bool = True) -> float:
    """Chance to lose this little or less if the true rate were ``alpha``; 1 when nothing was kept.

    >>> round(p_value(0, 100, 0.03), 4)
    0.0476
    """
    if kept == 0 or lost >= alpha * kept:
        return 1.0
    if is_binary:
        return binomial_cdf(round(lost), kept, alpha)
    rate = lost / kept
    hoeffding = math.exp(-kept * _divergence(rate, alpha))
    bentkus = math.e * binomial_cdf(math.ceil(lost), kept, alpha)
    return min(1.0, hoeffding, bentkus)


def _divergence(p: float, q: float) -> float:
    """Kullback-Leibler divergence of two coins, in nats."""
    head = p * math.log(p / q) if p > 0 else 0.0
    tail = (1 - p) * math.log((1 - p) / (1 - q)) if p < 1 else 0.0
    return head + tail


def binomial_cdf(most: int, n: int, p: float) -> float:
    """P(Binomial(n, p) ≤ most), exactly."""
    if most >= n:
        return 1.0
    log_p, log_q = math.log(p), math.log1p(-p)
    whole = math.lgamma(n + 1)
    terms = (
        math.exp(whole - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * log_p + (n - k) * log_q)
        for k in range(most + 1)
    )
    return min(1.0, math.fsum(terms))


def upper_bound(wrong: int, kept: int, delta: float) -> float:
    """Clopper-Pearson: the rate of wrong answers is below this with probability ≥ 1 - ``delta``.

    >>> round(upper_bound(0, 100, 0.05), 4)
    0.0295
    """
    if wrong >= kept:
        return 1.0
    low, high = wrong / kept, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if binomial_cdf(wrong, kept, middle) > delta:
            low = middle
        else:
            high = middle
    return high


def lower_bound(wrong: int, kept: int, delta: float) -> float:
    """Clopper-Pearson: the rate of wrong answers is above this with probability ≥ 1 - ``delta``."""
    return 1.0 - upper_bound(kept - wrong, kept, delta) if kept else 0.0
