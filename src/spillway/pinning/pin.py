"""Pins nodes into a lock and checks them against one: what the command and nobody else does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from spillway.engines.http_client import HttpClient
from spillway.engines.wire import Origin
from spillway.pinning.answers import CanaryUnanswered, NodeAsker
from spillway.pinning.canaries import Canary, suited
from spillway.pinning.compare import Change
from spillway.pinning.identity import Identity
from spillway.pinning.lock import Lock, LockedModel, LockedNode, Measured, node_of
from spillway.pinning.review import NodeReview, review_node
from spillway.pinning.runs import Doubt, always, by_the_way, certain, measure, recheck
from spillway.pinning.survey import Sight, Target

__all__ = ["CanaryScope", "Checked", "Pinned", "check_node", "pin_node"]

CanaryScope = Literal["loaded", "all", "none"]
"""Which models get canaries: asking one that is not loaded makes the engine load it."""


@dataclass(frozen=True, slots=True)
class Checked:
    """One node held against the lock, canaries included."""

    sight: Sight
    review: NodeReview
    is_pinned: bool
    why: str | None = None
    """Why the node could not be looked at, or stopped answering."""
    notes: tuple[str, ...] = ()

    @property
    def is_equal(self) -> bool:
        """Whether the node could be seen and nothing differs."""
        return self.why is None and self.is_pinned and self.review.is_equal and not self.review.unverified


@dataclass(frozen=True, slots=True)
class Pinned:
    """One node's record for the lock; ``node`` is ``None`` when it stopped answering."""

    node: LockedNode | None
    why: str | None = None
    notes: tuple[str, ...] = field(default=())


async def check_node(
    target: Target, sight: Sight, lock: Lock, canaries: tuple[Canary, ...], scope: CanaryScope
) -> Checked:
    """How that node stands to the lock. Asks the canaries of each pinned model that is served."""
    pinned = lock.nodes.get(sight.name)
    if sight.why is not None:
        return Checked(sight, NodeReview(sight.name), pinned is not None, sight.why)
    review = review_node(sight.name, pinned, sight.identities)
    if pinned is None:
        return Checked(sight, review, is_pinned=False)
    client = HttpClient(Origin.parse(target.url))
    asker = NodeAsker(client, sight.found.kind, target.api_key)
    found: list[Change] = []
    notes: list[str] = []
    try:
        for model in _asked(sight, scope):
            if model in pinned.models:
                found += await _recheck(asker, model, pinned.models[model], canaries, notes)
    except CanaryUnanswered as error:
        return Checked(sight, review, True, f"it stopped answering its canaries: {error}", tuple(notes))
    finally:
        await client.close()
    return Checked(
        sight, replace(review, changes=(*review.changes, *found)), is_pinned=True, notes=tuple(notes)
    )


async def pin_node(
    target: Target, sight: Sight, lock: Lock, canaries: tuple[Canary, ...], scope: CanaryScope
) -> Pinned:
    """The record of a node as it is now; canaries that still fit are kept as they were pinned."""
    old = lock.nodes.get(sight.name)
    client = HttpClient(Origin.parse(target.url))
    asker = NodeAsker(client, sight.found.kind, target.api_key)
    measured: dict[str, Measured] = {}
    notes: list[str] = []
    asked = _asked(sight, scope)
    try:
        for model, one in sight.identities.items():
            before = _still_fitting(old, model, one)
            if one.remote_host is not None:
                notes.append(f"{model} is served by {one.remote_host}, not here: it is not pinned")
            elif model in asked:
                chosen = suited(canaries, one.capabilities)
                measured[model] = await measure(asker, model, chosen, kept=before)
            else:
                measured[model] = before
                if scope == "loaded":
                    notes.append(f"{model} is not loaded, so it gets no canaries: load it, or --canaries all")
    except CanaryUnanswered as error:
        return Pinned(None, f"it stopped answering its canaries: {error}", tuple(notes))
    finally:
        await client.close()
    if all(one.remote_host for one in sight.identities.values()):
        return Pinned(None, "nothing it serves runs here", tuple(notes))
    return Pinned(node_of(sight.identities, measured), None, tuple(notes))


async def _recheck(
    asker: NodeAsker,
    model: str,
    pinned: LockedModel,
    canaries: tuple[Canary, ...],
    notes: list[str],
) -> list[Change]:
    known = {canary.name: canary for canary in canaries}
    doubts: list[Doubt] = []
    aside: dict[Change, None] = {}
    for name, record in pinned.canaries.items():
        if name not in known:
            notes.append(f"canary {name} of {model} is pinned but no longer defined")
            continue
        doubt = await recheck(asker, model, known[name], record, always)
        if doubt.is_void:
            notes.append(f"canary {name} asks something else than when {model} was pinned: pin --update")
        doubts.append(doubt)
        aside |= dict.fromkeys(by_the_way(model, pinned, doubt.answers))
    return [*aside, *certain(doubts, len(pinned.canaries))]


def _still_fitting(old: LockedNode | None, model: str, now: Identity) -> Measured:
    """What was measured when that model was pinned, unless it is another one by now."""
    pinned = old.identity(model) if old else None
    if old is None or pinned is None or pinned.short != now.short:
        return Measured()
    return Measured(old.models[model].canaries, old.models[model].answer_fingerprint)


def _asked(sight: Sight, scope: CanaryScope) -> Sequence[str]:
    if scope == "none":
        return []
    return list(sight.identities) if scope == "all" else sight.loaded
