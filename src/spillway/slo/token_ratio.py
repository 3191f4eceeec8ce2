"""How many tokens a node makes of what the gateway estimates: learned from what its engine reports."""

from __future__ import annotations

import math

__all__ = ["TokenRatio"]

RATE = 0.1
"""Weight of the newest answer, once there were more than its inverse."""
MOST = math.log(8.0)


class TokenRatio:
    """Tokens of the engine over tokens of our estimate, in the geometric mean of the recent past.

    A small vocabulary, or one made for another language, needs two or three times as many for the same text.
    Profiles and learned speeds count in the engine's tokens, so forecasts must too.
    """

    def __init__(self) -> None:
        self._log = 0.0
        self._answers = 0

    @property
    def value(self) -> float:
        """1 before the first report."""
        return math.exp(self._log)

    def learn(self, estimated: float, reported: float) -> None:
        """One more prompt of which both are known."""
        if estimated <= 0.0 or reported <= 0.0:
            return
        self._answers += 1
        seen = min(max(math.log(reported / estimated), -MOST), MOST)
        self._log += max(RATE, 1.0 / self._answers) * (seen - self._log)
