"""Usage files of many kinds as workloads, streamed, with every row that was not used accounted for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from spillway.planner.arrivals import spread_totals
from spillway.planner.readers.formats import FORMATS, Format, recognise
from spillway.planner.readers.generic import generic_format, propose
from spillway.planner.readers.ledger import open_ledger
from spillway.planner.readers.mooncake import PrefixCache
from spillway.planner.readers.nested import look_up
from spillway.planner.readers.records import Record, Source, open_source
from spillway.planner.readers.values import TimeReader, currency_of, read_day, read_money, read_tokens
from spillway.planner.workload import (
    CHUNK_ROWS,
    Chunk,
    ReadReport,
    Total,
    Workload,
    WorkloadError,
    collect,
)

__all__ = ["UsageFile", "open_usage", "propose", "read_workload"]

DAY_S = 86_400.0
Row = tuple[float, int, int, int, int]


@dataclass
class UsageFile:
    """One usage file, recognised and ready to stream; its report fills while it is read."""

    source: Source
    format: Format
    report: ReadReport

    @property
    def has_totals(self) -> bool:
        """Whether the file holds totals of periods rather than single requests."""
        return bool(self.format.requests)

    def chunks(self) -> Iterator[Chunk]:
        """Single requests in arrays of at most ``CHUNK_ROWS``, in file order."""
        rows: list[Row] = []
        reader = _RowReader(self)
        for line, record in self.source.records():
            row = reader.row(line, record)
            if row is not None:
                rows.append(row)
                if len(rows) == CHUNK_ROWS:
                    yield _chunk(rows)
                    rows = []
        reader.finish()
        if rows:
            yield _chunk(rows)

    def totals(self) -> list[Total]:
        """Totals of periods; empty for a file of single requests."""
        reader = _TotalReader(self)
        found = [reader.total(line, record) for line, record in self.source.records()]
        reader.finish()
        return [total for total in found if total is not None]


def open_usage(
    path: Path | str,
    *,
    format_name: str | None = None,
    columns: Mapping[str, str] | None = None,
    models: list[str] | None = None,
) -> UsageFile:
    """The file with its format told by content, or as named; ``columns`` corrects a generic file's mapping.

    Text that is no path is the URL of a ledger.
    ``models`` is the list of model names that several files share; the file's names are appended to it.
    """
    source = open_source(path) if isinstance(path, Path) else open_ledger(path)
    if columns:
        found = generic_format(source.names, columns, str(path))
    elif format_name is not None:
        known = next((known for known in FORMATS if known.name == format_name), None)
        if known is None:
            names = ", ".join(known.name for known in FORMATS)
            raise WorkloadError(f"format {format_name!r} is unknown; use one of {names}")
        found = known
    else:
        found = recognise(source) or generic_format(source.names, {}, str(path))
    mapping = found.columns(source.names)
    if found.name == "openai-cost":
        raise WorkloadError(f"{path} holds costs without tokens; export usage (tokens) and give that file")
    report = ReadReport(str(source.path), found.name, mapping, models=[] if models is None else models)
    if found.name == "generic":
        pairs = ", ".join(f"{our} = {theirs!r}" for our, theirs in mapping.items())
        report.notes.append(f"columns taken as {pairs}")
    return UsageFile(source, found, report)


def read_workload(
    paths: Sequence[Path | str],
    *,
    format_name: str | None = None,
    columns: Mapping[str, str] | None = None,
    shape: str = "consumer",
    seed: int = 0,
) -> tuple[Workload, list[ReadReport]]:
    """All files as one workload, and what reading each of them found.

    Files of totals become arrivals of the given shape; single requests and totals do not mix.
    """
    models: list[str] = []
    files = [open_usage(path, format_name=format_name, columns=columns, models=models) for path in paths]
    reports = [file.report for file in files]
    with_totals = [file.has_totals for file in files]
    if any(with_totals) and not all(with_totals):
        raise WorkloadError("some files hold single requests and others totals; give one kind at a time")
    if any(with_totals):
        totals = [total for file in files for total in file.totals()]
        if not totals:
            raise WorkloadError(f"{paths[0]} holds no usable total" + _first_fault(reports))
        return spread_totals(totals, shape, seed=seed), reports
    return collect((chunk for file in files for chunk in file.chunks()), reports), reports


def _first_fault(reports: Sequence[ReadReport]) -> str:
    faults = [sentence for report in reports for sentence in report.bad.sentences()]
    return f": {faults[0]}" if faults else ""


def _chunk(rows: list[Row]) -> Chunk:
    time_s, fresh, out, cached, model = zip(*rows, strict=True)
    as_ints = (np.array(column, dtype=np.int32) for column in (fresh, out, cached, model))
    return Chunk(np.array(time_s, dtype=np.float64), *as_ints)


class _Cells:
    """Reads the columns of one file out of its records, and keeps the report."""

    def __init__(self, file: UsageFile) -> None:
        self.report = file.report
        self.format = file.format
        self.columns = dict(file.report.columns)
        self.times = TimeReader(file.format.unit_s)
        self._models: dict[str, int] = {name: i for i, name in enumerate(file.report.models)}
        self._cost_usd = Decimal(0)
        self._has_all_costs = "cost" in self.columns
        self._others = 0
        self._are_all_calls = not self.format.only and not self.format.has
        # What a local answer would have cost is asked of the reference, not of the model that gave it.
        self._is_ledger = self.format.name == "spillway-ledger"

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
        is_call = all(str(look_up(record, n) or "") in kept for n, kept in self.format.only.items())
        if self.format.has and all(look_up(record, name) is None for name in self.format.has):
            is_call = False
        self._others += not is_call
        return is_call

    def model(self, record: Record) -> int:
        """Index of the record's model name among all seen."""
        name = str((self._is_ledger and record.get("reference_model")) or self.cell(record, "model") or "")
        index = self._models.get(name)
        if index is None:
            index = self._models[name] = len(self.report.models)
            self.report.models.append(name)
        return index

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
        if self._has_all_costs and self.report.rows:
            self.report.cost_usd = self._cost_usd
        if self._others:
            self.report.notes.append(f"{self._others} row(s) are no model calls and were left out")


