"""Single requests out of a usage file's records, and which of them were read before."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from spillway.planner.readers.cells import Cells
from spillway.planner.readers.formats import GENERIC, Format
from spillway.planner.readers.prefix_cache import PrefixCache
from spillway.planner.readers.records import Record
from spillway.planner.readers.repeats import SeenIds, request_id
from spillway.planner.readers.spans import SpansAround
from spillway.planner.readers.values import read_tokens
from spillway.planner.workload import FIRST_DATE_S, ReadReport, WorkloadError

__all__ = ["RequestReader", "Row"]

DAY_S, HOUR_S, QUARTER_HOUR_S = 86_400, 3600, 900
LEAST_PERIODS = 5
"""Requests at as many whole hours, one at each, are no chance."""

Row = tuple[float, int, int, int, int]
"""Time, input, output and cached tokens, and the number of the model."""


class RequestReader(Cells):
    """Turns records into single requests."""

    def __init__(self, kind: Format, report: ReadReport, seen: SeenIds) -> None:
        super().__init__(kind, report)
        self._seen = seen
        self._repeated = 0
        self._last_s = float("-inf")
        self._is_dated: bool | None = None
        self._first_line = 0
        self._prefixes = None if kind.block_tokens is None else PrefixCache(kind.block_tokens)
        self._around = SpansAround(kind)
        self._periods = Periods() if kind.name == GENERIC and not kind.has_request_ids else None

    def look_for_spans(self, records: Iterable[Record]) -> None:
        """Let all records tell, before they are read, which spans are around others."""
        for record in records:
            self._around.add(record, super().other(record) is None)

    def other(self, record: Record) -> tuple[str, str] | None:
        """As for all records; besides, a span around a model call is none itself."""
        found = super().other(record)
        return ("spans around other spans", "") if found is None and record in self._around else found

    def row(self, line: int, record: Record | str) -> Row | None:
        """The request in a record; ``None`` for one that is none, and then the report says why."""
        if isinstance(record, str):
            self.report.bad.add(record, line)
            return None
        self.report.has_last_page |= not record.get("has_more")
        if not self.belongs(record):
            return None
        try:
            if self.format.rewrite is not None:
                record = self.format.rewrite(record)
            time_s = self.times.read(self.cell(record, "time"))
            fresh = read_tokens(self.cell(record, "input_tokens"), "input tokens")
            out = read_tokens(self.cell(record, "output_tokens"), "output tokens")
            if fresh + out == 0:
                raise ValueError("no tokens at all")
            cached = self._cached_tokens(record, fresh)
            amount = self.money(record, line) if "cost" in self.columns else None
        except ValueError as fault:
            self.reject(fault, self.place(record, line))
            return None
        if self._is_repeated(record, time_s, fresh, out):
            return None
        if (time_s > FIRST_DATE_S) is not self._is_dated:
            self._set_clock(line, time_s > FIRST_DATE_S)
        self.report.rows += 1
        self.report.out_of_order += time_s < self._last_s
        self._last_s = max(self._last_s, time_s)
        self.add_cost(amount)
        model = self.model(record)
        if self._periods is not None and not self._periods.may_hold(time_s, self.cell(record, "time"), model):
            self._periods = None
        return time_s, fresh, out, cached, model

    def _is_repeated(self, record: Record, time_s: float, fresh: int, out: int) -> bool:
        """Whether the request was read before, in this file or another of the workload; it is counted.

        An id that a test or a proxy gives to all is no repeat; exports differ in fractions of a second.
        """
        name = request_id(record, self.format.ids)
        if name is None or self._seen.add(f"{self.format.name}\0{name}\0{int(time_s)}\0{fresh}\0{out}"):
            return False
        self._repeated += 1
        return True

    def finish(self) -> None:
        """Complete the report; ``WorkloadError`` where the rows look like totals without a number."""
        super().finish()
        if self._periods is not None and self._periods.are_likely:
            raise WorkloadError(
                f"{self.report.source} has one row for each {self._periods.name}, as totals have, and no "
                "column looks like their number of requests; say which with --map COLUMN=requests, or, if "
                "each row is one request, which column tells them apart with --map COLUMN=id"
                f"{self.report.doubt}"
            )
        if self._repeated:
            names = " and ".join(names[0] for names in self.format.ids)
            self.report.left_out.append(
                f"{self._repeated} row(s) repeat the {names} of another, with its time and tokens, and were "
                "left out"
            )

    def _set_clock(self, line: int, is_dated: bool) -> None:
        """The first row tells whether times are dates; ``WorkloadError`` for one that is otherwise."""
        if self._is_dated is not None:
            raise WorkloadError(
                f"{self.report.source}: some times are dates and some count from zero (lines "
                f"{self._first_line} and {line}); correct the wrong year or unit, or plan them separately"
                f"{self.report.doubt}"
            )
        self._is_dated, self._first_line = is_dated, line

    def _cached_tokens(self, record: Record, input_tokens: int) -> int:
        if self._prefixes is None:
            return self.cached(record, input_tokens)
        hashes = record.get("hash_ids")
        if not isinstance(hashes, list):
            raise ValueError("no list of block hashes")
        try:
            hits = self._prefixes.hit_tokens(hashes, input_tokens)
        except TypeError:  # what is no number or text has no place among blocks
            raise ValueError("no list of block hashes") from None
        if abs(len(hashes) - input_tokens / self._prefixes.block_tokens) > 1:
            raise ValueError(f"its block hashes are not of {self._prefixes.block_tokens} tokens each")
        return hits


class Periods:
    """Whether rows can be totals: at whole hours or the midnights of days, each with one row for a model."""

    def __init__(self) -> None:
        self._rows: set[tuple[float, int]] = set()
        self._starts: set[float] = set()
        self._are_midnights = True

    def may_hold(self, time_s: float, cell: object, model: int) -> bool:
        """Whether this row, with that cell as its time, can be one of them too."""
        in_hour = time_s % HOUR_S
        is_next = (
            time_s > FIRST_DATE_S and in_hour % QUARTER_HOUR_S == 0 and (time_s, model) not in self._rows
        )
        if is_next and self._rows:
            is_next = in_hour == next(iter(self._rows))[0] % HOUR_S
        self._rows.add((time_s, model))
        self._starts.add(time_s)
        self._are_midnights &= _is_midnight(time_s, cell)
        return is_next

    @property
    def are_likely(self) -> bool:
        """Whether there are more than chance, or a job at some hour of each day, would bring."""
        return len(self._starts) >= LEAST_PERIODS and (self._are_midnights or not self._are_days)

    @property
    def name(self) -> str:
        """The length of time that each row may stand for."""
        return "day" if self._are_days else "hour"

    @property
    def _are_days(self) -> bool:
        return min(later - earlier for earlier, later in pairwise(sorted(self._starts))) > 12 * HOUR_S


def _is_midnight(time_s: float, cell: object) -> bool:
    """Whether a time is a day's first, in the zone in which it is written."""
    if isinstance(cell, str) and ":" in cell:
        return "T00:00" in cell or " 00:00" in cell
    return time_s % DAY_S == 0
