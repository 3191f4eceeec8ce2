"""Why a template gave no text for a conversation, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

__all__ = ["BOUND_KINDS", "FAILURE_KINDS", "FATAL_KINDS", "Failure", "FailureKind", "TemplateFailure"]

FailureKind = Literal[
    "syntax",  # the text is no template
    "refused",  # the template itself said that it does not take this conversation
    "error",  # it broke on this conversation
    "unsafe",  # it reached for Python internals
    "time",  # it was still running at the deadline
    "memory",  # it wanted more memory than the sandbox has
    "output",  # it printed more than a prompt can be
    "crash",  # the sandbox died under it
    "sandbox",  # the sandbox could not be started: nothing is known about the template
]
FAILURE_KINDS: tuple[FailureKind, ...] = get_args(FailureKind)
BOUND_KINDS: frozenset[FailureKind] = frozenset({"unsafe", "time", "memory", "output", "crash"})
"""Failures that say something about the template alone, whatever the conversation was."""
FATAL_KINDS: frozenset[FailureKind] = BOUND_KINDS | {"syntax", "sandbox"}
"""Failures after which there is nothing more to render."""

MESSAGE_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Failure:
    """``message`` is one sentence without a full stop, at most 300 characters."""

    kind: FailureKind
    message: str


class TemplateFailure(Exception):
    """Ends one rendering; carries the ``Failure`` that is reported."""

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.failure = Failure(kind, " ".join(message.split())[:MESSAGE_CHARACTERS])
