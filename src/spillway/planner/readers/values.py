"""Cells of usage files as times, token counts and money; ``ValueError`` says in words what is wrong."""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation

__all__ = ["MAX_TOKENS", "TimeReader", "currency_of", "read_day", "read_money", "read_tokens"]

MAX_TOKENS = 2**31 - 1
DOLLARS = frozenset({"", "$", "usd", "us$", "usd$"})
BESIDE_NUMBER = re.compile(
    r"(?i)(?P<before>[^\w\s.,+-]|[a-z]{2,3}\$?)?\s*[\d.,+-]+\s*(?P<after>[^\w\s.,+-]|[a-z]{3})?"
)
EPOCH_UNITS = ((1e17, 1e-9), (1e14, 1e-6), (1e11, 1e-3), (1e8, 1.0))
"""Smallest plausible date in nanoseconds, microseconds, milliseconds and seconds, and the unit's length."""


def read_tokens(cell: object, what: str) -> int:
    """A token count, 0 or more; ``what`` names it in the error."""
    if isinstance(cell, str):
        if cell.isdecimal() and len(cell) < 10:
            return int(cell)  # nearly every cell; the rest of this function is for the others
        cell = cell.strip().replace(",", "")
    if cell is None or cell == "":
        raise ValueError(f"no {what}")
    try:
        number = float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ValueError(f"{what} is not a number") from None
    if not math.isfinite(number) or number != int(number):
        raise ValueError(f"{what} is not a whole number")
    if number < 0:
        raise ValueError(f"{what} is negative")
    if number > MAX_TOKENS:
        raise ValueError(f"{what} is impossibly large")
    return int(number)


def currency_of(cell: object) -> str:
    """The currency that a cell names (``usd`` when it names none): ``€1.20``, ``1.20 EUR``."""
    if not isinstance(cell, str) or cell.replace(".", "", 1).isdecimal():
        return "usd"
    found = BESIDE_NUMBER.fullmatch(cell.strip())
    name = (found["before"] or found["after"] or "").lower() if found else ""
    return "usd" if name in DOLLARS else name


def read_money(cell: object) -> Decimal | None:
    """An amount, or ``None`` for an empty cell; a dollar sign or ``USD`` beside it is fine."""
    if cell is None or cell == "":
        return None
    text = str(cell).strip()
    if text[:1] in "$Uu" or text[-1:] in "$Dd":
        text = re.sub(r"(?i)usd?|\$", "", text).strip()
    try:
        amount = Decimal(text.replace(",", ""))
    except InvalidOperation:
        raise ValueError("cost is not a number") from None
    if not amount.is_finite():
        raise ValueError("cost is not a number")
    if amount < 0:
        raise ValueError("cost is negative")
    return amount


class TimeReader:
    """Reads the times of one file: dates in any zone, or numbers whose unit the first of them decides."""

    def __init__(self, unit_s: float | None = None) -> None:
        """``unit_s`` is the length of one unit of a numeric time; ``None`` guesses it from the first."""
        self.unit_s = unit_s
        self.zones: set[str] = set()

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
        number = float(cell)
        if not math.isfinite(number):
            raise ValueError("time is not a number")
        if number < 0:
            raise ValueError("time is negative")
        if self.unit_s is None:
            self.unit_s = next((unit for least, unit in EPOCH_UNITS if number >= least), 1.0)
        return number * self.unit_s

    def _date(self, text: str) -> float:
        if not text:
            raise ValueError("no time")
        try:
            moment = datetime.fromisoformat(_plain(text))
        except ValueError:
            raise ValueError("time is not a date such as 2026-11-24 13:05:00") from None
        if moment.tzinfo is None:
            self.zones.add("none given, taken as UTC")
            return moment.replace(tzinfo=UTC).timestamp()
        self.zones.add("UTC" if moment.tzinfo is UTC else str(moment.tzinfo))
        return moment.timestamp()


def _plain(text: str) -> str:
    """The date without what ``fromisoformat`` does not take: a trailing `` UTC``, more than six decimals."""
    if text.endswith(" UTC"):
        text = text[:-4] + "+00:00"
    head, dot, tail = text.partition(".")
    if not dot:
        return text
    digits = len(tail) - len(tail.lstrip("0123456789"))
    return f"{head}.{tail[: min(digits, 6)]:0<6}{tail[digits:]}"


def read_day(cell: object) -> float:
    """Seconds since 1970 of a day's start, from ``2026-11-24`` or from epoch seconds."""
    if isinstance(cell, str) and len(cell.strip()) == 10 and not cell.strip().isdigit():
        try:
            day = date.fromisoformat(cell.strip())
        except ValueError:
            raise ValueError("day is not a date") from None
        return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
    return TimeReader().read(cell)
