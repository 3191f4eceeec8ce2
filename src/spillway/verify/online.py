"""A threshold that is learned while answers are checked, valid at every moment.

For each threshold of the grid a gambler bets against "kept answers are wrong at the rate ``alpha`` or more".
Each checked answer multiplies the wealth by 1 + bet · (alpha - loss), which is a fair or losing game while
that is true, so by Ville's inequality the chance that the wealth ever reaches 1/d is at most d (Waudby-Smith
and Ramdas, "Estimating means of bounded random variables by betting", 2023). The wealth is an equal mixture
over fixed bets, so there is nothing to tune. Thresholds are opened from strict to loose in the chains of
``thresholds``, each at ``delta`` / chains: a threshold opens when its wealth has been at its mark once *and*
all stricter ones of its chain are open.

What is promised: with probability ≥ 1 - ``delta``, no threshold that is ever in use, at any time and however
often one looks, keeps answers that are wrong at a rate above ``alpha``, as long as checked answers are drawn
like the traffic. When the traffic changes the promise ends; a second gambler watches for that, and when it
wins everything starts over.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from spillway.verify.thresholds import CHAIN_STARTS, GRID, Threshold

__all__ = ["OnlineThreshold"]

_BETS: Final = (0.03, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.92)
"""As shares of the largest bet that cannot ruin, 1 / (1 - alpha)."""
_WATCH_BET: Final = 0.25
"""As a share of 1 / alpha: finds a doubled or tripled rate of errors soon."""


class OnlineThreshold:
    """The threshold of one task class and model; ``value`` is ``None`` until one has been earned.

    ``least_share`` is the smallest share of answers that is ever checked: feeding an answer that was checked
    with a larger probability then counts less, so that what is checked still stands for all that is kept.
    """

    def __init__(
        self,
        *,
        alpha: float,
        delta: float = 0.05,
        least_share: float = 1.0,
        drift_delta: float = 0.001,
        grid: Sequence[float] = GRID,
        starts: Sequence[int] = CHAIN_STARTS,
    ) -> None:
        if not 0 < alpha < 1 or not 0 < delta < 1 or not 0 < least_share <= 1:
            raise ValueError("alpha, delta and least_share must lie between 0 and 1")
        self.alpha, self.delta = alpha, delta
        self._least_share = least_share
        self._drift_log = math.log(1 / drift_delta)
        self._grid, self._starts = tuple(grid), tuple(starts)
        self._mark = math.log(len(starts) / delta)
        self._bets = tuple(bet / (1 - alpha) for bet in _BETS)
        self.restarts = 0
        """How often the watch has found the rate of errors too high and everything started over."""
        self._begin()

    def _begin(self) -> None:
        self.n = 0
        self._kept = [0] * len(self._grid)
        self._lost = [0.0] * len(self._grid)
        self._wealth = [[0.0] * len(self._bets) for _ in self._grid]
        self._has_won = [False] * len(self._grid)
        self._place: int | None = None
        self._watch = 0.0

    @property
    def value(self) -> float | None:
        """The loosest threshold earned so far; ``None`` when nothing may be kept yet."""
        return None if self._place is None else self._grid[self._place]

    @property
    def threshold(self) -> Threshold:
        """The same with the answers it rests on."""
        if self._place is None:
            return Threshold(None, self.alpha, self.delta, self.n)
        kept, lost = self._kept[self._place], self._lost[self._place]
        return Threshold(self.value, self.alpha, self.delta, self.n, kept, lost)

    def update(self, score: float, correctness: float, *, share: float | None = None) -> float | None:
        """Takes in one checked answer and returns the threshold then in use.

        ``share`` is the probability with which an answer of that confidence was checked at the time;
        ``correctness`` is 1 or 0, or a share of points between.
        """
        loss = 1.0 - min(1.0, max(0.0, float(correctness)))
        weight = min(1.0, self._least_share / share) if share else 1.0
        self.n += 1
        gain = weight * (self.alpha - loss)
        first = next((i for i, threshold in enumerate(self._grid) if score >= threshold), len(self._grid))
        for place in range(first, len(self._grid)):
            self._kept[place] += 1
            self._lost[place] += loss
            self._bet(place, gain)
        if self._place is not None and score >= self._grid[self._place] and self._has_drifted(-gain):
            self.restarts += 1
            self._begin()
            return None
        self._advance()
        return self.value

    def _bet(self, place: int, gain: float) -> None:
        if self._has_won[place]:
            return
        wealth = self._wealth[place]
        for i, bet in enumerate(self._bets):
            wealth[i] += math.log1p(bet * gain)
        top = max(wealth)
        total = top + math.log(sum(math.exp(w - top) for w in wealth) / len(wealth))
        self._has_won[place] = total >= self._mark

    def _has_drifted(self, loss_over_alpha: float) -> bool:
        """The watch at the threshold in use; while all is well it rings once in 1/drift_delta or rarer."""
        step = math.log1p(_WATCH_BET / self.alpha * loss_over_alpha)
        self._watch = max(0.0, self._watch) + step
        return self._watch >= self._drift_log

    def _advance(self) -> None:
        best = self._place
        for start in self._starts:
            place = start
            while place < len(self._grid) and self._has_won[place]:
                best = place if best is None else max(best, place)
                place += 1
        if best != self._place:
            self._place, self._watch = best, 0.0

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
            "watch": self._watch,
            "restarts": self.restarts,
        }

    def restore(self, state: dict[str, Any]) -> bool:
        """Takes over a stored state; false and untouched when it belongs to other settings or is damaged."""
        expected = {"version": 1, "alpha": self.alpha, "delta": self.delta, "grid": len(self._grid)}
        if any(state.get(key) != value for key, value in expected.items()):
            return False
        size = len(self._grid)
        lists = [state.get(key) for key in ("kept", "lost", "wealth", "won")]
        if any(not isinstance(one, list) or len(one) != size for one in lists):
            return False
        self.n, self.restarts = int(state["n"]), int(state["restarts"])
        self._kept, self._lost = list(state["kept"]), list(state["lost"])
        self._wealth = [list(row) for row in state["wealth"]]
        self._has_won = list(state["won"])
        self._place, self._watch = state["place"], float(state["watch"])
        return True
