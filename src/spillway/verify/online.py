"""A threshold that is learned while answers are checked, valid at every moment.

For each threshold of the grid a gambler bets against "answers at least that confident are wrong at the rate
``alpha`` or more". Each checked answer multiplies the wealth by 1 + bet · (``alpha`` - loss): while the
hypothesis is true that is a fair or losing game, so by Ville's inequality the chance that the wealth *ever*
reaches 1/``delta`` is at most ``delta`` (Waudby-Smith and Ramdas: "Estimating means of bounded random
variables by betting", 2023). The wealth is an equal mixture over fixed bets, so nothing needs tuning.
Thresholds open from strict to loose: one opens when its wealth has been at the mark once *and* the stricter
ones before it are open, so only the first true hypothesis has to be feared.

What is promised: with probability ≥ 1 - ``delta`` no threshold that is ever in use, at any time and however
often one looks, keeps answers that are wrong at a rate above ``alpha``, as long as checked answers are drawn
like the traffic. Where testing starts is set by the first ``warm_up`` confidences, before any bet, so it
costs no assumption. When the traffic changes, the promise ends; a second gambler watches for that at the
threshold in use (an e-detector: Shin, Ramdas, Rinaldo 2022), and when it wins everything starts over.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from spillway.verify.thresholds import GRID, Threshold

__all__ = ["OnlineThreshold"]

_BETS: Final = (0.03, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.92)
"""As shares of the largest bet that cannot ruin, 1 / (1 - alpha)."""
START_SHARE: Final = 0.2
_WATCH_BET: Final = 0.25
"""As a share of 1 / alpha: finds a doubled or tripled rate of errors soon."""


class OnlineThreshold:
    """The threshold of one task class and model; ``value`` is ``None`` until one has been earned.

    ``least_share`` is the smallest share of answers that is ever checked: an answer that was checked with a
    larger probability then counts less, so that what is checked still stands for all that is kept.
    """

    def __init__(
        self,
        *,
        alpha: float,
        delta: float = 0.05,
        least_share: float = 1.0,
        warm_up: int = 60,
        drift_delta: float = 0.001,
        grid: Sequence[float] = GRID,
    ) -> None:
        if not 0 < alpha < 1 or not 0 < delta < 1 or not 0 < least_share <= 1:
            raise ValueError("alpha, delta and least_share must lie between 0 and 1")
        self.alpha, self.delta = alpha, delta
        self._least_share, self._warm_up = least_share, max(1, warm_up)
        self._drift_log = math.log(1 / drift_delta)
        self._grid = tuple(grid)
        self._bets = tuple(bet / (1 - alpha) for bet in _BETS)
        self.restarts = 0
        """How often the watch has found the rate of errors too high and everything started over."""
        self._begin()

    def _begin(self) -> None:
        size = len(self._grid)
        self.n = 0
        self._first_scores: list[float] = []
        self._start: int | None = None
        self._kept = [0] * size
        self._lost = [0.0] * size
        self._wealth = [[0.0] * len(self._bets) for _ in range(size)]
        self._has_won = [False] * size
        self._place: int | None = None
        self._watch = 0.0

    @property
    def value(self) -> float | None:
        """The loosest threshold earned so far; ``None`` when nothing may be kept yet."""
        return None if self._place is None else self._grid[self._place]

    @property
    def gate_value(self) -> float | None:
        """What to hand to ``check``: ``None`` before anything was earned, infinity once it was lost again."""
        return math.inf if self._place is None and self.restarts else self.value

    @property
    def threshold(self) -> Threshold:
        """The same with the answers it rests on."""
        if self._place is None:
            return Threshold(None, self.alpha, self.delta, self.n)
        kept, lost = self._kept[self._place], self._lost[self._place]
        return Threshold(self.value, self.alpha, self.delta, self.n, kept, lost)

    def observe(self, score: float) -> None:
        """Takes in the confidence of an answer that is not checked; shortens the warm-up."""
        if self._start is None:
            self._first_scores.append(score)
            if len(self._first_scores) >= self._warm_up:
                self._set_start()

    def update(self, score: float, correctness: float, *, share: float | None = None) -> float | None:
        """Takes in one checked answer and returns the threshold then in use.

        ``share`` is the probability with which an answer of that confidence was checked at the time;
        ``correctness`` is 1 or 0, or a share of points between.
        """
        self.n += 1
        if self._start is None:
            self.observe(score)
            return None
        loss = 1.0 - min(1.0, max(0.0, float(correctness)))
        weight = min(1.0, self._least_share / share) if share else 1.0
        gain = weight * (self.alpha - loss)
        first = next((i for i, threshold in enumerate(self._grid) if score >= threshold), len(self._grid))
        for place in range(max(first, self._start), len(self._grid)):
            self._kept[place] += 1
            self._lost[place] += loss
            self._bet(place, gain)
        if self._place is not None and first <= self._place and self._has_drifted(-gain):
            self.restarts += 1
            self._begin()
            return None
        self._advance()
        return self.value

    def _set_start(self) -> None:
        """Testing starts at the strictest threshold that keeps a fifth of the first answers."""
        wanted = max(1, round(START_SHARE * len(self._first_scores)))
        mark = sorted(self._first_scores, reverse=True)[wanted - 1]
        self._start = next(i for i, threshold in enumerate(self._grid) if threshold <= mark)
        self._first_scores = []

    def _bet(self, place: int, gain: float) -> None:
        if self._has_won[place]:
            return
        wealth = self._wealth[place]
        for i, bet in enumerate(self._bets):
            wealth[i] += math.log1p(bet * gain)
        top = max(wealth)
        total = top + math.log(sum(math.exp(w - top) for w in wealth) / len(wealth))
        self._has_won[place] = total >= -math.log(self.delta)

    def _has_drifted(self, loss_over_alpha: float) -> bool:
        """The watch at the threshold in use; while all is well it rings once in 1/drift_delta or rarer."""
        step = math.log1p(_WATCH_BET / self.alpha * loss_over_alpha)
        self._watch = max(0.0, self._watch) + step
        return self._watch >= self._drift_log

    def _advance(self) -> None:
        place = self._place if self._place is not None else (self._start or 0) - 1
        while place + 1 < len(self._grid) and self._has_won[place + 1]:
            place += 1
        if place >= (self._start or 0) and place != self._place:
            self._place, self._watch = place, 0.0

    def to_state(self) -> dict[str, Any]:
        """What has been learned, as JSON values; for ``from_state`` of the same settings."""
        return {
            "version": 1,
            "alpha": self.alpha,
            "delta": self.delta,
            "grid": len(self._grid),
            "n": self.n,
            "kept": self._kept,
            "lost": self._lost,
            "wealth": self._wealth,
            "won": self._has_won,
            "place": self._place,
            "start": self._start,
            "first_scores": self._first_scores,
            "watch": self._watch,
            "restarts": self.restarts,
        }

    def restore(self, state: dict[str, Any]) -> bool:
        """Takes over a stored state; false and untouched when it belongs to other settings or is damaged."""
        expected = {"version": 1, "alpha": self.alpha, "delta": self.delta, "grid": len(self._grid)}
        if any(state.get(key) != value for key, value in expected.items()):
            return False
        size = len(self._grid)
        try:
            n, restarts, watch = int(state["n"]), int(state["restarts"]), float(state["watch"])
            kept, lost, won = list(state["kept"]), list(state["lost"]), list(state["won"])
            wealth = [list(row) for row in state["wealth"]]
            place, start, first_scores = state["place"], state["start"], list(state["first_scores"])
        except (KeyError, TypeError, ValueError):
            return False
        if {len(kept), len(lost), len(won), len(wealth)} != {size}:
            return False
        if any(len(row) != len(self._bets) for row in wealth):
            return False
        self.n, self.restarts, self._watch = n, restarts, watch
        self._kept, self._lost, self._has_won, self._wealth = kept, lost, won, wealth
        self._place, self._start, self._first_scores = place, start, first_scores
        return True
