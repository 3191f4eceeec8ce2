"""What ``spillway.yaml`` already says of a plan: electricity, objective, prices, and the node's machine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
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
    from spillway.config.schema import Config, NodeConfig, PriceConfig

__all__ = [
    "Stated", "context_of", "filled", "life_of", "notes_on", "read_stated", "refuse_unfit", "wished",
]  # fmt: skip

BOUGHT_FIELDS = ("hardware_usd", "idle_w", "active_w")
"""Figures of a machine that one owns; the power of a rented one is in its rent."""
USUAL = Objective("default", ttft_s=2.0, total_s=20.0, attainment_ratio=0.95)


@dataclass(frozen=True)
class Stated:
    """Figures out of a configuration; ``None`` where it says nothing."""

    path: Path | None = None
    usd_per_kwh: Decimal | None = None
    objective: Objective | None = None
    most_input_tokens: int | None = None
    hedge_share: float | None = None
    node: NodeFigures = field(default_factory=NodeFigures)
    life_months: Decimal | None = None
    """Of that node."""
    prices: Mapping[str, Rates] = field(default_factory=dict)
    """The owner's own price by ``CLOUD/MODEL``."""
    reference: str | None = None
    """What usage that names no model is priced as."""
    origin: NodeConfig | None = None
    """The node of the configuration that ``node`` is."""
    named: tuple[str, ...] = ()
    """What it says besides the node, for the plan's reader."""
    passed_over: tuple[str, ...] = ()
    """One sentence for each node before ``origin`` that no plan can be about."""


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
    origin = next((each for each in config.nodes if _is_plannable(each)), None)
    reference = config.routing.reference
    found = Stated(
        path=path,
        usd_per_kwh=config.electricity_usd_per_kwh,
        objective=_objective(config) if "slo" in config.model_fields_set else None,
        most_input_tokens=config.routing.max_local_input_tokens if is_limited else None,
        hedge_share=config.routing.hedge_share if is_hedged else None,
        node=NodeFigures() if origin is None else _node(origin),
        life_months=None if origin is None else _life_months(origin),
        origin=origin,
        prices={_as_listed(name, config): _rates(price) for name, price in config.prices.items()},
        reference=None if reference is None else _as_listed(reference, config),
        passed_over=tuple(_passed_over(config.nodes)),
    )
    said = [
        ("electricity", found.usd_per_kwh is not None),
        ("objective", found.objective is not None),
        ("longest local prompt", is_limited),
        ("share of requests sent twice", is_hedged),
        ("prices", bool(found.prices)),
        ("reference", found.reference is not None),
    ]
    return replace(found, named=tuple(name for name, is_there in said if is_there))


def _is_plannable(node: NodeConfig) -> bool:
    """Whether it says which machine it is, or both what it costs and how fast it is."""
    return isinstance(node.hardware, str) or None not in (node.hardware, node.profile)


def _passed_over(nodes: Sequence[NodeConfig]) -> Iterator[str]:
    """Why nodes that say something of their machine are not planned with, up to one that is."""
    for node in nodes:
        if _is_plannable(node):
            return
        if node.hardware is not None:
            yield (
                f"node {node.name} says what it costs and not how fast it is, so it was not planned with: "
                "spillway bench URL --save measures it, profile: names the file"
            )
        elif node.profile is not None:
            yield (
                f"node {node.name} says how fast it is and not what it costs, so it was not planned with: "
                "hardware: tells its price and power"
            )


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
    read = price.cache_read_usd_per_mtok
    return Rates(
        price.input_usd_per_mtok,
        price.output_usd_per_mtok,
        price.input_usd_per_mtok if read is None else read,
        price.cache_write_usd_per_mtok,
        source=OWN_PRICE,
    )


def _node(node: NodeConfig) -> NodeFigures:
    """Its machine, or what it costs, and its profile."""
    profile, hardware = None if node.profile is None else Path(node.profile), node.hardware
    if hardware is None or isinstance(hardware, str):
        return NodeFigures(hardware=hardware, profile=profile)
    return NodeFigures(
        profile=profile,
        hardware_usd=hardware.price_usd,
        idle_w=hardware.idle_w,
        active_w=hardware.active_w,
    )


def _life_months(node: NodeConfig) -> Decimal | None:
    """Months of the hardware's life where they are stated."""
    hardware = node.hardware
    if hardware is None or isinstance(hardware, str) or "life_months" not in hardware.model_fields_set:
        return None
    return hardware.life_months


