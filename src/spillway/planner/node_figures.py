"""The machine and the model somebody describes: by name, by figures, or by name with figures that differ.

``plan`` and ``bench --predict`` both ask here, so that the same options mean the same node.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Generic, TypeVar

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
from spillway.planner.node_model import (
    FAMILIES,
    Family,
    Machine,
    ModelShape,
    NodeModel,
    cache_bytes_from_params,
    infer_family,
)
from spillway.planner.plan_inputs import Assumption, PlanGrade, Value

__all__ = [
    "SPEED_FIELDS",
    "Described",
    "NodeFigures",
    "described_machine",
    "described_model",
    "listed_machine",
    "option_of",
    "refuse_contradictions",
    "refuse_too_small",
]

UNKNOWN_MEMORY = Assumption("memory", None, "GB", "guess", "unknown, taken as large enough for any request")
FLOAT_GB_PER_B = 1.6
"""Weights of so many gigabytes per billion parameters or more are taken for 16-bit floats (derived)."""
FAR_SIZE_RATIO = 0.35
"""Off a quantisation's usual size by more, it is another one; large embeddings add a third to a small model
(guess)."""
LEAST_BITS, MOST_BITS = 1.0, 33.0
"""Bits a parameter takes: no published quantisation has fewer, 32-bit floats and a header have as many."""
DOUBTFUL_PER_TFLOPS = 20.0
"""GB/s per TFLOPS from which machines of several families share figures (derived: of 322 cards and chips 25
are taken for another family, all of them beyond this)."""
MODEL_FIELDS = ("model", "quant", "weights_gb", "params_b", "active_params_b", "kv_bytes_per_token")
SPEED_FIELDS = (
    *MODEL_FIELDS, "bandwidth_gb_s", "tflops", "memory_gb", "family", "decode_tok_s", "prefill_tok_s",
)  # fmt: skip
"""Figures of :class:`NodeFigures` that a measured profile settles."""
CONTRADICTIONS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("profile", SPEED_FIELDS, "a profile is one model on one machine as measured"),
    ("model", ("params_b", "active_params_b"), "the catalogue knows the parameters of a model it names"),
    ("rent_usd_per_hour", ("hardware_usd",), "a node is either rented or bought"),
)
Entry = TypeVar("Entry")
Kind = TypeVar("Kind")


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
    active_params_b: float | None = None
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

    def said(self, name: str, value: Value, unit: str) -> Assumption:
        """One of these figures as an assumption."""
        return Assumption(name, value, unit, self.grade, self.source)


@dataclass(frozen=True)
class Described(Generic[Kind]):
    """A machine or a model, its name for a person, and what it rests on."""

    figures: Kind
    name: str
    assumptions: tuple[Assumption, ...]
    notes: tuple[str, ...] = ()
    """One sentence for each thing that was not given and had to be inferred."""


def refuse_contradictions(figures: NodeFigures) -> None:
    """``ConfigError`` names two figures of which one would have to be ignored."""
    for one, others, why in CONTRADICTIONS:
        other = next((each for each in others if getattr(figures, each) is not None), None)
        if getattr(figures, one) is not None and other is not None:
            raise ConfigError(
                f"{option_of(one)} and {option_of(other)} contradict each other: {why}; leave one of them out"
            )
    if None not in (figures.model, figures.quant, figures.weights_gb):
        raise ConfigError(
            "--quant and --weights-gb contradict each other: both say how large --model is; leave one of "
            "them out"
        )


def option_of(field: str) -> str:
    """The option that gives the figure."""
    return "--" + field.replace("_", "-")


def listed_machine(key: str) -> CatalogueMachine:
    """The catalogue's machine; ``ConfigError`` when it has none of that name."""
    return _look_up("--hardware", key, load_machines())


def _look_up(option: str, key: str, known: Mapping[str, Entry]) -> Entry:
    if key in known:
        return known[key]
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(sorted(known))}"
    raise ConfigError(f"{option} {key!r} is not in the catalogue; {hint}")


