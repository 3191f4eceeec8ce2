"""Usage files of many kinds as workloads, streamed, with every row that was not used accounted for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path

import numpy as np

from spillway.planner.arrivals import spread_coarse_times, spread_totals
from spillway.planner.readers.cells import Cells
from spillway.planner.readers.costs import DERIVED, Bill, CostReader, Price, share_out
from spillway.planner.readers.formats import GENERIC, Format, named_format, recognise
from spillway.planner.readers.generic import corrected, generic_format, propose
from spillway.planner.readers.langfuse import are_traces
from spillway.planner.readers.ledger import open_ledger
from spillway.planner.readers.parts import WithParts
from spillway.planner.readers.records import Record, Source, open_source
from spillway.planner.readers.repeats import SeenIds, compare_totals
from spillway.planner.readers.requests import RequestReader, Row
from spillway.planner.readers.same_traffic import Course, compare_courses
from spillway.planner.readers.samples import Samples
from spillway.planner.readers.totals import TotalReader
from spillway.planner.workload import (
    CHUNK_ROWS,
    Chunk,
    ReadReport,
    Total,
    Workload,
    WorkloadError,
    collect,
    refuse_too_many,
)

__all__ = ["UsageFile", "open_usage", "propose", "read_workload"]

IDLE_DAY = frozenset({"object", "start_time", "end_time", "start_time_iso", "end_time_iso"})
"""All that a bucket of OpenAI's API holds where nothing was used."""
JAEGER = frozenset({"traceID", "spans", "processes"})
"""What a trace has that Jaeger wrote."""
ANTHROPIC = (
    frozenset({"starting_at", "ending_at", "results"}),
    frozenset({"usage_input_tokens_no_cache", "usage_output_tokens"}),
)
"""Columns of Anthropic's reports by its API, of usage and costs, and of its console's export."""
PART = "its last page says that more follow: give all pages, or this is a part"
ROWS_TO_TELL = 100
"""Rows whose times tell together how a file writes them."""


@dataclass
class UsageFile:
    """One usage file, recognised and ready to stream; its report fills while it is read."""

    source: Source
    format: Format
    report: ReadReport
    seen: SeenIds = field(default_factory=SeenIds)
    """Ids, times and tokens of requests that were read; files of one workload share it."""

    @property
    def has_totals(self) -> bool:
        """Whether the file holds totals of periods rather than single requests."""
        return bool(self.format.requests)

    @property
    def is_bill(self) -> bool:
        """Whether the file holds costs instead of tokens."""
        return bool(self.format.line_item)

    def chunks(self) -> Iterator[Chunk]:
        """Single requests in arrays of at most ``CHUNK_ROWS``, in file order."""
        rows: list[Row] = []
        reader = RequestReader(self.format, self.report, self.seen)
        if self._may_have_spans_around():
            reader.look_for_spans(each for _, each in self.source.records() if not isinstance(each, str))
        for line, record in self._records(reader):
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
        reader = TotalReader(self.format, self.report)
        for line, record in self._records(reader):
            reader.add(line, record)
        reader.finish()
        return reader.totals()

    def billed(self, price: Price) -> list[Total]:
        """What a bill's line items bought, still without requests; ``WorkloadError`` where nobody knows."""
        reader = CostReader(self.format, self.report, price)
        for line, record in self._records(reader):
            reader.add(line, record)
        reader.finish()
        return reader.totals()

    def _may_have_spans_around(self) -> bool:
        """Whether a record may name the span around it."""
        parents = self.format.parent
        return bool(parents) and not (self.source.has_header and set(parents).isdisjoint(self.source.names))

    def _records(self, reader: Cells) -> Iterator[tuple[int, Record | str]]:
        """The source's records, the first of which the reader has looked at before it reads any."""
        records = self.source.records()
        first = list(islice(records, ROWS_TO_TELL))
        reader.look_at([record for _, record in first if not isinstance(record, str)])
        return chain(first, records)


