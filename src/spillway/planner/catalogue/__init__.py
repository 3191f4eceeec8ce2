"""Machines and models with every figure graded, sourced and dated; read from the YAML files beside this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal, cast, get_args

import yaml

from spillway.errors import ConfigError
from spillway.planner.node_model import FAMILIES, Family, Machine, ModelShape, cache_bytes_from_params
from spillway.vocabulary import Grade

__all__ = [
    "DESKTOP",
    "CatalogueMachine",
    "CatalogueModel",
    "Figure",
    "Quant",
    "load_machines",
    "load_models",
    "shape_from_size",
]

Quant = Literal["q4", "q8", "f16"]
"""Quantisation classes: Q4_K_M and its like, Q8_0, and 16-bit floats."""

BYTES_PER_PARAM: Mapping[Quant, float] = {"q4": 0.606, "q8": 1.063, "f16": 2.0}
"""Gigabytes per billion parameters of the GGUF files in the catalogue (derived)."""
DESKTOP = ", in a desktop computer"
"""What the name of a graphics card says of the rest of the machine that its price and its draw are of."""
BITS: Mapping[Quant, str] = {"q4": "4-bit", "q8": "8-bit", "f16": "16-bit"}
SAME_SIZE_RATIO = 0.08
"""Weights within this of a known model's are taken for that model."""
EXACT_RATIO = 0.01
"""Weights within this of a known model's are that model, whatever else weighs about the same."""
COMMONEST: tuple[tuple[str, Quant], ...] = (
    ("llama-3.1-8b", "q4"),
    ("llama-3.1-8b", "f16"),
    ("llama-3.3-70b", "q4"),
)
"""Sizes that are measured most often: they win when another model weighs about the same."""


@dataclass(frozen=True)
class Figure:
    """One number of the physical or financial world and how we know it."""

    value: float
    grade: Grade
    source: str
    date: str
    """ISO date of the source, not of our reading."""


@dataclass(frozen=True)
class CatalogueMachine:
    """One machine to buy (``price_usd``) or rent (``rent_usd_per_hour``); ``None`` is unknown or not so."""

    key: str
    name: str
    family: Family
    bandwidth_gb_s: Figure
    tflops: Figure
    memory_gb: Figure
    price_usd: Figure | None = None
    rent_usd_per_hour: Figure | None = None
    idle_w: Figure | None = None
    active_w: Figure | None = None

    @property
    def machine(self) -> Machine:
        """The figures the node model computes with."""
        return Machine(self.family, self.bandwidth_gb_s.value, self.tflops.value, self.memory_gb.value)


@dataclass(frozen=True)
class CatalogueModel:
    """One model, at the quantisations it is published in."""

    key: str
    name: str
    is_moe: bool
    params_b: Figure
    active_params_b: Figure | None
    layers: Figure
    kv_bytes_per_token: Figure
    weights_gb: Mapping[Quant, Figure]

    def shape(self, quant: Quant = "q4") -> ModelShape:
        """The figures the node model computes with; ``ConfigError`` when not published so."""
        if quant not in self.weights_gb:
            raise ConfigError(f"{self.name} is in the catalogue as {', '.join(self.weights_gb)}, not {quant}")
        return ModelShape(
            params_b=self.params_b.value,
            weights_gb=self.weights_gb[quant].value,
            kv_bytes_per_token=self.kv_bytes_per_token.value,
            active_params_b=self.active_params_b.value if self.active_params_b else None,
            is_moe=self.is_moe,
            layers=int(self.layers.value),
            is_quantised=quant != "f16",
        )


