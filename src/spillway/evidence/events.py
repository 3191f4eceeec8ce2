"""What evidence is about and made of: keys, and events that each say how good one answer was."""

from __future__ import annotations

from typing import Literal, NamedTuple

from msgspec import Struct

from spillway.vocabulary import Side

__all__ = ["Event", "Key", "Kind", "key_of"]

Kind = Literal["gate", "escalation", "feedback", "shadow"]
"""``gate``: an answer passed its gates or not. ``escalation``: a cloud answered instead. ``feedback``: what
the application or its user said. ``shadow``: compared with the reference's answer to the same request."""


class Key(NamedTuple):
    """What evidence is kept for."""

    task: str
    upstream: str
    model: str
    identity: str
    """``ModelFacts.identity``, or the model's name where that is unknown."""


class Event(Struct, frozen=True, kw_only=True):
    """One answer, judged one way. Carries no text of prompts or answers."""

    request_id: str
    """Ours."""
    key: Key
    side: Side = "local"
    kind: Kind
    score: float
    """1 good or as good as the reference, 0 bad; up to 2 for an answer judged better than the reference's."""
    at_s: float
    """Wall time."""
    detail: str = ""
    """Codes of failed gates, the comparison used, or the note of a feedback."""
    local_text: str | None = None
    """Both texts only of a disagreement, and only where the owner turned ``capture`` on."""
    reference_text: str | None = None


def key_of(task: str, upstream: str, model: str, identity: str | None) -> Key:
    """The key of answers by that model to that task class."""
    return Key(task, upstream, model, identity or model)
