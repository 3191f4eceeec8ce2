"""What charts draw where: shapes of known figures, measured against each other in the SVG."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from decimal import Decimal
from functools import lru_cache

import pytest

from spillway.planner.breakeven import Sensitivity, Spread
from spillway.planner.plan import Plan
from spillway.planner.plan_money import Course, Point
from spillway.planner.report import charts
from tests.planner.plans import never, pays
from tests.planner.report.ran import RAN

D = Decimal
ENDS = re.compile(r"[ML]([\d.-]+) ([\d.-]+)")
NEAR = 0.02
"""Coordinates are written to a tenth."""


def shapes(svg: str, kind: str) -> list[ET.Element]:
    """The elements of exactly that class, in the order they are drawn."""
    return [item for item in ET.fromstring(svg).iter() if item.get("class") == kind]


def number(item: ET.Element, name: str) -> float:
    """One coordinate."""
    return float(item.get(name) or "nan")


def title(item: ET.Element) -> str:
    """What shows where a pointer rests."""
    return "".join(item.itertext())


def heights(item: ET.Element) -> list[float]:
    """The y of a path's points, from left to right and back."""
    return [float(y) for _, y in ENDS.findall(item.get("d") or "")]


@lru_cache
def planned() -> Plan:
    """A plan of up to two nodes that carry 0.2 each, of which both are shown, with a ceiling of 0.8."""
    plan = pays()
    blank = plan.fleets[0]
    lines = [replace(blank, nodes=n, ran=replace(RAN, local_share=0.2 * n)) for n in (0, 1, 2)]
    ceiling = replace(plan.ceiling, in_time_share=0.8)
    return replace(plan, fleets=tuple(lines), shown_nodes=2, ceiling=ceiling)


def test_the_curve_is_the_middle_future() -> None:
    """A quarter of the way from the least to the largest, where the middle is $25 of $0 to $100."""
    one = (Point(D(0), D(0), D(0)), Point(D(0), D(25), D(100)))
    svg = charts.cost_over_time(replace(planned(), course=Course(one, one)))
    for kind in ("cloud", "local"):
        [curve], [band] = shapes(svg, f"curve {kind}"), shapes(svg, f"band {kind}")
        _, top, bottom, _ = heights(band)
        assert (bottom - heights(curve)[1]) / (bottom - top) == pytest.approx(0.25, abs=NEAR)


def test_the_largest_future_is_within_the_picture() -> None:
    """A band that reaches far above its middle is not cut off."""
    one = (Point(D(0), D(0), D(0)), Point(D(0), D(25), D(100)))
    svg = charts.cost_over_time(replace(planned(), course=Course(one, one)))
    assert min(heights(shapes(svg, "band local")[0])) >= 0


def test_each_bill_has_its_own_curve() -> None:
    """All cloud at $100 is drawn twice as high as nodes at $50."""
    cloud, local = (Point(D(usd), D(usd), D(usd)) for usd in (100, 50))
    start = Point(D(0), D(0), D(0))
    svg = charts.cost_over_time(replace(planned(), course=Course((start, cloud), (start, local))))
    rise = {}
    for kind in ("cloud", "local"):
        [curve] = shapes(svg, f"curve {kind}")
        ground, end = heights(curve)
        rise[kind] = ground - end
    assert rise["cloud"] == pytest.approx(2 * rise["local"], rel=NEAR)


def test_the_day_it_is_paid_back_is_marked_at_its_month() -> None:
    """A quarter of the life is a quarter of the width, whatever else is drawn."""
    plan = planned()
    quarter = D(plan.inputs.life_months) / 4
    svg = charts.cost_over_time(replace(plan, band=replace(plan.band, p50=quarter)))
    [mark] = shapes(svg, "mark")
    left, right = (number(shapes(svg, "axis")[0], name) for name in ("x1", "x2"))
    assert (number(mark, "x1") - left) / (right - left) == pytest.approx(0.25, abs=NEAR)


def test_nothing_is_marked_as_paid_back_where_nothing_pays() -> None:
    """Even where the middle future alone would have a month."""
    plan = never()
    assert not plan.is_worth_it
    svg = charts.cost_over_time(replace(plan, band=replace(plan.band, p50=D(9))))
    assert shapes(svg, "mark") == []


