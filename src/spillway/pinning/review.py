"""A lock held against what nodes serve now: pure, and the same for the command and the gateway."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spillway.pinning.compare import Change, Field, changes, unverified
from spillway.pinning.identity import Identity
from spillway.pinning.lock import Lock, LockedNode

__all__ = ["NodeReview", "lasting", "review_node", "template_lines"]

NODE_FIELDS: frozenset[Field] = frozenset({"engine", "engine_version", "slots"})
"""What all models of a node share: said once, under the model ``*``."""
MOST_LINES = 24


@dataclass(frozen=True, slots=True)
class NodeReview:
    """How one node stands to its lock."""

    name: str
    changes: tuple[Change, ...] = ()
    not_pinned: tuple[str, ...] = ()
    """Models it serves that the lock does not know."""
    unverified: tuple[tuple[str, Field], ...] = ()
    """Pairs of model and field that are pinned and of which the node says nothing now."""
    elsewhere: tuple[tuple[str, str], ...] = ()
    """Pairs of model and remote host: such a model cannot be pinned."""

    @property
    def is_equal(self) -> bool:
        """Whether everything that can be seen is as it was pinned."""
        return not (self.changes or self.not_pinned or self.elsewhere)


def review_node(name: str, node: LockedNode | None, seen: Mapping[str, Identity]) -> NodeReview:
    """What differs on one node that answered; all of it is new when the lock does not know the node."""
    elsewhere = tuple((model, one.remote_host) for model, one in seen.items() if one.remote_host)
    own = {model for model, one in seen.items() if one.remote_host is None}
    if node is None:
        return NodeReview(name, not_pinned=tuple(sorted(own)), elsewhere=elsewhere)
    found: list[Change] = []
    silent: list[tuple[str, Field]] = []
    for model in node.models:
        pinned, now = node.identity(model), seen.get(model)
        if pinned is None:
            continue
        if now is None:
            found.append(Change(model, "model", model, ", ".join(sorted(seen)) or "nothing"))
            continue
        found.extend(changes(pinned, now))
        silent.extend((model, field) for field in unverified(pinned, now))
    return NodeReview(name, _once(found), tuple(sorted(own - node.models.keys())), tuple(silent), elsewhere)


def lasting(before: Sequence[Change], review: NodeReview) -> list[Change]:
    """Earlier changes of fields that the node does not tell now: they hold until it tells otherwise, so that
    nobody gets rid of drift by silence."""
    silent = {*review.unverified, *(("*", field) for _, field in review.unverified if field in NODE_FIELDS)}
    told = {(change.model, change.field) for change in review.changes}
    return [
        change for change in before if (key := (change.model, change.field)) in silent and key not in told
    ]


def template_lines(lock: Lock, templates: Mapping[str, str], before: str | None, after: str) -> list[str]:
    """The lines in which two templates differ, as a unified diff without its head; none when a text is not
    at hand."""
    old, new = lock.templates.get(before or ""), templates.get(after)
    if old is None or new is None:
        return []
    lines = list(difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=0))[2:]
    return lines if len(lines) <= MOST_LINES else [*lines[:MOST_LINES], f"… {len(lines) - MOST_LINES} more"]


def _once(found: Sequence[Change]) -> tuple[Change, ...]:
    """Changes of the node itself said once rather than for each of its models."""
    kept: dict[tuple[str, str], Change] = {}
    for change in found:
        model = "*" if change.field in NODE_FIELDS else change.model
        kept.setdefault((model, change.field), Change(model, change.field, change.before, change.after))
    return tuple(kept.values())
