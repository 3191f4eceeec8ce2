"""The simulations a plan needs: each one run is a value, so that runs can be done anywhere in any order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from spillway.planner.money import HOURS_PER_MONTH
from spillway.planner.plan_inputs import CloudChoice, PlanInputs, SlowedPace
from spillway.planner.policies import AllCloud, AllLocal, ObservedTail, Policy, Reservation, Threshold
from spillway.planner.routed import Routed
from spillway.planner.simulator import Engine, Fleet, Latencies, Result, best_known, simulate
from spillway.planner.workload import Workload
from spillway.routing import Policy as RoutingPolicy
from spillway.routing import reasons
from spillway.vocabulary import Objective

__all__ = [
    "ALL_CLOUD", "CLAIRVOYANT", "OURS", "POLICIES", "Ran", "Run", "World", "carry_out", "hours_covered",
    "loosened", "usd_per_request",
]  # fmt: skip

ALL_CLOUD = "all-cloud"
CLAIRVOYANT = "clairvoyant"
OURS = "ours"
POLICIES = (ALL_CLOUD, "all-local", "threshold", "reservation", "observed-p95", OURS, CLAIRVOYANT)
"""What a plan compares, the best known run last."""
SUITABLE_STREAM = 1
"""Which requests suit is drawn apart from all else, so that it is the same in every run."""
HOUR_S = 3600.0
DAY_S = 24 * HOUR_S


@dataclass(frozen=True)
class World:
    """What all runs of a plan share."""

    whole: Workload
    """For fleet sizes."""
    sample: Workload
    """For everything else."""
    fleet: Fleet
    objective: Objective
    cloud: CloudChoice
    seed: int
    machines: Mapping[str, Fleet] = field(default_factory=dict)
    """Other machines with the same model, by catalogue key."""
    settings: RoutingPolicy = field(default_factory=RoutingPolicy)
    """What the owner tells the rules."""
    suitable_ratio: float = 1.0
    """Share of requests that a local model answers well enough; the others stay in the cloud unseen."""
    idle_w: float = 0.0
    active_w: float = 0.0
    """What one of the plan's own nodes draws; 0 where nobody knows, as of a rented one."""
    requests_per_s: float | None = None
    """How fast all of the traffic comes on average, of which a run may be a part; ``None`` as in the run."""
    engine: Engine = "auto"
    """``compiled`` where so many runs follow that machine code pays although each is short."""


@dataclass(frozen=True)
class Run:
    """One question to the simulator; every factor is 1 where nothing differs from the plan itself."""

    nodes: int
    policy: str = OURS
    load: float = 1.0
    """How many times as fast requests arrive."""
    slower: float = 1.0
    """How many times as long the nodes take."""
    longer: float = 1.0
    """How many times as long answers are."""
    patience: float = 1.0
    """How many times as long requests may take."""
    machine: str | None = None
    """Another machine of the catalogue instead of the plan's node."""
    on_sample: bool = True


@dataclass(frozen=True)
class Ran:
    """What came of one run. Shares are 0–1."""

    run: Run
    requests: int
    requests_per_s: float
    local_share: float
    local_token_share: float
    useful_share: float
    """Requests answered locally and in time."""
    avoided_share: Decimal
    """Of the cloud's bill for everything, what the local requests would have cost, less those that were sent
    to it too because the node was late."""
    attainment: float
    local_attainment: float | None
    goodput_rps: float
    ttft_p50_s: float
    ttft_p95_s: float
    ttft_p99_s: float
    total_p50_s: float
    total_p95_s: float
    total_p99_s: float
    busy_ratio: float
    """Mean share of the time a node worked; 0 without nodes."""
    kwh_per_month: float | None
    """Energy of all nodes, idle ones too, at this load of the whole traffic; ``None`` where nobody knows what
    they draw. A node works no more than all the time: what piled up by the end is left out."""
    spills: Mapping[str, int]
    local_by_hour: tuple[float, ...]
    """Local requests per hour, by hour of the day in UTC, or of the workload when it has no dates."""
    cloud_by_hour: tuple[float, ...]


