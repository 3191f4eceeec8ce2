"""Which part of the traffic is simulated where there is too much of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spillway.planner.arrivals import spread_totals
from spillway.planner.plan_build import build_inputs
from spillway.planner.plan_money import Answers, make_case
from spillway.planner.plan_runs import Run, World, carry_out, usd_per_request
from spillway.planner.plan_stretch import stretch
from spillway.planner.plan_traffic import from_numbers
from spillway.planner.workload import Total
from tests.planner.plans import CHEAP

DAY_S = 86_400.0


def test_stretch_leaves_small_traffic_whole() -> None:
    """What is small enough is simulated as it is."""
    whole = from_numbers(30, 100, 20).workload
    assert stretch(whole, len(whole)) is whole


def test_stretch_is_whole_days_at_a_typical_rate() -> None:
    """A part is whole days long, begins on a day, and its rate is near the whole's."""
    whole = from_numbers(30_000, 100, 20, "office", seed=3).workload
    part = stretch(whole, 11_000)
    assert part.span_s == 7 * DAY_S
    assert len(part) / part.span_s == pytest.approx(len(whole) / whole.span_s, rel=0.1)
    assert part.time_s[0] >= 0
    assert part.time_s[-1] < part.span_s


def test_stretch_never_is_less_than_a_day() -> None:
    """However little is asked for, a course of the day stays whole."""
    whole = from_numbers(30_000, 100, 20).workload
    assert stretch(whole, 10).span_s == DAY_S


@pytest.mark.parametrize("quiet", [0, 10])
def test_stretch_holds_the_day_that_all_comes_on(quiet: int) -> None:
    """Idle days are no part of traffic that comes on one day, although their rate is nearer the mean."""
    counts = [*[quiet] * 20, 10_000, *[quiet] * 9]
    totals = [Total(DAY_S * day, DAY_S, count, 100 * count, 20 * count) for day, count in enumerate(counts)]
    part = stretch(spread_totals(totals), 4000)
    assert part.span_s == 7 * DAY_S
    assert len(part) == 10_000 + 6 * quiet


def test_stretch_reaches_the_end() -> None:
    """Traffic of which nearly all comes in the half day after the last whole one is not left out."""
    totals = [Total(0.0, 3 * DAY_S, 30, 3000, 600), Total(3 * DAY_S, DAY_S / 2, 9000, 900_000, 180_000)]
    part = stretch(spread_totals(totals, "flat"), 1000)
    assert part.span_s == DAY_S
    assert len(part) > 9000


def test_a_short_stretch_holds_requests_too() -> None:
    """Also of less than two days the part taken is one with traffic."""
    totals = [Total(0.0, 3000.0, 1, 100, 20), Total(3000.0, 600.0, 5000, 500_000, 100_000)]
    whole = spread_totals(totals, "flat")
    part = stretch(whole, 500)
    assert part.span_s == pytest.approx(whole.span_s * 500 / 5001)
    assert len(part) > 500


def test_idle_days_around_a_stretch_use_no_energy_of_work() -> None:
    """A node that works on one of the seven days simulated and of thirty in all is busy for one of thirty."""
    totals = [Total(DAY_S * day, DAY_S, 3000 * (day == 9), 900_000 * (day == 9), 90_000) for day in range(30)]
    inputs = build_inputs(CHEAP)
    inputs = replace(inputs, traffic=replace(inputs.traffic, workload=spread_totals(totals)))
    workload = inputs.traffic.workload
    busy = []
    for part in (workload, stretch(workload, 1000)):
        world = World(part, part, inputs.node.fleet, inputs.objective, inputs.cloud, 0)
        ran = carry_out(world, Run(1))
        busy.append(float(make_case(inputs, 1, [ran], usd_per_request(inputs), Answers()).busy_ratio))
    assert busy[1] == pytest.approx(busy[0])
    assert busy[0] > 0
