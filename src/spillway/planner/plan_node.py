"""A node to plan with, from the catalogue, from figures, from a measured profile, or from a mix of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from msgspec import structs

from spillway.errors import ConfigError
from spillway.planner.catalogue import DESKTOP, CatalogueMachine, Figure, load_machines
from spillway.planner.money import HOURS_PER_MONTH
from spillway.planner.node_figures import (
    NodeFigures,
    described_machine,
    described_model,
    listed_machine,
    refuse_contradictions,
    refuse_too_small,
)
from spillway.planner.node_model import NodeModel, load_fit
from spillway.planner.plan_inputs import Assumption, NodeChoice
from spillway.planner.profile import Profile, doubt, load_profile
from spillway.slo.pace import LinearPace
from spillway.vocabulary import Grade, Objective, Pace

__all__ = ["DEFAULT_HARDWARE", "DEFAULT_MODEL", "Typical", "choose_node"]

DEFAULT_HARDWARE = "mac-mini-m4-pro"
DEFAULT_MODEL = "gemma-4-e4b"
MOST_SLOTS = 32
"""More sequences at once than this are of no use to the machines in the catalogue (derived)."""
UNLIKELY_ERROR_RATIO = 0.15
"""Taken for a profile that does not say how far it is off (guess)."""


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
    context_tokens: float
    memory_slots: int | None
    error_ratio: float
    """How far the times of one request at a time may be off."""
    batch_error_ratio: float
    """The same where several are worked on at once."""
    assumptions: tuple[Assumption, ...]
    machine_name: str = ""
    is_measured: bool = False
    warnings: tuple[str, ...] = ()


def choose_node(figures: NodeFigures, typical: Typical) -> NodeChoice:
    """The node that was described; ``ConfigError`` says which figure is missing or cannot be."""
    refuse_contradictions(figures)
    machine = _machine(figures)
    speed = (
        _measured(figures.profile, figures.slots, machine)
        if figures.profile
        else _computed(figures, machine, typical)
    )
    slots, slots_said = _slots(figures, speed, typical)
    price_usd, rent_usd_per_hour, bought = _price(figures, machine)
    is_rented = rent_usd_per_hour > 0
    idle_w, active_w, drawn = _watts(figures, machine, is_rented=is_rented)
    omitted = DESKTOP if is_rented else ""
    return NodeChoice(
        name=speed.name.replace(omitted, ""),
        pace=speed.pace,
        slots=slots,
        cache_tokens=speed.cache_tokens,
        context_tokens=speed.context_tokens,
        price_usd=price_usd,
        idle_w=idle_w,
        active_w=active_w,
        rent_usd_per_month=rent_usd_per_hour * HOURS_PER_MONTH,
        error_ratio=speed.error_ratio if slots == 1 else speed.batch_error_ratio,
        assumptions=(*speed.assumptions, slots_said, *bought, *drawn),
        machine_key=machine.key if machine is not None and speed.machine_name else None,
        machine_name=speed.machine_name.replace(omitted, ""),
        is_measured=speed.is_measured,
        warnings=speed.warnings,
    )


def _machine(figures: NodeFigures) -> CatalogueMachine | None:
    """The catalogue's machine, ``None`` where figures or a profile stand in for it."""
    if figures.hardware is not None:
        return listed_machine(figures.hardware)
    has_figures = figures.bandwidth_gb_s is not None or figures.tflops is not None
    if has_figures or figures.profile is not None:
        return None
    return load_machines()[DEFAULT_HARDWARE]


