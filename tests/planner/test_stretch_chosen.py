"""Which of several stretches that would do is simulated, and what its time of day is."""

from __future__ import annotations

import pytest

from spillway.planner.arrivals import spread_totals
from spillway.planner.plan_stretch import stretch
from spillway.planner.workload import Total, Workload

DAY_S, HOUR_S = 86_400.0, 3600.0
MONDAY_S = 1_793_577_600.0
"""2026-11-02T00:00:00Z."""


def hourly(*days: tuple[int, ...]) -> Workload:
    """Days from that Monday on, each told by its hours' requests, which are repeated to its end."""
    counts = [day[hour % len(day)] for day in days for hour in range(24)]
    return of_hours(counts)


def of_hours(counts: list[int]) -> Workload:
    """Requests by hour."""
    totals = [
        Total(MONDAY_S + HOUR_S * hour, HOUR_S, count, 10 * count, count) for hour, count in enumerate(counts)
    ]
    return spread_totals(totals, "flat")


def begin_h(whole: Workload, part: Workload) -> float:
    """The hour of the whole with which the part begins."""
    assert part.start_wall_s is not None
    assert whole.start_wall_s is not None
    return (part.start_wall_s - whole.start_wall_s) / HOUR_S


def test_a_stretch_keeps_its_dates() -> None:
    """The third day's requests come at the same time of the same day as in the whole."""
    whole = hourly((1,), (1,), (100,), (1,))
    part = stretch(whole, 1000)
    assert begin_h(whole, part) == 48
    first = int((whole.time_s < 48 * HOUR_S).sum())
    assert part.time_s[0] + 48 * HOUR_S == pytest.approx(whole.time_s[first])


def test_of_days_alike_the_one_at_the_usual_rate_is_taken() -> None:
    """Not the quietest."""
    whole = hourly((92,), (108,), (101,), (105,))
    assert begin_h(whole, stretch(whole, 2500)) == 48


def test_how_alike_a_stretch_is_decides_no_more_once_it_is() -> None:
    """A day as crowded as the whole but quieter is not taken before one at its rate."""
    whole = hourly((60, 120), (96,), (96,), (150, 50))
    assert begin_h(whole, stretch(whole, 2300)) == 24


def test_a_stretch_begins_on_a_whole_day_where_one_is_alike() -> None:
    """Although the last 24 hours of three days and a half come nearer to the usual rate."""
    whole = of_hours([90] * 24 + [105] * 24 + [115] * 12 + [100] * 24)
    assert begin_h(whole, stretch(whole, 2450)) == 24
