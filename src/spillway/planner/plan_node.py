"""A node to plan with, from the catalogue, from figures, from a measured profile, or from a mix of them."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from spillway.errors import ConfigError
from spillway.planner.catalogue import (
    BYTES_PER_PARAM,
    CatalogueMachine,
    CatalogueModel,
    Figure,
    Quant,
    load_machines,
    load_models,
    shape_from_size,
)
from spillway.planner.money import HOURS_PER_MONTH
from spillway.planner.node_model import (
    FAMILIES,
    Family,
    Machine,
    ModelShape,
    NodeModel,
    infer_family,
    load_fit,
)
from spillway.planner.plan_inputs import Assumption, NodeChoice, PlanGrade, Value
from spillway.planner.profile import load_profile
from spillway.vocabulary import Grade, Objective, Pace

__all__ = ["DEFAULT_HARDWARE", "DEFAULT_MODEL", "NodeFigures", "Typical", "choose_node"]

DEFAULT_HARDWARE = "mac-mini-m4-pro"
DEFAULT_MODEL = "gemma-4-e4b"
MOST_SLOTS = 32
"""More sequences at once than this are of no use to the machines in the catalogue (derived)."""
UNLIKELY_ERROR_RATIO = 0.15
"""Taken for a profile that does not say how far it is off (guess)."""


UNKNOWN_MEMORY = Assumption("memory", None, "GB", "guess", "unknown, taken as large enough for any request")
Entry = TypeVar("Entry")


@dataclass(frozen=True)
class NodeFigures:
    """What was said about the node; ``None`` leaves a figure to the catalogue, to physics, or unknown."""

    hardware: str | None = None
    model: str | None = None
    quant: str | None = None
    profile: Path | None = None
    bandwidth_gb_s: float | None = None
    tflops: float | None = None
    memory_gb: float | None = None
    family: str | None = None
    weights_gb: float | None = None
    params_b: float | None = None
    kv_bytes_per_token: float | None = None
    decode_tok_s: float | None = None
    prefill_tok_s: float | None = None
    slots: int | None = None
    hardware_usd: Decimal | None = None
    rent_usd_per_hour: Decimal | None = None
    idle_w: Decimal | None = None
    active_w: Decimal | None = None
    source: str = "given"
    """Who said all this, and with what right."""
    grade: PlanGrade = "given"


@dataclass(frozen=True)
class Typical:
    """The request that slots are chosen for: mean lengths, and the objective it has to keep."""

    input_tokens: float
    output_tokens: float
    objective: Objective


@dataclass(frozen=True)
class _Speed:
    pace: Pace
    name: str
    cache_tokens: float
    memory_slots: int | None
    error_ratio: float
    assumptions: tuple[Assumption, ...]


def choose_node(figures: NodeFigures, typical: Typical) -> NodeChoice:
    """The node that was described; ``ConfigError`` says which figure is missing or cannot be."""
    machine = _machine(figures)
    speed = _measured(figures.profile) if figures.profile else _computed(figures, machine, typical)
    slots, slots_said = _slots(figures, speed, typical)
    price_usd, rent_usd_per_hour, bought = _price(figures, machine)
    idle_w, active_w, drawn = _watts(figures, machine, is_rented=rent_usd_per_hour > 0)
    return NodeChoice(
        name=_name(figures, machine, speed),
        pace=speed.pace,
        slots=slots,
        cache_tokens=speed.cache_tokens,
        price_usd=price_usd,
        idle_w=idle_w,
        active_w=active_w,
        rent_usd_per_month=rent_usd_per_hour * HOURS_PER_MONTH,
        error_ratio=speed.error_ratio,
        assumptions=(*speed.assumptions, slots_said, *bought, *drawn),
    )


def _name(figures: NodeFigures, machine: CatalogueMachine | None, speed: _Speed) -> str:
    if machine is None:
        return speed.name
    if figures.hardware is None and figures.decode_tok_s is not None:
        return f"{speed.name} at {figures.decode_tok_s:g} tok/s"
    return f"{speed.name} on {machine.name}"


def _machine(figures: NodeFigures) -> CatalogueMachine | None:
    """The catalogue's machine, ``None`` where figures or a profile stand in for it."""
    if figures.hardware is not None:
        return _look_up("--hardware", figures.hardware, load_machines())
    has_figures = figures.bandwidth_gb_s is not None or figures.tflops is not None
    if has_figures or figures.profile is not None:
        return None
    return load_machines()[DEFAULT_HARDWARE]


