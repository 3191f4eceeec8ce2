"""Whether an answer declines to do what was asked, in the words models use for it."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from spillway.verify.word_lists import lines_of

__all__ = ["OPENING_CHARS", "is_refusal", "opens_like_refusal"]

OPENING_CHARS: Final = 160
"""Where a refusal has to begin; an answer that apologises later has answered."""
LONGEST_CHARS: Final = 700
"""A longer text goes on to answer, or explains at length, which a caller may want to read."""

_GOES_ON: Final = (
    r"\b(?:however|but|instead|jedoch|aber|stattdessen|cependant|toutefois|sin embargo|pero|porém)\b"
    r".{0,40}\b(?:here(?:'s| is| are)|the answer|I can (?:tell|say|give)|hier (?:ist|sind)|voici|aquí|aqui)\b"
)


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """(how refusals read, how an answer goes on after one)"""
    cannot, *patterns = lines_of("refusals.txt")
    cannot = cannot.removeprefix("<CANNOT> = ")
    refusal = "|".join(f"(?:{pattern})" for pattern in patterns).replace("<CANNOT>", cannot)
    return re.compile(refusal, re.IGNORECASE), re.compile(_GOES_ON, re.IGNORECASE | re.DOTALL)


def opens_like_refusal(opening: str) -> bool:
    """Whether the first ``OPENING_CHARS`` characters decline; in a stream this is all that can be judged."""
    head = opening.lstrip()[:OPENING_CHARS]
    return not head.startswith(("{", "[", "<", "```", "#", "|")) and _patterns()[0].search(head) is not None


def is_refusal(text: str) -> bool:
    """Whether a whole answer declines: it opens so, is short, and does not go on to answer.

    >>> is_refusal("I'm sorry, but I can't help with that."), is_refusal("Sorry for the delay! It is 42.")
    (True, False)
    """
    text = text.strip()
    return len(text) <= LONGEST_CHARS and opens_like_refusal(text) and _patterns()[1].search(text) is None
