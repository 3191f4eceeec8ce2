"""The cells of one usage file's records, by our own columns, and the report that is kept meanwhile."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from spillway.planner.readers.formats import Format
from spillway.planner.readers.nested import look_up
from spillway.planner.readers.records import Record
from spillway.planner.readers.values import TimeReader, currency_of, read_day, read_money, read_tokens
from spillway.planner.workload import ReadReport, WorkloadError

__all__ = ["Cells"]

DAY_S = 86_400.0
MOST_NAMES = 8
"""Values kept of what says that rows are no requests."""
NAMED = frozenset({"no chat requests"})
"""What is said together with its values; of the rest they say no more."""


class Cells:
    """Reads the columns of one file out of its records, and keeps the report."""

    def __init__(self, kind: Format, report: ReadReport) -> None:
        self.format = kind
        self.report = report
        self.columns = dict(report.columns)
        self.times = TimeReader(kind.unit_s)
        self._models: dict[str, int] = {name: i for i, name in enumerate(report.models)}
        self._cost_usd = Decimal(0)
        self._has_all_costs = "cost" in self.columns
        self.last_period: tuple[float, bool] = (0.0, False)
        """When the latest period ended, and whether its page says that more follow."""
        self._others: dict[str, dict[str, int]] = {}
        self._are_all_calls = not self.format.only and not self.format.has
        # What a local answer would have cost is asked of the reference, not of the model that gave it.
        self._is_ledger = self.format.name == "spillway-ledger"

    def place(self, record: Record, line: int) -> int | str:
        """Where a person finds the record: its line, in a ledger its id."""
        return str(record.get("request_id") or line) if self._is_ledger else line

    def cell(self, record: Record, our: str) -> Any:
        """The file's value for our column, ``None`` where it has none."""
        theirs = self.columns.get(our)
        if theirs is None:
            return None
        return record[theirs] if theirs in record else look_up(record, theirs)

    def belongs(self, record: Record) -> bool:
        """Whether the record is a model call at all; others are counted."""
        if self._are_all_calls:
            return True
        if self.format.has and all(look_up(record, name) is None for name in self.format.has):
            self._set_aside("no model calls", "")
            return False
        for only in self.format.only:
            value = str(look_up(record, only.column) or "").strip()
            if value and value.lower() not in only.values:
                self._set_aside(only.others, value)
                return False
        return True

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

    def period(self, record: Record) -> tuple[float, float]:
        """Start of the record's period, in seconds since 1970, and its length: a day unless it has an end."""
        start_s = read_day(self.cell(record, "time"))
        end = self.cell(record, "end")
        length_s = read_day(end) - start_s if end not in (None, "") else DAY_S
        if length_s <= 0:
            raise ValueError("a period that ends before it starts")
        self.last_period = max(self.last_period, (start_s + length_s, bool(record.get("has_more"))))
        return start_s, length_s

    def cached(self, record: Record, input_tokens: int) -> int:
        """Cached tokens of the input, -1 when unknown."""
        raw = self.cell(record, "cached_tokens")
        if raw is None or raw == "":
            return -1
        found = read_tokens(raw, "cached tokens")
        if found > input_tokens:
            raise ValueError("more cached than input tokens")
        return found

    def money(self, record: Record, line: int) -> Decimal | None:
        """The record's cost in USD; ``WorkloadError`` when it is in another currency."""
        cell = self.cell(record, "cost")
        named = str(self.cell(record, "currency") or "").strip().lower() or currency_of(cell)
        if named != "usd":
            others = ", some in USD" if self.report.rows else ""
            raise WorkloadError(
                f"{self.report.source} states costs in {named.upper()} (line {line}{others}); convert them "
                "to USD first, or leave the cost column out: the plan uses list prices"
            )
        return read_money(cell)

    def add_cost(self, amount: Decimal | None) -> None:
        """Sum up a used row's cost; one unknown makes the sum unknown."""
        if amount is None:
            self._has_all_costs = False
        else:
            self._cost_usd += amount

    def finish(self) -> None:
        """Complete the report."""
        self.report.zones |= self.times.zones
        self.report.last_period = self.last_period
        if self._has_all_costs and self.report.rows:
            self.report.cost_usd = self._cost_usd
        for what, counts in self._others.items():
            named = [value[:40] for value in sorted(counts) if value] if what in NAMED else []
            which = f" ({', '.join(named)})" if named else ""
            self.report.left_out.append(f"{sum(counts.values())} row(s) are {what}{which} and were left out")
