"""Whether an engine counts tokens that it never sends, as one that thinks unseen does. Pure.

Its first tokens then come later the longer it thought, and the time from token to token seems shorter than
it is. Engines that send several tokens in one piece count more than they send pieces too, but begin no later.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from spillway.measuring.ask import Answered
from spillway.measuring.fit import non_negative_fit

__all__ = ["writes_unseen"]

SEEN_RATIO = 0.75
"""Pieces for each token from which on nothing much can be unseen (guess)."""
LEAST_SPREAD_TOKENS = 8
"""Answers must differ by so many tokens without a piece to tell anything (guess)."""


def writes_unseen(answers: Sequence[Answered]) -> bool:
    """Whether each token without a piece made the first one later by a step or more; they ran alone."""
    steps = [answer.itl_s for answer in answers if answer.itl_s]
    unseen = [answer.tokens - len(answer.piece_s) for answer in answers]
    seen_ratio = 1.0 - sum(unseen) / sum(answer.tokens for answer in answers)
    if not steps or seen_ratio >= SEEN_RATIO or max(unseen) - min(unseen) < LEAST_SPREAD_TOKENS:
        return False
    columns = [(1.0, _fresh(answer), float(more)) for answer, more in zip(answers, unseen, strict=True)]
    each_s = non_negative_fit(columns, [answer.ttft_s for answer in answers])[2]
    return each_s > median(steps)


def _fresh(answer: Answered) -> float:
    return float((answer.prompt_tokens or 0) - (answer.cached_tokens or 0))
