"""What would be safe to keep local, from answers of both sides to the owner's own logged prompts; pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

__all__ = ["SCHEMA", "Case", "ClassLine", "LogReport", "make_report"]

MOST_PROMPTS = 20_000
"""If more were needed, the gap is as good as at the limit."""
SCHEMA = "spillway.evidence.log/1"
Verdict = Literal["safe", "partly", "unsafe", "undecided"]
"""``safe``: the gap is within the limit for all kept answers. ``partly``: for those above a confidence.
``unsafe``: it is beyond the limit. ``undecided``: too few prompts to tell, or nothing that could compare."""


class Case(Struct, frozen=True):
    """One prompt that both sides answered."""

    task: str
    gate: str | None = None
    """The gate the local answer failed: the gateway would have asked a cloud."""
    gap: float | None = None
    """Reference minus local, -1 to 1; ``None`` when nothing could compare them."""
    confidence: float | None = None
    """Of the local answer's least sure token; ``None`` when its engine told none."""


class ClassLine(Struct, frozen=True, kw_only=True):
    """One task class."""

    task: str
    prompts: int
    share_ratio: float
    """Of all answered prompts."""
    gate_failures: float
    """Share that gates turned away."""
    compared: int
    agreement: float | None
    """One less the mean gap."""
    gap: float | None
    gap_lower: float | None
    gap_upper: float | None
    verdict: Verdict
    keep_ratio: float
    """Share of the class that may stay local."""
    least_confidence: float | None
    """For ``partly``: from which confidence of its least sure token an answer may be kept."""
    more_prompts: int | None
    """For ``undecided``: about how many more would decide if they went as the ones so far."""
    why: str


class LogReport(Struct, frozen=True, kw_only=True):
    """All classes, and the share of requests that may stay local by quality."""

    schema: str = SCHEMA
    log: str
    local: str
    reference: str
    max_gap: float
    confidence: float
    prompts: int
    answered: int
    """By both sides."""
    unusable_lines: int
    local_failures: int
    reference_failures: int
    not_asked: int
    """Left out because the money was spent."""
    reference_cost_usd: float | None
    quality_limit_ratio: float
    """Share of the answered prompts that may stay local: the quality limit of a plan."""
    quality_limit_if_decided_ratio: float
    """The same if every undecided class turned out safe."""
    classes: tuple[ClassLine, ...]


def make_report(cases: Sequence[Case], max_gap: float, confidence: float, **given: object) -> LogReport:
    """The report; ``given`` are the fields of ``LogReport`` that only the caller knows."""
    by_task: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        by_task[case.task].append(case)
    lines = [_line(task, found, len(cases), max_gap, 1.0 - confidence) for task, found in by_task.items()]
    lines.sort(key=lambda line: (-line.prompts, line.task))
    limit = sum(line.share_ratio * line.keep_ratio for line in lines)
    open_ones = [line for line in lines if line.verdict == "undecided"]
    hoped = sum(line.share_ratio * (1.0 - line.gate_failures - line.keep_ratio) for line in open_ones)
    return LogReport(
        answered=len(cases),
        max_gap=max_gap,
        confidence=confidence,
        quality_limit_ratio=round(limit, 4),
        quality_limit_if_decided_ratio=round(limit + hoped, 4),
        classes=tuple(lines),
        **given,  # type: ignore[arg-type]
    )


def _line(task: str, cases: list[Case], total: int, max_gap: float, alpha: float) -> ClassLine:
    kept = [case for case in cases if case.gate is None]
    gaps = [case.gap for case in kept if case.gap is not None]
    mean = sum(gaps) / len(gaps) if gaps else None
    low, high = _bounds(gaps, alpha / 2) if gaps else (None, None)
    passed = len(kept) / len(cases)
    verdict, part, least = _verdict(kept, low, high, max_gap, alpha / 2)
    more = _more(gaps, max_gap, alpha / 2) if verdict == "undecided" else None
    return ClassLine(
        task=task,
        prompts=len(cases),
        share_ratio=len(cases) / total,
        gate_failures=round(1.0 - passed, 6),
        compared=len(gaps),
        agreement=None if mean is None else 1.0 - mean,
        gap=mean,
        gap_lower=low,
        gap_upper=high,
        verdict=verdict,
        keep_ratio=round(part * passed, 4),
        least_confidence=least,
        more_prompts=more,
        why=_why(verdict, len(gaps), low, high, max_gap, least, more) if kept else _all_failed(len(cases)),
    )