class _RowReader(_Cells):
    """Turns records into single requests."""

    def __init__(self, file: UsageFile) -> None:
        super().__init__(file)
        self._last_s = float("-inf")
        self._prefixes = PrefixCache() if file.format.name == "mooncake" else None

    def row(self, line: int, record: Record | str) -> Row | None:
        """The request in a record; ``None`` for one that is none, and then the report says why."""
        if isinstance(record, str):
            self.report.bad.add(record, line)
            return None
        if not self.belongs(record):
            return None
        try:
            time_s = self.times.read(self.cell(record, "time"))
            fresh = read_tokens(self.cell(record, "input_tokens"), "input tokens")
            out = read_tokens(self.cell(record, "output_tokens"), "output tokens")
            if fresh + out == 0:
                raise ValueError("no tokens at all")
            cached = self._cached_tokens(record, fresh)
            amount = self.money(record, line) if "cost" in self.columns else None
        except ValueError as fault:
            self.report.bad.add(str(fault), line)
            return None
        self.report.rows += 1
        self.report.out_of_order += time_s < self._last_s
        self._last_s = max(self._last_s, time_s)
        self.add_cost(amount)
        return time_s, fresh, out, cached, self.model(record)

    def _cached_tokens(self, record: Record, input_tokens: int) -> int:
        if self._prefixes is None:
            return self.cached(record, input_tokens)
        hashes = record.get("hash_ids")
        if not isinstance(hashes, list):
            raise ValueError("no list of block hashes")
        return self._prefixes.hit_tokens(hashes, input_tokens)


class _TotalReader(_Cells):
    """Turns records into totals of periods."""

    def total(self, line: int, record: Record | str) -> Total | None:
        """The total in a record; ``None`` for one that is none, and then the report says why."""
        if isinstance(record, str):
            self.report.bad.add(record, line)
            return None
        try:
            start_s = read_day(self.cell(record, "time"))
            end = self.cell(record, "end")
            length_s = read_day(end) - start_s if end not in (None, "") else DAY_S
            if length_s <= 0:
                raise ValueError("a period that ends before it starts")
            requests = read_tokens(self.cell(record, "requests"), "number of requests")
            fresh = read_tokens(self.cell(record, "input_tokens"), "input tokens")
            out = read_tokens(self.cell(record, "output_tokens"), "output tokens")
            if requests == 0 and fresh + out > 0:
                raise ValueError("tokens without a request")
            cached = self.cached(record, fresh)
            amount = self.money(record, line) if "cost" in self.columns else None
        except ValueError as fault:
            self.report.bad.add(str(fault), line)
            return None
        self.report.rows += 1
        self.report.total_tokens += fresh + out
        if str(record.get("batch")).lower() in ("true", "1"):
            self.report.batch_tokens += fresh + out
        self.add_cost(amount)
        name = str(self.cell(record, "model") or "")
        self.model(record)
        return Total(start_s, length_s, requests, fresh, out, None if cached < 0 else cached, name, amount)
