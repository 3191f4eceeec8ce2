"""Arrivals made from totals, coarse times or three numbers, with the daily shape and bursts they assume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import gcd

import numpy as np
from numpy.typing import NDArray

from spillway.planner.workload import Floats, Ints, Total, Workload, WorkloadError, some_only
from spillway.vocabulary import Grade

__all__ = ["SHAPES", "Shape", "spread_coarse_times", "spread_totals", "synthesise"]

DAY_S = 86_400.0
HOUR_S = 3600.0
MINUTE_S = 60.0
QUARTER_S = 900.0
"""What the offsets of today's time zones are multiples of."""
WHOLE_S = (DAY_S, HOUR_S, *(minutes * MINUTE_S for minutes in (30, 20, 15, 10, 5, 1)))
"""Steps of clocks that tell no more than days, hours or some minutes, the longest first."""
MANY = 50
"""So many requests do not fall on whole minutes by chance, nor those that somebody makes up to try a plan."""
MONTH_DAYS = 30
INPUT_CV = 1.0
OUTPUT_CV = 0.8
"""Spread of prompt and answer lengths: Azure's conversation trace of 2023 has 0.98 and 0.80 (measured)."""
BURST_CV = 1.2
"""Spread of gaps between arrivals (Poisson: 1): ServeGen's clients have a median of 1.19 (measured)."""


@dataclass(frozen=True)
class Shape:
    """How a day's and a week's requests are spread: relative weights, and how we know them."""

    hours: tuple[float, ...]
    """24 weights, midnight first, local time."""
    days: tuple[float, ...] = (1, 1, 1, 1, 1, 1, 1)
    """Seven weights, Monday first."""
    grade: Grade = "guess"
    source: str = ""


SHAPES: Mapping[str, Shape] = {
    "flat": Shape((1.0,) * 24, source="every hour alike"),
    "consumer": Shape(
        (
            0.82, 0.67, 0.70, 0.64, 0.63, 0.68, 0.68, 0.83, 0.96, 1.12, 1.14, 1.12,
            1.10, 1.09, 1.08, 1.03, 1.04, 1.11, 1.07, 1.24, 1.47, 1.39, 1.29, 1.07,
        ),
        grade="measured",
        source="ServeGen, smallest language model, mean of eleven days (Apache-2.0)",
    ),
    "office": Shape(
        (
            0.10, 0.08, 0.08, 0.08, 0.10, 0.20, 0.50, 1.00, 1.90, 2.40, 2.50, 2.30,
            1.80, 2.20, 2.40, 2.30, 2.00, 1.40, 0.80, 0.50, 0.35, 0.25, 0.20, 0.15,
        ),
        days=(1.2, 1.25, 1.25, 1.25, 1.15, 0.45, 0.45),
        source="our picture of office hours",
    ),
}  # fmt: skip


def synthesise(
    requests_per_month: float,
    input_tokens: float,
    output_tokens: float,
    shape: str = "consumer",
    *,
    days: float = MONTH_DAYS,
    seed: int = 0,
) -> Workload:
    """A workload from three numbers: mean lengths are met exactly, the rest follows the named shape."""
    count = round(requests_per_month * days / MONTH_DAYS)
    if count < 1:
        raise WorkloadError("there must be at least one request in the time planned for")
    total = Total(0.0, days * DAY_S, count, round(input_tokens * count), round(output_tokens * count))
    return spread_totals([total], shape, seed=seed)


