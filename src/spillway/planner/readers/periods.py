"""How long each total stands for where a file only says when it starts: as far as the starts lie apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import gcd, inf

import numpy as np

from spillway.planner.readers.generic import words_of

__all__ = ["DAY", "Period", "ends_of", "period_of"]

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
WHOLE_MINUTES = (720, 480, 360, 240, 180, 120, 60, 30, 15, 10, 5, 1)
"""Minutes of the periods that exports know, longest first."""


@dataclass(frozen=True)
class Period:
    """A length of time as calendars have it: so many months, or else so many seconds."""

    name: str
    seconds: int = 0
    months: int = 0

    def end_s(self, start_s: float) -> float:
        """When a period ends that starts then; months by the calendar of the zone in which it is midnight."""
        if not self.months:
            return start_s + self.seconds
        month, day = _month_and_day(_day(start_s))
        return start_s + DAY_S * (_first_day(month + self.months) + day - _day(start_s))


HOUR, DAY, WEEK, MONTH = (
    Period("an hour", HOUR_S),
    Period("a day", DAY_S),
    Period("a week", 7 * DAY_S),
    Period("a month", months=1),
)
NAMED: Mapping[str, tuple[Period, int]] = {
    "hour": (HOUR, HOUR_S), "hourly": (HOUR, HOUR_S),
    "day": (DAY, DAY_S), "daily": (DAY, DAY_S),
    "week": (WEEK, 7 * DAY_S), "weekly": (WEEK, 7 * DAY_S),
    "month": (MONTH, 28 * DAY_S), "monthly": (MONTH, 28 * DAY_S),
}  # fmt: skip
"""What a name of the times' column says, and how far the starts must then lie apart at least."""


def period_of(starts: Iterable[float], column: str = "") -> Period | None:
    """The period of totals with these starts, in seconds, from the name of their column or their spacing.

    ``None`` where they lie apart as no period does. A single start tells nothing and is taken as a day's.
    """
    ordered = sorted(set(starts))
    gaps = [later - earlier for earlier, later in pairwise(ordered)]
    shortest = min(gaps, default=inf)
    for word in words_of(column):
        named, least = NAMED.get(word, (None, inf))
        if named is not None and shortest >= least - HOUR_S:
            return named
    if not gaps:
        return DAY
    if all(abs(gap - DAY_S * _day(gap)) <= HOUR_S for gap in gaps) and shortest > HOUR_S:
        return _of_days([_day(start) for start in ordered])
    common = gcd(*map(round, gaps))
    minutes = next((each for each in WHOLE_MINUTES if common % (each * MINUTE_S) == 0), None)
    return None if minutes is None else _of_minutes(minutes)


def ends_of(starts: Iterable[float], period: Period) -> dict[float, float]:
    """When each period ends, by its start: where the next one starts if clocks were changed meanwhile."""
    ends = {}
    for start, following in pairwise([*sorted(set(starts)), inf]):
        end = period.end_s(start)
        is_long = end - start >= DAY_S
        ends[start] = following if is_long and abs(following - end) <= HOUR_S else end
    return ends


def _day(moment_s: float) -> int:
    """The number of the midnight nearest to a moment, so that days of any zone are days."""
    return round(moment_s / DAY_S)


def _month_and_day(day: int) -> tuple[int, int]:
    """The month since 1970 in which a day is, and its place there, both from 0."""
    month = int(np.datetime64(day, "D").astype("datetime64[M]").astype(int))
    return month, day - _first_day(month)


def _first_day(month: int) -> int:
    return int(np.datetime64(month, "M").astype("datetime64[D]").astype(int))


def _of_days(days: list[int]) -> Period:
    """Months of days that are the same in each, weeks of days a week apart, else days."""
    dates = [_month_and_day(day) for day in days]
    if len({day for _, day in dates}) == 1:
        months = gcd(*(later - earlier for (earlier, _), (later, _) in pairwise(dates)))
        return MONTH if months == 1 else Period(f"{months} months", months=months)
    return DAY if any((later - earlier) % 7 for earlier, later in pairwise(days)) else WEEK


def _of_minutes(minutes: int) -> Period:
    hours, rest = divmod(minutes, 60)
    name = f"{minutes} minutes" if rest else f"{hours} hours"
    return {1: Period("a minute", MINUTE_S), 60: HOUR}.get(minutes, Period(name, minutes * MINUTE_S))
