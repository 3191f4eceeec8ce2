"""Each term of a plan's money is that of its own figure: growth, answers, tiers, fees, uncertainties."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import numpy as np
import pytest

from spillway.errors import ConfigError
from spillway.ledger.cost import price_of
from spillway.planner.arrivals import spread_totals
from spillway.planner.breakeven import Month, Spread, evaluate
from spillway.planner.money import cloud_price_usd
from spillway.planner.plan_cloud import (
    OWN_PRICE,
    CloudFigures,
    choose_cloud,
    price_of_line_items,
    refuse_unknown_tiers,
)
from spillway.planner.plan_costs import KNOWN, USUAL_COSTS, assumptions_of, with_given
from spillway.planner.plan_money import Answers, make_case, on_one_scale, share_spread
from spillway.planner.readers.line_items import read_line_item
from spillway.planner.workload import Total, Workload
from spillway.vocabulary import Rates, Usage
from tests.planner.plans import never
from tests.planner.test_payback_edges import CASE

D = Decimal
DAY = date(2026, 11, 24)
DAY_S = 86_400.0
FIRST_TIER = Rates(D(2), D(8), D(1), request_usd=D("0.002"))
SECOND_TIER = Rates(D(3), D(12), D(2), request_usd=D("0.003"))
TIERED = Rates(
    D(1), D(4), D("0.1"), request_usd=D("0.001"), above=((100, FIRST_TIER), (200, SECOND_TIER))
)  # fmt: skip


def month(number: int, **changes: object) -> Month:
    """That month of $1,000 of traffic, half of which stays local."""
    return evaluate(replace(CASE, **changes)).months[number]  # type: ignore[arg-type]


def test_growth_and_decline_are_by_the_year() -> None:
    """Half as much traffic again after twelve months, at four fifths of the price."""
    later = month(12, growth_per_year=D("0.5"), cloud_decline_per_year=D("0.2"))
    assert later.requests == pytest.approx(D(1500))
    assert later.all_cloud_usd == pytest.approx(D(1200))
    assert month(6, growth_per_year=D("0.44")).requests == pytest.approx(D(1200))


def test_longer_answers_cost_as_much_more_as_they_are_of_the_bill() -> None:
    """Two fifths of it are for answers, which are twice as long."""
    assert month(0, output_factor=D(2), output_cost_ratio=D("0.4")).all_cloud_usd == 1400


def test_no_less_than_nothing_stays_local() -> None:
    """Answers so long that more than all of the local share would be lost leave the whole bill."""
    found = month(0, output_factor=D(20), output_share_loss=D("0.25"))
    assert (found.local_share, found.cloud_usd) == (D(0), D(1000))


def test_a_case_takes_every_figure_from_its_own_place() -> None:
    """All uncertain ones at their likeliest, each of a value that no other has."""
    inputs = never().inputs
    modes = {name: known.least + D(1 + place) / 100 for place, (name, known) in enumerate(KNOWN.items())}
    costs = {name: Spread(mode - D("0.001"), mode, mode) for name, mode in modes.items()}
    told = replace(inputs, costs=costs, life_months=31, usd_per_hour=D(47))
    case = make_case(told, 2, [never().shown.ran], D("0.05"), Answers(D("0.7"), D("0.3")))
    assert {name: getattr(case, name) for name in modes} == modes
    assert (case.life_months, case.usd_per_hour, case.cloud_usd_per_request) == (31, D(47), D("0.05"))
    assert (case.output_cost_ratio, case.output_share_loss) == (D("0.7"), D("0.3"))


def test_a_run_on_another_machine_has_its_price_and_watts() -> None:
    """A fleet of it is not paid for as one of the plan's own."""
    inputs, ran = never().inputs, never().shown.ran
    other = replace(inputs.node, price_usd=D(123), idle_w=D(3), active_w=D(45))
    told = replace(inputs, machines={"other": other})
    case = make_case(told, 1, [replace(ran, run=replace(ran.run, machine="other"))], D(1), Answers())
    assert (case.hardware_usd, case.idle_w, case.active_w) == (D(123), D(3), D(45))


@pytest.mark.parametrize(
    ("slower", "faster", "low", "high"),
    [("0.4", "0.6", "0.8", "1.2"), ("0.6", "0.4", "1", "1"), ("0.5", "0.5", "1", "1")],
)
def test_a_share_may_be_as_far_off_as_slower_and_faster_nodes_carry(
    slower: str, faster: str, low: str, high: str
) -> None:
    """Less with the slower one, more with the faster one, and never the other way round."""
    now, less, more = (replace(never().shown.ran, avoided_share=D(s)) for s in ("0.5", slower, faster))
    found = share_spread(now, less, more, 0.2)
    assert (found.low, found.mode, found.high) == (D(low), D(1), D(high))


