"""Requests as columns: when each arrives and how many tokens it reads and writes.

A workload comes from files (``readers``), from totals spread over time, or from three numbers. All times are
seconds after the workload's start; the start itself is a date only when the source had dates.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from spillway.errors import WorkloadError
from spillway.vocabulary import Grade

__all__ = [
    "CHUNK_ROWS",
    "FIRST_DATE_S",
    "MOST_REQUESTS",
    "BadRows",
    "Chunk",
    "ReadReport",
    "Total",
    "Workload",
    "WorkloadError",
    "collect",
    "refuse_too_many",
    "some_only",
]

CHUNK_ROWS = 65_536
"""Rows a reader holds before it hands them on as arrays (2 MB)."""
FIRST_DATE_S = 1e8
"""Seconds since 1970 (March 1973) above which a time is a date; below it counts from the zero of its file."""
MOST_REQUESTS = 100_000_000
"""A workload of more takes many gigabytes to hold."""
KEPT_LINES = 1000
"""Line numbers remembered per kind of fault; beyond that only the count grows."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]


@dataclass(frozen=True)
class Chunk:
    """Some requests as arrays of equal length, in the file's order.

    ``time_s`` counts from 1970 when the file has dates, else from the file's own zero. ``cached_tokens`` are
    those of the input a prefix cache held, -1 where unknown; ``model`` indexes the reader's list of names.
    """

    time_s: Floats
    input_tokens: Ints
    output_tokens: Ints
    cached_tokens: Ints
    model: Ints

    def __len__(self) -> int:
        return len(self.time_s)


@dataclass(frozen=True)
class Total:
    """What one period and model added up to; ``cached_tokens`` and ``cost_usd`` are ``None`` when unknown."""

    start_s: float
    length_s: float
    requests: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int | None = None
    model: str = ""
    cost_usd: Decimal | None = None


@dataclass
class BadRows:
    """Rows that could not be used, by reason: how many, and where the first thousand stand."""

    counts: dict[str, int] = field(default_factory=dict)
    lines: dict[str, list[int | str]] = field(default_factory=dict)
    place: str = "line"
    """What the numbers are of; a ledger has ids of requests instead."""
    cost_usd: dict[str, Decimal] = field(default_factory=dict)
    """What they cost together, where a file of costs says so."""

    def add(self, reason: str, line: int | str, cost_usd: Decimal | None = None) -> None:
        """Count one more row with that fault."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        if cost_usd is not None:
            self.cost_usd[reason] = self.cost_usd.get(reason, Decimal(0)) + cost_usd
        kept = self.lines.setdefault(reason, [])
        if len(kept) < KEPT_LINES:
            kept.append(line)

    @property
    def total(self) -> int:
        """Rows that could not be used."""
        return sum(self.counts.values())

    def sentences(self) -> list[str]:
        """One sentence per reason, most frequent first, with line numbers."""
        out = []
        for reason, count in sorted(self.counts.items(), key=lambda item: -item[1]):
            shown = self.lines[reason][:5]
            more = f" and {count - len(shown)} more" if count > len(shown) else ""
            numbers = ", ".join(str(line) for line in shown)
            cost = f"; ${self.cost_usd[reason]:,.2f}" if reason in self.cost_usd else ""
            out.append(f"{count} row(s) not used: {reason} ({self.place} {numbers}{more}{cost})")
        return out


@dataclass
class ReadReport:
    """What reading one source found; filled while its chunks are drawn."""

    source: str
    format: str
    columns: dict[str, str] = field(default_factory=dict)
    """Our column → the file's, ``a or b`` where rows differ."""
    guess: str = ""
    """Which columns were taken for what, in a file whose format nobody knows."""
    rows: int = 0
    bad: BadRows = field(default_factory=BadRows)
    out_of_order: int = 0
    zones: set[str] = field(default_factory=set)
    models: list[str] = field(default_factory=list)
    cost_usd: Decimal | None = None
    """Sum of the costs in the file; ``None`` when a row that was used had none."""
    batch: list[Total] = field(default_factory=list)
    """Those of its totals that went through the provider's batch endpoint."""
    tiers: dict[str, int] = field(default_factory=dict)
    """Requests by model and service tier, of those at another price than the list's."""
    left_out: list[str] = field(default_factory=list)
    """Rows that belong there and are no traffic to plan, one sentence per kind."""
    notes: list[str] = field(default_factory=list)
    last_period: tuple[float, bool] = (0.0, False)
    """Of totals: when the latest period ended, and whether its page says that more follow."""
    has_last_page: bool = False
    """Of single requests: whether there was one whose page does not say that more follow."""
    across: list[str] = field(default_factory=list)
    """What was found of this source and others together; sentences that name them all."""

    @property
    def doubt(self) -> str:
        """How a refusal ends: with the columns that were guessed and how to name others; empty without."""
        return f"; {self.guess} (name others as in --map COLUMN=time)" if self.guess else ""

    def reasons(self) -> list[str]:
        """Why rows were not used, one sentence each, faults first."""
        return [*self.bad.sentences(), *self.left_out]

    def warnings(self) -> list[str]:
        """What a person should know before trusting the plan, one sentence each."""
        found = [f"{self.source}: {sentence}" for sentence in self.reasons()]
        if self.out_of_order:
            found.append(f"{self.source}: {self.out_of_order} row(s) were out of order and have been sorted")
        if len(self.zones) > 1:
            names = ", ".join(sorted(self.zones))
            found.append(f"{self.source}: times in several zones ({names}); all were brought to UTC")
        return found + [f"{self.source}: {note}" for note in self.notes] + self.across


