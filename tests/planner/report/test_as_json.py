"""The JSON of a plan: every key that scripts rely on, with plain values."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from spillway.planner.plan import Plan, make_plan
from spillway.planner.plan_build import build_inputs
from spillway.planner.report.as_json import dumps, to_json
from tests.planner.plans import CHEAP, DEAR, never, pays

ROOT = Path(__file__).parents[3]
NUMBER = (int, float)
KEYS: dict[str, set[str]] = {
    "naive": {
        "cloud_usd_per_request", "cloud_usd_per_month", "local_usd_per_request", "break_even_months",
        "decode_utilisation", "prefill_utilisation",
    },
    "fleets": {
        "nodes", "local_share", "slo_attainment", "local_attainment", "ttft_p95_ms", "cloud_usd_per_month",
        "local_usd_per_month", "total_usd_per_month", "break_even_months",
    },
    "policies": {
        "name", "local_share", "local_token_share", "slo_attainment", "goodput_rps", "ttft_p50_ms",
        "ttft_p95_ms", "ttft_p99_ms", "total_p50_ms", "total_p95_ms", "total_p99_ms", "utilisation",
        "kwh_per_month", "spilled_requests_by_reason", "regret_vs_clairvoyant", "local_share_in_time",
        "local_attainment",
    },
    "assumptions": {"name", "value", "unit", "grade", "source"},
}  # fmt: skip
"""Keys of the contract by where they stand; more may be there."""


@pytest.mark.parametrize("plan", [pays, never], ids=["pays", "never"])
def test_contract(plan: Any) -> None:
    """Every key of ``spillway.plan/1`` is there, at its place, with a plain value."""
    found = json.loads(dumps(plan()))
    assert found["schema"] == "spillway.plan/1"
    assert found["verdict"] in ("pays", "never")
    assert isinstance(found["recommended_nodes"], int)
    assert found["naive"].keys() >= KEYS["naive"]
    for name in ("fleets", "policies", "assumptions"):
        assert found[name]
        assert all(each.keys() >= KEYS[name] for each in found[name])
    assert all(isinstance(warning, str) for warning in found["warnings"])


def test_break_even_is_a_band_or_null() -> None:
    """Quantiles where it pays, null where it never does."""
    band = to_json(pays())["break_even_months"]
    assert band.keys() == {"p10", "p50", "p90"}
    assert isinstance(band["p50"], NUMBER)
    found = to_json(never())
    assert found["break_even_months"] is None
    assert found["recommended_nodes"] == 0


def test_local_answers_in_time_are_told_where_there_are_any() -> None:
    """The cloud alone has no local answers to be in time; of those there are, the share is told."""
    found = {line["name"]: line for line in to_json(pays())["policies"]}
    assert found["all-cloud"]["local_attainment"] is None
    ours = found["ours"]
    assert ours["local_share"] * ours["local_attainment"] == pytest.approx(
        ours["local_share_in_time"], abs=1e-5
    )


def test_shares_are_ratios_and_money_is_numbers() -> None:
    """Shares lie between 0 and 1; a fleet that never pays has a null for its month, not a 0."""
    for line in to_json(never())["fleets"]:
        assert 0 <= line["local_share"] <= 1
        assert 0 <= line["slo_attainment"] <= 1
        assert line["total_usd_per_month"] == pytest.approx(
            line["cloud_usd_per_month"] + line["local_usd_per_month"]
        )
        assert line["break_even_months"] is None


def test_every_key_of_a_policy_is_documented() -> None:
    """Keys of policies and fleets are in the reference, and reasons add up to what did not stay local."""
    told = (ROOT / "docs" / "reference" / "plan.md").read_text()
    plan: Plan = never()
    found = to_json(plan)
    assert all(f"`{key}`" in told for name in ("policies", "fleets") for key in found[name][0])
    for line, known in zip(found["policies"], plan.policies, strict=True):
        spilled = sum(line["spilled_requests_by_reason"].values())
        assert spilled == round((1 - known.ran.local_share) * known.ran.requests)
        assert line["kwh_per_month"] > 0


def test_exact_figures_stay_exact() -> None:
    """Decimals come out as they are, without a float's tail."""
    plan: Plan = pays()
    usd = to_json(plan)["naive"]["cloud_usd_per_request"]
    assert usd == float(f"{plan.naive.cloud_usd_per_request:.12g}")


def test_what_the_replay_charges_is_there() -> None:
    """The price of the mean request that every saving rests on stands beside the usual calculation's."""
    plan = pays()
    charged = to_json(plan)["honest"]["cloud_usd_per_request"]
    assert charged == pytest.approx(float(plan.shown.outcome.months[0].all_cloud_usd / 600))


def test_hardware_for_nothing_has_a_price() -> None:
    """A price of 0 that was given is 0; what is rented has none."""
    plan = pays()
    bought = next(line for line in plan.machines if line.key == plan.inputs.machine)
    owned = replace(bought, node=replace(bought.node, price_usd=Decimal(0)))
    rented = next(line for line in plan.machines if line.node.rent_usd_per_month)
    found = to_json(replace(plan, machines=(owned, rented)))["machines"]
    assert [each["price_usd"] for each in found] == [0, None]
    assert found[0]["rent_usd_per_month"] is None


def test_hours_of_one_node_are_those_of_one_node() -> None:
    """What is uncertain about a node's maintenance is told of one, however many are shown."""
    plan = make_plan(build_inputs(replace(CHEAP, cloud=DEAR, sizes=(2,))), workers=1)
    found = {each["name"]: each for each in to_json(plan)["sensitivities"]}["maintenance of one node"]
    assert (plan.shown_nodes, found["low"], found["high"]) == (2, 0, 0.5)
    apart_usd = found["saved_at_low_usd"] - found["saved_at_high_usd"]
    assert apart_usd == pytest.approx(2 * 0.5 * 60 * plan.inputs.life_months)
