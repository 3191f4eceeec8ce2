"""Whether a choice may still be used when a slot is handed to it: nodes change while requests wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spillway.routing import reasons
from spillway.routing.fitness import ailment, fits, lack
from spillway.vocabulary import Choice, RequestFacts

if TYPE_CHECKING:
    from spillway.fleet.registry import Upstream

__all__ = ["Unfit", "why_not"]

SENTENCES = {
    reasons.DOWN: "it went down before the request could be sent",
    reasons.DRAINING: "it is being drained",
    reasons.DRIFTED: "it drifted from its pin, and is not trusted with the request",
    reasons.PASSTHROUGH: "the model is served by a remote host now, not by the node itself",
    reasons.MODEL_GONE: "it no longer serves the model",
    reasons.CAPABILITY: "its model can no longer do what the request needs",
    reasons.CONTEXT: "its context has become too small for prompt and answer",
}


class Unfit(Exception):
    """The choice can no longer be used; ``reason`` is the code of ``routing.reasons`` that says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(SENTENCES[reason])
        self.reason = reason


def why_not(node: Upstream, facts: RequestFacts, choice: Choice) -> str | None:
    """The reason code for which that choice of ``node`` can no longer be used, by what the node is now.

    ``None`` while it may. Its breaker is apart. What a cloud serves is configured, and does not change.
    """
    if node.side == "cloud":
        return None
    for model in node.models:
        if model.name == choice.model:
            code = ailment(node, model) or lack(facts, node, model)
            if code is None and not fits(facts, facts.input_tokens * node.token_ratio, model):
                return reasons.CONTEXT
            return code
    return reasons.MODEL_GONE