def _look_up(option: str, key: str, known: Mapping[str, Entry]) -> Entry:
    if key in known:
        return known[key]
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(sorted(known))}"
    raise ConfigError(f"{option} {key!r} is not in the catalogue; {hint}")


def _measured(path: Path) -> _Speed:
    """The speed a live node was measured to have."""
    profile = load_profile(path)
    source = f"measured on {profile.measured_on} with {profile.samples} requests ({path.name})"
    known = [e for e in (profile.errors.ttft_median_ratio, profile.errors.itl_median_ratio) if e is not None]
    error = Assumption(
        "error of the node's times", round(max(known, default=UNLIKELY_ERROR_RATIO), 4), "ratio",
        "measured" if known else "guess", source if known else "the profile does not say",
    )  # fmt: skip
    context = profile.context_tokens
    return _Speed(
        pace=profile.pace,
        name=f"{profile.model} as measured on {profile.name}",
        cache_tokens=math.inf if context is None else float(context * profile.usable_slots),
        memory_slots=profile.usable_slots,
        error_ratio=max(known, default=UNLIKELY_ERROR_RATIO),
        assumptions=(*_speeds(profile.pace, "measured", source), error),
    )


def _speeds(pace: Pace, grade: Grade, source: str) -> tuple[Assumption, ...]:
    decode_tok_s = 1.0 / pace.decode_step_s(1.0, 512.0)
    prefill_tok_s = 2000.0 / pace.prefill_s(2000.0, 0.0)
    return (
        Assumption("decode speed, one sequence", round(decode_tok_s, 1), "tok/s", grade, source),
        Assumption("prefill speed, 2,000 tokens", round(prefill_tok_s), "tok/s", grade, source),
    )


def _computed(figures: NodeFigures, machine: CatalogueMachine | None, typical: Typical) -> _Speed:
    """The speed physics gives, corrected by the speeds that were stated."""
    raw, machine_said = _raw_machine(figures, machine)
    shape, model_name, model_said = _shape(figures)
    fit = load_fit()
    node = NodeModel(raw, shape, fit)
    _refuse_too_small(node, model_name, machine)
    source = (
        f"roofline fitted on public measurements; mean error {fit.decode_error_ratio:.0%} decode, "
        f"{fit.prefill_error_ratio:.0%} prefill on machines it has not seen"
    )
    stated: tuple[Assumption, ...] = ()
    if figures.decode_tok_s is not None:
        node = node.calibrated(figures.decode_tok_s, figures.prefill_tok_s)
        stated = (_said(figures, "decode speed as stated", figures.decode_tok_s, "tok/s"),)
    elif figures.prefill_tok_s is not None:
        raise ConfigError("--prefill-tok-s needs --decode-tok-s beside it")
    cache_tokens = node.cache_tokens()
    return _Speed(
        pace=node,
        name=model_name,
        cache_tokens=math.inf if cache_tokens is None else cache_tokens,
        memory_slots=node.slots(typical.input_tokens + typical.output_tokens, MOST_SLOTS),
        error_ratio=max(fit.decode_error_ratio, fit.prefill_error_ratio),
        assumptions=(*machine_said, *model_said, *stated, *_speeds(node, "derived", source)),
    )


