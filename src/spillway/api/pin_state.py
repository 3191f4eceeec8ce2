"""What the watch of pins knows of one node, what happened to it, and how both are told."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, to_builtins

from spillway.engines.http_client import HttpClient
from spillway.engines.identify import Found
from spillway.pinning.compare import BREAKS, Change, Field
from spillway.pinning.drift import DriftState
from spillway.pinning.identity import Identity
from spillway.pinning.lock import LockedNode
from spillway.pinning.rounds import CanaryRunner
from spillway.pinning.runs import Doubt

__all__ = ["DriftEvent", "Watch", "event_of", "standing"]


class DriftEvent(Struct, frozen=True):
    """Something began to differ from its pin, or ceased to."""

    at_wall_s: float
    node: str
    model: str
    """``*`` for what all models of the node share."""
    field: Field
    before: str
    after: str
    action: str
    """``warn``, ``quarantine`` or ``refuse``; ``restored`` when it is as pinned again."""
    breaks: str


class Watch:
    """One node between probes."""

    def __init__(
        self, name: str, client: HttpClient, api_key: str | None, runner: CanaryRunner, *, is_embedded: bool
    ) -> None:
        self.name = name
        self.client = client
        """For canaries; closing it with the watch cuts nobody else off."""
        self.api_key = api_key
        self.runner = runner
        self.is_embedded = is_embedded
        self.found: Found | None = None
        self.identities: Mapping[str, Identity] = {}
        self.digests: Mapping[str, str | None] | None = None
        """Of weights files that are here; ``None`` before they were looked for."""
        self.asked: dict[str, Change] = {}
        """What only asking can show, by what was asked."""
        self.doubts: dict[tuple[str, str], Doubt] = {}
        """What each canary showed last, by model and canary."""
        self.unverified: tuple[tuple[str, Field], ...] = ()
        self.state = DriftState()
        self.is_down = True
        self.due = asyncio.Event()
        """Set when canaries should run without waiting for their time."""
        self.checked = asyncio.Event()
        """Set when a round of canaries was finished, until the next begins."""
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.checked_wall_s: float | None = None


def event_of(at_wall_s: float, node: str, change: Change, action: str) -> DriftEvent:
    """What is kept of one change."""
    return DriftEvent(
        at_wall_s,
        node,
        change.model,
        change.field,
        change.before,
        change.after,
        action,
        BREAKS[change.field],
    )


def standing(watch: Watch, locked: LockedNode | None) -> dict[str, Any]:
    """One node in the body of ``GET /spillway/v1/drift``; null is unknown."""
    return {
        "name": watch.name,
        "is_pinned": locked is not None,
        "drift": list(watch.state.fields),
        "is_quarantined": watch.state.is_quarantined,
        "withheld": sorted(watch.state.withheld),
        "unverified": [{"model": model, "field": name} for model, name in watch.unverified],
        "canaries_checked_wall_s": watch.checked_wall_s,
        "canary_interruptions": watch.runner.interruptions,
        "models": [
            {
                **to_builtins(one),
                "identity": one.short,
                "is_pinned": locked is not None and name in locked.models,
            }
            for name, one in watch.identities.items()
        ],
    }