def spread_totals(
    totals: Sequence[Total],
    shape: str = "consumer",
    *,
    burst_cv: float = BURST_CV,
    seed: int = 0,
) -> Workload:
    """Arrivals whose counts and token sums are exactly those of ``totals``.

    A total without requests is time in which nothing happened. Arrivals within a period, of all models
    together, are a gamma renewal process run on a clock that follows the shape; lengths are log-normal.
    Everything assumed is said in ``notes``.
    """
    usable = [total for total in totals if total.requests > 0]
    if not usable:
        raise WorkloadError("the totals hold no request; nothing can be planned from them")
    found, random = _shape(shape), np.random.default_rng(seed)
    start_s = min(total.start_s for total in totals)
    names = sorted({total.model for total in usable})
    times = np.concatenate(_times_of_each(usable, found, burst_cv, random)) - start_s
    is_fine = all(total.length_s <= HOUR_S for total in usable)
    how = "evenly over each" if is_fine else f"daily shape {shape!r} ({found.grade}: {found.source})"
    order = np.argsort(times, kind="stable")
    counts, knows_cached = [t.requests for t in usable], [t.cached_tokens is not None for t in usable]
    inputs = [_lengths(t.input_tokens, t.requests, INPUT_CV, random) for t in usable]
    return Workload(
        time_s=times[order],
        input_tokens=np.concatenate(inputs)[order],
        output_tokens=np.concatenate(
            [_lengths(t.output_tokens, t.requests, OUTPUT_CV, random) for t in usable]
        )[order],
        cached_tokens=_cached(usable, inputs, order),
        model=np.repeat([names.index(t.model) for t in usable], counts).astype(np.int32)[order],
        models=tuple(names),
        span_s=max(total.start_s + total.length_s for total in totals) - start_s,
        start_wall_s=start_s if start_s > 1e8 else None,
        grade="derived",
        notes=(
            f"arrivals made from totals: {how}, gaps with variation {burst_cv:g}, lengths log-normal with "
            f"variation {INPUT_CV:g} (input) and {OUTPUT_CV:g} (output)",
        ),
        knows_cached=some_only(np.repeat(knows_cached, counts)[order]),
    )


def spread_coarse_times(workload: Workload, shape: str = "consumer", *, seed: int = 0) -> Workload:
    """The workload itself, or, where its times are only days, hours or minutes, with its requests spread.

    All requests of a day at midnight would be a burst that never was, and so would those of ten minutes at
    their beginning. Lengths and models stay as they are.
    """
    period_s = _resolution_s(workload)
    if period_s is None or workload.start_wall_s is None:
        return workload
    found, random = _shape(shape), np.random.default_rng(seed)
    starts, counts = np.unique(workload.time_s, return_counts=True)
    first_s = workload.start_wall_s
    periods = [
        Total(first_s + float(start), period_s, int(count), 0, 0)
        for start, count in zip(starts, counts, strict=True)
    ]
    how = f"daily shape {shape!r} ({found.grade}: {found.source}), " if period_s == DAY_S else ""
    gaps = f"gaps with variation {BURST_CV:g}"
    whole, each = _named(period_s)
    note = f"all times are {whole}: requests were spread over each {each}, {how}{gaps}"
    return replace(
        workload,
        time_s=np.concatenate([_times(each, found, BURST_CV, random) for each in periods]) - first_s,
        span_s=float(starts[-1]) + period_s,
        grade="derived",
        notes=(*workload.notes, note),
    )


def _resolution_s(workload: Workload) -> float | None:
    """Length of the periods whose starts are all there is of times; ``None`` where they tell more.

    Hours and days of other zones begin at UTC's quarters, so times are compared with the first one. Where
    every request has a start to itself, there is nothing to spread.
    """
    if workload.start_wall_s is None:
        return None
    later = workload.time_s - workload.time_s[0]
    if len(np.unique(later)) == len(later):
        return None
    step_s = next((each for each in WHOLE_S if later[-1] >= each and not (later % each).any()), None)
    if step_s is None or (step_s < HOUR_S and len(later) < MANY):
        return None
    is_at_start = (workload.start_wall_s + float(workload.time_s[0])) % gcd(int(step_s), int(QUARTER_S)) == 0
    return step_s if is_at_start else None


def _named(period_s: float) -> tuple[str, str]:
    """What times are called that tell no more than such a period, and what one of these is called."""
    for one_s, name in ((DAY_S, "day"), (HOUR_S, "hour"), (MINUTE_S, "minute")):
        if period_s == one_s:
            return f"whole {name}s", name
    minutes = f"{period_s / MINUTE_S:g} minutes"
    return f"multiples of {minutes}", minutes