def usd_per_request(inputs: PlanInputs) -> Decimal:
    """Mean list price of a request; all prices were checked when the cloud was chosen."""
    workload = inputs.traffic.workload
    price = inputs.cloud.price_usd(workload)
    if price is None:
        raise ValueError("a plan needs every price it uses")
    return price / len(workload)


def carry_out(world: World, run: Run) -> Ran:
    """The run's answer; the same wherever it is worked out."""
    workload = _workload(world, run)
    objective = loosened(world.objective, run.patience)
    one = world.fleet if run.machine is None else world.machines[run.machine]
    fleet = replace(one, nodes=run.nodes)
    if run.slower != 1.0:
        fleet = replace(fleet, pace=SlowedPace(fleet.pace, run.slower))
    cloud = world.cloud.latency.times(workload, world.seed)
    barred = _barred(world, run, workload)
    if any(mask.any() for mask in barred.values()):
        result = _replay_others(world, run, workload, fleet, objective, cloud, barred)
    else:
        result = _replay(world, run, workload, fleet, objective, cloud)
    return _summary(world, run, workload, result)


def _barred(world: World, run: Run, workload: Workload) -> dict[str, NDArray[np.bool_]]:
    """Reason → which requests no policy may give to a node; none is barred for two reasons.

    Our own rules know of the limit on prompts themselves, and say so of each request.
    """
    barred: dict[str, NDArray[np.bool_]] = {}
    unsuited = np.zeros(len(workload), dtype=np.bool_)
    if world.suitable_ratio < 1.0:
        random = np.random.default_rng((world.seed, SUITABLE_STREAM))
        unsuited = barred[reasons.TASK] = random.random(len(workload)) >= world.suitable_ratio
    if run.policy != OURS:
        too_long = workload.input_tokens > world.settings.max_local_input_tokens
        barred[reasons.INPUT_BUDGET] = too_long & ~unsuited
    return barred


def _replay(
    world: World, run: Run, workload: Workload, fleet: Fleet, objective: Objective, cloud: Latencies
) -> Result:
    if run.policy == CLAIRVOYANT and run.nodes:
        return best_known(workload, fleet, objective, cloud, engine=world.engine)
    policy = make_policy(run.policy, objective, world.settings)
    engine = world.engine if run.nodes else "auto"
    return simulate(workload, fleet, policy, objective, cloud, engine)


def _replay_others(
    world: World,
    run: Run,
    workload: Workload,
    fleet: Fleet,
    objective: Objective,
    cloud: Latencies,
    barred: Mapping[str, NDArray[np.bool_]],
) -> Result:
    """The run over the requests that are not barred, and the cloud's times for all others."""
    rest = ~np.logical_or.reduce(list(barred.values()))
    if not rest.any():
        found = _replay(world, replace(run, policy=ALL_CLOUD), workload, fleet, objective, cloud)
        return replace(found, policy=run.policy, spills=_counts(barred))
    found = _replay(world, run, workload.only(rest), fleet, objective, (cloud[0][rest], cloud[1][rest]))
    node = np.full(len(workload), -1, dtype=np.int16)
    ttft_s, total_s = cloud[0].copy(), cloud[1].copy()
    is_doubled = np.zeros(len(workload), dtype=np.bool_)
    node[rest], ttft_s[rest], total_s[rest] = found.node, found.ttft_s, found.total_s
    is_doubled[rest] = found.is_doubled
    return replace(
        found,
        node=node,
        ttft_s=ttft_s,
        total_s=total_s,
        is_doubled=is_doubled,
        tokens=workload.input_tokens.astype(np.int64) + workload.output_tokens,
        spills={**found.spills, **_counts(barred)},
    )


def _counts(barred: Mapping[str, NDArray[np.bool_]]) -> dict[str, int]:
    return {reason: count for reason, mask in barred.items() if (count := int(mask.sum()))}


def _workload(world: World, run: Run) -> Workload:
    workload = world.sample if run.on_sample else world.whole
    if run.longer != 1.0:
        outputs = np.rint(workload.output_tokens * run.longer).astype(np.int32)
        workload = replace(workload, output_tokens=outputs)
    return workload if run.load == 1.0 else workload.at_rate(run.load)


