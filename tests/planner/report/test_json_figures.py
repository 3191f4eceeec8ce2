"""Each key of a plan's JSON holds its own figure and no other."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from spillway.planner.breakeven import Case, Outcome, ShareCurve, evaluate
from spillway.planner.plan import Plan
from spillway.planner.plan_side import MachineLine, PolicyLine
from spillway.planner.report.as_json import to_json
from tests.planner.plans import pays
from tests.planner.report.ran import MEASURED, RAN, SPILLS

D = Decimal
CASE = Case(
    nodes=2, requests_per_month=D(1000), cloud_usd_per_request=D(1), share=ShareCurve(((D(1000), D("0.5")),)),
    hardware_usd=D(2400), life_months=48, rent_usd_per_month=D(100),
)  # fmt: skip
"""Of $1,000 a month half stays; $4,800 of hardware and $100 a month of rent leave $14,400 in four years."""
MONEY = {"total_usd_per_month": 700, "saved_usd": 14_400, "break_even_months": 12}


@pytest.fixture
def outcome() -> Outcome:
    """What the case comes to."""
    return evaluate(CASE)


def first_fleet(plan: Plan, outcome: Outcome) -> dict[str, Any]:
    """The JSON of the plan's first fleet, were it that one."""
    line = replace(plan.fleets[0], nodes=2, ran=RAN, outcome=outcome)
    found: dict[str, Any] = to_json(replace(plan, fleets=(line, *plan.fleets[1:])))["fleets"][0]
    return found


def check(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """All expected keys are there with their values; others may be there too."""
    assert {key: found.get(key) for key in expected} == expected


def test_a_fleet_tells_what_was_measured(outcome: Outcome) -> None:
    """Shares, rates, times and energy, each under its key."""
    check(first_fleet(pays(), outcome), {"nodes": 2, **MEASURED, "bill_share": 0.44})


def test_a_fleet_tells_its_money(outcome: Outcome) -> None:
    """$500 remain in the cloud, and the nodes cost $200 a month, their price included."""
    money = {**MONEY, "cloud_usd_per_month": 500, "local_usd_per_month": 200}
    check(first_fleet(pays(), outcome), money)


def test_a_policy_tells_what_was_measured() -> None:
    """The same figures, and what only policies have."""
    plan = replace(pays(), policies=(PolicyLine("ours", RAN, 0.19),))
    own = {
        "name": "ours",
        "regret_vs_clairvoyant": 0.19,
        "local_share_in_time": 0.53,
        "spilled_requests_by_reason": SPILLS,
    }
    check(to_json(plan)["policies"][0], {**MEASURED, **own})


def test_a_machine_tells_its_price_and_its_money(outcome: Outcome) -> None:
    """A bought one has a price and no rent."""
    node = replace(pays().inputs.node, price_usd=D(2400), rent_usd_per_month=D(0))
    plan = replace(pays(), machines=(MachineLine("box", node, RAN, outcome),))
    own = {"key": "box", "price_usd": 2400, "rent_usd_per_month": None}
    measured = {"local_share": 0.61, "slo_attainment": 0.85}
    check(to_json(plan)["machines"][0], {**own, **measured, **MONEY})


def test_what_is_rented_has_no_usual_break_even() -> None:
    """Without a price there is nothing that the usual calculation could pay back."""
    plan = pays()
    assert plan.naive.break_even_months is not None
    assert to_json(plan)["naive"]["break_even_months"] is not None
    rented = replace(plan.inputs, node=replace(plan.inputs.node, rent_usd_per_month=D(50)))
    assert to_json(replace(plan, inputs=rented))["naive"]["break_even_months"] is None


def test_unknown_energy_is_null() -> None:
    """Where nobody knows what a node draws there is no figure."""
    plan = replace(pays(), policies=(PolicyLine("ours", replace(RAN, kwh_per_month=None), None),))
    found = to_json(plan)["policies"][0]
    assert found["kwh_per_month"] is None
    assert found["regret_vs_clairvoyant"] is None


def test_savings_stand_at_the_end_that_causes_them() -> None:
    """What is saved at a figure's least and at its largest are not swapped."""
    plan = pays()
    for told, known in zip(to_json(plan)["sensitivities"], plan.sensitivities, strict=True):
        assert told["saved_at_low_usd"] == pytest.approx(float(known.at_low_usd))
        assert told["saved_at_high_usd"] == pytest.approx(float(known.at_high_usd))
        assert told["low"] == pytest.approx(float(plan.spreads[known.name].low))


def test_hours_of_the_day_tell_local_and_cloud_apart() -> None:
    """By hour, what stayed and what did not."""
    plan = pays()
    line = replace(plan.shown, ran=RAN)
    fleets = tuple(line if each.nodes == line.nodes else each for each in plan.fleets)
    found = to_json(replace(plan, fleets=fleets))
    assert found["by_hour"]["local_requests"][:2] == [0, 1]
    assert found["by_hour"]["cloud_requests"][:2] == [100, 99]
    assert found["spilled_requests_by_reason"] == SPILLS