def described_machine(figures: NodeFigures, listed: CatalogueMachine | None) -> Described[Machine]:
    """The listed machine with the figures that were given instead of its own, or one by figures alone."""
    if listed is None:
        return _machine_by_figures(figures)
    assumptions = [
        _either(figures, "memory bandwidth", figures.bandwidth_gb_s, listed.bandwidth_gb_s, "GB/s"),
        _either(figures, "compute", figures.tflops, listed.tflops, "TFLOPS"),
        _either(figures, "memory", figures.memory_gb, listed.memory_gb, "GB"),
    ]
    family = listed.family
    if figures.family is not None:
        family = _family(figures.family)
        assumptions.append(figures.said("kind of machine", family, ""))
    machine = Machine(
        family,
        _first(figures.bandwidth_gb_s, listed.bandwidth_gb_s.value),
        _first(figures.tflops, listed.tflops.value),
        _first(figures.memory_gb, listed.memory_gb.value),
    )
    return Described(machine, _name_with_given(figures, listed.name), tuple(assumptions))


def _either(figures: NodeFigures, name: str, given: float | None, listed: Figure, unit: str) -> Assumption:
    return Assumption.of(name, listed, unit) if given is None else figures.said(name, given, unit)


def _first(given: float | None, listed: float) -> float:
    return listed if given is None else given


def _name_with_given(figures: NodeFigures, name: str) -> str:
    """The machine's name, with what was given that its name may say otherwise."""
    told = (
        (figures.memory_gb, "GB"), (figures.bandwidth_gb_s, "GB/s"), (figures.tflops, "TFLOPS"),
    )  # fmt: skip
    given = ", ".join(f"{value:g} {unit}" for value, unit in told if value is not None)
    return f"{name} (given: {given})" if given else name


def _machine_by_figures(figures: NodeFigures) -> Described[Machine]:
    bandwidth, tflops = figures.bandwidth_gb_s, figures.tflops
    if bandwidth is None or tflops is None or bandwidth <= 0 or tflops <= 0:
        raise ConfigError("a node by its figures needs --bandwidth-gb-s and --tflops, both above 0")
    inferred = infer_family(bandwidth, tflops)
    family = inferred if figures.family is None else _family(figures.family)
    said = (
        figures.said("memory bandwidth", bandwidth, "GB/s"),
        figures.said("compute", tflops, "TFLOPS"),
        UNKNOWN_MEMORY if figures.memory_gb is None else figures.said("memory", figures.memory_gb, "GB"),
        Assumption("kind of machine", family, "", "derived", "these figures look like it")
        if figures.family is None
        else figures.said("kind of machine", family, ""),
    )
    notes = () if figures.family else (_inferred(inferred, bandwidth / tflops),)
    return Described(Machine(family, bandwidth, tflops, figures.memory_gb), "the node", said, notes)


def _inferred(family: Family, per_tflops: float) -> str:
    """What was inferred from two figures, and whether another kind of machine may have them too."""
    if per_tflops < DOUBTFUL_PER_TFLOPS:
        return f"these figures look like {family}; --family says otherwise"
    return (
        f"these figures look like {family}, but another kind of machine can have them and be a third slower "
        "or faster; --family names the kind"
    )


def _family(name: str) -> Family:
    found = next((known for known in FAMILIES if known == name), None)
    if found is None:
        raise ConfigError(f"--family {name!r} is unknown; use one of {', '.join(FAMILIES)}")
    return found


def described_model(figures: NodeFigures, usual: str = "") -> Described[ModelShape]:
    """The model by its name or its figures; the ``usual`` one where neither is given."""
    quant = _quant(figures.quant)
    if figures.model is None and figures.weights_gb is not None:
        return _model_by_figures(figures, figures.weights_gb, quant)
    if figures.params_b is not None or figures.active_params_b is not None:
        option = "--params-b" if figures.params_b is not None else "--active-params-b"
        raise ConfigError(f"{option} needs --weights-gb beside it")
    model = _look_up("--model", figures.model or usual, load_models())
    shape, size, weights = _sized(figures, model, quant or "q4")
    name = f"{model.name} {size}"
    said = [
        Assumption("model", name, "", "guess", "a small model that many tasks do with")
        if figures.model is None
        else figures.said("model", name, ""),
        weights,
    ]
    if figures.kv_bytes_per_token is not None:
        shape = replace(shape, kv_bytes_per_token=figures.kv_bytes_per_token)
        said.append(figures.said("cache of one token", figures.kv_bytes_per_token, "bytes"))
    return Described(shape, name, tuple(said))


