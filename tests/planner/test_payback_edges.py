"""Where a month's sums end: savings that just cover the price, full shares, busy nodes, equal fleets."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from spillway.planner.breakeven import Case, Month, ShareCurve, by_cost, evaluate
from spillway.planner.money import HOURS_PER_MONTH

D = Decimal
HALF = ShareCurve(((D(10) ** 12, D("0.5")),))
"""Half is carried at any load."""
WHOLE = ShareCurve(((D(10) ** 12, D(1)),))
CASE = Case(
    nodes=1, requests_per_month=D(1000), cloud_usd_per_request=D(1), share=HALF, hardware_usd=D(2000),
    active_w=D(1000), busy_ratio=D("0.5"),
)  # fmt: skip


def first_month(**changes: object) -> Month:
    """The first month of that case."""
    return evaluate(replace(CASE, **changes)).months[0]  # type: ignore[arg-type]


def test_savings_that_just_cover_the_price_pay_at_the_end_of_their_month() -> None:
    """A node of $2,000 that saves $500 a month is paid back after four."""
    assert evaluate(CASE).break_even_months == 4


@pytest.mark.parametrize(("length", "share"), [("1", "0.5"), ("2", "0.375"), ("0.5", "0.5625")])
def test_only_what_answers_are_longer_by_costs_local_share(length: str, share: str) -> None:
    """A quarter of the local requests is lost at twice the length; none as answers are."""
    assert first_month(output_factor=D(length), output_share_loss=D("0.25")).local_share == D(share)


def test_no_more_than_everything_stays_local() -> None:
    """Shorter answers do not bring the share of a node that carries all above one."""
    month = first_month(share=WHOLE, output_factor=D("0.5"), output_share_loss=D("0.5"))
    assert month.local_share == 1
    assert month.cloud_usd == 0


def test_a_node_that_carries_less_than_simulated_works_less() -> None:
    """Half of what was simulated keeps it busy for half as long, and takes half the energy."""
    whole, half = (first_month(usd_per_kwh=D(1), share_factor=D(factor)) for factor in ("1", "0.5"))
    assert whole.energy_usd == D("0.5") * HOURS_PER_MONTH
    assert half.energy_usd == whole.energy_usd / 2


def test_a_busy_node_draws_no_more_than_its_active_watts() -> None:
    """Traffic that quadruples in two years fills a node of half a month's work, and no more."""
    months = evaluate(replace(CASE, usd_per_kwh=D(1), growth_per_year=D(1))).months
    assert months[0].energy_usd == D("0.5") * HOURS_PER_MONTH
    assert months[24].energy_usd == HOURS_PER_MONTH


def test_of_fleets_that_cost_the_same_the_smaller_is_recommended() -> None:
    """Whatever the order they were tried in."""
    two = evaluate(replace(CASE, nodes=2, hardware_usd=D(1000)))
    one = evaluate(replace(CASE, nodes=1))
    assert one.total_usd_per_month == two.total_usd_per_month
    assert by_cost([two, one]) == by_cost([one, two]) == [one, two]