def _read(name: str) -> dict[str, Any]:
    text = files(__name__).joinpath(name).read_text("utf-8")
    return cast(dict[str, Any], yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


def _figure(raw: list[Any] | None, sources: Mapping[str, Any]) -> Figure | None:
    if raw is None:
        return None
    value, grade, source = raw
    if grade not in get_args(Grade):
        raise ValueError(f"unknown grade {grade!r}")
    entry = sources[source]
    return Figure(float(value), grade, str(entry["title"]), str(entry["date"]))


def _known(raw: list[Any], sources: Mapping[str, Any]) -> Figure:
    figure = _figure(raw, sources)
    if figure is None:
        raise ValueError("a catalogue entry lacks a figure it must have")
    return figure


@lru_cache(maxsize=1)
def load_machines() -> Mapping[str, CatalogueMachine]:
    """Every machine of the catalogue by its key."""
    raw = _read("hardware.yaml")
    sources = raw["sources"]
    found = {}
    for key, entry in raw["machines"].items():
        if entry["family"] not in FAMILIES:
            raise ValueError(f"{key}: unknown family {entry['family']!r}")
        found[key] = CatalogueMachine(
            key=key,
            name=entry["name"],
            family=entry["family"],
            bandwidth_gb_s=_known(entry["bandwidth_gb_s"], sources),
            tflops=_known(entry["tflops"], sources),
            memory_gb=_known(entry["memory_gb"], sources),
            price_usd=_figure(entry.get("price_usd"), sources),
            rent_usd_per_hour=_figure(entry.get("rent_usd_per_hour"), sources),
            idle_w=_figure(entry.get("idle_w"), sources),
            active_w=_figure(entry.get("active_w"), sources),
        )
    return found


@lru_cache(maxsize=1)
def load_models() -> Mapping[str, CatalogueModel]:
    """Every model of the catalogue by its key."""
    raw = _read("models.yaml")
    sources = raw["sources"]
    return {
        key: CatalogueModel(
            key=key,
            name=entry["name"],
            is_moe=bool(entry.get("is_moe", False)),
            params_b=_known(entry["params_b"], sources),
            active_params_b=_figure(entry.get("active_params_b"), sources),
            layers=_known(entry["layers"], sources),
            kv_bytes_per_token=_known(entry["kv_bytes_per_token"], sources),
            weights_gb={quant: _known(found, sources) for quant, found in entry["weights_gb"].items()},
        )
        for key, entry in raw["models"].items()
    }


def shape_from_size(
    weights_gb: float, kv_bytes_per_token: float | None = None, quant: Quant | None = None
) -> tuple[ModelShape, str]:
    """The dense model that most likely weighs this much, and a sentence that says what was assumed.

    A size within 8 % of a dense model in the catalogue, at ``quant`` where that is given, is taken for it,
    the commonest first; any other is taken for a model at ``quant``, else a 4-bit one. Give the parameters
    instead when you know them.
    """
    match = _same_size(weights_gb, quant)
    if match is not None:
        model, found = match
        known = model.shape(found)
        assumed = f"weights of this size taken for {model.name} at {found}"
        shape = replace(known, weights_gb=weights_gb)
    else:
        taken = quant or "q4"
        params_b = weights_gb / BYTES_PER_PARAM[taken]
        kv = cache_bytes_from_params(params_b)
        shape = ModelShape(params_b, weights_gb, kv, is_quantised=taken != "f16")
        assumed = f"weights of this size taken for a dense {BITS[taken]} model of {params_b:.1f} B parameters"
    if kv_bytes_per_token is not None:
        shape = replace(shape, kv_bytes_per_token=kv_bytes_per_token)
    return shape, assumed


def _same_size(weights_gb: float, quant: Quant | None) -> tuple[CatalogueModel, Quant] | None:
    models = load_models()
    dense = {m.key for m in models.values() if not m.is_moe and m.active_params_b is None}
    every = [(key, kind) for key in sorted(dense) for kind in models[key].weights_gb if quant in (None, kind)]
    commonest = [entry for entry in COMMONEST if entry in every]

    def off_ratio(entry: tuple[str, Quant]) -> float:
        return abs(models[entry[0]].weights_gb[entry[1]].value / weights_gb - 1)

    for pool, limit in ((every, EXACT_RATIO), (commonest, SAME_SIZE_RATIO), (every, SAME_SIZE_RATIO)):
        nearest = min(pool, key=off_ratio, default=None)
        if nearest is not None and off_ratio(nearest) <= limit:
            return models[nearest[0]], nearest[1]
    return None