def _raw_machine(
    figures: NodeFigures, machine: CatalogueMachine | None
) -> tuple[Machine, tuple[Assumption, ...]]:
    if machine is not None:
        said = (
            Assumption.of("memory bandwidth", machine.bandwidth_gb_s, "GB/s"),
            Assumption.of("compute", machine.tflops, "TFLOPS"),
            Assumption.of("memory", machine.memory_gb, "GB"),
        )
        return machine.machine, said
    bandwidth, tflops = figures.bandwidth_gb_s, figures.tflops
    if bandwidth is None or tflops is None or bandwidth <= 0 or tflops <= 0:
        raise ConfigError("a node by its figures needs --bandwidth-gb-s and --tflops, both above 0")
    family = _family(figures, bandwidth, tflops)
    given = [
        _said(figures, "memory bandwidth", bandwidth, "GB/s"),
        _said(figures, "compute", tflops, "TFLOPS"),
        _said(figures, "memory", figures.memory_gb, "GB") if figures.memory_gb else UNKNOWN_MEMORY,
        Assumption(
            "kind of machine", family, "", "given" if figures.family else "derived",
            "given" if figures.family else "these figures look like it",
        ),
    ]  # fmt: skip
    return Machine(family, bandwidth, tflops, figures.memory_gb), tuple(given)


def _family(figures: NodeFigures, bandwidth_gb_s: float, tflops: float) -> Family:
    if figures.family is None:
        return infer_family(bandwidth_gb_s, tflops)
    found = next((known for known in FAMILIES if known == figures.family), None)
    if found is None:
        raise ConfigError(f"--family {figures.family!r} is unknown; use one of {', '.join(FAMILIES)}")
    return found


def _shape(figures: NodeFigures) -> tuple[ModelShape, str, tuple[Assumption, ...]]:
    """The model's size, its name, and where both come from."""
    if figures.weights_gb is not None and figures.model is None:
        return _shape_from_figures(figures, figures.weights_gb)
    quant = _quant(figures.quant)
    model = _look_up("--model", figures.model or DEFAULT_MODEL, load_models())
    said = (
        Assumption("model", f"{model.name} {quant}", "", "given" if figures.model else "guess",
                   "given" if figures.model else "a small model that many tasks do with"),
        Assumption.of("weights", model.weights_gb.get(quant) or _only(model), "GB"),
    )  # fmt: skip
    return model.shape(quant), f"{model.name} {quant}", said


def _only(model: CatalogueModel) -> Figure:
    return next(iter(model.weights_gb.values()))


def _quant(name: str | None) -> Quant:
    found = next((quant for quant in BYTES_PER_PARAM if quant == (name or "q4")), None)
    if found is None:
        raise ConfigError(f"--quant {name!r} is unknown; use one of {', '.join(BYTES_PER_PARAM)}")
    return found


def _shape_from_figures(
    figures: NodeFigures, weights_gb: float
) -> tuple[ModelShape, str, tuple[Assumption, ...]]:
    if weights_gb <= 0:
        raise ConfigError("--weights-gb must be above 0")
    said = Assumption("weights", weights_gb, "GB", "given", "given")
    if figures.params_b is None:
        shape, note = shape_from_size(weights_gb, figures.kv_bytes_per_token)
        size = Assumption("parameters", round(shape.params_b, 2), "billions", "derived", note)
    else:
        kv = figures.kv_bytes_per_token or 131_072.0 * (figures.params_b / 8.03) ** 0.42
        is_quantised = weights_gb / figures.params_b < 1.6
        shape = ModelShape(figures.params_b, weights_gb, kv, is_quantised=is_quantised)
        size = Assumption("parameters", figures.params_b, "billions", "given", "given")
    return shape, f"a model of {weights_gb:g} GB", (said, size)


