"""What ``spillway.yaml`` already says of a plan: electricity, objective, prices, and the node's machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from spillway.cli.plan_options import MOST_MONTHS
from spillway.errors import ConfigError
from spillway.planner.node_figures import SPEED_FIELDS, NodeFigures, option_of
from spillway.planner.plan_cloud import OWN_PRICE
from spillway.vocabulary import Objective, Rates

if TYPE_CHECKING:
    from spillway.config.schema import Config, HardwareConfig, NodeConfig, PriceConfig

__all__ = ["Stated", "filled", "life_of", "notes_on", "read_stated", "wished"]

USUAL = Objective("default", ttft_s=2.0, total_s=20.0, attainment_ratio=0.95)


@dataclass(frozen=True)
class Stated:
    """Figures out of a configuration; ``None`` where it says nothing."""

    usd_per_kwh: Decimal | None = None
    objective: Objective | None = None
    most_input_tokens: int | None = None
    hedge_share: float | None = None
    node: NodeFigures = field(default_factory=NodeFigures)
    life_months: int | None = None
    """Of that node."""
    prices: Mapping[str, Rates] = field(default_factory=dict)
    """The owner's own price by ``CLOUD/MODEL``."""
    reference: str | None = None
    """What usage that names no model is priced as."""
    origin: NodeConfig | None = None
    """The node of the configuration that ``node`` is."""
    notes: tuple[str, ...] = ()
    """What was taken from where, for the plan's reader."""


def read_stated(path: Path | None, *, is_preset: bool) -> Stated:
    """What the configuration at ``path`` says, or the one found in the usual places.

    A preset brings its own figures and takes nothing that was not named. ``ConfigError`` names the key.
    """
    if path is None and is_preset:
        return Stated()
    from spillway.config.load import load_config

    loaded = load_config(path, os.environ, needs_variables=False)
    return Stated() if loaded.path is None else _stated(loaded.config, loaded.path)


def _stated(config: Config, path: Path) -> Stated:
    is_limited = "max_local_input_tokens" in config.routing.model_fields_set
    is_hedged = "hedge_share" in config.routing.model_fields_set
    origin = next((each for each in config.nodes if each.hardware is not None), None)
    node, life_months, node_notes = _node(origin)
    reference = config.routing.reference
    found = Stated(
        usd_per_kwh=config.electricity_usd_per_kwh,
        objective=_objective(config) if "slo" in config.model_fields_set else None,
        most_input_tokens=config.routing.max_local_input_tokens if is_limited else None,
        hedge_share=config.routing.hedge_share if is_hedged else None,
        node=node,
        life_months=life_months,
        origin=origin,
        prices={_as_listed(name, config): _rates(price) for name, price in config.prices.items()},
        reference=None if reference is None else _as_listed(reference, config),
    )
    taken = [
        ("electricity", found.usd_per_kwh is not None),
        ("objective", found.objective is not None),
        ("longest local prompt", is_limited),
        ("share of requests sent twice", is_hedged),
        ("hardware", node != NodeFigures()),
        ("profile", node.profile is not None),
        ("life of the hardware", life_months is not None),
        ("prices", bool(found.prices)),
        ("reference", found.reference is not None),
    ]
    names = ", ".join(name for name, is_there in taken if is_there)
    notes = [f"taken from {path} unless given as options: {names}"] if names else []
    return replace(found, notes=(*notes, *node_notes))


def _as_listed(name: str, config: Config) -> str:
    """``PROVIDER/MODEL`` of a model that the configuration calls by its cloud's name."""
    cloud, _, model = name.partition("/")
    providers = {each.name: each.provider or each.name for each in config.clouds}
    return f"{providers.get(cloud, cloud)}/{model}"


def _objective(config: Config) -> Objective | None:
    slo = config.slo.get("default")
    if slo is None:
        return None
    ttft_s = None if slo.ttft_ms is None else slo.ttft_ms / 1000
    total_s = None if slo.total_ms is None else slo.total_ms / 1000
    return Objective("default", ttft_s, total_s, slo.attainment)


def _rates(price: PriceConfig) -> Rates:
    cached = price.cache_read_usd_per_mtok
    return Rates(
        price.input_usd_per_mtok,
        price.output_usd_per_mtok,
        price.input_usd_per_mtok if cached is None else cached,
        source=OWN_PRICE,
    )


