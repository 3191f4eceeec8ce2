"""What the compiled loop needs to know of a policy, as plain numbers and arrays."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spillway.planner.events import Node
from spillway.planner.outlook import NOTHING_SEEN, readings_of
from spillway.planner.policies import (
    AllCloud,
    AllLocal,
    Clairvoyant,
    ObservedTail,
    Policy,
    Reservation,
    Threshold,
    limits,
)
from spillway.planner.routed import Routed
from spillway.planner.runs import Arrivals
from spillway.planner.workload import Floats
from spillway.routing import Policy as RoutingPolicy
from spillway.slo.forecast import kept_for_cloud_s, usable_s
from spillway.slo.lengths import MOST_FORMS, NO_FORM, Learned
from spillway.slo.margin import Margin, Quantile
from spillway.vocabulary import Deadlines, Objective

__all__ = [
    "ALL_CLOUD", "ALL_LOCAL", "CLAIRVOYANT", "FRESH_SIZES", "OBSERVED", "OURS", "RESERVATION", "SIZES",
    "THRESHOLD", "Mind", "Rules", "Run", "Task", "task_of",
]  # fmt: skip

KINDS = (AllCloud, AllLocal, Threshold, Reservation, ObservedTail, Clairvoyant, Routed)
ALL_CLOUD, ALL_LOCAL, THRESHOLD, RESERVATION, OBSERVED, CLAIRVOYANT, OURS = range(len(KINDS))
EMPTY = np.zeros(0, dtype=np.bool_)
SIZES, FRESH_SIZES = 63, 32
"""Half octaves and octaves that a count of tokens may have."""
FIRST_FORM = 1 + SIZES + SIZES * FRESH_SIZES
LENGTH_KINDS = FIRST_FORM + MOST_FORMS
"""Any request, then by size, then by size and what of it is new, then by all that and the form."""


class Run(NamedTuple):
    """A policy; parts that it does not use are empty or 0."""

    kind: int
    bound: int
    """Most input tokens of a threshold, requests per node of a reservation."""
    late_share: float
    sign: int
    """1 where a clairvoyant prefers empty nodes, -1 where it fills one after the other."""
    window: int
    rest_s: float
    is_refused: NDArray[np.bool_]
    """Requests refused beforehand; empty when there are none."""
    order: NDArray[np.int64]
    tried_s: Floats
    tails: NDArray[np.int64]
    recent: Floats
    ranked: Floats
    counts: NDArray[np.int64]
    """Requests a clairvoyant took, and those of them it knew to be late."""


class Rules(NamedTuple):
    """What the owner decided, and the objective; infinite where there is no limit."""

    ttft_s: float
    total_s: float
    attainment: float
    has_objective: bool
    context_tokens: float
    most_input_tokens: int
    queue_per_slot: float
    spare_s: float
    """When a cloud has to be asked so that it is still in time; infinite where it cannot be."""
    cloud_s: float
    """What a cloud takes to its first token, at its p95."""
    kept_s: float
    """What is kept of the limit to first tokens for it, should there be no slot."""
    most_queue_s: float
    """How long anybody waits for a slot at most."""
    hedge_share: float
    knows_lengths: bool


class Mind(NamedTuple):
    """What our routing learned so far."""

    margins: Floats
    """By node."""
    answers: NDArray[np.int64]
    """By node."""
    stretches: Floats
    """By node: what 95 of 100 first tokens took at most, over their forecasts."""
    lengths: NDArray[np.void]
    """One row with the fields of ``slo.lengths.Learned``; the kinds are those without task classes."""
    last_answers: NDArray[np.int32]
    mean_answers: Floats
    """What came before each request in its conversation."""
    forms: NDArray[np.int64]
    """Place of each request's kind with a form, or ``NO_FORM``."""
    usual: Floats
    """What a usual request is, a record of ``planner.outlook``."""
    readings_s: Floats
    """Its table of readings."""
    learned: NDArray[np.int64]
    """One entry: requests up to which answers of the cloud have been learned."""


class Task(NamedTuple):
    """All of it."""

    run: Run
    rules: Rules
    mind: Mind


