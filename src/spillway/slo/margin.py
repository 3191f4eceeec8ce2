"""How far forecasts may be trusted, learned from answers: a margin for admission, a quantile for promises."""

from __future__ import annotations

__all__ = ["FIRST_MARGIN", "Margin", "Margins", "Quantile", "next_margin", "next_quantile"]

STEP = 0.02
FIRST_STEP = 0.1
"""Added to the step at first: a node of which nothing is known is soon known well enough."""
FIRST_ANSWERS = 20.0
LOWEST, HIGHEST = 0.1, 2.0
"""Between these the margin is learned (guess; the lower one tried on traces: decision 0011)."""
FIRST_MARGIN = 0.85
"""Before the first answer (guess)."""


def next_margin(
    value: float, is_in_time: bool, attainment: float, answers: float, weight: float = 1.0
) -> float:
    """The margin after one more answer, the ``answers``-th: a miss lowers it much, a hit raises it a little.

    ``weight`` says how much of an answer it is.

    It settles where the share of answers in time is one point above ``attainment``, whatever the errors of
    the forecasts look like (a Robbins-Monro search, as adaptive conformal inference uses it).
    """
    target = min(attainment + 0.01, 0.999)
    change = (1.0 - target) if is_in_time else -target
    step = STEP + FIRST_STEP / (1.0 + answers / FIRST_ANSWERS)
    return min(max(value + weight * step * change, LOWEST), HIGHEST)


class Margin:
    """The share of an objective a forecast may use, learned so that ``attainment`` of the answers keep it."""

    def __init__(self, attainment: float = 0.95, start: float = FIRST_MARGIN) -> None:
        self.value = start
        self._attainment = attainment
        self._answers = 0

    def learn(self, is_in_time: bool, weight: float = 1.0) -> None:
        """One more answer."""
        self._answers += 1
        self.value = next_margin(self.value, is_in_time, self._attainment, self._answers, weight)


class Margins:
    """A margin for each attainment that requests were promised."""

    def __init__(self) -> None:
        self.values: tuple[tuple[float, float], ...] = ()
        """Pairs of (attainment, margin) of those that something was learned of, ascending."""
        self._of: dict[float, Margin] = {}

    def learn(self, attainment: float, is_in_time: bool, weight: float = 1.0) -> None:
        """One more answer to a request that was promised that attainment."""
        margin = self._of.get(attainment)
        if margin is None:
            margin = self._of[attainment] = Margin(attainment)
        margin.learn(is_in_time, weight)
        self.values = tuple(sorted((wanted, one.value) for wanted, one in self._of.items()))


QUANTILE, FIRST_QUANTILE, QUANTILE_STEP = 0.95, 1.5, 0.08


def next_quantile(value: float, seen: float, share: float, step: float) -> float:
    """The running quantile after one more value: a small step down when it lay below, else a large one up."""
    if seen <= value:
        return value * (1.0 - step * (1.0 - share))
    return value * (1.0 + step * share)


class Quantile:
    """A running quantile of positive values, here observed over forecast, with equal steps up and down.

    Moves by a share of itself, so that it follows a node that got ten times slower within some tens of
    answers; in the long run the stated share of values lies below it.
    """

    def __init__(
        self, share: float = QUANTILE, start: float = FIRST_QUANTILE, step: float = QUANTILE_STEP
    ) -> None:
        self.value = start
        self.seen = 0
        self.covered = 0
        """Values that lay at or below the quantile as it stood before each of them."""
        self._share = share
        self._step = step

    def learn(self, value: float) -> None:
        """One more value."""
        self.seen += 1
        self.covered += value <= self.value
        self.value = next_quantile(self.value, value, self._share, self._step)
