"""Whether tokens came as they were written, or something on the way collected them first. Pure.

A proxy that collects a stream makes first tokens late and steps short, so that neither says anything of the
node. Whole answers that come at once show by a speed that no engine has; parts of them by long pauses between
many tokens that come together. Engines that guess ahead send a few at once too, and that is their true pace.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from spillway.measuring.ask import Answered

__all__ = ["held_back_ratio"]

FEWEST_TOKENS = 4
"""Shorter answers tell nothing."""
MOST_TOGETHER = 12
"""Tokens for each pause beyond which they were collected: engines that guess ahead rarely send more than 8 at
once, and 4 KB, the least that proxies usually collect, hold the events of 15 and more."""
PAUSES_RATIO = 0.9
"""Of the time an answer took to write, what its pauses make up where it came in parts."""
SHORTEST_PAUSE_S = 0.005
"""What a client that waits for a core may miss; less does not change what is measured (guess)."""
FASTEST_STEP_S = 20e-6
"""No engine writes a token of one sequence in less (guess; the fastest of 2026 take three times as long)."""


def held_back_ratio(answers: Sequence[Answered], read_token_s: float) -> float:
    """Share of answers whose tokens were collected on the way; they ran alone. 0 when none can tell.

    ``read_token_s`` is what one more token of a prompt takes. A token that is read shares its pass over the
    weights with others, so that no engine writes much faster than it reads.
    """
    judged = [answer for answer in answers if answer.tokens >= FEWEST_TOKENS]
    least_s = max(read_token_s / 2, FASTEST_STEP_S)
    held = sum(_came_at_once(answer, least_s) or _came_in_parts(answer.piece_s) for answer in judged)
    return held / len(judged) if judged else 0.0


def _came_at_once(answer: Answered, least_s: float) -> bool:
    return answer.itl_s is not None and answer.itl_s < least_s


def _came_in_parts(piece_s: Sequence[float]) -> bool:
    """Whether nearly all its time lies in few pauses; one that is a little longer than others is no pause."""
    gaps = sorted((after - before for before, after in pairwise(piece_s)), reverse=True)
    left_s, pauses = PAUSES_RATIO * sum(gaps), 0
    while left_s > 0:
        left_s -= gaps[pauses]
        pauses += 1
    if not pauses or sum(gaps[:pauses]) < pauses * SHORTEST_PAUSE_S:
        return False
    return len(gaps) > MOST_TOGETHER * pauses
