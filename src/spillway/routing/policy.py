"""What the owner decided beforehand, as plain values for the rules, and the seam to measured evidence."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from spillway.vocabulary import Deadlines, Objective, RequestFacts

__all__ = ["Evidence", "NoEvidence", "Policy"]


class Evidence(Protocol):
    """What has been measured about answers per task class and model."""

    def allows_local(self, task: str, upstream: str, model: str, identity: str | None = None) -> bool | None:
        """Whether that model may answer that task class; ``None`` leaves it to configuration."""
        ...

    def can_learn(self, task: str, upstream: str, model: str, identity: str | None = None) -> bool:
        """Whether sending it a few requests of a class that it may not answer could change that."""
        ...


class NoEvidence:
    """Nothing measured: configuration decides."""

    def allows_local(self, task: str, upstream: str, model: str, identity: str | None = None) -> bool | None:
        """Always ``None``."""
        return None

    def can_learn(self, task: str, upstream: str, model: str, identity: str | None = None) -> bool:
        """Never."""
        return False


class Policy(Struct, frozen=True):
    """The owner's settings as the rules need them."""

    aliases: dict[str, str] = {}
    substitutable: frozenset[str] = frozenset()
    """Cloud model names for which a local model may answer."""
    local_tasks: frozenset[str] = frozenset({"extraction", "classification", "routing", "short_generation"})
    max_local_input_tokens: int = 8000
    max_local_output_tokens: int = 1000
    queue_per_slot: float = 1.0
    max_attempts: int = 3
    total_s: float = 600.0
    hedge_share: float = 0.0
    """Largest share of requests sent twice because the first is late; 0: none."""
    exploration_share: float = 0.0
    """Share of requests of a class not trusted to local nodes that go there all the same, to learn."""
    gates: dict[str, tuple[str, ...]] = {}
    """Checks of local answers by task class; ``*`` is for classes that are not named. Empty: none."""
    hold_tasks: frozenset[str] = frozenset()
    """Task classes whose streams are held back until all checks have passed."""
    objectives: dict[str, Objective] = {}
    deadlines: dict[str, Deadlines] = {}
    """By upstream; the defaults of ``Deadlines`` for one that is missing."""

    def gates_of(self, facts: RequestFacts) -> tuple[str, ...]:
        """The checks that a local answer to this request has to pass."""
        if not self.gates or facts.operation == "embedding":
            return ()
        return self.gates.get(facts.task or "*", self.gates.get("*", ()))
