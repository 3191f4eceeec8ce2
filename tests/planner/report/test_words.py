"""Figures as people write them."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from spillway.planner.plan import FleetLine, Plan, make_plan
from spillway.planner.plan_build import build_inputs
from spillway.planner.report.page import page
from spillway.planner.report.terminal import printed
from spillway.planner.report.words import (
    comparison,
    headline,
    machine_cells,
    months,
    objective_of,
    paid,
    share,
    short_months,
    spread_of,
    suggestions,
    usd,
    value_of,
    verdict,
    when,
    whole_usd,
)
from spillway.vocabulary import Objective
from tests.planner.plans import CHEAP, never, pays


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        ("0.0006", "$0.0006"), ("0.0000495560666667", "$0.00005"), ("600", "$600"), ("44.26", "$44.26"),
        ("1234.5", "$1,234"), ("-529.6", "−$530"), ("0", "$0"), (None, "unknown"), ("0.00323", "$0.0032"),
    ],
)  # fmt: skip
def test_dollars(amount: str | None, said: str) -> None:
    """As many digits as matter, thousands apart, unknown said."""
    assert usd(None if amount is None else Decimal(amount)) == said


@pytest.mark.parametrize(
    ("ratio", "said"),
    [(0.0, "0 %"), (1.0, "100 %"), (0.123, "12 %"), (0.0123, "1.2 %"), (0.0001, "< 0.1 %"), (-0.001, "0 %"),
     (2.3766, "238 %"), (None, "unknown"), (0.9949, "99 %"), (0.9959, "99.6 %"), (0.99999, "99.9 %"),
     (Decimal("0.9959"), "99.6 %")],
)  # fmt: skip
def test_shares(ratio: Decimal | float | None, said: str) -> None:
    """Whole percents, a decimal where they are few or nearly all: what is not all does not read so."""
    assert share(ratio) == said


def test_months() -> None:
    """Months to one decimal, and never where there are none."""
    assert months(Decimal("3.3777")) == "3.4 months"
    assert months(Decimal("120.2")) == "120 months"
    assert (months(Decimal("0.04")), short_months(Decimal("0.04"))) == ("less than 0.1 months", "< 0.1")
    assert months(None) == "never"
    assert months(Decimal(0)) == short_months(0) == "at once"
    assert paid(None) == "but never be paid back"
    assert paid(Decimal(0)) == "and cost less from the first month"
    assert paid(Decimal(7)) == "and, at the likeliest figures, be paid back in 7.0 months"


def test_objectives() -> None:
    """An objective reads as a phrase, also without limits."""
    assert (
        objective_of(Objective("x", 2.0, 20.0, 0.95)) == "first token within 2 s, last within 20 s for 95 %"
    )
    assert objective_of(Objective("x")) == "no objective"
    for ratio, said in ((0.999, "99.9 %"), (0.985, "98.5 %"), (0.957, "95.7 %"), (0.9, "90 %")):
        assert objective_of(Objective("x", 2.0, None, ratio)) == f"first token within 2 s for {said}"


def test_values() -> None:
    """Values of assumptions lose their trailing zeros; unknown is said."""
    assert value_of(Decimal("2000.0")) == "2,000"
    assert value_of(0.27) == "0.27"
    assert value_of(None) == "unknown"
    assert value_of("consumer") == "consumer"


def test_uncertain_figures() -> None:
    """Shares read as percentages with a proper minus, money as dollars, time as hours."""
    assert spread_of("growth_per_year", Decimal("-0.2")) == "−20 %"
    assert spread_of("share_factor", Decimal("1.2731")) == "127 %"
    assert spread_of("usd_per_kwh", Decimal("0.2")) == "$0.20"
    assert spread_of("maintenance_hours", Decimal("0.50")) == "0.5 h"


def test_ends_of_uncertain_figures_are_not_rounded_away() -> None:
    """Small shares and prices below a cent read as what was reckoned with."""
    assert spread_of("redone_ratio", Decimal("0.025")) == "2.5 %"
    assert spread_of("redone_ratio", Decimal("0.04")) == "4 %"
    assert spread_of("growth_per_year", Decimal("-0.025")) == "−2.5 %"
    assert spread_of("usd_per_kwh", Decimal("0.055")) == "$0.055"


def test_a_machine_that_is_there_has_nothing_to_pay_back() -> None:
    """Hardware that costs nothing is not said to be paid back."""
    plan = pays()
    owned = replace(plan, inputs=replace(plan.inputs, node=replace(plan.inputs.node, price_usd=Decimal(0))))
    assert headline(owned).startswith("Nothing has to be paid back, and it saves $")


def test_resale_is_said_where_there_is_any() -> None:
    """What can be sold at the end is no part of what is paid back, and sentence and curves say so."""
    plan = pays()
    none = replace(plan.inputs.costs["residual_ratio"], low=Decimal(0), mode=Decimal(0), high=Decimal(0))
    kept = replace(plan, inputs=replace(plan.inputs, costs={**plan.inputs.costs, "residual_ratio": none}))
    assert " of hardware, less resale, is paid back in " in headline(plan)
    assert "hardware at its price less resale" in page(plan)
    assert " of hardware is paid back in " in headline(kept)
    assert "less resale" not in page(kept)


def test_headline_keeps_to_the_middle_future() -> None:
    """Months and savings of the headline come from the same futures, with their range."""
    plan = pays()
    life = plan.inputs.life_months
    assert f"saves {usd(plan.band.saved_p50_usd / life)} a month" in headline(plan)
    assert f"({usd(plan.band.saved_p10_usd / life)} to {usd(plan.band.saved_p90_usd / life)})" in headline(
        plan
    )


def test_what_is_paid_back_almost_at_once_takes_no_zero_months() -> None:
    """Savings in the millions leave a time that is short and not none."""
    plan = pays()
    band = replace(plan.band, p10=Decimal("0.01"), p50=Decimal("0.02"), p90=Decimal("0.04"))
    soon = replace(plan, band=band)
    assert " is paid back in less than 0.1 months (less than 0.1 months) and " in headline(soon)


def test_a_life_of_one_month_is_one_month() -> None:
    """Headline, tables and page count it in the singular."""
    plan = pays()
    brief = replace(plan, inputs=replace(plan.inputs, life_months=1))
    assert "a month over 1 month (" in headline(brief)
    for text in (printed(brief), page(brief)):
        assert "mean over 1 month;" in text
        assert "1 months" not in text.replace("0.1 months", "")


@pytest.mark.parametrize("growth", ["-0.7", "0", "0.5"])
def test_a_local_request_costs_its_part_of_all_over_the_life(growth: str) -> None:
    """Costs of the whole life are over all requests that stay in it, not those of the first month."""
    asked = replace(CHEAP, sizes=(1,), costs={"growth_per_year": Decimal(growth)})
    plan = make_plan(build_inputs(asked), workers=1)
    one = plan.shown
    by_month = [600 * (1 + float(growth)) ** (month / 12) for month in range(plan.inputs.life_months)]
    stay = sum(by_month) * one.ran.local_share
    a_request = float(one.local_usd_per_month) * plan.inputs.life_months / stay
    assert float(comparison(plan)[2][2].removeprefix("$")) == pytest.approx(a_request, rel=0.05)


def test_never_always_says_what_would_change_it() -> None:
    """A no names what alone would make it a yes, or says that nothing would."""
    plan = never()
    assert any("would pay" in sentence for sentence in suggestions(plan))
    hopeless = replace(plan, would_pay=dict.fromkeys(plan.would_pay))
    assert any("would change that" in sentence for sentence in suggestions(hopeless))
    assert any("--attainment" in sentence for sentence in suggestions(late()))


def late() -> Plan:
    """A plan whose fleets keep no objective."""
    plan = never()
    return replace(plan, fleets=tuple(replace(line, keeps_objective=False) for line in plan.fleets))


def test_what_is_late_is_not_said_to_pay() -> None:
    """A fleet that would save money and misses the objective is refused for that alone."""
    plan = replace(late(), reason="no fleet keeps the objective", band=pays().band)
    assert verdict(plan) == "Do not buy Mac mini M4 Pro: it misses the objective"
    assert headline(plan) == "No fleet keeps the objective."
    other = next(line for line in plan.machines if line.key == "rtx-3090")
    assert verdict(replace(plan, better=other)).endswith("objective, but GeForce RTX 3090 pays")


@pytest.mark.parametrize(("in_time", "is_said"), [(0.94, False), (0.95, True)])
def test_a_longer_objective_is_named_where_it_is_kept(in_time: float, is_said: bool) -> None:
    """A fleet that misses its objective is not said to do under a longer one that it misses too."""
    plan, patient = late(), never().patient
    assert patient is not None
    better = replace(patient, ran=replace(patient.ran, attainment=in_time), outcome=pays().shown.outcome)
    said = [each for each in suggestions(replace(plan, patient=better)) if "would carry" in each]
    assert bool(said) == is_said


def test_rent_is_no_price_of_a_machine() -> None:
    """Where nothing would make a rented node pay, its price is not what was tried."""
    plan = never()
    node = replace(plan.inputs.node, rent_usd_per_month=Decimal(300))
    hopeless = replace(plan, would_pay=dict.fromkeys(plan.would_pay))
    rented = replace(hopeless, inputs=replace(plan.inputs, node=node))
    assert any("nor would any price of the machine" in sentence for sentence in suggestions(hopeless))
    assert list(suggestions(rented))[-1].endswith("a thousand times as high would change that.")


def test_where_the_cloud_costs_nothing_nothing_is_said_of_its_price() -> None:
    """A thousand times nothing is nothing, which says nothing of a price that would pay."""
    free = charged(replace(never(), would_pay=dict.fromkeys(never().would_pay)), Decimal(0))
    assert [each for each in suggestions(free) if "change that" in each] == [
        "The cloud charges nothing, so there is nothing to save: only a price of it would change that."
    ]


def test_futures_that_never_pay_are_counted() -> None:
    """A range that ends in never says how many futures end there."""
    plan = pays()
    band = replace(plan.band, p10=Decimal("19.1"), p90=None, pays_ratio=Decimal("0.516"))
    assert "(from 19.1, never in 48 % of the futures)" in headline(replace(plan, band=band))


def test_nothing_is_needed_that_is_there_already() -> None:
    """A price above today's, or traffic below it, is no condition and is not named as one."""
    plan = never()
    now = {
        "hardware_usd": plan.inputs.node.price_usd * 2,
        "cloud_usd_per_request": plan.cloud_usd_per_request / 2,
        "requests_per_month": plan.inputs.traffic.requests_per_month / 2,
    }
    assert not any("would pay" in sentence for sentence in suggestions(replace(plan, would_pay=now)))