def _measured(path: Path, slots: int | None, machine: CatalogueMachine | None) -> _Speed:
    """The speed a live node was measured to have; ``slots`` are those it is to be planned with, if stated."""
    profile = load_profile(path)
    grade: Grade = "derived" if profile.flaws else "measured"
    validated = ", not validated" if profile.flaws else ""
    source = f"measured on {profile.measured_on} with {profile.samples} requests ({path.name}){validated}"
    known = [e for e in (profile.errors.ttft_median_ratio, profile.errors.itl_median_ratio) if e is not None]
    error = Assumption(
        "error of the node's times", round(max(known, default=UNLIKELY_ERROR_RATIO), 4), "ratio",
        grade if known else "guess", source if known else "the profile does not say",
    )  # fmt: skip
    pace, beyond = _stretched(profile, slots)
    context = math.inf if profile.context_tokens is None else float(profile.context_tokens)
    return _Speed(
        pace=pace,
        name=f"{profile.model} as measured on {profile.name}" + (f" on {machine.name}" if machine else ""),
        cache_tokens=context * profile.usable_slots,
        context_tokens=context,
        memory_slots=profile.usable_slots,
        error_ratio=max(known, default=UNLIKELY_ERROR_RATIO),
        batch_error_ratio=max(known, default=UNLIKELY_ERROR_RATIO),
        assumptions=(*_speeds(pace, context, grade, source), error),
        is_measured=True,
        warnings=tuple(said for said in (doubt(profile, path), beyond) if said is not None),
    )


def _stretched(profile: Profile, slots: int | None) -> tuple[LinearPace, str | None]:
    """The measured pace on so many slots, and a word where these are more than were measured."""
    if slots is None or slots <= profile.usable_slots:
        return profile.pace, None
    pace = structs.replace(profile.pace, slots=slots) if profile.pace.slots else profile.pace
    return pace, (
        f"--slots {slots} is more than the {profile.usable_slots} that were measured, so what a step takes "
        f"beyond is foretold from fewer: measure the node with {slots} slots"
    )


def _speeds(pace: Pace, context_tokens: float, grade: Grade, source: str) -> tuple[Assumption, ...]:
    """What the pace comes to at lengths that the node can hold."""
    prompt = min(2000.0, context_tokens)
    decode_tok_s = 1.0 / pace.decode_step_s(1.0, min(512.0, context_tokens))
    prefill_tok_s = prompt / pace.prefill_s(prompt, 0.0)
    return (
        Assumption("decode speed, one sequence", round(decode_tok_s, 1), "tok/s", grade, source),
        Assumption(f"prefill speed, {prompt:,.0f} tokens", round(prefill_tok_s), "tok/s", grade, source),
    )


def _computed(figures: NodeFigures, listed: CatalogueMachine | None, typical: Typical) -> _Speed:
    """The speed physics gives, corrected by the speeds that were stated."""
    machine = described_machine(figures, listed)
    model = described_model(figures, DEFAULT_MODEL)
    node = NodeModel(machine.figures, model.figures, load_fit())
    refuse_too_small(node, model.name, machine.name)
    source = (
        f"roofline fitted on public measurements; mean error {node.decode_error_ratio():.0%} decode, "
        f"{node.prefill_error_ratio(typical.input_tokens):.0%} prefill"
    )
    stated: tuple[Assumption, ...] = ()
    if figures.decode_tok_s is not None:
        node = node.calibrated(figures.decode_tok_s, figures.prefill_tok_s)
        stated = (figures.said("decode speed as stated", figures.decode_tok_s, "tok/s"),)
    elif figures.prefill_tok_s is not None:
        raise ConfigError("--prefill-tok-s needs --decode-tok-s beside it")
    known_tokens = node.cache_tokens()
    cache_tokens = math.inf if known_tokens is None else known_tokens
    speeds = _speeds(node, cache_tokens, "derived", source)
    # What writes at a stated speed is no particular machine unless it was named.
    is_named = listed is not None and (figures.hardware is not None or figures.decode_tok_s is None)
    return _Speed(
        pace=node,
        name=f"{model.name} on {machine.name}" if is_named else _unnamed(figures, listed, model.name),
        cache_tokens=cache_tokens,
        context_tokens=cache_tokens,
        memory_slots=node.slots(typical.input_tokens + typical.output_tokens, MOST_SLOTS),
        error_ratio=_error_ratio(node, typical, node.decode_error_ratio()),
        batch_error_ratio=_error_ratio(node, typical, node.batch_error.ratio),
        assumptions=(*machine.assumptions, *model.assumptions, *stated, *speeds),
        machine_name=machine.name if is_named else "",
    )