def loosened(objective: Objective, patience: float) -> Objective:
    """The objective with limits that are so many times as long."""
    return Objective(
        objective.name,
        None if objective.ttft_s is None else objective.ttft_s * patience,
        None if objective.total_s is None else objective.total_s * patience,
        objective.attainment_ratio,
    )


def make_policy(name: str, objective: Objective, settings: RoutingPolicy) -> Policy:
    """The policy of that name, one of ``POLICIES`` but the clairvoyant."""
    if name == OURS:
        return Routed(objective, settings)
    if name == "observed-p95":
        return ObservedTail(objective)
    makers: dict[str, Callable[[], Policy]] = {
        ALL_CLOUD: AllCloud,
        "all-local": AllLocal,
        "threshold": Threshold,
        "reservation": Reservation,
    }
    return makers[name]()


def _summary(world: World, run: Run, workload: Workload, result: Result) -> Ran:
    local = result.is_local
    bill = world.cloud.price_usd(workload)
    avoided = world.cloud.price_usd(workload, local & ~result.is_doubled)  # at most: the cloud is broken off
    if bill is None or avoided is None:
        raise ValueError("a plan needs every price it uses")
    first, total = result.quantiles(result.ttft_s) or {}, result.quantiles(result.total_s) or {}
    by_hour = [_by_hour(workload, chosen) for chosen in (local, ~local)]
    requests_per_s = len(workload) / workload.span_s
    return Ran(
        run=run,
        requests=len(workload),
        requests_per_s=requests_per_s,
        local_share=result.local_share,
        local_token_share=result.local_token_share,
        useful_share=result.useful_share,
        avoided_share=avoided / bill if bill else Decimal(0),
        attainment=result.attainment,
        local_attainment=result.local_attainment,
        goodput_rps=result.goodput_rps,
        ttft_p50_s=first["p50"],
        ttft_p95_s=first["p95"],
        ttft_p99_s=first["p99"],
        total_p50_s=total["p50"],
        total_p95_s=total["p95"],
        total_p99_s=total["p99"],
        busy_ratio=sum(result.utilisation) / run.nodes if run.nodes else 0.0,
        kwh_per_month=_kwh_per_month(world, run, requests_per_s, result),
        spills=dict(result.spills),
        local_by_hour=by_hour[0],
        cloud_by_hour=by_hour[1],
    )


def _kwh_per_month(world: World, run: Run, requests_per_s: float, result: Result) -> float | None:
    """As the money counts it: a request takes a node as long as in the run, whatever the rate there."""
    if run.machine is not None or (run.nodes and not world.active_w):
        return None
    all_per_s = requests_per_s if world.requests_per_s is None else run.load * world.requests_per_s
    played_s = result.span_s * requests_per_s / all_per_s
    busy = sum(min(1.0, busy_s / played_s) for busy_s in result.busy_s)
    watts = run.nodes * world.idle_w + busy * (world.active_w - world.idle_w)
    return watts / 1000 * float(HOURS_PER_MONTH)


def _by_hour(workload: Workload, chosen: NDArray[np.bool_]) -> tuple[float, ...]:
    first_s = (workload.start_wall_s or 0.0) % DAY_S
    hours = ((first_s + workload.time_s[chosen]) // HOUR_S % 24).astype(np.int64)
    counts = np.bincount(hours, minlength=24)
    return tuple(
        float(count / covered) if covered else 0.0
        for count, covered in zip(counts, hours_covered(first_s, workload.span_s), strict=True)
    )


def hours_covered(first_s: float, span_s: float) -> list[float]:
    """How many hours of each hour of the day the time holds, so that half a last day lowers nothing."""
    days, rest_s = divmod(span_s, DAY_S)
    covered = [days] * 24
    begin_s, end_s = first_s, first_s + rest_s
    while begin_s < end_s:
        next_s = min((begin_s // HOUR_S + 1) * HOUR_S, end_s)
        covered[int(begin_s // HOUR_S) % 24] += (next_s - begin_s) / HOUR_S
        begin_s = next_s
    return covered