def charged(plan: Plan, usd_per_request: Decimal) -> Plan:
    """The plan with another price of the mean request in all its fleets."""
    return replace(plan, fleets=tuple(charged_line(line, usd_per_request) for line in plan.fleets))


def charged_line(line: FleetLine, usd_per_request: Decimal) -> FleetLine:
    """The fleet with that price."""
    case = replace(line.outcome.case, cloud_usd_per_request=usd_per_request)
    return replace(line, outcome=replace(line.outcome, case=case))


def test_each_column_has_its_own_price_of_a_request() -> None:
    """The usual calculation shows the plain list price, the replay what it charges."""
    plan = charged(never(), Decimal("0.0235"))
    assert comparison(plan)[0] == ("cloud, per request", "$0.0016", "$0.024")


@pytest.mark.parametrize(
    ("sizes", "share_in_time", "count", "limit", "said"),
    [
        ((0, 1, 2, 8), 1.0, 8, None, "at most 8 nodes"),
        ((0, 1, 2, 8), 1.0, 2, None, "2 nodes"),
        ((0, 1, 2, 8), 1.0, None, None, "more than 8 nodes"),
        ((0, 1), 0.5, 1, None, "no number of them; 1 node takes the 50 % that can be in time"),
        ((0, 1, 8), 0.5, 8, None, "no number of them; at most 8 nodes take the 50 % that can be in time"),
        ((0, 1), 0.5, None, 9, "no number of them; more than 1 node takes the 50 % that may go local "
         "and can be in time"),
    ],
)  # fmt: skip
def test_what_all_of_it_takes(
    sizes: tuple[int, ...], share_in_time: float, count: int | None, limit: int | None, said: str
) -> None:
    """As many nodes as are known to be needed: the largest tried need not be the least."""
    plan = never()
    moved = replace(
        plan, nodes_for_all=count, ceiling=replace(plan.ceiling, in_time_share=share_in_time),
        fleets=tuple(replace(plan.fleets[1], nodes=nodes) for nodes in sizes),
        inputs=replace(plan.inputs, most_input_tokens=limit),
    )  # fmt: skip
    assert comparison(moved)[-1] == ("all of it takes", "1 node", said)


