"""What one figure alone would have to be: by the verdict's own futures, and true when it is fed back."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from functools import lru_cache

import pytest

from spillway.planner.breakeven import Case, ShareCurve, Spread, band, draw_outcomes, evaluate
from spillway.planner.node_figures import NodeFigures
from spillway.planner.plan import Plan, make_plan
from spillway.planner.plan_build import Asked, build_inputs
from spillway.planner.plan_cloud import CloudFigures
from spillway.planner.plan_inputs import Effort
from spillway.planner.thresholds import what_would_pay
from tests.planner.plans import DAY

D = Decimal
INPUT, OUTPUT = D("0.15"), D("0.60")
ASKED = Asked(
    DAY,
    requests_per_month=300_000,
    input_tokens=800,
    output_tokens=150,
    cloud=CloudFigures(DAY, "openai/gpt-4o-mini", INPUT, OUTPUT),
    sizes=(0, 1),
    effort=Effort(8000, 8000, 60),
)
"""A plan whose likeliest case pays at other figures than its middle future does."""
CASE = Case(
    nodes=1, requests_per_month=D(1_000_000), cloud_usd_per_request=D("0.0006"),
    share=ShareCurve(((D(10) ** 12, D(1)),)), hardware_usd=D(100_000), idle_w=D(40), active_w=D(40),
    usd_per_kwh=D("0.27"),
)  # fmt: skip
"""All is carried at any load, at 7.89 USD of electricity a month."""
SPREADS = {
    "cloud_decline_per_year": Spread(D(0), D(0), D("0.5")),
    "maintenance_hours": Spread(D(0), D(0), D(10)),
}
"""Futures that are worse than the likeliest case."""


def pays(case: Case) -> bool:
    """What the verdict asks: the middle future, and the likeliest over the whole life."""
    middle = band(draw_outcomes(case, SPREADS, draws=50)).p50
    return middle is not None and evaluate(case).saved_usd > 0


def needed(case: Case) -> dict[str, Decimal | None]:
    """What would pay over those futures."""
    return what_would_pay(evaluate(case), draw_outcomes(case, SPREADS, draws=50))


def test_certain_figures_by_hand() -> None:
    """Without uncertainty a node may cost what 48 months save; the rest follows from that."""
    found = what_would_pay(evaluate(CASE), [evaluate(CASE)])
    assert found["hardware_usd"] == D("28421.30")  # 48 · (600 − 7.88940)
    assert found["cloud_usd_per_request"] == D("0.00209123")  # (100,000 / 48 + 7.88940) / 1,000,000, up
    assert found["requests_per_month"] == pytest.approx(D(3_485_371), rel=D("0.003"))


@pytest.mark.parametrize("field", ["hardware_usd", "cloud_usd_per_request", "requests_per_month"])
def test_each_threshold_turns_the_verdict(field: str) -> None:
    """A little beyond it the middle future pays, a little short of it it does not."""
    case = replace(CASE, usd_per_hour=D(60))
    value = needed(case)[field]
    assert value is not None
    less, more = value * D("0.995"), value * D("1.005")
    short, beyond = (more, less) if field == "hardware_usd" else (less, more)
    assert pays(replace(case, **{field: beyond}))  # type: ignore[arg-type]
    assert not pays(replace(case, **{field: short}))  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["cloud_usd_per_request", "requests_per_month"])
def test_what_is_rented_turns_with_the_money_too(field: str) -> None:
    """A rented node that saves at first only is not told to pay; beyond a threshold it saves."""
    case = replace(CASE, hardware_usd=D(0), rent_usd_per_month=D(550))
    now = band(draw_outcomes(case, SPREADS, draws=50))
    assert now.p50 is None
    assert now.saved_p50_usd < 0
    value = needed(case)[field]
    assert value is not None
    assert value > getattr(case, field)
    beyond = replace(case, **{field: value * D("1.005")})  # type: ignore[arg-type]
    assert pays(beyond)
    assert band(draw_outcomes(beyond, SPREADS, draws=50)).saved_p50_usd > 0
    assert not pays(replace(case, **{field: value * D("0.995")}))  # type: ignore[arg-type]


def test_thresholds_are_stricter_than_the_likeliest_case_where_the_futures_are_worse() -> None:
    """What would do at the likeliest figures does not where most futures are worse."""
    case = replace(CASE, usd_per_hour=D(60))
    alone = what_would_pay(evaluate(case), [evaluate(case)])
    found = needed(case)
    assert found["hardware_usd"] is not None
    assert alone["hardware_usd"] is not None
    assert found["hardware_usd"] < D("0.9") * alone["hardware_usd"]


def test_thresholds_are_those_of_the_likeliest_case_where_the_futures_are_better() -> None:
    """A fleet that costs more than the cloud at the likeliest figures is not bought, however bright."""
    bright = [evaluate(replace(CASE, cloud_usd_per_request=D("0.01")))] * 3
    found = what_would_pay(evaluate(CASE), bright)
    assert found["hardware_usd"] == D("28421.30")


def test_no_value_will_do() -> None:
    """A thousand times the traffic on full nodes, or a cloud for nothing, is no way out; nor is a price."""
    small = replace(CASE, share=ShareCurve(((D(1000), D(1)),)))
    assert needed(small)["requests_per_month"] is None
    assert needed(replace(CASE, cloud_usd_per_request=D(0)))["cloud_usd_per_request"] is None
    rented = replace(CASE, hardware_usd=D(0), rent_usd_per_month=D(1000))
    assert needed(rented)["hardware_usd"] is None


def test_more_traffic_keeps_the_node_busier() -> None:
    """Where nodes draw more at work, the traffic that pays is that of busier nodes."""
    share = ShareCurve(((D(1_000_000), D(1)), (D(10) ** 9, D(1))))
    busy = replace(CASE, share=share, busy_ratio=D("0.01"), active_w=D(20_000), usd_per_kwh=D("0.5"))
    idle = replace(busy, active_w=D(40))
    counts = [what_would_pay(evaluate(c), [evaluate(c)])["requests_per_month"] for c in (busy, idle)]
    assert counts[0] is not None
    assert counts[1] is not None
    assert counts[0] > D("1.05") * counts[1]


@lru_cache
def told() -> Plan:
    """The plan whose thresholds are fed back."""
    return make_plan(build_inputs(ASKED), workers=1)


def fed_back(name: str, times: Decimal) -> Plan:
    """The plan with that threshold, so many times of it, in place of today's figure."""
    value = told().would_pay[name]
    assert value is not None
    value *= times
    if name == "hardware_usd":
        asked = replace(ASKED, node=NodeFigures(hardware_usd=value))
    elif name == "requests_per_month":
        asked = replace(ASKED, requests_per_month=int(value))
    else:
        dearer = value / told().cloud_usd_per_request
        cloud = CloudFigures(DAY, "openai/gpt-4o-mini", INPUT * dearer, OUTPUT * dearer)
        asked = replace(ASKED, cloud=cloud)
    return make_plan(build_inputs(asked), workers=1)


@pytest.mark.parametrize(
    ("name", "room"),
    [("hardware_usd", "-0.005"), ("cloud_usd_per_request", "0.005"), ("requests_per_month", "0.08")],
)
def test_fed_back_it_pays(name: str, room: str) -> None:
    """The whole plan says yes a little beyond each threshold that it named, and no a little short of it.

    Other traffic is other requests, simulated anew, so its threshold is not as sharp.
    """
    assert not told().is_worth_it
    assert fed_back(name, 1 + D(room)).is_worth_it
    assert not fed_back(name, 1 - D(room)).is_worth_it