def task_of(policy: Policy, node: Node, nodes: int, arrivals: Arrivals) -> Task | None:
    """What to tell the loop of ``policy`` on so many such nodes; ``None`` when it has no compiled form."""
    kind = next((place for place, known in enumerate(KINDS) if type(policy) is known), None)
    if kind is None:
        return None
    run, objective, settings, knows_lengths = _run(kind, nodes), Objective(), RoutingPolicy(), False
    match policy:
        case Threshold():
            run = run._replace(bound=policy.max_input_tokens, is_refused=_hard(policy))
        case Reservation():
            run = run._replace(bound=policy.per_node or node.slots)
        case ObservedTail():
            objective = policy.objective
        case Clairvoyant():
            refused = EMPTY if policy.is_refused is None else np.asarray(policy.is_refused)
            sign = -1 if policy.packs else 1
            run = run._replace(late_share=policy.late_share, is_refused=refused, sign=sign)
            objective = policy.objective
        case Routed():
            objective, settings = policy._objective, policy._policy
            knows_lengths = policy._knows_lengths
    rules = _rules(objective, settings, node, arrivals.cloud_p95_s, knows_lengths)
    return Task(run, rules, _mind(node, nodes, arrivals))


def _hard(policy: Threshold) -> NDArray[np.bool_]:
    if policy.difficulty is None:
        return EMPTY
    return np.asarray(np.asarray(policy.difficulty) > policy.max_difficulty)


def _run(kind: int, nodes: int) -> Run:
    window = ObservedTail.window
    return Run(
        kind=kind,
        bound=0,
        late_share=0.0,
        sign=1,
        window=window,
        rest_s=ObservedTail.rest_s,
        is_refused=EMPTY,
        order=np.zeros(nodes, dtype=np.int64),
        tried_s=np.full(nodes, -math.inf),
        tails=np.zeros(2 * nodes, dtype=np.int64),
        recent=np.zeros(2 * nodes * window),
        ranked=np.zeros(2 * nodes * window),
        counts=np.zeros(2, dtype=np.int64),
    )


def _rules(
    objective: Objective, settings: RoutingPolicy, node: Node, cloud_p95_s: float, knows_lengths: bool
) -> Rules:
    ttft_s, total_s = limits(objective)
    spare_s = usable_s(ttft_s) - cloud_p95_s
    longest = node.context_tokens
    return Rules(
        ttft_s=ttft_s,
        total_s=total_s,
        attainment=objective.attainment_ratio,
        has_objective=min(ttft_s, total_s) < math.inf,
        context_tokens=longest if math.isinf(longest) else float(int(longest)),
        most_input_tokens=settings.max_local_input_tokens,
        queue_per_slot=settings.queue_per_slot,
        spare_s=spare_s if spare_s > 0.0 else math.inf,
        cloud_s=cloud_p95_s,
        kept_s=kept_for_cloud_s(ttft_s, cloud_p95_s),
        most_queue_s=Deadlines().first_token_s,
        hedge_share=settings.hedge_share,
        knows_lengths=knows_lengths,
    )


def _mind(node: Node, nodes: int, arrivals: Arrivals) -> Mind:
    return Mind(
        margins=np.full(nodes, Margin().value),
        answers=np.zeros(nodes, dtype=np.int64),
        stretches=np.full(nodes, Quantile().value),
        lengths=_row(Learned(LENGTH_KINDS)),
        last_answers=np.array(arrivals.last_answer_tokens, dtype=np.int32),  # copies, for one layout
        mean_answers=np.array(arrivals.mean_answer_tokens, dtype=np.float64),
        forms=np.where(arrivals.form == NO_FORM, NO_FORM, FIRST_FORM + arrivals.form).astype(np.int64),
        usual=np.array(NOTHING_SEEN),
        readings_s=np.array(readings_of(node.pace)),
        learned=np.zeros(1, dtype=np.int64),
    )


def _row(record: Learned) -> NDArray[np.void]:
    """The record as one row, lists as nested arrays: numba counts no references to those."""
    values = vars(record)
    row = np.zeros(1, np.dtype([(name, np.float64, np.shape(value)) for name, value in values.items()]))
    for name, value in values.items():
        row[name] = value
    return row
