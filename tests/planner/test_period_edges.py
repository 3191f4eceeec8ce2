"""Totals that only say when they start: months from any day, days and hours some of which are missing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from spillway.planner.readers.periods import Period, ends_of, period_of

DAY_S, HOUR_S = 86_400.0, 3600.0


def moments(*dates: str) -> list[float]:
    """Their seconds since 1970."""
    return [float(np.datetime64(date, "s").astype(int)) for date in dates]


def lengths_h(starts: Sequence[float]) -> list[float]:
    """How many hours each total stands for."""
    period = period_of(starts)
    assert isinstance(period, Period)
    ends = ends_of(starts, period)
    return [(ends[start] - start) / HOUR_S for start in starts]


@pytest.mark.parametrize("day", ["01", "15", "28"])
def test_months_may_begin_on_any_day(day: str) -> None:
    """Each ends where the next begins, the last one as the calendar has it."""
    starts = moments(*(f"2026-{month}-{day}" for month in ("01", "02", "03")))
    assert lengths_h(starts) == [31 * 24, 28 * 24, 31 * 24]


def test_days_stay_days_where_a_week_is_missing() -> None:
    """A gap of seven days among others of one does not make them weeks."""
    assert lengths_h(moments("2026-11-02", "2026-11-03", "2026-11-10", "2026-11-11")) == [24, 24, 24, 24]


def test_an_hour_that_is_missing_does_not_lengthen_the_one_before() -> None:
    """Only days and longer follow a change of clocks by an hour."""
    hours = moments("2026-11-02T08:00", "2026-11-02T09:00", "2026-11-02T11:00")
    assert lengths_h(hours) == [1, 1, 1]
    days = moments("2026-10-24T22:00", "2026-10-25T23:00", "2026-10-26T23:00")
    assert lengths_h(days) == [25, 24, 24]
