"""The money of a fleet from its node's figures, and what both bills come to month by month."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from spillway.planner.breakeven import Case, ShareCurve, evaluate
from spillway.planner.money import Naive, NaiveInputs
from spillway.planner.plan_money import Answers, courses, make_case, on_one_scale
from tests.planner.plans import never

D = Decimal
CASE = Case(
    nodes=2, requests_per_month=D(1000), cloud_usd_per_request=D(1), hardware_usd=D(500), life_months=2,
    share=ShareCurve(((D(1000), D("0.9")),)), residual_ratio=D("0.1"), idle_w=D(500), active_w=D(500),
    usd_per_kwh=D(1), rent_usd_per_month=D(40),
)  # fmt: skip
"""Of $1,000 a month $100 stay in the cloud; two nodes draw a kilowatt and cost $40 of rent."""


def case_of(nodes: int, **figures: Decimal) -> Case:
    """The case of so many nodes with these figures."""
    inputs = never().inputs
    changed = replace(inputs, node=replace(inputs.node, **figures))  # type: ignore[arg-type]
    return make_case(changed, nodes, [never().shown.ran], D(1), Answers())


def test_every_rented_node_costs_its_rent() -> None:
    """Three at $100 a month are $300 a month."""
    assert case_of(3, rent_usd_per_month=D(100)).rent_usd_per_month == 300


def test_every_node_takes_somebody_s_time() -> None:
    """Three nodes cost three times the work that one does."""
    inputs = never().inputs
    one_usd = inputs.costs["maintenance_hours"].mode * inputs.usd_per_hour
    assert one_usd > 0
    assert evaluate(case_of(3)).months[0].maintenance_usd == 3 * one_usd


def test_a_node_that_waits_draws_its_idle_watts() -> None:
    """Idle and active watts of the node stay what they are."""
    case = case_of(1, idle_w=D(7), active_w=D(91))
    assert (case.idle_w, case.active_w) == (D(7), D(91))


def test_longer_runs_are_never_said_to_avoid_more_than_the_whole_bill() -> None:
    """At a lighter load a share may grow to all of the bill and no further."""
    ran = never().shown.ran
    whole, now, lighter = (replace(ran, avoided_share=D(share)) for share in ("0.9", "0.5", "0.8"))
    assert [each.avoided_share for each in on_one_scale(whole, now, [lighter])] == [D("0.9"), D(1)]


def test_what_was_spent_holds_hardware_cloud_energy_and_rent() -> None:
    """Two nodes lose $900 in value; each month adds all that is paid in it."""
    month = evaluate(CASE).months[0]
    assert (month.cloud_usd, month.energy_usd, month.rent_usd) == (D(100), D("730.5"), D(40))
    course = courses([evaluate(CASE)])
    month_usd = D("870.5")
    assert [point.p50_usd for point in course.with_nodes] == [900, 900 + month_usd, 900 + 2 * month_usd]
    assert [point.p50_usd for point in course.all_cloud] == [0, 1000, 2000]


def test_the_band_of_the_bills_holds_eight_futures_of_ten() -> None:
    """Of a hundred futures the tenth, the middle one and the ninetieth are drawn."""
    futures = [evaluate(replace(CASE, cloud_usd_per_request=D(number))) for number in range(100)]
    first = courses(futures).all_cloud[1]
    assert (first.p10_usd, first.p50_usd, first.p90_usd) == (D(10_000), D(50_000), D(90_000))


def test_a_part_of_a_node_takes_a_whole_one() -> None:
    """Writing takes 1.3 nodes and reading 0.4: two nodes."""
    inputs = NaiveInputs(
        requests_per_month=2_629_800, input_tokens=4, output_tokens=13, input_usd_per_mtok=D(1),
        output_usd_per_mtok=D(1), hardware_usd=D(1), active_w=D(1), usd_per_kwh=D(1), life_months=D(48),
        decode_tok_s=D(10), prefill_tok_s=D(10),
    )  # fmt: skip
    assert replace(never(), naive=Naive(inputs)).nodes_of_work == 2
