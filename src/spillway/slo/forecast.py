"""When a node would answer one more request: arithmetic over what is on it, in plain numbers.

The functions take and give floats only, so that the planner's compiled simulator runs these very functions.
A request's own prompt, the prompts unread before it and the caches being read decide its times; typical
times of other requests do not.
"""

from __future__ import annotations

from math import inf

from msgspec import Struct

from spillway.slo.pace import chunks_of
from spillway.vocabulary import Load, Pace

__all__ = [
    "LEAST_FORECAST_S",
    "Forecast",
    "forecast",
    "kept_for_cloud_s",
    "miss_weight",
    "patience_s",
    "step_s",
    "total_s",
    "ttft_s",
    "usable_s",
    "wait_s",
    "work_s",
    "work_seconds",
]

RESERVE_SHARE, MOST_RESERVE_S = 0.15, 0.25
"""Kept of a limit for what happens before and after the gateway; it does not grow with the limit (guess, and
the second figure tried on traces: decision 0011)."""
CLOUD_SHARE = 0.15
"""A cloud that needs no more than this of a limit is asked in time; a slower one would cost too much of what
can be waited (chosen on traces: decision 0011)."""
LEFT_IN_TIME = 0.25
"""How much of a miss it is to have waited in vain when a cloud is still in time (chosen on traces: decision
0011)."""
LEAST_FORECAST_S = 1e-4
"""What a forecast counts as at least where it is divided by."""


def wait_s(in_flight: float, slots: float, usual_tokens: float, step_now_s: float) -> float:
    """Seconds until a slot is free: every slot frees up once per usual answer."""
    if in_flight < slots:
        return 0.0
    return (in_flight - slots + 1.0) / slots * usual_tokens * step_now_s


def ttft_s(
    unread_s: float, unread_chunks: float, prompt_s: float, prompt_chunks: float, step_now_s: float
) -> float:
    """Seconds to the first token once a slot is free: each chunk of prompt lets the running answers step."""
    return unread_s + prompt_s + (unread_chunks + prompt_chunks) * step_now_s


def total_s(first_s: float, output_tokens: float, step_then_s: float) -> float:
    """Seconds to the last token when the first comes after ``first_s``."""
    return first_s + output_tokens * step_then_s


def usable_s(limit_s: float) -> float:
    """What of a limit may pass in the gateway and behind it."""
    return limit_s - min(RESERVE_SHARE * limit_s, MOST_RESERVE_S)


def kept_for_cloud_s(limit_s: float, cloud_s: float) -> float:
    """Seconds of a limit kept for asking a cloud in case no slot comes free; none for a slow or unknown one.

    ``cloud_s`` is what the cloud takes to its first token; infinite where nobody knows.
    """
    return cloud_s if cloud_s <= CLOUD_SHARE * limit_s else 0.0


def patience_s(limit_s: float, expected_s: float, first_s: float, alone_s: float, kept_s: float) -> float:
    """How long one may wait for a slot and keep ``limit_s``: while it waits, the prompts before it are read.

    ``expected_s`` is what the limit is on, ``first_s`` the first token, both as forecast for now; ``kept_s``
    is left at least.
    """
    return usable_s(limit_s) - max(expected_s - first_s + alone_s, kept_s)


def miss_weight(queue_s: float, ttft_limit_s: float, cloud_s: float) -> float:
    """How much of a miss it is to get no slot within ``queue_s`` and to go to the cloud then."""
    return LEFT_IN_TIME if queue_s + cloud_s <= ttft_limit_s < inf else 1.0


def work_seconds(prompt_s: float, usual_tokens: float, step_share_s: float, cache_s: float) -> float:
    """Seconds of a whole, full node that a request takes: reading, and its part of the steps."""
    return prompt_s + usual_tokens * (step_share_s + cache_s)


class Forecast(Struct, frozen=True):
    """Seconds from now to a free slot, to the first and to the last token."""

    wait_s: float
    ttft_s: float
    total_s: float
    alone_s: float
    """From a slot to the first token once all prompts before it are read: the least that is left to come."""


def forecast(
    load: Load,
    pace: Pace,
    prompt_tokens: float,
    cached_tokens: float,
    usual_tokens: float,
    long_tokens: float,
) -> Forecast:
    """What one more request would take on a node with that load.

    ``usual_tokens`` is the length of a usual answer, ``long_tokens`` one that few exceed.
    """
    now_s = step_s(pace, load.running, load.running_tokens)
    prompt_s = pace.prefill_s(prompt_tokens, cached_tokens)
    chunks = chunks_of(prompt_tokens, cached_tokens)
    queue_s = wait_s(load.in_flight, load.slots, usual_tokens, now_s)
    first_s = queue_s + ttft_s(load.unread_s, load.unread_chunks, prompt_s, chunks, now_s)
    batch = min(load.running + load.unread + 1, load.slots)
    held = load.running_tokens + load.unread_tokens + prompt_tokens + (load.unread + 1) * usual_tokens / 2
    alone_s = ttft_s(0.0, 0.0, prompt_s, chunks, now_s)
    return Forecast(queue_s, first_s, total_s(first_s, long_tokens, step_s(pace, batch, held)), alone_s)


def step_s(pace: Pace, batch: int, held_tokens: float) -> float:
    """Seconds of a decode step of that many sequences which hold so many tokens together."""
    return pace.decode_step_s(batch, held_tokens / batch) if batch else 0.0


def work_s(pace: Pace, slots: int, prompt_tokens: float, cached_tokens: float, usual_tokens: float) -> float:
    """Seconds of a whole, full node that the request takes."""
    share_s = pace.decode_step_s(slots, 0.0) / slots
    context = prompt_tokens + usual_tokens / 2
    cache_s = pace.decode_step_s(1.0, context) - pace.decode_step_s(1.0, 0.0)
    return work_seconds(pace.prefill_s(prompt_tokens, cached_tokens), usual_tokens, share_s, cache_s)