def _error_ratio(node: NodeModel, typical: Typical, decode_error_ratio: float) -> float:
    """How far the usual request's time may be off; no less than the fit is on machines it has not seen."""
    fit = node.fit
    read_s = node.prefill_s(typical.input_tokens)
    written_s = typical.output_tokens * node.decode_step_s(1.0, typical.input_tokens)
    read_off_s = read_s * node.prefill_error_ratio(typical.input_tokens)
    off_ratio = (read_off_s + written_s * decode_error_ratio) / (read_s + written_s)
    return max(off_ratio, fit.decode_error_ratio, fit.prefill_error_ratio)


def _unnamed(figures: NodeFigures, listed: CatalogueMachine | None, model: str) -> str:
    return model if listed is None else f"{model} at {figures.decode_tok_s:g} tok/s"


def _slots(figures: NodeFigures, speed: _Speed, typical: Typical) -> tuple[int, Assumption]:
    """Sequences the node works on at once: as stated, else as many as still keep the objective."""
    if figures.slots is not None:
        return figures.slots, figures.said("slots", figures.slots, "sequences")
    most = MOST_SLOTS if speed.memory_slots is None else min(MOST_SLOTS, max(speed.memory_slots, 1))
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
        return Decimal(0), rent, (figures.said("rent of one node", rent, "USD/hour"),)
    if figures.hardware_usd is not None:
        _refuse_price_of_rental(figures, machine)
        price = figures.hardware_usd
        return price, Decimal(0), (figures.said("price of one node", price, "USD"),)
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


def _refuse_price_of_rental(figures: NodeFigures, machine: CatalogueMachine | None) -> None:
    if machine is not None and machine.rent_usd_per_hour is not None:
        raise ConfigError(
            f"--hardware-usd has no place beside --hardware {figures.hardware}, which is rented by the hour; "
            "leave it out, or name the machine that is bought"
        )


def _watts(
    figures: NodeFigures, machine: CatalogueMachine | None, *, is_rented: bool
) -> tuple[Decimal, Decimal, tuple[Assumption, ...]]:
    """Idle and active draw, the second no less; a rented node's power is in its rent."""
    if is_rented:
        _refuse_own_power(figures)
        return Decimal(0), Decimal(0), ()
    if figures.active_w is not None:
        idle_w = figures.idle_w
        least = figures.active_w if idle_w is None else _no_more(idle_w, figures.active_w)
        idle = (
            Assumption("power when idle", least, "W", "derived", "unknown, taken as when active")
            if idle_w is None
            else figures.said("power when idle", least, "W")
        )
        return least, figures.active_w, (idle, figures.said("power when active", figures.active_w, "W"))
    if machine is None or machine.idle_w is None or machine.active_w is None:
        raise ConfigError(
            "the node's power draw is unknown, so nothing can be said about savings: give --active-w, or "
            "name the machine with --hardware"
        )
    active = Assumption.of("power when active", machine.active_w, "W")
    if figures.idle_w is not None:
        said = figures.said("power when idle", figures.idle_w, "W")
        active_w = _decimal(machine.active_w)
        return _no_more(figures.idle_w, active_w), active_w, (said, active)
    idle = Assumption.of("power when idle", machine.idle_w, "W")
    return _decimal(machine.idle_w), _decimal(machine.active_w), (idle, active)


def _no_more(idle_w: Decimal, active_w: Decimal) -> Decimal:
    """The idle draw; ``ConfigError`` where it is above the active one."""
    if idle_w > active_w:
        raise ConfigError(
            f"the node cannot draw more when idle ({float(idle_w):g} W, by --idle-w or the configuration's "
            f"idle_w) than when active ({float(active_w):g} W): correct that, or state --active-w"
        )
    return idle_w


def _refuse_own_power(figures: NodeFigures) -> None:
    if figures.idle_w is not None or figures.active_w is not None:
        option = "--idle-w" if figures.active_w is None else "--active-w"
        raise ConfigError(f"{option} has no place beside a rent, which pays for the power; leave it out")


def _decimal(figure: Figure) -> Decimal:
    return Decimal(repr(figure.value))