def _sized(figures: NodeFigures, model: CatalogueModel, quant: Quant) -> tuple[ModelShape, str, Assumption]:
    """The model at a quantisation of the catalogue, or with the weights that were given instead."""
    weights_gb = figures.weights_gb
    if weights_gb is None:
        return model.shape(quant), quant, Assumption.of("weights", model.weights_gb[quant], "GB")
    _refuse_another_size(weights_gb, model.params_b.value, None)
    shape = replace(
        model.shape(next(iter(model.weights_gb))),
        weights_gb=weights_gb,
        is_quantised=_is_quantised(weights_gb, model.params_b.value),
    )
    return shape, f"of {weights_gb:g} GB", figures.said("weights", weights_gb, "GB")


def _quant(name: str | None) -> Quant | None:
    found = next((quant for quant in BYTES_PER_PARAM if quant == name), None)
    if name is not None and found is None:
        raise ConfigError(f"--quant {name!r} is unknown; use one of {', '.join(BYTES_PER_PARAM)}")
    return found


def _model_by_figures(figures: NodeFigures, weights_gb: float, quant: Quant | None) -> Described[ModelShape]:
    if weights_gb <= 0:
        raise ConfigError("--weights-gb must be above 0")
    if figures.params_b is None and figures.active_params_b is not None:
        raise ConfigError("--active-params-b needs --params-b beside it")
    notes: tuple[str, ...]
    if figures.params_b is None:
        shape, note = shape_from_size(weights_gb, figures.kv_bytes_per_token, quant)
        notes = (note,)
        said = [Assumption("parameters", round(shape.params_b, 2), "billions", "derived", note)]
    else:
        _refuse_another_size(weights_gb, figures.params_b, quant)
        shape = _shape_by_params(figures, weights_gb, figures.params_b)
        kv = round(shape.kv_bytes_per_token)
        notes = (
            () if figures.kv_bytes_per_token else (f"{kv} bytes of cache per token, as its size suggests",)
        )
        said = [figures.said("parameters", figures.params_b, "billions")]
        said += [Assumption("cache of one token", kv, "bytes", "derived", note) for note in notes]
    if figures.kv_bytes_per_token is not None:
        said.append(figures.said("cache of one token", figures.kv_bytes_per_token, "bytes"))
    weights = figures.said("weights", weights_gb, "GB")
    return Described(shape, f"a model of {weights_gb:g} GB", (weights, *said), notes)


def _refuse_another_size(weights_gb: float, params_b: float, quant: Quant | None) -> None:
    """A file of that size cannot be that many parameters, or not at that quantisation."""
    bits = 8.0 * weights_gb / params_b
    if not LEAST_BITS <= bits <= MOST_BITS:
        raise ConfigError(
            f"--weights-gb {weights_gb:g} and {params_b:g} billion parameters contradict each other: that is "
            f"{bits:.2g} bits for each, and models take {LEAST_BITS:g} to 32; correct one of them"
        )
    if quant is None:
        return
    usual_gb = BYTES_PER_PARAM[quant] * params_b
    is_far = abs(weights_gb / usual_gb - 1) > FAR_SIZE_RATIO
    if is_far or _is_quantised(weights_gb, params_b) != (quant != "f16"):
        raise ConfigError(
            f"--quant {quant} and --weights-gb {weights_gb:g} contradict each other: {params_b:g} billion "
            f"parameters at {quant} take about {usual_gb:.3g} GB; leave --quant out"
        )


def _shape_by_params(figures: NodeFigures, weights_gb: float, params_b: float) -> ModelShape:
    active_b, kv = figures.active_params_b, figures.kv_bytes_per_token
    if active_b is not None and active_b > params_b:
        raise ConfigError("--active-params-b must not exceed --params-b")
    return ModelShape(
        params_b,
        weights_gb,
        cache_bytes_from_params(params_b) if kv is None else kv,
        active_b,
        is_moe=active_b is not None,
        is_quantised=_is_quantised(weights_gb, params_b),
    )


def _is_quantised(weights_gb: float, params_b: float) -> bool:
    return weights_gb / params_b < FLOAT_GB_PER_B


def refuse_too_small(node: NodeModel, model: str, machine: str) -> None:
    """``ConfigError`` when the machine's memory is known and does not hold the weights."""
    if node.cache_tokens() == 0:
        raise ConfigError(
            f"{model} takes {node.model.weights_gb:g} GB and does not fit the {node.machine.memory_gb:g} GB "
            f"of {machine}, of which {node.machine.usable_share:.0%} can be used; choose a smaller --model "
            "or --quant, or more memory"
        )
