"""What configuration only names becomes figures: hardware of the catalogue, profiles in files."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from spillway.errors import ConfigError

if TYPE_CHECKING:
    from spillway.config.schema import Config, HardwareConfig
    from spillway.slo.pace import LinearPace

__all__ = ["measured_paces", "with_known_hardware"]


def with_known_hardware(config: Config) -> Config:
    """The configuration with every catalogue name resolved; ConfigError for one that is not there."""
    nodes = tuple(
        node.model_copy(update={"hardware": _figures(node.name, node.hardware)})
        if isinstance(node.hardware, str)
        else node
        for node in config.nodes
    )
    return config.model_copy(update={"nodes": nodes})


def measured_paces(config: Config) -> dict[str, LinearPace]:
    """Node → what ``spillway bench`` measured; ConfigError names the file that cannot be used."""
    paces = {}
    for node in config.nodes:
        if node.profile is not None:
            from spillway.planner.profile import load_profile

            paces[node.name] = load_profile(Path(node.profile)).pace
    return paces


def _figures(node: str, key: str) -> HardwareConfig:
    import difflib

    from spillway.config.schema import HardwareConfig
    from spillway.planner.catalogue import load_machines

    machines = load_machines()
    machine = machines.get(key)
    if machine is None:
        near = difflib.get_close_matches(key, machines, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(machines)}"
        raise ConfigError(f"node {node}: hardware {key!r} is not in the catalogue; {hint}")
    price, idle, active = (
        None if figure is None else Decimal(str(figure.value))
        for figure in (machine.price_usd, machine.idle_w, machine.active_w)
    )
    return HardwareConfig(price_usd=price, idle_w=idle, active_w=active)
