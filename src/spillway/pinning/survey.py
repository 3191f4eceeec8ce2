"""Looks at one node as it is now: its answer to a probe, and every identity with complete digests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from spillway.engines.http_client import HttpClient
from spillway.engines.identify import Found, identify
from spillway.engines.wire import Origin
from spillway.pinning.identity import Identity, identities_of, templates_of
from spillway.pinning.weights import WeightFiles, is_this_machine

__all__ = ["Sight", "Target", "look"]

PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Target:
    """One node to look at."""

    name: str
    url: str
    kind: str = "auto"
    api_key: str | None = None
    is_embedded: bool = False


@dataclass(frozen=True, slots=True)
class Sight:
    """What a node served when it was looked at; ``why`` says for a person why nothing could be seen."""

    name: str
    found: Found
    identities: Mapping[str, Identity] = field(default_factory=dict)
    templates: Mapping[str, str] = field(default_factory=dict)
    why: str | None = None

    @property
    def loaded(self) -> list[str]:
        """Models that can answer without loading first, as far as the engine tells."""
        told = {one.name: one.is_loaded for one in self.found.told}
        return [name for name in self.identities if told.get(name) is not False]


async def look(target: Target, files: WeightFiles) -> Sight:
    """What that node serves now; never raises for anything the node does. Reads weights files that are
    here, which takes half a minute for 40 GB the first time."""
    try:
        client = HttpClient(Origin.parse(target.url))
    except ValueError as error:
        return Sight(target.name, Found("down", target.kind), why=str(error))
    try:
        found = await identify(client, target.kind, target.api_key, PATIENCE_S)
        digests = await files.complete(found) if is_this_machine(client.origin) else {}
    finally:
        await client.close()
    if found.state != "ready":
        return Sight(target.name, found, why=found.why or found.state)
    if not found.models:
        return Sight(target.name, found, why="it offers no models: load or pull one")
    identities = identities_of(found, digests, is_embedded=target.is_embedded)
    return Sight(target.name, found, identities, templates_of(found))
