"""The cells of one usage file's records, by our own columns, and the report that is kept meanwhile."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from spillway.planner.readers.formats import Format
from spillway.planner.readers.nested import look_up
from spillway.planner.readers.records import Record
from spillway.planner.readers.times import TimeReader
from spillway.planner.readers.values import (
    MOST_PER_PERIOD,
    NO_VALUE,
    Ambiguous,
    currency_named,
    currency_of,
    is_nothing,
    read_money,
    read_tokens,
)
from spillway.planner.workload import ReadReport, WorkloadError

__all__ = ["Cells"]

LONGEST_PERIOD_S = 3660 * 86_400.0
"""Longer ones have a wrong date, and every hour of them would be planned."""
MOST_NAMES = 8
"""Values kept of what says that rows are no requests."""
NAMED = frozenset({"no chat requests"})
"""What is said together with its values; of the rest they say no more."""


class Cells:
    """Reads the columns of one file out of its records, and keeps the report."""

    def __init__(self, kind: Format, report: ReadReport) -> None:
        self.format = kind
        self.report = report
        self.columns = kind.names()
        self.times = TimeReader(kind.unit_s)
        self._models: dict[str, int] = {name: i for i, name in enumerate(report.models)}
        self._cost_usd = Decimal(0)
        # Each name also as a path: its first part, and the rest below that.
        self._paths = {our: [(n, *_path(n)) for n in names] for our, names in self.columns.items()}
        self._given: set[str] = set()
        self._has_all_costs = "cost" in self.columns
        self._currency = next(filter(None, map(currency_named, self.columns.get("cost", ()))), "usd")
        self._others: dict[str, dict[str, int]] = {}
        self._are_all_calls = not self.format.only and not self.format.has
        # What a local answer would have cost is asked of the reference, not of the model that gave it.
        self._is_ledger = self.format.name == "spillway-ledger"

    def look_at(self, records: Iterable[Record]) -> None:
        """Let the times of the first records, all together, tell how the file writes its times."""
        self.times.look_at(self.cell(record, "time") for record in records)

    def place(self, record: Record, line: int) -> int | str:
        """Where a person finds the record: its line, in a ledger its id."""
        return str(record.get("request_id") or line) if self._is_ledger else line

    def cell(self, record: Record, our: str) -> Any:
        """The record's value for our column, by the first of its names that has one; ``None`` without."""
        for theirs, first, rest in self._paths.get(our, ()):
            found = record.get(theirs)
            if found is None and rest and first in record:
                found = look_up(record[first], rest)
            if not is_nothing(found):
                self._given.add(theirs)
                return found
        return None

    def belongs(self, record: Record) -> bool:
        """Whether the record is a model call at all; others are counted."""
        other = None if self._are_all_calls else self.other(record)
        if other is not None:
            self._set_aside(*other)
        return other is None

    def other(self, record: Record) -> tuple[str, str] | None:
        """What a record that is no model call is, in the plural, and by which value; ``None`` for a call."""
        if self.format.has and all(look_up(record, name) is None for name in self.format.has):
            return "no model calls", ""
        for only in self.format.only:
            value = str(look_up(record, only.column) or "").strip()
            if value.lower() not in NO_VALUE and value.lower() not in only.values:
                return only.others, value
        return None

    def _set_aside(self, what: str, value: str) -> None:
        """Count a row that is something else, by the value that says so; unusual ones count as others."""
        counts = self._others.setdefault(what, {})
        if value not in counts and (len(counts) >= MOST_NAMES or not value.isprintable()):
            value = "others"
        counts[value] = counts.get(value, 0) + 1

    def model(self, record: Record) -> int:
        """Index of the record's model name among all seen."""
        name = str((self._is_ledger and record.get("reference_model")) or self.cell(record, "model") or "")
        index = self._models.get(name)
        if index is None:
            index = self._models[name] = len(self.report.models)
            self.report.models.append(name)
        return index

    def period(self, record: Record) -> tuple[float, float | None]:
        """Start of the record's period, in seconds since 1970, and its length; ``None`` without an end."""
        start_s = self.times.read(self.cell(record, "time"))
        end = self.cell(record, "end")
        length_s = None if end is None else self.times.read(end) - start_s
        if length_s is not None and length_s <= 0:
            raise ValueError("a period that ends before it starts")
        if length_s is not None and length_s > LONGEST_PERIOD_S:
            raise ValueError("a period of more than ten years")
        period = start_s + (length_s or 0.0), bool(record.get("has_more"))
        self.report.last_period = max(self.report.last_period, period)
        return start_s, length_s

    def cached(self, record: Record, input_tokens: int) -> int:
        """Cached tokens of the input, -1 when unknown."""
        raw = self.cell(record, "cached_tokens")
        if raw is None:
            return -1
        found = read_tokens(raw, "cached tokens", MOST_PER_PERIOD)
        if found > input_tokens:
            raise ValueError("more cached than input tokens")
        return found

    def money(self, record: Record, line: int) -> Decimal | None:
        """The record's cost in USD; ``WorkloadError`` when it is in another currency."""
        cell = self.cell(record, "cost")
        named = str(self.cell(record, "currency") or "").strip().lower()
        if not named:
            beside = currency_of(cell)
            named = self._currency if beside == "usd" and cell is not None else beside
        if named != "usd":
            others = ", some in USD" if self.report.rows else ""
            raise WorkloadError(
                f"{self.report.source} states costs in {named.upper()} (line {line}{others}); convert them "
                "to USD first, or leave the cost column out: the plan uses list prices"
            )
        return read_money(cell)

    def reject(self, fault: ValueError, line: int | str, cost_usd: Decimal | None = None) -> None:
        """Count a row that cannot be used; ``WorkloadError`` where its fault makes good rows doubtful."""
        if isinstance(fault, Ambiguous):
            raise WorkloadError(f"{self.report.source}, line {line}: {fault}") from fault
        self.report.bad.add(str(fault), line, cost_usd)

    def add_cost(self, amount: Decimal | None) -> None:
        """Sum up a used row's cost; one unknown makes the sum unknown."""
        if amount is None:
            self._has_all_costs = False
        else:
            self._cost_usd += amount

    def finish(self) -> None:
        """Complete the report: its columns are those that gave a value, several where rows differed."""
        for our, names in self.columns.items():
            given = [name for name in names if name in self._given]
            if given:
                self.report.columns[our] = " or ".join(given)
        self.report.zones |= self.times.zones
        if self.times.as_written:
            self.report.notes.append(self.times.as_written)
        if self._has_all_costs and self.report.rows:
            self.report.cost_usd = self._cost_usd
        for what, counts in self._others.items():
            named = [value[:40] for value in sorted(counts) if value] if what in NAMED else []
            which = f" ({', '.join(named)})" if named else ""
            self.report.left_out.append(f"{sum(counts.values())} row(s) are {what}{which} and were left out")


def _path(name: str) -> tuple[str, str]:
    """A dotted name's first part and the rest, empty for a plain name."""
    first, _, rest = name.partition(".")
    return first, rest