def refuse_unfit(given: NodeFigures, stated: Stated) -> None:
    """``ConfigError`` names file and node where its machine is taken and is in no catalogue.

    So it does where the machine is rented and options tell what only one that is bought has.
    """
    origin = stated.origin
    if origin is None or not isinstance(origin.hardware, str) or _names_a_machine(given):
        return
    from spillway.cli.hardware import listed_machine_of

    where = f"{stated.path}: node {origin.name}"
    machine = listed_machine_of(where, origin.hardware)
    owned = next((each for each in BOUGHT_FIELDS if getattr(given, each) is not None), None)
    if owned is not None and machine.rent_usd_per_hour is not None:
        raise ConfigError(
            f"{where}: {option_of(owned)} has no place beside its hardware {origin.hardware}, which is "
            "rented by the hour; leave it out, or name the machine that is bought with --hardware"
        )


def _names_a_machine(figures: NodeFigures) -> bool:
    """Whether these figures say which machine the plan is about."""
    return any(
        (figures.hardware, figures.profile, figures.bandwidth_gb_s, figures.tflops, figures.decode_tok_s)
    )


def filled(figures: NodeFigures, stated: NodeFigures) -> NodeFigures:
    """The figures given as options; a machine named by none of them is the configuration's.

    Its profile is left out where options describe another model or another speed, and its price and power
    where the node is rented. ``ConfigError`` when nothing but that profile says what its machine is.
    """
    if _names_a_machine(figures):
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
    """The configured life in whole months; ``None`` where the plan is about another or a rented machine.

    And where a plan cannot count so many months.
    """
    months = _own_life_months(figures, stated)
    return int(months) if months is not None and _is_countable(months) else None


def _own_life_months(figures: NodeFigures, stated: Stated) -> Decimal | None:
    is_its_own = figures.profile == stated.node.profile and figures.rent_usd_per_hour is None
    return stated.life_months if is_its_own else None


def _is_countable(months: Decimal) -> bool:
    return months == int(months) and 1 <= months <= MOST_MONTHS


def context_of(given: NodeFigures, stated: Stated) -> int | None:
    """Most tokens of prompt and answer as configured; ``None`` for another machine, or if unsaid."""
    return None if stated.origin is None or _names_a_machine(given) else stated.origin.context_tokens


def notes_on(given: NodeFigures, figures: NodeFigures, stated: Stated) -> tuple[str, ...]:
    """What the plan about ``figures`` takes of the configuration, and what of its nodes it leaves out.

    ``given`` are those of the figures that came as options.
    """
    costs = [(getattr(given, each), getattr(figures, each)) for each in ("hardware", *BOUGHT_FIELDS)]
    of_node = [
        ("hardware", any(before != now for before, now in costs)),
        ("profile", figures.profile != given.profile),
        ("life of the hardware", life_of(figures, stated) is not None),
        ("context", context_of(given, stated) is not None),
    ]
    names = ", ".join([*stated.named, *(name for name, is_taken in of_node if is_taken)])
    taken = [f"taken from {stated.path} unless given as options: {names}"] if names else []
    passed_over = () if _names_a_machine(given) else stated.passed_over
    return (*taken, *passed_over, *_uncounted(figures, stated), *_on_profile(figures, stated))


def _uncounted(figures: NodeFigures, stated: Stated) -> Iterator[str]:
    """That the node's life is none that a plan can count."""
    months = _own_life_months(figures, stated)
    if stated.origin is not None and months is not None and not _is_countable(months):
        yield (
            f"node {stated.origin.name} has a life of {months} months, which was left out: a plan counts "
            f"whole months, 1 to {MOST_MONTHS}; --life-months says how many"
        )


def _on_profile(figures: NodeFigures, stated: Stated) -> Iterator[str]:
    """That the configured profile was left out, or is not of what the node serves."""
    profile, origin = stated.node.profile, stated.origin
    if profile is None or origin is None:
        return
    if figures.profile == profile:
        from spillway.cli.profiles import difference
        from spillway.planner.profile import load_profile

        other = difference(origin, load_profile(profile), None)
        if other is not None:
            yield f"node {origin.name}: {other}"
    elif figures.profile is None:
        yield f"the configuration's profile {profile} was left out: options describe another node"


def wished(
    ttft_ms: float | None, total_ms: float | None, attainment: float | None, stated: Objective | None
) -> Objective:
    """The objective of the options, what they leave out from the configuration, else the usual one.

    ``ConfigError`` for a limit on the first token that the one on the last leaves no room for.
    """
    base = stated or USUAL
    first_s = base.ttft_s if ttft_ms is None else ttft_ms / 1000 or None
    last_s = base.total_s if total_ms is None else total_ms / 1000 or None
    if ttft_ms and first_s is not None and last_s is not None and first_s > last_s:
        raise ConfigError(
            f"--slo-ttft-ms {ttft_ms:g} allows the first token to come after the last, which has to be there "
            f"after {1000 * last_s:g} ms: raise --slo-total-ms too, or lift it with 0"
        )
    return Objective("default", first_s, last_s, base.attainment_ratio if attainment is None else attainment)
