"""From what differs to what follows: pure, by the owner's policy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from msgspec import Struct, field

from spillway.pinning.compare import FIELDS, Change, Field, brief
from spillway.vocabulary import Capability

__all__ = [
    "USUAL_POLICY",
    "DriftState",
    "ModelDrift",
    "OnDrift",
    "Policy",
    "action_of",
    "is_explained",
    "judge",
    "sentence",
]

OnDrift = Literal["warn", "quarantine", "refuse"]
Policy = Mapping[Field, OnDrift]

USUAL_POLICY: Policy = {
    **dict.fromkeys(FIELDS, "warn"),
    "remote_host": "refuse",
    "model": "refuse",
    "engine": "quarantine",
    "template": "quarantine",
    "adapters": "quarantine",
    "canary": "quarantine",
}
"""What happens where the owner says nothing."""

BREAKS_ONLY: Mapping[Field, frozenset[Capability]] = {"template": frozenset({"tools"})}
"""What a quarantine withholds where that is less than everything."""


EXPLAINS: frozenset[Field] = frozenset(
    {"model", "engine", "engine_version", "weights", "quantization", "template", "adapters", "fingerprint"}
)
"""What makes other answers no further news: the owner has said what such a change deserves."""


class ModelDrift(Struct, frozen=True):
    """What follows for one model, or for all of a node under the name ``*``."""

    fields: tuple[Field, ...] = ()
    is_excluded: bool = False
    withheld: frozenset[Capability] = frozenset()


class DriftState(Struct, frozen=True):
    """How one node stands to its pin, and what follows for routing."""

    fields: tuple[Field, ...] = ()
    """What differs on any of its models, the most serious first."""
    is_quarantined: bool = False
    """Whether the node as a whole takes no traffic."""
    withheld: frozenset[Capability] = frozenset()
    """Capabilities that no model of the node is trusted with."""
    changes: tuple[Change, ...] = ()
    models: dict[str, ModelDrift] = field(default_factory=dict)
    """Only models that drifted."""


def judge(changes: Sequence[Change], policy: Policy, served: Iterable[str]) -> DriftState:
    """The state of a node that differs from its pin by ``changes``; ``served`` are its pinned models that it
    still serves.

    A node is quarantined as a whole when each of those is, or when none of them is left: what it serves
    instead was never pinned.
    """
    if not changes:
        return DriftState()
    by_model: dict[str, list[Change]] = {}
    for change in changes:
        by_model.setdefault(change.model, []).append(change)
    models = {name: _model(found, changes, policy) for name, found in by_model.items()}
    everywhere = models.get("*", ModelDrift())
    standing = [models.get(name, ModelDrift()) for name in served]
    is_quarantined = everywhere.is_excluded or all(one.is_excluded for one in standing or models.values())
    shared = frozenset.intersection(*(one.withheld for one in standing)) if standing else frozenset()
    found_fields = {change.field for change in changes}
    return DriftState(
        tuple(name for name in FIELDS if name in found_fields),
        is_quarantined,
        everywhere.withheld | shared,
        tuple(changes),
        models,
    )


def sentence(node: str, change: Change) -> str:
    """One change in a sentence for a log."""
    where = node if change.model == "*" else f"{node}/{change.model}"
    return f"{where}: {change.field} changed: {brief(change.before)} -> {brief(change.after)}"


def action_of(change: Change, among: Sequence[Change], policy: Policy) -> OnDrift:
    """What the owner wants done about one change. Canaries that differ count only where no other field says
    why: by themselves they mean that something changed unseen."""
    if change.field == "canary" and is_explained(change, among):
        return "warn"
    return policy.get(change.field, "warn")


def is_explained(change: Change, among: Sequence[Change]) -> bool:
    """Whether another change says why answers differ."""
    where = (change.model, "*")
    return any(other.field in EXPLAINS and other.model in where for other in among)


def _model(changes: Sequence[Change], among: Sequence[Change], policy: Policy) -> ModelDrift:
    withheld: frozenset[Capability] = frozenset()
    is_excluded = False
    for change in changes:
        action = action_of(change, among, policy)
        if action == "quarantine" and change.field in BREAKS_ONLY:
            withheld |= BREAKS_ONLY[change.field]
        elif action != "warn":
            is_excluded = True
    names = {change.field for change in changes}
    return ModelDrift(tuple(name for name in FIELDS if name in names), is_excluded, withheld)
