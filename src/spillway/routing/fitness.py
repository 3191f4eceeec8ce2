"""Whether one upstream may answer one request with one of its models: rules 3 and 5, asked of a single pair.

``decide`` asks when a request comes, ``fleet`` again when a slot is handed to it: it may have waited long.
"""

from __future__ import annotations

from typing import Protocol

from spillway.routing import reasons
from spillway.vocabulary import Capability, ModelFacts, RequestFacts, Side

__all__ = ["Standing", "ailment", "fits", "lack", "room_tokens"]

ESTIMATE_SHARE = 0.8
"""Of an estimated size, what surely is needed (guess)."""


class Standing(Protocol):
    """What is asked of an upstream, be it a snapshot or the upstream itself."""

    @property
    def side(self) -> Side:
        """Whose hardware it is."""
        ...

    @property
    def is_up(self) -> bool:
        """Whether it answers its probe."""
        ...

    @property
    def is_draining(self) -> bool:
        """Whether it is to get nothing more."""
        ...

    @property
    def is_quarantined(self) -> bool:
        """Whether it drifted from its pin in a way that excludes it."""
        ...

    @property
    def withheld(self) -> frozenset[Capability]:
        """Capabilities not trusted since it drifted from its pin."""
        ...


def ailment(node: Standing, model: ModelFacts) -> str | None:
    """The reason code for which nobody may be sent there; its breaker is apart."""
    if not node.is_up:
        return reasons.DOWN
    if node.is_draining:
        return reasons.DRAINING
    if node.is_quarantined:
        return reasons.DRIFTED
    if node.side == "local" and model.remote_host:
        return reasons.PASSTHROUGH
    return None


def lack(facts: RequestFacts, node: Standing, model: ModelFacts) -> str | None:
    """The reason code for which it cannot do what the request needs."""
    if node.withheld and not facts.needs.isdisjoint(node.withheld):
        return reasons.DRIFTED
    if model.capabilities is not None and not facts.needs <= model.capabilities:
        return reasons.CAPABILITY
    return None


def room_tokens(facts: RequestFacts, prompt_tokens: float) -> float:
    """Tokens that prompt and answer take; ``prompt_tokens`` are those of the engine."""
    return prompt_tokens + (facts.max_output_tokens or 0)


def fits(facts: RequestFacts, prompt_tokens: float, model: ModelFacts) -> bool:
    """An estimate that is only a little over is let through: the engine counts exactly and says so."""
    share = 1.0 if facts.input_grade != "estimated" else ESTIMATE_SHARE
    limit = model.context_tokens
    return limit is None or room_tokens(facts, prompt_tokens) * share <= limit
