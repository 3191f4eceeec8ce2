"""How sure a model was of an answer: one number from its token log-probabilities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal

from spillway.verify.answer import GivenAnswer

__all__ = ["Measure", "confidence_of", "score_of"]

Measure = Literal["least", "mean", "margin"]
DEFAULT: Final[Measure] = "least"
"""Best on the demo model (AUROC 0.94 over seen and unseen phrasings, mean 0.94, margin 0.94). Leaving out
JSON punctuation gains 0.005 there and loses 0.1 where answers end too early or too late, which shows in the
punctuation alone; so every token counts."""


def confidence_of(answer: GivenAnswer, measure: Measure = DEFAULT) -> float | None:
    """The confidence (0-1) in an answer; ``None`` when its engine told no log-probabilities."""
    if measure == "margin":
        return 1.0 - math.exp(-max(0.0, min(answer.margins))) if answer.margins else None
    return score_of(answer.logprobs, measure)


def score_of(logprobs: Sequence[float] | None, measure: Measure = DEFAULT) -> float | None:
    """The probability of the least sure token, or the geometric mean of all.

    >>> score_of([-0.1, -0.7, 0.0])
    0.4965853037914095
    """
    if not logprobs:
        return None
    if measure == "mean":
        return math.exp(sum(logprobs) / len(logprobs))
    return math.exp(min(min(logprobs), 0.0))
