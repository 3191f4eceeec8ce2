"""What the evidence says, one line per key, for people and for programs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal

from msgspec import Struct

from spillway.evidence.bounds import Tally
from spillway.evidence.events import Key
from spillway.evidence.record import CHANNELS, Channel, QualityLimits, Record, channel_limit, reference_bad

__all__ = ["SCHEMA", "EvidenceLine", "EvidenceTable", "State", "make_table"]

SCHEMA = "spillway.evidence/1"
State = Literal["configured", "trial", "trusted", "demoted", "reference"]
"""``configured``: configuration sends it local and nothing speaks against it. ``trial``: configuration does
not, and too little is known. ``reference``: a cloud's answers, rated as the yardstick."""


class EvidenceLine(Struct, frozen=True, kw_only=True):
    """One key. Counts, means and bounds are those since its standing last changed; ``None`` is unknown.

    ``n``, ``estimate``, ``lower_bound`` and ``upper_bound`` are those of the channel that says most.
    """

    task: str
    upstream: str
    model: str
    identity: str
    state: State
    basis: Channel
    n: int
    estimate: float | None
    lower_bound: float
    upper_bound: float
    limit: float
    why: str
    since_s: float | None
    stage: int
    compared: int
    gap: float | None
    gap_lower: float
    gap_upper: float
    checked: int
    gate_failures: float | None
    gate_failures_lower: float
    gate_failures_upper: float
    rated: int
    bad_ratings: float | None
    bad_ratings_lower: float
    bad_ratings_upper: float
    seen_ever: int
    """Scores of all channels over all stages."""
    last_s: float | None


class EvidenceTable(Struct, frozen=True, kw_only=True):
    """All keys, most recently seen first within their class."""

    schema: str = SCHEMA
    ledger: str
    max_gap: float
    confidence: float
    max_escalations: float
    classes: tuple[EvidenceLine, ...]


def make_table(
    records: Mapping[Key, Record],
    limits: QualityLimits,
    *,
    ledger: str,
    local_tasks: Collection[str],
    reference: tuple[str, str] | None,
) -> EvidenceTable:
    """The table; ``reference`` is the cloud and model whose ratings are the yardstick."""
    lines = [
        _line(key, record, limits, key.task in local_tasks, _yardstick(records, key, reference, limits))
        for key, record in records.items()
    ]
    lines.sort(key=lambda line: (line.task, line.state == "reference", -(line.last_s or 0.0)))
    return EvidenceTable(
        ledger=ledger,
        max_gap=limits.max_gap,
        confidence=limits.confidence,
        max_escalations=limits.max_escalations,
        classes=tuple(lines),
    )


def _yardstick(
    records: Mapping[Key, Record], key: Key, reference: tuple[str, str] | None, limits: QualityLimits
) -> float:
    if reference is None:
        return 0.0
    cloud, model = reference
    return reference_bad(records.get(Key(key.task, cloud, model, model)), limits)


class _Figures(Struct, frozen=True):
    n: int
    mean: float | None
    lower: float
    upper: float
    limit: float


def _line(
    key: Key, record: Record, limits: QualityLimits, is_configured: bool, yardstick: float
) -> EvidenceLine:
    figures = {channel: _figures(channel, record, limits, yardstick) for channel in CHANNELS}
    basis = record.cause or _busiest(figures)
    state = _state(record, is_configured)
    shown, gap, gate, rating = figures[basis], figures["gap"], figures["gate"], figures["feedback"]
    return EvidenceLine(
        **key._asdict(),
        state=state,
        basis=basis,
        n=shown.n,
        estimate=shown.mean,
        lower_bound=shown.lower,
        upper_bound=shown.upper,
        limit=shown.limit,
        why=_why(record, state, basis, shown),
        since_s=record.changed_at_s,
        stage=record.stage,
        compared=gap.n,
        gap=gap.mean,
        gap_lower=gap.lower,
        gap_upper=gap.upper,
        checked=gate.n,
        gate_failures=gate.mean,
        gate_failures_lower=gate.lower,
        gate_failures_upper=gate.upper,
        rated=rating.n,
        bad_ratings=rating.mean,
        bad_ratings_lower=rating.lower,
        bad_ratings_upper=rating.upper,
        seen_ever=sum(total.n for total in record.totals.values()),
        last_s=record.last_at_s,
    )


def _figures(channel: Channel, record: Record, limits: QualityLimits, yardstick: float) -> _Figures:
    tally: Tally = record.tally(channel)
    interval = CHANNELS[channel]
    return _Figures(
        tally.n,
        tally.mean,
        round(tally.lower_bound(record.alpha_down(channel, limits), interval), 6),
        round(tally.upper_bound(record.alpha_up(channel, limits), interval), 6),
        channel_limit(channel, limits, yardstick),
    )


def _busiest(figures: Mapping[Channel, _Figures]) -> Channel:
    """Comparisons say most, then ratings, then gates."""
    for channel in ("gap", "feedback", "gate"):
        if figures[channel].n:
            return channel
    return "gap"


def _state(record: Record, is_configured: bool) -> State:
    if record.side == "cloud":
        return "reference"
    if record.standing != "open":
        return record.standing
    return "configured" if is_configured else "trial"


WORDS: dict[Channel, tuple[str, str]] = {
    "gap": ("gap to the reference", "comparisons"),
    "gate": ("share of answers gates turned away", "checked answers"),
    "feedback": ("share of bad ratings", "ratings"),
}


def _why(record: Record, state: State, basis: Channel, shown: _Figures) -> str:
    """One sentence with the figures that decided, or that are known so far."""
    what, unit = WORDS[basis]
    so_far = f"{what} at most {shown.upper:.3f} after {shown.n} {unit}"
    match state:
        case "reference":
            return f"the yardstick for ratings: {shown.n} {unit}"
        case "demoted":
            return f"{what} was at least {_verdict(record, unit)}, {shown.limit:.3f} allowed"
        case "trusted":
            return f"{what} was at most {_verdict(record, unit)}, {shown.limit:.3f} allowed"
        case "configured":
            return f"in routing.local_tasks; {so_far}, {shown.limit:.3f} allowed"
        case "trial":
            return f"not in routing.local_tasks; {so_far}, {shown.limit:.3f} would earn trust"


def _verdict(record: Record, unit: str) -> str:
    bound = "unknown" if record.verdict_bound is None else f"{record.verdict_bound:.3f}"
    return f"{bound} after {record.verdict_n} {unit}"
