"""From a guess to the class that requests are routed by: the same live and for logged prompts."""

from __future__ import annotations

from typing import Final

from spillway.classify.facts import PayloadFacts
from spillway.classify.model import TaskGuess

__all__ = ["routed_as"]

SHORT_WORDS: Final = 120
SHORT_TOKENS: Final = 200
"""Up to this much a generation is a short one (guess: a paragraph)."""
VAGUE: Final = frozenset({"conversation", "other", "open_qa"})
"""What a payload looks like whose words set no task."""
UNSURE: Final = "other"
"""Where the model is unsure the class is none that is trusted by default."""


def routed_as(guess: TaskGuess, payload: PayloadFacts) -> str:
    """The class by which evidence is kept and rules decide.

    >>> routed_as(TaskGuess("generation", 0.9, None), PayloadFacts(max_output_tokens=60))
    'short_generation'
    """
    if payload.schema == "json_schema" and (guess.is_unsure or guess.task in VAGUE):
        # words say little, but whoever hands in a schema wants fields filled, or one of a few labels
        return "extraction" if payload.schema_fields > 1 else "classification"
    if guess.is_unsure:
        return UNSURE
    if guess.task == "generation" and _is_short(payload):
        return "short_generation"
    return guess.task


def _is_short(payload: PayloadFacts) -> bool:
    limit = payload.max_output_tokens
    if limit is not None and limit <= SHORT_TOKENS:
        return True
    return payload.wanted_words is not None and payload.wanted_words <= SHORT_WORDS