def _shape(name: str) -> Shape:
    found = SHAPES.get(name)
    if found is None:
        raise WorkloadError(f"shape {name!r} is unknown; use one of {', '.join(SHAPES)}")
    return found


def _times_of_each(
    totals: Sequence[Total], shape: Shape, burst_cv: float, random: np.random.Generator
) -> list[Floats]:
    """Arrival times of each total; those of one period come from one process, dealt out at random.

    A process for each model would make the arrivals of all less bursty than is said.
    """
    periods: dict[tuple[float, float], list[int]] = {}
    for place, total in enumerate(totals):
        periods.setdefault((total.start_s, total.length_s), []).append(place)
    found: list[Floats] = [np.zeros(0)] * len(totals)
    for (start_s, length_s), places in periods.items():
        counts = [totals[place].requests for place in places]
        times = _times(Total(start_s, length_s, sum(counts), 0, 0), shape, burst_cv, random)
        if len(places) > 1:
            times = random.permutation(times)
        for place, part in zip(places, np.split(times, np.cumsum(counts)[:-1]), strict=True):
            found[place] = part
    return found


def _times(total: Total, shape: Shape, burst_cv: float, random: np.random.Generator) -> Floats:
    """Arrival times of one period, ascending."""
    gaps = random.gamma(1.0 / burst_cv**2, burst_cv**2, total.requests + 1)
    position = np.cumsum(gaps)
    position = (position / position[-1])[:-1]
    hours = int(total.length_s // HOUR_S)
    if hours <= 1:
        return np.asarray(total.start_s + position * total.length_s)
    edges = np.linspace(total.start_s, total.start_s + total.length_s, hours + 1)
    middle = (edges[:-1] + edges[1:]) / 2
    weight = np.array([_weight(shape, float(second)) for second in middle])
    cumulative = np.concatenate([[0.0], np.cumsum(weight)]) / weight.sum()
    return np.asarray(np.interp(position, cumulative, edges))


def _weight(shape: Shape, second: float) -> float:
    """Relative rate at that time; 1970-01-01 was a Thursday, an undated workload starts on a Monday."""
    day = int(second // DAY_S) + (3 if second > 1e8 else 0)
    return shape.hours[int(second // 3600) % 24] * shape.days[day % 7]


def _lengths(total_tokens: int, count: int, cv: float, random: np.random.Generator) -> Ints:
    """``count`` lengths of that spread which add up to the total exactly; each at least 1 if it can be."""
    sigma = np.sqrt(np.log1p(cv**2))
    raw = random.lognormal(0.0, sigma, count)
    spare = total_tokens - count
    if spare < 0:
        out = np.zeros(count, dtype=np.int32)
        out[random.choice(count, total_tokens, replace=False)] = 1
        return out
    share = raw / raw.sum() * spare
    out = share.astype(np.int64)
    short = int(spare - out.sum())
    if short:
        out[np.argsort(out - share)[:short]] += 1
    return np.asarray(out + 1, dtype=np.int32)


def _cached(totals: Sequence[Total], inputs: Sequence[Ints], order: NDArray[np.intp]) -> Ints | None:
    """The cached tokens of each period, the same share of every prompt; ``None`` when no total knows them."""
    if all(total.cached_tokens is None for total in totals):
        return None
    pairs = zip(totals, inputs, strict=True)
    return np.concatenate([_shared(total.cached_tokens or 0, prompts) for total, prompts in pairs])[order]


def _shared(tokens: int, prompts: Ints) -> Ints:
    """Parts of ``tokens`` in proportion to the prompts, none larger than its prompt, exact in their sum."""
    whole = int(prompts.sum(dtype=np.int64))
    if not whole:
        return np.zeros_like(prompts)
    # each part is how far the running total rises, so that roundings never add up
    rising = [before * tokens // whole for before in np.cumsum(prompts, dtype=np.int64).tolist()]
    return np.diff(np.array(rising, dtype=np.int64), prepend=0).astype(np.int32)
