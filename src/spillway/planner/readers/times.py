"""The times of one usage file: dates in any zone, numbers of some unit, and dates written as numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from spillway.planner.readers.values import Ambiguous, read_number

__all__ = ["TimeReader"]

EPOCH_UNITS = ((1e17, 1e-9), (1e14, 1e-6), (1e11, 1e-3), (1e8, 1.0))
"""Smallest plausible date in nanoseconds, microseconds, milliseconds and seconds, and the unit's length."""
LAST_S = 253_402_300_799.0
"""The last second that a date can tell."""
NO_ZONE = "none given, taken as UTC"
DAY_S = 86_400.0
SERIAL_OF_1970 = 25_569
FIRST_SERIAL, LAST_SERIAL = 43_831, 51_136
"""2020 and 2040 as spreadsheets count days; nobody used a language model before."""
COMPACT_LENGTHS = frozenset((8, 10, 12, 14))
"""``20261124``, and with hours, minutes and seconds."""


class TimeReader:
    """Reads the times of one file: dates in any zone, or numbers whose meaning the first of them tell."""

    def __init__(self, unit_s: float | None = None) -> None:
        """``unit_s`` is the length of one unit of a numeric time; ``None`` guesses it."""
        self.unit_s = unit_s
        self.zones: set[str] = set()
        self._written: Callable[[float], float | None] | None = None
        self._example = 0.0

    def look_at(self, cells: Iterable[object]) -> None:
        """Let these times tell what numbers mean: a date as it is written, where half of them may be one.

        Otherwise the middle one tells their unit, so that a single wrong one decides nothing.
        """
        numbers = sorted(number for cell in cells if (number := _number(cell)) is not None)
        if self.unit_s is not None or not numbers:
            return
        for written in (_compact, _serial):
            dates = [number for number in numbers if written(number) is not None]
            if 2 * len(dates) >= len(numbers):
                self._written, self._example = written, dates[0]
                return
        middle = numbers[len(numbers) // 2]
        self.unit_s = next((unit for least, unit in EPOCH_UNITS if middle >= least), 1.0)

    @property
    def as_written(self) -> str:
        """A sentence on numbers that were taken as dates, empty where none were."""
        if self._written is None:
            return ""
        date = datetime.fromtimestamp(self._written(self._example) or 0.0, UTC)
        return (
            f"times such as {self._example:.15g} were taken as dates ({date:%Y-%m-%d}); if they count from "
            "zero, name their column with its unit, as in time_s"
        )

    def read(self, cell: object) -> float:
        """Seconds since 1970, or since the file's zero for small numbers."""
        if isinstance(cell, str):
            text = cell.strip()
            if "-" in text[1:] and ":" in text:
                return self._date(text)
            try:
                cell = float(text)
            except ValueError:
                return self._date(text)
        if cell is None or isinstance(cell, bool) or not isinstance(cell, int | float):
            raise ValueError("no time")
        number = read_number(cell, "time")
        if not math.isfinite(number):
            raise ValueError("time is not a number")
        if number < 0:
            raise ValueError("time is negative")
        if self.unit_s is None and self._written is None:
            self.look_at([number])
        if self.unit_s is None:
            return self._date_as_written(number)
        seconds = number * self.unit_s
        if seconds > LAST_S:
            raise ValueError("time is beyond the year 9999")
        return seconds

    def _date_as_written(self, number: float) -> float:
        found = self._written(number) if self._written is not None else None
        if found is None:
            raise Ambiguous(
                f"the time {number:.15g} is no date, while others such as {self._example:.15g} look like "
                "dates written as numbers; write all as in 2026-11-24, or, if they count from zero, name "
                "their column with its unit, as in time_s"
            )
        self.zones.add(NO_ZONE)
        return found

    def _date(self, text: str) -> float:
        if not text:
            raise ValueError("no time")
        try:
            moment = datetime.fromisoformat(_plain(text))
        except ValueError:
            raise ValueError("time is not a date such as 2026-11-24 13:05:00") from None
        if moment.tzinfo is None:
            self.zones.add(NO_ZONE)
            return moment.replace(tzinfo=UTC).timestamp()
        self.zones.add("UTC" if moment.tzinfo is UTC else str(moment.tzinfo))
        return moment.timestamp()


def _number(cell: object) -> float | None:
    """The cell as a number of 0 or more; ``None`` for everything else."""
    if not isinstance(cell, str | int | float) or isinstance(cell, bool):
        return None
    try:
        number = float(cell)
    except (ValueError, OverflowError):
        return None
    return number if 0 <= number < math.inf else None


def _compact(number: float) -> float | None:
    """Seconds since 1970 of a date written ``20261124``, also with a time behind it; ``None`` for others."""
    text = f"{number:.0f}"
    if len(text) not in COMPACT_LENGTHS or not text.startswith("20") or float(text) != number:
        return None
    parts = [int(text[:4]), *(int(text[at : at + 2]) for at in range(4, len(text), 2))]
    try:
        return datetime(*parts[:3], *parts[3:], tzinfo=UTC).timestamp()  # type: ignore[arg-type,misc]
    except ValueError:
        return None


def _serial(number: float) -> float | None:
    """Seconds since 1970 of a spreadsheet's day number, to the second; ``None`` for others.

    Spreadsheets write five decimals of a day, which tell seconds and no more.
    """
    if not FIRST_SERIAL <= number < LAST_SERIAL:
        return None
    return float(round((number - SERIAL_OF_1970) * DAY_S))


def _plain(text: str) -> str:
    """The date without what ``fromisoformat`` does not take: a trailing `` UTC``, more than six decimals."""
    if text.endswith(" UTC"):
        text = text[:-4] + "+00:00"
    head, dot, tail = text.partition(".")
    if not dot:
        return text
    digits = len(tail) - len(tail.lstrip("0123456789"))
    return f"{head}.{tail[: min(digits, 6)]:0<6}{tail[digits:]}"
