"""Whether a node would answer one more request in time, given what is on it now."""

from __future__ import annotations

from math import inf
from typing import Literal

from msgspec import Struct

from spillway.slo.forecast import Forecast, forecast, kept_for_cloud_s, miss_weight, patience_s, work_s
from spillway.slo.turns import yields_s
from spillway.slo.usual_work import weighed_s
from spillway.vocabulary import Load, NodeSnapshot, Objective, RequestFacts

__all__ = ["Admission", "Delay", "admission"]

Delay = Literal["full", "ttft", "total", "work"]
"""Why a node is not the place: its queue is full, a limit would be missed, or smaller requests go first."""

HARD_QUEUE_PER_SLOT = 32
"""Requests that may wait per slot even where the forecast says they are in time (guess)."""


class Admission(Struct, frozen=True):
    """What is believed of one node for one request."""

    delay: Delay | None
    """``None`` when it would be in time, or when nothing is known and it is to be tried."""
    forecast: Forecast | None
    """``None`` before a profile or the first answers."""
    work_s: float | None
    """Node seconds it would take; ``None`` before a profile or the first answers."""
    queue_s: float | None
    """How long the request may wait for a slot and still be in time; ``None`` without an objective."""
    miss_weight: float = 0.0
    """How much of a miss it is when it waits so long and gets none."""
    yields_s: float = 0.0
    """Its work where it yields to smaller ones while it waits, else 0."""


def admission(
    node: NodeSnapshot,
    facts: RequestFacts,
    objective: Objective | None,
    queue_per_slot: float,
    cloud_s: float = inf,
) -> Admission:
    """The judgement for ``node``; a node of which nothing is known goes by the count of its requests.

    ``cloud_s`` is what a cloud takes to its first token; infinite where nobody knows.
    """
    pace, load = node.pace, node.load
    if pace is None or load is None:
        return Admission("full" if _is_full(node, queue_per_slot) else None, None, None, None)
    usual, long = facts.usual_output_tokens, facts.long_output_tokens
    prompt, cached = node.prompt_tokens(facts)
    found = forecast(load, pace, prompt, cached, usual, long)
    work = work_s(pace, load.slots, prompt, cached, usual)
    if objective is None or (objective.ttft_s is None and objective.total_s is None):
        return Admission("full" if _is_full(node, queue_per_slot) else None, found, work, None)
    queue_s = _queue_s(objective, found, cloud_s)
    delay = _delay(node, load, objective, found, work)
    if delay:
        return Admission(delay, found, work, queue_s)
    weight = miss_weight(queue_s, inf if objective.ttft_s is None else objective.ttft_s, cloud_s)
    return Admission(None, found, work, queue_s, weight, yields_s(work, weight))


def _is_full(node: NodeSnapshot, queue_per_slot: float) -> bool:
    return node.slots is not None and node.in_flight + node.waiting >= node.slots * (1.0 + queue_per_slot)


def _delay(
    node: NodeSnapshot, load: Load, objective: Objective, found: Forecast, work: float
) -> Delay | None:
    """An idle node may use the whole objective: nothing but the request itself can make it late.

    One that is due for a test is tried whatever the forecast says. A wait counts for more the larger the
    request, which so leaves room for smaller ones.
    """
    if _is_full(node, HARD_QUEUE_PER_SLOT):
        return "full"
    margin = node.margin_for(objective)
    allowed = margin if load.in_flight else max(margin, 1.0)
    if node.is_due:
        return None
    wait_s = found.ttft_s - found.alone_s
    more_s = weighed_s(wait_s, work, node.usual_work_s or work) - wait_s
    if objective.ttft_s is not None and found.ttft_s + more_s > allowed * objective.ttft_s:
        return "ttft" if found.ttft_s > allowed * objective.ttft_s else "work"
    if objective.total_s is not None and found.total_s + more_s > allowed * objective.total_s:
        return "total" if found.total_s > allowed * objective.total_s else "work"
    return None


def _queue_s(objective: Objective, found: Forecast, cloud_s: float) -> float:
    """What is left of the limits once the request's own times, or those of a cloud, are taken off."""
    queue_s = inf
    if (limit_s := objective.ttft_s) is not None:
        kept_s = kept_for_cloud_s(limit_s, cloud_s)
        queue_s = patience_s(limit_s, found.ttft_s, found.ttft_s, found.alone_s, kept_s)
    if (limit_s := objective.total_s) is not None:
        queue_s = min(queue_s, patience_s(limit_s, found.total_s, found.ttft_s, found.alone_s, 0.0))
    return max(0.0, queue_s)
