"""Break-even by hand, with every cost counted, its band, its order of weights, and never."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillway.planner.breakeven import (
    Case,
    ShareCurve,
    Spread,
    by_cost,
    draw_outcomes,
    evaluate,
    monte_carlo,
    sensitivities,
)
from spillway.planner.money import ARTICLE, Naive

D = Decimal
WHOLE = ShareCurve(((D(10) ** 12, D(1)),))
"""Everything is carried at any load."""
BASE = Case(
    nodes=1, requests_per_month=D(1_000_000), cloud_usd_per_request=D("0.0006"), share=WHOLE,
    hardware_usd=D(2000), idle_w=D(40), active_w=D(40), usd_per_kwh=D("0.27"),
)  # fmt: skip
HONEST = replace(
    BASE,
    share=ShareCurve(((D(100_000), D("0.95")), (D(1_000_000), D("0.25")))),
    idle_w=D(5), active_w=D(65), busy_ratio=D("0.7"), maintenance_hours=D(1), usd_per_hour=D(60),
    cloud_decline_per_year=D("0.2"), redone_ratio=D("0.05"), residual_ratio=D("0.2"),
)  # fmt: skip
SPREADS = {
    "share_factor": Spread(D("0.8"), D(1), D("1.1")),
    "cloud_decline_per_year": Spread(D("0.1"), D("0.2"), D("0.5")),
    "maintenance_hours": Spread(D("0.2"), D(1), D(3)),
    "usd_per_kwh": Spread(D("0.2"), D("0.27"), D("0.35")),
}


def test_without_honesty_it_is_the_usual_calculation() -> None:
    """A node that carries everything, at no other cost, pays exactly when the usual calculation says."""
    found = evaluate(BASE)
    naive = Naive(ARTICLE).break_even_months
    assert naive is not None
    assert found.break_even_months == pytest.approx(naive)
    assert found.reason is None


def test_first_month_by_hand() -> None:
    """A quarter local, a twentieth of it redone, 47 W on average and an hour's work: computed by hand."""
    month = evaluate(HONEST).months[0]
    assert month.all_cloud_usd == 600
    assert month.cloud_usd == D("457.5")  # 600 · (0.75 + 0.25 · 0.05)
    assert month.energy_usd == D("0.047") * D("730.5") * D("0.27")
    assert month.maintenance_usd == 60
    assert month.saved_usd == 600 - D("457.5") - month.energy_usd - 60
    assert evaluate(replace(HONEST, nodes=3)).months[0].maintenance_usd == 180


def test_honest_costs_move_the_month() -> None:
    """With everything counted the same node takes years instead of months, or never pays."""
    found = evaluate(HONEST)
    assert found.break_even_months is None or found.break_even_months > 20


def test_saturated_nodes_carry_no_more() -> None:
    """Between loads the number of local requests is interpolated; above the last it stays."""
    curve = HONEST.share
    assert curve.at(D(10)) == D("0.95")
    assert curve.at(D(1_000_000)) == D("0.25")
    assert curve.at(D(2_000_000)) == D("0.125")
    assert curve.at(D(550_000)) * 550_000 == pytest.approx((95_000 + 250_000) / D(2))
    for bad in ((), ((D(0), D(1)),), ((D(2), D(1)), (D(1), D(1)))):
        with pytest.raises(ValueError, match="ascending"):
            ShareCurve(bad)


def test_growth_helps_and_decline_hurts() -> None:
    """Growing traffic shortens the wait where nodes can carry it; falling cloud prices lengthen it."""
    base = evaluate(BASE).saved_usd
    assert evaluate(replace(BASE, growth_per_year=D("0.5"))).saved_usd > base
    assert evaluate(replace(BASE, cloud_decline_per_year=D("0.5"))).saved_usd < base
    last = evaluate(replace(BASE, cloud_decline_per_year=D("0.5"))).months[12]
    assert last.all_cloud_usd == pytest.approx(D(300))