def _refuse_too_small(node: NodeModel, model: str, machine: CatalogueMachine | None) -> None:
    if node.cache_tokens() == 0:
        where = machine.name if machine is not None else "the node"
        raise ConfigError(
            f"{model} takes {node.model.weights_gb:g} GB and does not fit the {node.machine.memory_gb:g} GB "
            f"of {where}; choose a smaller --model or --quant, or more memory"
        )


def _slots(figures: NodeFigures, speed: _Speed, typical: Typical) -> tuple[int, Assumption]:
    """Sequences the node works on at once: as stated, else as many as still keep the objective."""
    if figures.slots is not None:
        return figures.slots, _said(figures, "slots", figures.slots, "sequences")
    most = min(MOST_SLOTS, speed.memory_slots or MOST_SLOTS)
    limit_s = typical.objective.total_s or math.inf
    context = typical.input_tokens + typical.output_tokens / 2
    spare_s = limit_s - speed.pace.prefill_s(typical.input_tokens, 0.0)
    fitting = [
        slots
        for slots in range(1, most + 1)
        if typical.output_tokens * speed.pace.decode_step_s(slots, context) <= spare_s
    ]
    slots = max(fitting, default=1)
    source = "as many as the memory holds and a usual answer stays within the objective"
    return slots, Assumption("slots", slots, "sequences", "derived", source)


def _price(
    figures: NodeFigures, machine: CatalogueMachine | None
) -> tuple[Decimal, Decimal, tuple[Assumption, ...]]:
    """Price of a node and rent per hour, one of which is 0."""
    if figures.rent_usd_per_hour is not None:
        rent = figures.rent_usd_per_hour
        return Decimal(0), rent, (_said(figures, "rent of one node", rent, "USD/hour"),)
    if figures.hardware_usd is not None:
        price = figures.hardware_usd
        return price, Decimal(0), (_said(figures, "price of one node", price, "USD"),)
    if machine is not None and machine.price_usd is not None:
        said = Assumption.of("price of one node", machine.price_usd, "USD")
        return _decimal(machine.price_usd), Decimal(0), (said,)
    if machine is not None and machine.rent_usd_per_hour is not None:
        said = Assumption.of("rent of one node", machine.rent_usd_per_hour, "USD/hour")
        return Decimal(0), _decimal(machine.rent_usd_per_hour), (said,)
    raise ConfigError(
        "what the node costs is unknown, so nothing can be said about savings: give --hardware-usd or "
        "--rent-usd-per-hour, or name it with --hardware"
    )


def _watts(
    figures: NodeFigures, machine: CatalogueMachine | None, *, is_rented: bool
) -> tuple[Decimal, Decimal, tuple[Assumption, ...]]:
    """Idle and active draw; a rented node's power is in its rent."""
    if is_rented:
        return Decimal(0), Decimal(0), ()
    if figures.active_w is not None:
        idle_w = figures.idle_w
        least = figures.active_w if idle_w is None else idle_w
        idle = (
            Assumption("power when idle", least, "W", "derived", "unknown, taken as when active")
            if idle_w is None
            else _said(figures, "power when idle", least, "W")
        )
        return least, figures.active_w, (idle, _said(figures, "power when active", figures.active_w, "W"))
    if machine is None or machine.idle_w is None or machine.active_w is None:
        raise ConfigError(
            "the node's power draw is unknown, so nothing can be said about savings: give --active-w, or "
            "name the machine with --hardware"
        )
    active = Assumption.of("power when active", machine.active_w, "W")
    if figures.idle_w is not None:
        said = _said(figures, "power when idle", figures.idle_w, "W")
        return figures.idle_w, _decimal(machine.active_w), (said, active)
    idle = Assumption.of("power when idle", machine.idle_w, "W")
    return _decimal(machine.idle_w), _decimal(machine.active_w), (idle, active)


def _said(figures: NodeFigures, name: str, value: Value, unit: str) -> Assumption:
    return Assumption(name, value, unit, figures.grade, figures.source)


def _decimal(figure: Figure) -> Decimal:
    return Decimal(repr(figure.value))
