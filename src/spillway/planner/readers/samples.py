"""What the columns of a file hold in its first records: enough to tell a date from a length of time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import IntEnum
from itertools import pairwise

from spillway.planner.readers.nested import look_up
from spillway.planner.readers.records import Record
from spillway.planner.readers.times import TimeReader
from spillway.planner.readers.values import is_nothing
from spillway.planner.workload import FIRST_DATE_S

__all__ = ["Moments", "Samples"]

LEAST_TO_TELL = 20
"""Numbers of which fewer tell no course."""
MOST_TURNS_RATIO = 0.25
"""Lengths of time rise and fall about as often; times of arrival go one way, but for a few rows."""
LONGEST_USAGE_S = 10 * 366 * 86_400.0
"""Numbers that would be dates further apart are none: lengths in microseconds, for one."""
QUARTER_HOUR_S = 900
"""Hours and days of every zone begin at one."""
LONGEST_NUMBER = 40
COUNT = re.compile(r"[+-]?[\d.,'’_\s]*\d[\d.,]*(e[+-]?\d+)?", re.IGNORECASE)


class Moments(IntEnum):
    """What a column named for a time holds, best first."""

    DATES = 0
    COURSE = 1
    """Numbers that rise, or fall, from row to row; also too few to tell."""
    TEXT = 2
    LENGTHS = 3
    """Numbers that go up and down: how long something took."""


class Samples:
    """The first records of a file, asked for what their columns hold; a column without a value may be any."""

    def __init__(self, records: Sequence[Record] = ()) -> None:
        self._records = records

    def cells(self, name: str) -> list[object]:
        """The values of a column, in order."""
        found = (look_up(record, name) for record in self._records)
        return [cell for cell in found if not is_nothing(cell)]

    def may_be_counts(self, name: str) -> bool:
        """Whether half of the column's values are numbers, however written."""
        cells = self.cells(name)
        return 2 * sum(map(_is_number, cells)) >= len(cells)

    def moments(self, name: str, unit_s: float | None) -> Moments:
        """What the column holds of time; ``unit_s`` is the unit that its name says, if any."""
        cells = self.cells(name)
        times = self._seconds(cells, unit_s)
        if 2 * len(times) < len(cells):
            return Moments.TEXT
        if _are_dates(times) and (
            max(times) - min(times) < LONGEST_USAGE_S or not all(map(_is_number, cells))
        ):
            return Moments.DATES
        steps = [later - earlier for earlier, later in pairwise(times)]
        turns = min(sum(step > 0 for step in steps), sum(step < 0 for step in steps))
        goes_on = len(times) < LEAST_TO_TELL or turns <= MOST_TURNS_RATIO * len(steps)
        return Moments.COURSE if goes_on else Moments.LENGTHS

    def are_of_periods(self, name: str) -> bool:
        """Whether all of the column's values are whole hours or days, as the starts of totals are."""
        times = self._seconds(self.cells(name), None)
        return bool(times) and all(time_s % QUARTER_HOUR_S == 0 for time_s in times)

    def _seconds(self, cells: list[object], unit_s: float | None) -> list[float]:
        reader = TimeReader(unit_s)
        reader.look_at(cells)
        found = []
        for cell in cells:
            try:
                found.append(reader.read(cell))
            except ValueError:
                continue
        return found


def _are_dates(times: Sequence[float]) -> bool:
    """Whether half of the seconds count from 1970."""
    return bool(times) and 2 * sum(time_s > FIRST_DATE_S for time_s in times) >= len(times)


def _is_number(cell: object) -> bool:
    if isinstance(cell, str):
        return len(cell) < LONGEST_NUMBER and COUNT.fullmatch(cell.strip()) is not None
    return isinstance(cell, int | float) and not isinstance(cell, bool)
