"""One step of a route: which choice to try next, and how."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from spillway.engines.failures import Failure
from spillway.vocabulary import AttemptKind, Choice

__all__ = ["AttemptFailed", "Method", "Step"]

Method = Literal["prompt", "prefill", "restart", "instruct"]
"""How an upstream is asked to go on with an answer of which the client has seen the beginning: that is added
to the text to complete, sent as the assistant's words, made again and skipped, or named in a request."""


class Step(Struct, eq=False):
    """What the next attempt is."""

    choice: Choice
    """Another one once a node that is free has taken it over from the queue of this one."""
    kind: AttemptKind = "first"
    pause_s: float = 0.0
    """How long to wait before it."""
    is_last: bool = False
    """Whether nothing could be tried after it, so that it waits for a model that is being loaded, and keeps
    nothing back that could be made again."""
    method: Method | None = None
    """Set when it continues an answer."""


class AttemptFailed(Exception):
    """The attempt ended without an answer; ``failure`` says how."""

    step: Step | None = None
    """Whose attempt it was, once begun: a hedge's where one had overtaken the step that was to be tried."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.sentence)
        self.failure = failure