def bars(svg: str) -> list[ET.Element]:
    """The bars of local requests, shown or faint, from left to right."""
    found = [*shapes(svg, "bar local"), *shapes(svg, "bar local faint")]
    return sorted(found, key=lambda bar: number(bar, "x"))


def test_a_fleet_s_bar_is_as_high_as_what_it_carries() -> None:
    """Two nodes that carry 40 % are drawn twice as high as one that carries 20 %."""
    one, two = bars(charts.share_by_fleet(planned()))
    assert number(two, "height") == pytest.approx(2 * number(one, "height"), rel=NEAR)
    assert "20 %" in title(one)
    assert "40 %" in title(two)


def test_the_ceiling_is_drawn_at_what_an_idle_node_answers_in_time() -> None:
    """At 80 % it is four times as high as the bar of 20 %."""
    svg = charts.share_by_fleet(planned())
    one, [mark] = bars(svg)[0], shapes(svg, "mark")
    ground = number(one, "y") + number(one, "height")
    assert ground - number(mark, "y1") == pytest.approx(4 * number(one, "height"), rel=NEAR)


def test_only_the_shown_fleet_is_not_faint() -> None:
    """The one that stands out is the one that the plan speaks of."""
    svg = charts.share_by_fleet(planned())
    [shown] = shapes(svg, "bar local")
    assert shown.get("x") == bars(svg)[-1].get("x")


def test_spilled_requests_stand_on_the_local_ones() -> None:
    """Each hour's two bars meet, and are as high as their requests."""
    hours = {"local_by_hour": (10.0, *[0.0] * 23), "cloud_by_hour": (30.0, *[0.0] * 23)}
    plan = planned()
    lines = tuple(replace(line, ran=replace(RAN, **hours)) for line in plan.fleets)  # type: ignore[arg-type]
    svg = charts.day(replace(plan, fleets=lines))
    cloud, local = shapes(svg, "bar cloud")[0], shapes(svg, "bar local")[0]
    assert number(cloud, "y") + number(cloud, "height") == pytest.approx(number(local, "y"), abs=0.2)
    assert number(cloud, "height") == pytest.approx(3 * number(local, "height"), rel=NEAR)


def tornado() -> str:
    """The savings with one uncertain figure: $1,000 at its least and $5,000 at its largest."""
    plan = planned()
    row = Sensitivity("usd_per_kwh", D(1000), D(5000))
    spreads = {"usd_per_kwh": Spread(D("0.1"), D("0.2"), D("0.3"))}
    return charts.tornado(replace(plan, sensitivities=(row,), spreads=spreads))


def test_each_end_says_its_own_figure_and_savings() -> None:
    """The least price of power with what is saved then, and the largest with that."""
    [low], [high] = shapes(tornado(), "bar less"), shapes(tornado(), "bar more")
    assert re.findall(r"\$[\d.,]+", title(low)) == ["$0.10", "$1,000"]
    assert re.findall(r"\$[\d.,]+", title(high)) == ["$0.30", "$5,000"]


def test_both_ends_begin_at_the_savings_as_planned() -> None:
    """The line between them is where the plan's own figure is, not the middle future's."""
    plan = planned()
    saved_usd = plan.shown.outcome.saved_usd
    band = replace(plan.band, saved_p50_usd=saved_usd - 50_000)
    row = Sensitivity("usd_per_kwh", saved_usd - 1000, saved_usd + 3000)
    spreads = {"usd_per_kwh": Spread(D("0.1"), D("0.2"), D("0.3"))}
    svg = charts.tornado(replace(plan, band=band, sensitivities=(row,), spreads=spreads))
    [less], [more], [mark] = (shapes(svg, kind) for kind in ("bar less", "bar more", "mark"))
    here = number(mark, "x1")
    assert number(less, "x") + number(less, "width") == pytest.approx(here, abs=0.2)
    assert number(more, "x") == pytest.approx(here, abs=0.2)
    assert number(more, "width") == pytest.approx(3 * number(less, "width"), rel=0.1)