def _bounds(gaps: list[float], alpha: float) -> tuple[float, float]:
    """Lower and upper bound of the mean gap, each wrong with chance ``alpha``.

    Exact (Clopper-Pearson) where answers agree or do not; the betting bounds of the running gateway where
    there are shades or the node may be better.
    """
    from spillway.evidence.bounds import PAIRED, Tally
    from spillway.verify.thresholds import lower_bound, upper_bound

    if all(gap in (0.0, 1.0) for gap in gaps):
        lost = round(sum(gaps))
        return lower_bound(lost, len(gaps), alpha), upper_bound(lost, len(gaps), alpha)
    tally = Tally()
    for gap in gaps:
        tally.add(gap)
    return tally.lower_bound(alpha, PAIRED), tally.upper_bound(alpha, PAIRED)


def _verdict(
    kept: list[Case], low: float | None, high: float | None, max_gap: float, alpha: float
) -> tuple[Verdict, float, float | None]:
    """The verdict, the share of kept answers it covers, and the confidence it asks for."""
    if low is None or high is None:
        return "undecided", 0.0, None
    if high <= max_gap:
        return "safe", 1.0, None
    part, least = _surest_part(kept, max_gap, alpha)
    if least is not None:
        return "partly", part, least
    return ("unsafe" if low > max_gap else "undecided"), 0.0, None


def _surest_part(kept: list[Case], max_gap: float, alpha: float) -> tuple[float, float | None]:
    """The largest part by confidence whose answers are worse at most so often; see ``verify.thresholds``."""
    from spillway.verify import choose_threshold

    pairs = [
        (case.confidence, min(1.0, max(0.0, 1.0 - case.gap)))
        for case in kept
        if case.confidence is not None and case.gap is not None
    ]
    if len(pairs) < len(kept) or not 0 < max_gap < 1:
        return 0.0, None
    found = choose_threshold(pairs, alpha=max_gap, delta=alpha)
    return found.kept_ratio or 0.0, found.value


def _more(gaps: list[float], max_gap: float, alpha: float) -> int | None:
    """About how many more prompts decide, by the tests of ``verify.thresholds`` at the gap seen so far."""
    from spillway.verify.thresholds import p_value

    n = len(gaps)
    if not gaps or sum(gaps) < 0.0:
        return None
    mean, is_binary = sum(gaps) / n, all(gap in (0.0, 1.0) for gap in gaps)
    size = max(n + n // 8, 8)
    while size < MOST_PROMPTS:
        lost = round(mean * size) if is_binary else mean * size
        p_good = p_value(lost, size, max_gap, is_binary=is_binary)
        p_bad = p_value(size - lost, size, 1.0 - max_gap, is_binary=is_binary)
        if min(p_good, p_bad) <= alpha:
            return size - n
        size = size * 9 // 8 + 1
    return None


def _all_failed(n: int) -> str:
    return (
        f"gates turned away {'the only answer' if n == 1 else f'all {n} answers'}: each would be paid twice"
    )


def _why(
    verdict: Verdict,
    n: int,
    low: float | None,
    high: float | None,
    max_gap: float,
    least: float | None,
    more: int | None,
) -> str:
    if low is None or high is None:
        return "nothing could compare these answers: give expected ones, or a --judge"
    match verdict:
        case "safe":
            return f"at most {max(high, 0.0):.3f} worse, {max_gap:g} allowed"
        case "unsafe":
            return f"at least {low:.3f} worse, {max_gap:g} allowed"
        case "partly":
            return f"answers whose least sure token has {least:.2f} or more are at most {max_gap:g} worse"
        case "undecided":
            hint = "the gap is too close to the limit" if more is None else f"about {more} more would decide"
            return f"between {max(low, -1.0):.3f} and {high:.3f} worse after {n}; {hint}"
