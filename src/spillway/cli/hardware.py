"""Hardware that the configuration only names becomes the figures of the catalogue."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from spillway.errors import ConfigError

if TYPE_CHECKING:
    from spillway.config.schema import Config, HardwareConfig
    from spillway.planner.catalogue import CatalogueMachine

__all__ = ["listed_machine_of", "with_known_hardware"]


def with_known_hardware(config: Config) -> Config:
    """The configuration with every catalogue name resolved; ConfigError for one that is not there."""
    nodes = tuple(
        node.model_copy(update={"hardware": _figures(listed_machine_of(f"node {node.name}", node.hardware))})
        if isinstance(node.hardware, str)
        else node
        for node in config.nodes
    )
    return config.model_copy(update={"nodes": nodes})


def listed_machine_of(subject: str, key: str) -> CatalogueMachine:
    """The catalogue's machine; ConfigError says of the subject that there is none of that name."""
    import difflib

    from spillway.planner.catalogue import load_machines

    machines = load_machines()
    machine = machines.get(key)
    if machine is None:
        near = difflib.get_close_matches(key, machines, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(machines)}"
        raise ConfigError(f"{subject}: hardware {key!r} is not in the catalogue; {hint}")
    return machine


def _figures(machine: CatalogueMachine) -> HardwareConfig:
    from spillway.config.schema import HardwareConfig

    price, idle, active = (
        None if figure is None else Decimal(str(figure.value))
        for figure in (machine.price_usd, machine.idle_w, machine.active_w)
    )
    return HardwareConfig(price_usd=price, idle_w=idle, active_w=active)
