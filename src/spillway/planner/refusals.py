"""Requests that a clairvoyant refuses beforehand, because the nodes serve many short ones instead.

A run that knows the future of what is on the nodes still does not know what will come. With the whole
workload in view it can refuse the largest requests of every moment, a few more or a few less of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from spillway.planner.events import TabulatedPace
from spillway.planner.runs import Arrivals, Fleet
from spillway.planner.workload import Floats

__all__ = ["refusals", "work_seconds"]

STRIDE = 50
"""Requests that are refused by one measure."""


def refusals(
    arrivals: Arrivals, fleet: Fleet, tries: int, reaches: Sequence[int]
) -> Iterator[NDArray[np.bool_] | None]:
    """Requests to refuse beforehand: none, then those beyond what fills the nodes, more and less strictly."""
    yield None
    work_s = work_seconds(arrivals, fleet)
    for reach, fill in product(reaches, np.linspace(1.1, 0.4, max(tries - 1, 0)).tolist()):
        yield _beyond(arrivals.time_s, work_s, fill * fleet.nodes, reach)


def work_seconds(arrivals: Arrivals, fleet: Fleet) -> Floats:
    """Seconds of a whole, full node that each request really takes."""
    pace = TabulatedPace(fleet.pace, fleet.slots)
    context = arrivals.prompt_tokens + arrivals.output_tokens / 2
    step_s = pace.steps_s[fleet.slots] / fleet.slots + pace.context_s * context
    return arrivals.prefill_s + arrivals.output_tokens * step_s


def _beyond(time_s: Floats, work_s: Floats, nodes: float, reach: int) -> NDArray[np.bool_]:
    """The largest requests of every moment: without them those around it would fill so many nodes."""
    is_beyond = np.zeros(len(time_s), dtype=np.bool_)
    for start in range(0, len(time_s), STRIDE):
        low, high = max(start - reach, 0), min(start + STRIDE + reach, len(time_s))
        span_s = (time_s[high - 1] - time_s[low]) * (high - low) / max(high - low - 1, 1)
        sizes = np.sort(work_s[low:high])
        fits = int(np.searchsorted(np.cumsum(sizes), nodes * span_s))
        if fits < len(sizes):
            is_beyond[start : start + STRIDE] = work_s[start : start + STRIDE] > sizes[fits]
    return is_beyond
