"""The catalogue is complete, graded, sourced, dated and physically possible."""

from __future__ import annotations

import statistics
from datetime import date

import pytest

from spillway.errors import ConfigError
from spillway.planner.catalogue import (
    CatalogueMachine,
    CatalogueModel,
    Figure,
    load_machines,
    load_models,
    shape_from_size,
)
from spillway.planner.node_model import NodeModel, load_fit


def test_promised_machines_and_models_are_there() -> None:
    """Each kind of hardware and model the planner promises has an entry."""
    assert {
        "mac-mini-m4", "mac-mini-m4-pro", "mac-studio-m4-max", "rtx-3090", "rtx-4090", "rtx-5090",
        "rtx-4000-ada", "strix-halo-128", "dgx-spark", "rental-rtx-4090",
    } <= set(load_machines())  # fmt: skip
    assert {
        "gemma-4-e4b", "qwen3-4b", "qwen3-8b", "llama-3.1-8b", "qwen3-14b", "qwen3-32b", "qwen3-30b-a3b",
    } <= set(load_models())  # fmt: skip


def figures() -> list[tuple[str, Figure]]:
    """Every figure of the catalogue with a name for messages."""
    found: list[tuple[str, Figure]] = []
    entries: list[CatalogueMachine | CatalogueModel] = [*load_machines().values(), *load_models().values()]
    for entry in entries:
        for name in entry.__dataclass_fields__:
            value = getattr(entry, name)
            if isinstance(value, Figure):
                found.append((f"{entry.key}.{name}", value))
            elif isinstance(value, dict):
                found += [(f"{entry.key}.{name}.{quant}", figure) for quant, figure in value.items()]
    return found


def test_every_figure_is_positive_dated_and_sourced() -> None:
    """No figure is zero, undated or without a source, and none is dated in the future."""
    for name, figure in figures():
        assert figure.value > 0, name
        assert len(figure.source) > 10, name
        assert date.fromisoformat(figure.date) <= date(2026, 11, 24), name


def test_machines_cost_something_one_way() -> None:
    """A machine is either bought or rented, and a bought one has its watts."""
    for machine in load_machines().values():
        assert (machine.price_usd is None) != (machine.rent_usd_per_hour is None), machine.key
        if machine.price_usd is not None:
            assert machine.idle_w is not None, machine.key
            assert machine.active_w is not None, machine.key
            assert machine.idle_w.value < machine.active_w.value, machine.key


@pytest.mark.parametrize(
    ("machine", "medians_by_provider"),
    [
        ("rental-rtx-4090", {"cloudrift": 0.425, "runpod": 0.34, "vastai": 1.21}),
        (
            "rental-a100-80",
            {"aws": 4.447, "azure": 4.775, "gcp": 3.22, "runpod": 1.49, "vastai": 1.151, "verda": 1.79,
             "vultr": 2.80},
        ),
    ],
)  # fmt: skip
def test_rents_follow_one_rule(machine: str, medians_by_provider: dict[str, float]) -> None:
    """A rent is the median of the providers' medians, on demand and with that memory, to the cent."""
    rent = load_machines()[machine].rent_usd_per_hour
    assert rent is not None
    assert rent.value == pytest.approx(statistics.median(medians_by_provider.values()), abs=0.006)
    assert rent.grade == "derived"


def test_every_model_that_fits_can_be_predicted() -> None:
    """Each model on each machine gives a speed, and slots exactly where the weights fit."""
    fit = load_fit()
    for machine in load_machines().values():
        for model in load_models().values():
            node = NodeModel(machine.machine, model.shape(), fit)
            assert 0 < node.decode_tok_s() < 2000
            slots = node.slots(4096)
            assert slots is not None
            fits = model.weights_gb["q4"].value + 4096 * model.kv_bytes_per_token.value / 1e9
            assert (slots > 0) == (fits <= machine.memory_gb.value * machine.machine.usable_share), (
                machine.key,
                model.key,
            )


def test_unpublished_quantisation_is_refused() -> None:
    """Asking for a quantisation the model is not published in names those it is."""
    with pytest.raises(ConfigError, match="as q4, not f16"):
        load_models()["gpt-oss-20b"].shape("f16")


@pytest.mark.parametrize(
    ("weights_gb", "params_b", "is_quantised"),
    [(4.92, 8.03, True), (4.58, 8.03, True), (16.07, 8.03, False), (14.96, 8.03, False),
     (15.7, 14.77, True), (9.0, 14.77, True), (39.6, 70.6, True), (7.0, 11.55, True)],
)  # fmt: skip
def test_size_alone_names_the_likely_model(weights_gb: float, params_b: float, is_quantised: bool) -> None:
    """A file size is taken for the model that has it, in GB or GiB, or else for a 4-bit model; it is said."""
    shape, assumed = shape_from_size(weights_gb)
    assert shape.params_b == pytest.approx(params_b, rel=0.01)
    assert shape.is_quantised is is_quantised
    assert "taken for" in assumed
    assert shape.weights_gb == weights_gb
