"""What fleets of several sizes carry at several loads, and the smallest that carries enough.

Every fleet size and load is one run of the simulator and independent of the others, so whoever has processes
or machines to spare hands in a ``mapper`` that uses them. The answer does not depend on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from typing import Protocol

from spillway.planner.breakeven import ShareCurve
from spillway.planner.policies import Policy
from spillway.planner.simulator import CloudModel, Fleet, simulate
from spillway.planner.workload import Workload
from spillway.vocabulary import Objective

__all__ = ["Carried", "Mapper", "share_curve", "smallest_fleet", "sweep"]

MakePolicy = Callable[[Objective], Policy]
Run = tuple[int, float]
"""A fleet size and a load factor."""


class Mapper(Protocol):
    """Applies a function to every run and answers in their order: ``map``, or ``map`` of an executor."""

    def __call__(self, run: Callable[[Run], Carried], runs: Sequence[Run], /) -> Iterable[Carried]:
        """One answer per run, drawn as they come."""
        ...


@dataclass(frozen=True)
class Carried:
    """What one fleet did with one load; the figures of ``simulator.Result`` that a plan shows."""

    nodes: int
    load_factor: float
    """How many times faster than the workload itself requests arrived."""
    requests_per_month: float
    local_share: float
    local_token_share: float
    attainment: float
    local_attainment: float | None
    ttft_p95_s: float
    total_p95_s: float
    busy_ratio: float
    """Mean share of the time a node worked; 0 without nodes."""
    spills: dict[str, int]


def sweep(
    workload: Workload,
    fleet: Fleet,
    make_policy: MakePolicy,
    objective: Objective,
    *,
    sizes: Sequence[int],
    loads: Sequence[float] = (1.0,),
    cloud: CloudModel | None = None,
    mapper: Mapper = map,
    on_done: Callable[[], None] | None = None,
) -> list[Carried]:
    """One result per size and load, sizes first; nothing here depends on how ``mapper`` does its work.

    For one that uses other processes ``make_policy`` must be picklable. ``on_done`` is called after each run,
    for a progress bar.
    """
    runs = [(size, load) for size in sizes for load in loads]
    run = partial(_run, workload, fleet, make_policy, objective, cloud or CloudModel())
    return _gather(mapper(run, runs), on_done)


def _gather(found: Iterable[Carried], on_done: Callable[[], None] | None) -> list[Carried]:
    out = []
    for carried in found:
        out.append(carried)
        if on_done is not None:
            on_done()
    return out


def _run(
    workload: Workload,
    fleet: Fleet,
    make_policy: MakePolicy,
    objective: Objective,
    cloud: CloudModel,
    size_and_load: tuple[int, float],
) -> Carried:
    size, load = size_and_load
    faster = workload.at_rate(load) if load != 1.0 else workload
    policy = make_policy(objective)
    found = simulate(faster, replace(fleet, nodes=size), policy, objective, cloud.times(faster))
    return Carried(
        nodes=size,
        load_factor=load,
        requests_per_month=faster.requests_per_month,
        local_share=found.local_share,
        local_token_share=found.local_token_share,
        attainment=found.attainment,
        local_attainment=found.local_attainment,
        ttft_p95_s=(found.quantiles(found.ttft_s) or {})["p95"],
        total_p95_s=(found.quantiles(found.total_s) or {})["p95"],
        busy_ratio=sum(found.utilisation) / size if size else 0.0,
        spills=dict(found.spills),
    )


def share_curve(carried: Sequence[Carried]) -> ShareCurve:
    """The local share of one fleet over load, for the money of growing traffic."""
    points = sorted((Decimal(repr(c.requests_per_month)), Decimal(repr(c.local_share))) for c in carried)
    return ShareCurve(tuple(points))


def smallest_fleet(
    workload: Workload,
    fleet: Fleet,
    make_policy: MakePolicy,
    objective: Objective,
    *,
    local_share: float,
    most: int = 64,
    cloud: CloudModel | None = None,
) -> Carried | None:
    """The fewest nodes that carry that share of the requests in time; ``None`` when ``most`` do not.

    In time means that the objective's share of the local answers keeps it. Where requests are too long even
    for an idle node no fleet is large enough. Doubles, then halves the gap: a few runs instead of all.
    """

    def carries(size: int) -> Carried | None:
        found = sweep(workload, fleet, make_policy, objective, sizes=[size], cloud=cloud)[0]
        is_enough = found.local_share >= local_share
        is_in_time = (found.local_attainment or 0.0) >= objective.attainment_ratio
        return found if is_enough and is_in_time else None

    size, found = 1, carries(1)
    while found is None and size < most:
        size = min(2 * size, most)
        found = carries(size)
    if found is None:
        return None
    low = size // 2
    while size - low > 1:
        middle = (low + size) // 2
        smaller = carries(middle)
        if smaller is None:
            low = middle
        else:
            size, found = middle, smaller
    return found
