"""The part of the traffic that is simulated where the whole would take too long, and how like it that is."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from spillway.planner.workload import Floats, Workload

__all__ = ["ALIKE", "crowding", "stretch"]

DAY_S = 86_400.0
HOURS = 24
"""Into how many hours a day is cut to see how crowded they are; a stretch below a day into as many parts."""
ALIKE = 1.2
"""How many times as crowded a stretch may be as the whole, or the whole as the stretch, and be like it."""


def stretch(workload: Workload, most: int) -> Workload:
    """A contiguous part of about ``most`` requests at the mean rate, whole weeks or days where there are any.

    What a fleet carries hangs on how crowded the hours are that requests come in, so a part is like the
    whole where the mean request meets about as many others within its hour. Of the parts that begin on a
    whole day and are like it, the one whose rate is nearest the whole's is taken, the first among equals;
    where none is, the one nearest in that. The workload itself when it is small enough; never less than a
    day of a longer one.
    """
    if len(workload) <= most:
        return workload
    length_s = _length_s(workload, most)
    hour_s = min(length_s, DAY_S) / HOURS
    hours, held = _hours(workload, hour_s)
    begins = _begins(workload.span_s, length_s, hour_s)
    first = np.searchsorted(hours, begins)
    last = np.searchsorted(hours, begins + round(length_s / hour_s))
    before, squares = (np.concatenate([[0.0], np.cumsum(each)]) for each in (held, held**2))
    requests = before[last] - before[first]
    used = np.flatnonzero(requests)
    crowds = (squares[last] - squares[first])[used] / requests[used]
    unlike = np.abs(np.log(crowds / (squares[-1] / before[-1])))
    is_tail = begins[used] % HOURS > 0
    off_rate = np.abs(requests[used] - len(workload) * length_s / workload.span_s)
    best = used[np.lexsort((off_rate, is_tail, np.maximum(unlike, math.log(ALIKE))))[0]]
    part = workload.only(slice(int(before[first[best]]), int(before[last[best]])))
    start_s = float(begins[best] * hour_s)
    return replace(
        part,
        time_s=np.maximum(part.time_s - start_s, 0.0),
        span_s=length_s,
        start_wall_s=None if workload.start_wall_s is None else workload.start_wall_s + start_s,
    )


def crowding(part: Workload, whole: Workload) -> float:
    """How many times as many others as in ``whole`` the mean request of ``part`` meets within its hour."""
    hour_s = min(part.span_s, DAY_S) / HOURS
    crowds = [float((held**2).sum() / held.sum()) for _, held in (_hours(w, hour_s) for w in (part, whole))]
    return crowds[0] / crowds[1]


def _length_s(workload: Workload, most: int) -> float:
    length_s = workload.span_s * most / len(workload)
    if workload.span_s < 2 * DAY_S:
        return length_s
    days = max(1, math.floor(length_s / DAY_S))
    return (days - days % 7 if days > 7 else days) * DAY_S


def _hours(workload: Workload, hour_s: float) -> tuple[Floats, Floats]:
    """The hours that hold a request, counted from 0, and how many each holds."""
    hours, held = np.unique(workload.time_s // hour_s, return_counts=True)
    return hours, held.astype(np.float64)


def _begins(span_s: float, length_s: float, hour_s: float) -> Floats:
    """Hours that a part may begin with: those of whole days, and last the one that reaches the very end."""
    tail = math.ceil((span_s - length_s) / hour_s - 1e-6)
    return np.append(np.arange(0.0, tail, HOURS), tail)
