"""Totals of periods out of a usage file's records, and how long each of them stands for."""

from __future__ import annotations

from dataclasses import replace

from spillway.planner.readers.cells import Cells
from spillway.planner.readers.formats import Format
from spillway.planner.readers.openai_usage import Extras
from spillway.planner.readers.periods import DAY, ends_of, period_of
from spillway.planner.readers.records import Record
from spillway.planner.readers.repeats import SeenIds, whole_row
from spillway.planner.readers.values import MOST_PER_PERIOD, MOST_TOKENS_PER_REQUEST, read_tokens
from spillway.planner.workload import ReadReport, Total, WorkloadError

__all__ = ["TotalReader"]

LEAST_TO_BE_TOTALS = 100
"""Fewer requests in every row may be something else, such as calls of tools."""


class TotalReader(Cells):
    """Turns records into totals of periods."""

    def __init__(self, kind: Format, report: ReadReport) -> None:
        super().__init__(kind, report)
        self._extras = Extras(report)
        self._rows = SeenIds()
        self._equal = 0
        self._totals: list[Total] = []
        self._endless: list[Total] = []

    def add(self, line: int, record: Record | str) -> None:
        """Keep the total in a record, or say in the report why it is none."""
        if isinstance(record, str):
            self.report.bad.add(record, line)
            return
        if not self.belongs(record):
            return
        try:
            if self.format.rewrite is not None:
                record = self.format.rewrite(record)
            total, has_end = self._total(record, line)
            self._extras.add(record, total)
        except ValueError as fault:
            self.reject(fault, line)
            return
        kept = self._totals if has_end else self._endless
        if total.requests and not total.input_tokens + total.output_tokens:
            self.reject(ValueError("no tokens at all"), line)
            kept.append(replace(total, requests=0))  # its time was looked at all the same
            return
        kept.append(total)
        if self._is_idle(record):
            return
        self.report.rows += 1
        self._equal += total.input_tokens + total.output_tokens > 0 and not self._rows.add(whole_row(record))
        self.add_cost(total.cost_usd)
        self.model(record)

    def totals(self) -> list[Total]:
        """All totals; those without an end are as long as they lie apart, which the report says.

        ``WorkloadError`` where they lie apart as no period does.
        """
        if not self._endless:
            return self._totals
        starts = [total.start_s for total in self._endless]
        period = DAY if self.format.is_daily else period_of(starts, self.report.columns.get("time", ""))
        if period is None:
            raise WorkloadError(self._no_period())
        if not self.format.is_daily:
            self.report.notes.append(
                f"its totals do not say when they end, and were taken as {period.name} each; if that is "
                "wrong, name a column of ends with --map COLUMN=end, or say hour, day, week or month in the "
                "name of the column of their times"
            )
        ends = ends_of(starts, period)
        long = [replace(total, length_s=ends[total.start_s] - total.start_s) for total in self._endless]
        return self._totals + long

    def _no_period(self) -> str:
        single = ""
        if max(total.requests for total in self._endless) < LEAST_TO_BE_TOTALS:
            requests = self.report.columns.get("requests", "COLUMN")
            single = (
                ", or, if each row is one request, leave out what was taken for their number: "
                f"--map {requests}="
            )
        return (
            f"{self.report.source} holds totals that do not say when they end, and their times lie apart as "
            "no hours, days, weeks or months do; name another column of starts with --map COLUMN=time, one "
            f"of ends with --map COLUMN=end{single}{self.report.doubt}"
        )

    def _total(self, record: Record, line: int) -> tuple[Total, bool]:
        """The total in a record, and whether it says when it ends; else it is of a day for now."""
        start_s, length_s = self.period(record)
        has_end = length_s is not None
        length_s = DAY.seconds if length_s is None else length_s
        if self._is_idle(record):
            return Total(start_s, length_s, 0, 0, 0), has_end
        requests = read_tokens(self.cell(record, "requests"), "number of requests", MOST_PER_PERIOD)
        fresh = read_tokens(self.cell(record, "input_tokens"), "input tokens", MOST_PER_PERIOD)
        out = read_tokens(self.cell(record, "output_tokens"), "output tokens", MOST_PER_PERIOD)
        if requests == 0 and fresh + out > 0:
            raise ValueError("tokens without a request")
        if max(fresh, out) > requests * MOST_TOKENS_PER_REQUEST:
            raise ValueError("more tokens a request than any model takes")
        cached = self.cached(record, fresh)
        amount = self.money(record, line) if "cost" in self.columns else None
        name = str(self.cell(record, "model") or "")
        known = None if cached < 0 else cached
        return Total(start_s, length_s, requests, fresh, out, known, name, amount), has_end

    def finish(self) -> None:
        """Complete the report."""
        super().finish()
        self._extras.finish()
        if self._equal:  # rows of projects whose column was left out may be equal, so they count
            self.report.notes.append(
                f"{self._equal} row(s) are equal to another in every column, and count as "
                "well; remove them if they are the same usage, exported twice"
            )

    def _is_idle(self, record: Record) -> bool:
        """Whether it is one of OpenAI's days without use, which have a start and an end and nothing else."""
        counts = (self.cell(record, our) for our in ("requests", "input_tokens", "output_tokens", "model"))
        return self.format.name == "openai-usage-api" and all(cell is None for cell in counts)