def test_residual_value_shortens_the_wait() -> None:
    """A machine that can be sold again has less to earn back."""
    whole, half = evaluate(BASE), evaluate(replace(BASE, residual_ratio=D("0.5")))
    assert whole.break_even_months is not None
    assert half.break_even_months == pytest.approx(whole.break_even_months / 2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"requests_per_month": D(5000)}, r"running the node costs \$7.89 a month and saves only \$3 of"),
        (
            {"hardware_usd": D(100_000)},
            r"over 48 months the node saves \$28,421 and loses \$100,000 in value",
        ),
        ({"requests_per_month": D("0.2")}, r"saves only \$0.00012 of cloud"),
        ({"hardware_usd": D(100_000), "life_months": 1}, "over 1 month the node saves"),
        ({"hardware_usd": D("28421.4")}, r"the node saves \$28,421.31 and loses \$28,421.40 in value"),
        ({"hardware_usd": D("28421.31")}, r"the node saves no more than the \$28,421.31 that it loses in"),
        ({"nodes": 0}, "without a node"),
    ],
)
def test_never_says_why(change: dict[str, Decimal], words: str) -> None:
    """Where it never pays, one sentence says what outweighs what."""
    found = evaluate(replace(BASE, **change))  # type: ignore[arg-type]
    assert found.break_even_months is None
    assert found.reason is not None
    assert re.search(words, found.reason)


def test_what_runs_at_a_loss_is_said_with_the_sign_in_words() -> None:
    """Nodes that save at first and cost more than they save in the end are said to, as means of months."""
    found = evaluate(replace(HONEST, nodes=1, cloud_decline_per_year=D("0.95"), usd_per_hour=D(100)))
    assert found.reason is not None
    assert re.fullmatch(
        r"running the node costs \$109 a month and saves only \$[\d.]+ of cloud, mean over 48 months",
        found.reason,
    )


def rented(usd: str, **changes: Decimal) -> Case:
    """A node at that rent a month, and nothing to be paid back."""
    return replace(BASE, hardware_usd=D(0), idle_w=D(0), active_w=D(0), rent_usd_per_month=D(usd), **changes)  # type: ignore[arg-type]


def test_what_is_rented_pays_only_when_its_whole_life_saves() -> None:
    """A first month that saves is not enough where cheaper cloud makes the whole life cost more."""
    fading = rented("500", cloud_decline_per_year=D("0.3"))
    found = evaluate(fading)
    assert found.months[0].saved_usd > 0 > found.saved_usd
    assert found.break_even_months is None
    assert found.reason is not None
    assert re.fullmatch(
        r"running the node costs \$500 a month and saves only \$\d+ of cloud, mean over 48 months",
        found.reason,
    )
    assert monte_carlo(fading, {}, draws=10).pays_ratio == 0
    assert evaluate(rented("500")).break_even_months == 0


def test_what_is_rented_pays_from_the_month_that_makes_up_for_those_before() -> None:
    """Rent of 650 against a cloud bill that grows from 600: at first it costs more, and then never again."""
    found = evaluate(rented("650", growth_per_year=D("0.2")))
    paid = found.break_even_months
    assert paid is not None
    before = int(paid)
    assert sum(month.saved_usd for month in found.months[:before]) < 0
    assert sum(month.saved_usd for month in found.months[: before + 1]) >= 0
    assert found.saved_usd > 0


def test_what_saves_nothing_does_not_pay() -> None:
    """Rent that is just what the cloud asks is no reason to rent, and no figure is put against itself."""
    found = evaluate(rented("600"))
    assert found.break_even_months is None
    assert found.reason == "running the node costs $600.00 a month and saves no more of cloud"


def test_savings_that_do_not_cover_the_hardware_are_not_said_to_be_none() -> None:
    """Growing traffic: the first month runs at a loss, the whole life does not, and the reason says so."""
    dear = replace(BASE, hardware_usd=D(100_000), growth_per_year=D("0.3"), idle_w=D(3100), active_w=D(3100))
    found = evaluate(dear)
    assert found.months[0].saved_usd < 0
    assert found.reason is not None
    assert re.fullmatch(r"over 48 months the node saves \$[\d,]+ and loses \$100,000 in value", found.reason)


