"""Lines through few, noisy points: least squares with forgetting, a prior, and no negative slopes."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["Regression"]

FORGETTING = 0.995
"""Weight a point keeps with each new one: about the last two hundred count (guess)."""


class Regression:
    """Coefficients ``c`` of ``y = c · x``, all at least 0; errors count relative to ``y``.

    The prior is worth ``strength`` points at the first ``x``, so that one point already gives an answer and
    a saved profile is corrected slowly.
    """

    def __init__(self, prior: Sequence[float] | None, shares: Sequence[float], strength: float) -> None:
        """``prior`` are coefficients; without one the first point is split by ``shares`` of its ``y``."""
        self._prior = list(prior) if prior is not None else None
        self._shares = shares
        self._strength = strength
        size = len(shares)
        self._square = [[0.0] * size for _ in range(size)]
        self._cross = [0.0] * size
        self._weights = [0.0] * size
        self._coefficients: list[float] | None = self._prior

    def learn(self, x: Sequence[float], y: float) -> None:
        """One more point; ``y`` must be positive."""
        if not any(self._weights):
            self._start(x, y)
        scale = 1.0 / (y * y)
        for i, row in enumerate(self._square):
            for j in range(len(row)):
                row[j] = FORGETTING * row[j] + scale * x[i] * x[j]
            self._cross[i] = FORGETTING * self._cross[i] + scale * x[i] * y
        self._coefficients = None

    @property
    def coefficients(self) -> list[float] | None:
        """The best fit so far; ``None`` before the first point without a prior."""
        if self._coefficients is None and self._prior is not None:
            self._coefficients = self._solve()
        return self._coefficients

    def _start(self, x: Sequence[float], y: float) -> None:
        if self._prior is None:
            self._prior = [share * y / max(value, 1.0) for share, value in zip(self._shares, x, strict=True)]
        self._weights = [self._strength * (max(value, 1.0) / y) ** 2 for value in x]

    def _solve(self) -> list[float]:
        """Solved with all coefficients; those that come out negative are left at 0 and it is solved again."""
        assert self._prior is not None
        free = list(range(len(self._prior)))
        while free:
            found = self._solve_for(free)
            lowest = min(range(len(free)), key=lambda k: found[k])
            if found[lowest] >= 0.0:
                solved = [0.0] * len(self._prior)
                for k, i in enumerate(free):
                    solved[i] = found[k]
                return solved
            del free[lowest]
        return [0.0] * len(self._prior)

    def _solve_for(self, free: Sequence[int]) -> list[float]:
        """Gauss-Jordan elimination of the normal equations, at most three of them."""
        assert self._prior is not None
        rows = [
            [self._square[i][j] + (self._weights[i] if i == j else 0.0) for j in free]
            + [self._cross[i] + self._weights[i] * self._prior[i]]
            for i in free
        ]
        for k, pivot in enumerate(rows):
            rows[k] = pivot = [value / pivot[k] for value in pivot]
            for other in range(len(rows)):
                if other != k:
                    factor = rows[other][k]
                    rows[other] = [a - factor * b for a, b in zip(rows[other], pivot, strict=True)]
        return [row[-1] for row in rows]