@dataclass(frozen=True)
class Workload:
    """Requests sorted by arrival, with what is known of their origin."""

    time_s: Floats
    """Seconds after ``start_wall_s``, ascending, first at 0 or later."""
    input_tokens: Ints
    output_tokens: Ints
    cached_tokens: Ints | None
    """``None`` when no source knew of a prefix cache; else per request, 0 where unknown."""
    model: Ints
    models: tuple[str, ...]
    span_s: float
    """Length of time the requests stand for: first to last, or the periods they were made from."""
    start_wall_s: float | None = None
    """Seconds since 1970 of the start; ``None`` when the source had no dates."""
    grade: Grade = "measured"
    notes: tuple[str, ...] = ()
    last_answer_tokens: Ints | None = None
    """Length of the answer before, in the same conversation; 0 for none, ``None`` when no source knew."""
    mean_answer_tokens: Floats | None = None
    """Geometric mean of all answers before, in the same conversation; known where the last one is."""
    form: Ints | None = None
    """Number of what the gateway would tell by ``RequestFacts.form``; 0 for none."""
    knows_cached: NDArray[np.bool_] | None = None
    """Where a source told ``cached_tokens``; ``None`` where it did for all requests or for none."""

    def __len__(self) -> int:
        return len(self.time_s)

    @property
    def requests_per_month(self) -> float:
        """Requests in 30 days at this workload's mean rate."""
        return len(self) / self.span_s * 30 * 86_400

    @property
    def mean_input_tokens(self) -> float:
        """Prompt tokens of the average request."""
        return float(self.input_tokens.mean())

    @property
    def mean_output_tokens(self) -> float:
        """Answer tokens of the average request."""
        return float(self.output_tokens.mean())

    def at_rate(self, factor: float) -> Workload:
        """The same requests arriving ``factor`` times as fast."""
        if factor <= 0:
            raise ValueError("a rate must be positive")
        return replace(
            self,
            time_s=self.time_s / factor,
            span_s=self.span_s / factor,
            notes=(*self.notes, f"arrivals sped up {factor:g} times"),
        )

    def only(self, part: slice | NDArray[np.bool_]) -> Workload:
        """Those requests of it, at their times; the span is still that of the whole."""
        cached, last, mean = self.cached_tokens, self.last_answer_tokens, self.mean_answer_tokens
        form, knows = self.form, self.knows_cached
        return replace(
            self,
            time_s=self.time_s[part],
            input_tokens=self.input_tokens[part],
            output_tokens=self.output_tokens[part],
            cached_tokens=None if cached is None else cached[part],
            model=self.model[part],
            last_answer_tokens=None if last is None else last[part],
            mean_answer_tokens=None if mean is None else mean[part],
            form=None if form is None else form[part],
            knows_cached=None if knows is None else knows[part],
        )


def collect(chunks: Iterable[Chunk], reports: Sequence[ReadReport]) -> Workload:
    """All chunks as one sorted workload; ``WorkloadError`` when there is no usable row.

    Draws the chunks to their end first, so ``reports`` are complete afterwards.
    """
    names = ", ".join(report.source for report in reports)
    parts, count = [], 0
    for part in chunks:
        parts.append(part)
        count += len(part)
        refuse_too_many(count, names)
    if not count:
        faults = [sentence for report in reports for sentence in report.reasons()]
        why = f": {faults[0]}" if faults else ": it is empty"
        doubt = next((report.doubt for report in reports if report.doubt), "")
        raise WorkloadError(f"{names} holds no usable request{why}{doubt}")
    time_s = np.concatenate([part.time_s for part in parts])
    _refuse_mixed_clocks(time_s, names)
    order = np.argsort(time_s, kind="stable")
    start = float(time_s[order[0]])
    has_dates = start > FIRST_DATE_S
    cached = np.concatenate([part.cached_tokens for part in parts])[order]
    knows_cached = cached >= 0
    time_s = time_s[order] - start
    models: list[str] = next((report.models for report in reports if report.models), [])
    return Workload(
        time_s=time_s,
        input_tokens=np.concatenate([part.input_tokens for part in parts])[order],
        output_tokens=np.concatenate([part.output_tokens for part in parts])[order],
        cached_tokens=np.maximum(cached, 0).astype(np.int32) if knows_cached.any() else None,
        model=np.concatenate([part.model for part in parts])[order],
        models=tuple(models),
        span_s=_span_s(time_s),
        start_wall_s=start if has_dates else None,
        notes=tuple(note for report in reports for note in report.warnings()),
        knows_cached=some_only(knows_cached),
    )


def some_only(mask: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """The mask where it tells requests apart; ``None`` where it holds for all or for none."""
    return None if mask.all() or not mask.any() else mask


def refuse_too_many(requests: int, names: str) -> None:
    """``WorkloadError`` for more requests than fit into memory; ``names`` says which files they come from."""
    if requests > MOST_REQUESTS:
        raise WorkloadError(
            f"{names}: {requests:,} requests are more than a plan can hold, {MOST_REQUESTS:,}; give a "
            "shorter time, or plan for an equal part of them"
        )


def _span_s(time_s: Floats) -> float:
    """First to last arrival plus one mean gap, so that the rate is unbiased; a second for a lone request."""
    last = float(time_s[-1])
    return last * len(time_s) / (len(time_s) - 1) if len(time_s) > 1 and last > 0 else max(last, 1.0)


def _refuse_mixed_clocks(time_s: Floats, names: str) -> None:
    dated = time_s > FIRST_DATE_S
    if dated.any() and not dated.all():
        raise WorkloadError(f"{names}: some times are dates and some count from zero; plan them separately")