def test_band_is_ordered_and_repeatable() -> None:
    """P10, P50 and P90 ascend with never last; the same seed gives the same band, another another."""
    case = replace(HONEST, maintenance_hours=D("0.2"))
    one = monte_carlo(case, SPREADS, draws=200, seed=1)
    assert one == monte_carlo(case, SPREADS, draws=200, seed=1)
    assert one != monte_carlo(case, SPREADS, draws=200, seed=2)
    months = [m if m is not None else D("Infinity") for m in (one.p10, one.p50, one.p90)]
    assert months == sorted(months)
    assert one.saved_p10_usd <= one.saved_p50_usd <= one.saved_p90_usd
    assert 0 <= one.pays_ratio <= 1


def test_draws_are_spread_evenly() -> None:
    """One of a hundred futures lies in each hundredth of what is uncertain: few draws tell its quantiles."""
    wages = {"usd_per_kwh": Spread(D(0), D(1), D(4))}
    drawn = sorted(float(o.case.usd_per_kwh) for o in draw_outcomes(BASE, wages, draws=100, seed=3))
    ranks = [value**2 / 4 if value < 1 else 1 - (4 - value) ** 2 / 12 for value in drawn]
    assert [int(100 * rank) for rank in ranks] == list(range(100))


def test_certain_figures_give_a_band_without_width() -> None:
    """When nothing is uncertain all quantiles are the plain answer."""
    fixed = {"usd_per_kwh": Spread(D("0.27"), D("0.27"), D("0.27"))}
    band = monte_carlo(BASE, fixed, draws=10)
    assert band.p10 == band.p90 == evaluate(BASE).break_even_months
    assert band.pays_ratio == 1


def test_weightiest_uncertainty_comes_first() -> None:
    """Sensitivities are ordered by how far each moves the savings."""
    found = sensitivities(HONEST, SPREADS)
    weights = [item.weight_usd for item in found]
    assert weights == sorted(weights, reverse=True)
    assert found[0].name == "maintenance_hours"
    assert found[0].at_low_usd > found[0].at_high_usd
    assert {item.name for item in found} == set(SPREADS)


def test_unknown_names_and_crooked_spreads_are_refused() -> None:
    """A spread for a figure the case does not have, or out of order, is a mistake."""
    with pytest.raises(ValueError, match="'weather'"):
        monte_carlo(BASE, {"weather": Spread(D(0), D(0), D(1))}, draws=1)
    with pytest.raises(ValueError, match="ascending"):
        Spread(D(2), D(1), D(3))


def test_cheapest_fleet_wins() -> None:
    """Among fleets the one of least mean monthly cost is recommended, nothing bought included."""
    fleets = [
        replace(
            BASE,
            nodes=n,
            share=ShareCurve(((D(1_000_000), D(min(100, 40 * max(n, 1))) / 100),)),
            hardware_usd=D(4000),
        )
        for n in range(5)
    ]
    outcomes = [evaluate(case) for case in fleets]
    assert by_cost(outcomes)[0].case.nodes == 3
    assert outcomes[0].total_usd_per_month == 600
    assert outcomes[0].reason == "without a node there is nothing to pay back"


@given(st.integers(1, 2000), st.integers(-50, 100), st.integers(0, 90))
def test_what_is_rented_breaks_even_when_it_saves(rent: int, growth: int, decline: int) -> None:
    """At any rent, growth and decline: the month, the money and the reason agree."""
    changes = {"growth_per_year": D(growth) / 100, "cloud_decline_per_year": D(decline) / 100}
    found = evaluate(rented(str(rent), **changes))
    assert (found.break_even_months is not None) == (found.saved_usd > 0) == (found.reason is None)


@given(st.integers(0, 8), st.integers(1, 5_000_000), st.integers(0, 90))
def test_savings_and_break_even_agree(nodes: int, requests: int, decline: int) -> None:
    """A fleet that breaks even ends its life with money saved, and one that does not has none."""
    case = replace(
        HONEST, nodes=nodes, requests_per_month=D(requests), cloud_decline_per_year=D(decline) / 100
    )
    found = evaluate(case)
    if found.break_even_months is None:
        assert found.saved_usd < 0 or nodes == 0
        assert found.reason
    else:
        assert 0 < found.break_even_months <= case.life_months