def test_other_loads_are_brought_to_the_longer_run_s_share() -> None:
    """Half of what the short run avoided is half of what the long one does."""
    whole, now, other = (replace(never().shown.ran, avoided_share=D(s)) for s in ("0.6", "0.5", "0.25"))
    assert [each.avoided_share for each in on_one_scale(whole, now, [other])] == [D("0.6"), D("0.3")]


def test_what_is_uncertain_about_a_given_figure_stays_possible() -> None:
    """Nobody sells a used machine for more than nearly all of its price; the figure says who gave it."""
    found = with_given(USUAL_COSTS, {"residual_ratio": D("0.9"), "redone_ratio": D("0.99")})
    assert (found["residual_ratio"].low, found["residual_ratio"].high) == (D("0.8"), D("0.95"))
    assert found["redone_ratio"].high == 1
    grades = {each.name: each.grade for each in assumptions_of(found)}
    assert grades[KNOWN["residual_ratio"].label] == "given"
    assert grades[KNOWN["usd_per_kwh"].label] == "guess"


def asked(*input_tokens: int, cached: bool = True) -> Workload:
    """One request for each length, with ten tokens of answer, the half of its prompt cached."""
    prompts = np.array(input_tokens, dtype=np.int32)
    count = len(prompts)
    none = np.zeros(count, dtype=np.int32)
    times = np.arange(count, dtype=np.float64)
    return Workload(times, prompts, none + 10, prompts // 2 if cached else None, none, ("m",), float(count))


@pytest.mark.parametrize("tokens", [99, 100, 101, 199, 200, 201])
def test_a_workload_is_priced_like_its_requests_at_the_borders_of_tiers(tokens: int) -> None:
    """The last prompt of a tier, and the first of the next."""
    price = price_of(Usage(tokens, 10, cache_read_tokens=tokens // 2), TIERED)
    assert cloud_price_usd(asked(tokens), TIERED) == price


def test_half_a_price_is_asked_for_whole() -> None:
    """Rather than called unknown for some tokens."""
    halves = CloudFigures(DAY, input_usd_per_mtok=D(1)), CloudFigures(DAY, output_usd_per_mtok=D(1))
    for half in halves:
        with pytest.raises(ConfigError, match="needs both"):
            choose_cloud(asked(100, cached=False), half)


def test_a_fee_that_only_long_prompts_pay_is_said() -> None:
    """It is a part of the bill like any other."""
    long = Rates(D(1), D(2), request_usd=D("0.5"), source=OWN_PRICE)
    own = {"p/m": Rates(D(1), D(2), above=((50, long),), source=OWN_PRICE)}
    _, warnings = choose_cloud(asked(100, cached=False), CloudFigures(DAY, "p/m", own=own))
    assert [each for each in warnings if "charges $0.5 a request" in each]


def test_a_stated_price_holds_for_every_tier_of_service() -> None:
    """Only where none is stated does an unknown one end the plan."""
    tiers = {"m at flex": 3}
    refuse_unknown_tiers(tiers, CloudFigures(DAY, input_usd_per_mtok=D(1), output_usd_per_mtok=D(2)))
    refuse_unknown_tiers(tiers, CloudFigures(DAY, "p/m"))
    with pytest.raises(ConfigError, match=r"m at flex \(3 requests\)"):
        refuse_unknown_tiers(tiers, CloudFigures(DAY, input_usd_per_mtok=D(1)))


def test_what_is_written_to_a_cache_has_its_own_price_where_one_is_listed() -> None:
    """As Anthropic's and newer models of OpenAI have."""
    own = {"openai/gpt-4o": Rates(D(3), D(15), D("0.3"), D("3.75"), source=OWN_PRICE)}
    price = price_of_line_items(CloudFigures(DAY, own=own))
    assert price(read_line_item("gpt-4o, cache writes"), 1_793_577_600.0) == D("3.75")


def test_a_week_without_dates_begins_on_a_monday() -> None:
    """Its last two days are an office's weekend."""
    workload = spread_totals([Total(0.0, 7 * DAY_S, 70_000, 70_000, 70_000)], "office")
    count = np.bincount((workload.time_s // DAY_S).astype(int), minlength=7)
    assert count[5:].max() < 0.5 * count[:5].min()


def test_requests_of_two_models_keep_their_own_tokens() -> None:
    """Mixed in time, of which one's usage tells what was cached and the other's does not."""
    told, untold = Total(0.0, DAY_S, 50, 5000, 500, 2500, "a"), Total(0.0, DAY_S, 50, 50, 50, None, "b")
    workload = spread_totals([told, untold])
    first = workload.model == 0
    assert workload.cached_tokens is not None
    assert workload.knows_cached is not None
    assert (workload.input_tokens[first].sum(), workload.output_tokens[first].sum()) == (5000, 500)
    assert workload.cached_tokens[first].sum() == 2500
    assert (workload.knows_cached == first).all()