def _node(node: NodeConfig | None) -> tuple[NodeFigures, int | None, list[str]]:
    """Its machine, the first that has one, and its life in months where that is stated.

    What it costs alone says nothing of how fast it is.
    """
    if node is None or node.hardware is None:
        return NodeFigures(), None, []
    profile = None if node.profile is None else Path(node.profile)
    if isinstance(node.hardware, str):
        return NodeFigures(hardware=node.hardware, profile=profile), None, []
    if profile is None:
        note = (
            f"node {node.name} says what it costs and not how fast it is, so it was not planned with: "
            "spillway bench URL --save measures it, profile: names the file"
        )
        return NodeFigures(), None, [note]
    costs = node.hardware
    figures = NodeFigures(
        profile=profile, hardware_usd=costs.price_usd, idle_w=costs.idle_w, active_w=costs.active_w
    )
    return figures, *_life(node.name, costs)


def _life(name: str, costs: HardwareConfig) -> tuple[int | None, list[str]]:
    """Months of the hardware's life where they are stated and a plan can count them; else a note."""
    months = costs.life_months
    if "life_months" not in costs.model_fields_set:
        return None, []
    if months == int(months) and 1 <= months <= MOST_MONTHS:
        return int(months), []
    return None, [
        f"node {name} has a life of {months} months, which was left out: a plan counts whole months, 1 to "
        f"{MOST_MONTHS}; --life-months says how many"
    ]


def filled(figures: NodeFigures, stated: NodeFigures) -> NodeFigures:
    """The figures given as options; a machine named by none of them is the configuration's.

    Its profile is left out where options describe another model or another speed, and its price and power
    where the node is rented. ``ConfigError`` when nothing but that profile says what its machine is.
    """
    if any((figures.hardware, figures.profile, figures.bandwidth_gb_s, figures.tflops, figures.decode_tok_s)):
        return figures
    other = next((each for each in SPEED_FIELDS if getattr(figures, each) is not None), None)
    if other is not None and stated.profile is not None and stated.hardware is None:
        raise ConfigError(
            f"{option_of(other)} and the configuration's profile {stated.profile} contradict each other, and "
            f"nothing else tells what machine that is: add --hardware, or leave {option_of(other)} out"
        )
    named = replace(figures, hardware=stated.hardware, profile=stated.profile if other is None else None)
    if figures.rent_usd_per_hour is not None:
        return named
    return replace(
        named,
        hardware_usd=stated.hardware_usd if figures.hardware_usd is None else figures.hardware_usd,
        idle_w=stated.idle_w if figures.idle_w is None else figures.idle_w,
        active_w=stated.active_w if figures.active_w is None else figures.active_w,
    )


def life_of(figures: NodeFigures, stated: Stated) -> int | None:
    """The configured life in months; ``None`` where the plan is about another machine or a rented one."""
    is_its_own = figures.profile == stated.node.profile and figures.rent_usd_per_hour is None
    return stated.life_months if is_its_own else None


def notes_on(figures: NodeFigures, stated: Stated) -> tuple[str, ...]:
    """What the plan left out of the configuration's node, and whether that is not as it was measured."""
    profile, origin = stated.node.profile, stated.origin
    if profile is None or origin is None:
        return ()
    if figures.profile == profile:
        from spillway.cli.profiles import difference
        from spillway.planner.profile import load_profile

        other = difference(origin, load_profile(profile), None)
        return () if other is None else (f"node {origin.name}: {other}",)
    if figures.profile is not None or figures.hardware != stated.node.hardware:
        return ()
    return (f"the configuration's profile {profile} was left out: options describe another node",)


def wished(
    ttft_ms: float | None, total_ms: float | None, attainment: float | None, stated: Objective | None
) -> Objective:
    """The objective of the options, what they leave out from the configuration, else the usual one."""
    base = stated or USUAL
    return Objective(
        "default",
        base.ttft_s if ttft_ms is None else ttft_ms / 1000 or None,
        base.total_s if total_ms is None else total_ms / 1000 or None,
        base.attainment_ratio if attainment is None else attainment,
    )
