"""What the gateway makes of its traffic: a usual request, and the tokens that running answers hold.

As ``fleet.outlook`` and ``fleet.record`` count it, interpreted and compiled alike. ``seen`` is a record of
four numbers, a list or an array; ``readings_s`` and ``steps_s`` are tables of a node's times. Work is counted
in what a request of the usual sizes takes of a node that holds nothing of its prompt.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from spillway.slo import forecast
from spillway.slo.usual_work import next_size, next_usual
from spillway.vocabulary import Pace

if TYPE_CHECKING:
    from spillway.planner.events import Node, Tables

__all__ = [
    "NOTHING_SEEN", "held_tokens", "reading_s", "readings_of", "see", "unit_s", "usual_work_s",
]  # fmt: skip

Values = Any
"""Numbers: a list when interpreted, an array when compiled."""
WORK, ARRIVALS, PROMPT, OUTPUT = range(4)
"""Usual work in units, the arrivals it comes from, and the usual sizes in tokens."""
NOTHING_SEEN = (0.0, 0.0, 0.0, 0.0)
PER_E = 24.0
"""Sizes in the table of readings from one to e times as much: between two of them it errs by 0.1 %."""
SIZES = 400
"""Up to 16 million tokens."""


def held_tokens(node: Node, tables: Tables) -> float:
    """Tokens in the caches of running sequences as a gateway can know them.

    Of each answer counts what has been written, and at least half of what was expected.
    """
    held = 0.0
    for k in range(node.running):
        job = tables.jobs[tables.who[node.base + k]]
        written = job.output_tokens - (tables.due[node.base + k] - node.tokens)
        held += job.prompt_tokens + max(written, job.usual_tokens / 2)
    return held


def readings_of(pace: Pace) -> list[float]:
    """Seconds to read prompts of which nothing is cached, each some 4 % larger than the one before."""
    return [pace.prefill_s(math.exp(k / PER_E), 0.0) for k in range(SIZES)]


def reading_s(readings_s: Values, tokens: float) -> float:
    """Seconds to read a prompt, between those of the two sizes in the table next to it."""
    place = PER_E * math.log(max(tokens, 1.0))
    below = min(int(place), SIZES - 2)
    return float(readings_s[below] + (place - below) * (readings_s[below + 1] - readings_s[below]))


def usual_work_s(seen: Values, unit: float) -> float:
    """Node seconds that a usual request takes; some must have come."""
    return float(seen[WORK] * unit)


def see(seen: Values, work_s: float, unit: float, prompt_tokens: float, output_tokens: float) -> None:
    """One more arrival that a node might answer; ``unit`` as it was when it came."""
    seen[ARRIVALS] += 1.0
    seen[WORK] = next_usual(seen[WORK], work_s / unit, seen[ARRIVALS])
    if seen[ARRIVALS] == 1.0:
        seen[PROMPT], seen[OUTPUT] = prompt_tokens, output_tokens
    seen[PROMPT] = next_size(seen[PROMPT], prompt_tokens)
    seen[OUTPUT] = next_size(seen[OUTPUT], output_tokens)


def unit_s(
    seen: Values,
    readings_s: Values,
    steps_s: Values,
    context_s: float,
    slots: int,
    prompt_tokens: float,
    output_tokens: float,
) -> float:
    """Seconds that a request of the usual sizes takes of such a node; of the sizes given before any came."""
    if seen[ARRIVALS] > 0.0:
        prompt_tokens, output_tokens = seen[PROMPT], seen[OUTPUT]
    cache_s = context_s * (prompt_tokens + output_tokens / 2)
    read_s = reading_s(readings_s, prompt_tokens)
    work_s = forecast.work_seconds(read_s, output_tokens, steps_s[slots] / slots, cache_s)
    return max(work_s, forecast.LEAST_FORECAST_S)