@pytest.mark.parametrize(
    ("needed", "now", "said"),
    [
        ("0.000393435", "0.00021", "$0.000394 a request, not $0.00021"),
        ("0.0002101", "0.00021", "$0.000211 a request, not $0.00021"),
        ("0.0002123", "0.000211987", "$0.000213 a request, not $0.000212"),
        ("0.000210002", "0.000210001", "$0.000211 a request, not $0.00021"),
        ("0.01204", "0.012", "$0.0121 a request, not $0.012"),
        ("12.345", "1", "$12.40 a request, not $1"),
    ],
)
def test_a_charge_that_would_pay_is_enough_and_another(needed: str, now: str, said: str) -> None:
    """What is named as needed is rounded up, and reads otherwise than what is charged today."""
    plan = charged(never(), Decimal(now))
    found = list(suggestions(replace(plan, would_pay={"cloud_usd_per_request": Decimal(needed)})))
    assert f"It would pay if the cloud charged {said}." in found


@pytest.mark.parametrize(("price", "said"), [("606.99", "$606"), ("1998.5", "$1,998"), ("62.349", "$62.30")])
def test_a_price_that_would_pay_is_rounded_down(price: str, said: str) -> None:
    """What one may cost at most is rounded down, so that it does pay."""
    plan = replace(never(), would_pay={"hardware_usd": Decimal(price)})
    assert f"1 node would pay if one cost at most {said}, not $1,999." in suggestions(plan)