def open_usage(
    path: Path | str,
    *,
    format_name: str | None = None,
    columns: Mapping[str, str] | None = None,
    models: list[str] | None = None,
) -> UsageFile:
    """The file with its format told by content, or as named.

    ``columns`` are names of the file's columns and the fields they are taken as, empty for one that is not to
    be used. Text that is no path is the URL of a ledger.
    ``models`` is the list of model names that several files share; the file's names are appended to it.
    """
    source = open_source(path) if isinstance(path, Path) else open_ledger(path)
    if columns or (format_name in (None, GENERIC) and recognise(source) is None):
        source = source.wider()
    _refuse_empty(source)
    known = recognise(source) if format_name is None else named_format(format_name, source, columns or {})
    if known is None and format_name is None and not columns:
        _refuse_others(source)
    if known is None:
        found = generic_format(source.names, columns or {}, str(path), _samples(source))
    else:
        found = corrected(known, source.names, columns, str(path)) if columns else known
    if source.has_header:
        found = found.within(source.names)
    _refuse_repeated(source, found)
    mapping = found.columns(source.names)
    report = ReadReport(str(source.path), found.name, mapping, models=[] if models is None else models)
    if found.name == "spillway-ledger":
        report.bad.place = "request"
    if found.name == GENERIC:
        if found.ids and not found.requests:
            mapping["id"] = found.ids[0][0]
        report.guess = _guess(found, mapping)
        report.notes.append(report.guess)
    return UsageFile(source, found, report)


def _samples(source: Source) -> Samples:
    """The first records of the file."""
    first = (record for _, record in source.records() if not isinstance(record, str))
    return Samples(list(islice(first, ROWS_TO_TELL)))


def _guess(found: Format, mapping: Mapping[str, str]) -> str:
    """Which columns were taken for what, parts of a count with those that are added to it."""
    parts = found.rewrite.parts if isinstance(found.rewrite, WithParts) else {}
    whole = {our: (theirs, *parts.get(theirs, ())) for our, theirs in mapping.items()}
    return "columns taken as " + ", ".join(
        f"{our} = {' + '.join(map(repr, names))}" for our, names in whole.items()
    )


def _refuse_others(source: Source) -> None:
    """``WorkloadError`` for exports that are known and are not what is needed of their tool."""
    if are_traces(source.names):
        raise WorkloadError(
            f"{source.path} holds Langfuse's traces, each of which may stand for many requests; export the "
            "observations instead"
        )
    if any(names.issubset(source.names) for names in ANTHROPIC):
        raise WorkloadError(
            f"{source.path} holds Anthropic's usage or costs by period, which do not tell how many requests "
            "there were; give a log of the requests, or their number and mean lengths: --requests-per-month, "
            "--input-tokens and --output-tokens"
        )
    if JAEGER.issubset(source.names):
        raise WorkloadError(
            f"{source.path} holds traces as Jaeger writes them; give the spans as OpenTelemetry's JSON, as "
            "its collector exports them to a file"
        )


def _refuse_empty(source: Source) -> None:
    """A file without a single record, or with nothing but the days of an idle account, is said to be that."""
    if not source.names:
        faults = (f": {record} (line {line})" for line, record in source.records() if isinstance(record, str))
        raise WorkloadError(
            f"{source.path} holds no request" + next(faults, "; export it for a time with some")
        )
    if IDLE_DAY.issuperset(source.names):
        raise WorkloadError(
            f"{source.path} holds no request, only periods without any; export it for a time with some"
        )


def _refuse_repeated(source: Source, found: Format) -> None:
    """A column that is needed must be one: nobody knows which of two of the same name is meant."""
    for theirs in (name for names in found.names().values() for name in names):
        for name in source.repeated.intersection((theirs, theirs.partition(".")[0])):
            raise WorkloadError(
                f"{source.path} has several columns named {name!r}; rename or remove all but one"
            )


