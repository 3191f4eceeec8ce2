"""Profiles that the configuration names: read, doubted, and compared with what their nodes serve."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from spillway.errors import printable

if TYPE_CHECKING:
    from spillway.api.nodes import KnownNode
    from spillway.config.schema import Config, NodeConfig
    from spillway.engines.identify import Found
    from spillway.planner.profile import Profile

__all__ = ["Comparison", "difference", "doubts_of", "profiles_of"]


def profiles_of(config: Config) -> dict[str, Profile]:
    """Node → what ``spillway bench`` measured; ConfigError names the file that cannot be used."""
    from spillway.planner.profile import load_profile

    return {node.name: load_profile(Path(node.profile)) for node in config.nodes if node.profile is not None}


def doubts_of(config: Config, profiles: Mapping[str, Profile]) -> list[str]:
    """One sentence for each profile that should not be relied on."""
    from spillway.planner.profile import doubt

    found = [
        doubt(profiles[node.name], Path(node.profile))
        for node in config.nodes
        if node.profile is not None and node.name in profiles
    ]
    return [said for said in found if said is not None]


def difference(node: NodeConfig, profile: Profile, found: Found | None) -> str | None:
    """That the profile was measured with another model or other slots than the node serves.

    ``None`` where it fits and where nobody knows. ``found`` is what the running node said of itself; ``None``
    where it was not asked. Only llama.cpp tells the slots that it was started with.
    """
    told = found.models if found is not None else ()
    models = [each.name for each in told] if node.model is None else [node.model]
    slots = found.slots if found is not None and found.kind == "llamacpp" else None
    if slots is None and node.model is not None and node.slots != "auto":
        slots = node.slots
    before, now = [], []
    if models and _plain(profile.model) not in map(_plain, models):
        before.append(f"with {profile.model}")
        now.append(_plain(models[0]))
    if None not in (profile.slots, slots) and profile.slots != slots:
        before.append(f"in {profile.slots} slots")
        now.append(f"in {slots} slots")
    if not before:
        return None
    return printable(
        f"its profile {node.profile} was measured {' '.join(before)}, and it serves {' '.join(now)}: "
        "measure it again"
    )


def _plain(model: str) -> str:
    """The name without what llama.cpp leaves of its file: it may call a model by its path."""
    return model.rpartition("/")[2].removesuffix(".gguf")


class Comparison:
    """Says once of each node that it serves something else than was measured, when it first answers."""

    def __init__(self, profiles: Mapping[str, Profile], say: Callable[[str], None]) -> None:
        self._left = dict(profiles)
        self._say = say

    def note(self, node: KnownNode, found: Found) -> None:
        """What a probe of the node found."""
        if found.state != "ready" or node.name not in self._left:
            return
        if said := difference(node.config, self._left.pop(node.name), found):
            self._say(f"node {node.name}: {said}")