@pytest.mark.parametrize(
    ("count", "said"),
    [("745678", "770,000"), ("1961171", "2,100,000"), ("999999", "1,100,000"), ("601", "620")],
)
def test_traffic_that_would_pay_is_told_to_two_digits_with_room(count: str, said: str) -> None:
    """Other traffic is other requests, so what is told is at least 3 % more than what was found."""
    plan = never()
    found = list(suggestions(replace(plan, would_pay={"requests_per_month": Decimal(count)})))
    assert f"It would pay from about {said} requests a month, not 600." in found


def test_what_pays_at_the_likeliest_figures_alone_names_what_would_do() -> None:
    """Where only the likeliest case pays, what would make most futures pay is said as well."""
    plan = never()
    outcome = replace(plan.shown.outcome, break_even_months=Decimal(40))
    fleets = tuple(replace(line, outcome=outcome) if line.nodes == 1 else line for line in plan.fleets)
    found = list(suggestions(replace(plan, fleets=fleets, would_pay={"hardware_usd": Decimal(600)})))
    assert any("At the likeliest figures it would pay, in 40.0 months" in sentence for sentence in found)
    assert any("at most $600" in sentence for sentence in found)


def test_what_pays_at_once_is_said_to() -> None:
    """What has nothing to be paid back pays at once, not in so many months."""
    assert when(Decimal(0)) == "at once"
    assert when(Decimal(7)) == "in 7.0 months"


def test_a_no_says_which_machine_and_which_other_one_pays() -> None:
    """The verdict names the machine it is about, and another of the catalogue that pays."""
    plan = never()
    assert verdict(plan) == "Do not buy Mac mini M4 Pro: it never pays"
    other = next(line for line in plan.machines if line.key == "rtx-3090")
    better = replace(plan, better=other)
    assert verdict(better) == "Do not buy Mac mini M4 Pro: it never pays, but GeForce RTX 3090 does"
    several = replace(plan, inputs=replace(plan.inputs, sizes=(0, 8)))
    assert verdict(several) == "Do not buy 8 nodes: they never pay"
    more = replace(plan, inputs=replace(plan.inputs, sizes=(3, 4)), alone=plan.fleets[1])
    assert verdict(more) == "Do not buy 3 or more nodes: they never pay, but 1 node does"
    described = replace(plan, inputs=replace(plan.inputs, machine=None))
    assert verdict(described) == "Do not buy: it never pays"


def test_the_headline_and_the_tables_say_whose_figures_they_are() -> None:
    """The middle future is not the likeliest figures, so both are labelled."""
    plan = pays()
    assert headline(plan).endswith("Middle of 40 futures; the tables show the likeliest figures.")
    assert "at the likeliest figures" in printed(plan)
    assert page(plan).count("at the likeliest figures") == 2


def test_a_rented_machine_that_costs_more_than_it_saves_never_pays() -> None:
    """What is rented has no month of being paid back, and is not just called rented where it loses money."""
    plan = never()
    rented = next(line for line in plan.machines if line.node.rent_usd_per_month)
    assert rented.outcome.saved_usd < 0
    assert machine_cells(rented)[-1] == "never"
    saving = replace(
        rented, outcome=next(line for line in pays().machines if line.outcome.saved_usd > 0).outcome
    )
    assert machine_cells(saving)[-1] == "rented"


def test_table_dollars() -> None:
    """Tables carry whole dollars, minus before the sign, and no minus zero."""
    assert whole_usd(Decimal("-0.2")) == "$0"
    assert whole_usd(Decimal("-12.6")) == "−$13"