def read_workload(
    paths: Sequence[Path | str],
    *,
    format_name: str | None = None,
    columns: Mapping[str, str] | None = None,
    shape: str = "consumer",
    seed: int = 0,
    bill: Bill | None = None,
) -> tuple[Workload, list[ReadReport]]:
    """All files as one workload, and what reading each of them found.

    Files of totals become arrivals of the given shape; single requests, totals and costs do not mix. ``bill``
    is what files of costs need beside them, and only they.
    """
    _refuse_twice(paths)
    models: list[str] = []
    files = [open_usage(path, format_name=format_name, columns=columns, models=models) for path in paths]
    for file in files:
        file.seen = files[0].seen
    reports = [file.report for file in files]
    if bill is not None or any(file.is_bill for file in files):
        return _from_costs(files, bill, shape, seed), reports
    with_totals = [file.has_totals for file in files]
    if any(with_totals) and not all(with_totals):
        raise WorkloadError("some files hold single requests and others totals; give one kind at a time")
    if any(with_totals):
        totals = _together(files, [file.totals() for file in files])
        if not any(total.requests for total in totals):
            doubt = next((report.doubt for report in reports if report.doubt), "")
            raise WorkloadError(f"{paths[0]} holds no usable total{_first_fault(reports)}{doubt}")
        return _spread(files, totals, shape, seed), reports
    courses = [Course(file.report.source, file.format) for file in files]
    drawn = (course.counted(file.chunks()) for course, file in zip(courses, files, strict=True))
    workload = collect(chain.from_iterable(drawn), reports)
    reports[-1].across.extend(compare_courses(courses))
    if not any(report.has_last_page for report in reports):
        reports[-1].notes.append(PART)
    return spread_coarse_times(workload, shape, seed=seed), reports


def _refuse_twice(paths: Sequence[Path | str]) -> None:
    """A file given twice would double the traffic, and every saving with it."""
    seen: set[Path | str] = set()
    for path in paths:
        real = path.resolve() if isinstance(path, Path) else path
        if real in seen:
            raise WorkloadError(f"{path} is given twice, and its requests would count twice; give it once")
        seen.add(real)


def _from_costs(files: Sequence[UsageFile], bill: Bill | None, shape: str, seed: int) -> Workload:
    """Arrivals made from costs; ``WorkloadError`` when something beside them is missing or too much."""
    costs = [file.report.source for file in files if file.is_bill]
    others = [file.report.source for file in files if not file.is_bill]
    if not costs:
        raise WorkloadError("give usage files or --requests-per-month, not both")
    if others:
        raise WorkloadError(
            f"{costs[0]} holds costs of what may be the same requests as in {others[0]}, which would count "
            "twice; give the usage without the costs"
        )
    if bill is None:
        raise WorkloadError(
            f"{costs[0]} holds costs, which do not tell how many requests there were; give "
            "--requests-per-month beside it, or the usage export instead, which has requests and tokens"
        )
    totals = _together(files, [file.billed(bill.price) for file in files])
    if not any(total.input_tokens + total.output_tokens for total in totals):
        raise WorkloadError(
            f"{costs[0]} holds no cost that tells tokens" + _first_fault([file.report for file in files])
        )
    workload = _spread(files, share_out(totals, bill.requests_per_month), shape, seed)
    return replace(workload, notes=(DERIVED, *workload.notes))


def _spread(files: Sequence[UsageFile], totals: Sequence[Total], shape: str, seed: int) -> Workload:
    """Arrivals made from the totals; ``WorkloadError`` when they are more than memory holds."""
    refuse_too_many(sum(total.requests for total in totals), ", ".join(file.report.source for file in files))
    return spread_totals(totals, shape, seed=seed)


def _together(files: Sequence[UsageFile], totals: Sequence[list[Total]]) -> list[Total]:
    """The totals of all files; those of the same periods in two files are refused, or said."""
    named = [(file.report.source, each) for file, each in zip(files, totals, strict=True)]
    files[-1].report.across.extend(compare_totals(named))
    last = max((file.report for file in files), key=lambda report: report.last_period)
    if last.last_period[1]:
        last.notes.append(PART)
    return [total for each in totals for total in each]


def _first_fault(reports: Sequence[ReadReport]) -> str:
    faults = [sentence for report in reports for sentence in report.reasons()]
    return f": {faults[0]}" if faults else ""


def _chunk(rows: list[Row]) -> Chunk:
    time_s, fresh, out, cached, model = zip(*rows, strict=True)
    as_ints = (np.array(column, dtype=np.int32) for column in (fresh, out, cached, model))
    return Chunk(np.array(time_s, dtype=np.float64), *as_ints)
