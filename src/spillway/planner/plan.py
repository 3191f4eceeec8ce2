"""The plan: what fleets carry, what they cost, whether buying pays, and everything the answer rests on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

from spillway.planner import compiled
from spillway.planner.breakeven import (
    Band,
    Outcome,
    Sensitivity,
    Spread,
    band,
    by_cost,
    evaluate,
    pays,
    sensitivities,
)
from spillway.planner.money import Naive
from spillway.planner.parallel import Workers
from spillway.planner.plan_checks import (
    Ceiling,
    check_idle,
    outgrown,
    stretch_warnings,
    traffic_warnings,
    unknown_cached,
)
from spillway.planner.plan_costs import assumptions_of
from spillway.planner.plan_inputs import (
    Assumption,
    PlanInputs,
    exact_percent,
    length_of,
    percent,
    percent_below,
    promises,
)
from spillway.planner.plan_money import Answers, Course, courses, make_case, on_one_scale
from spillway.planner.plan_runs import ALL_CLOUD, Ran, Run, World, carry_out, usd_per_request
from spillway.planner.plan_side import (
    MachineLine,
    Patient,
    PolicyLine,
    Side,
    future_runs,
    growth_loads,
    side_runs,
)
from spillway.planner.routed import USUAL
from spillway.planner.thresholds import what_would_pay
from spillway.routing import Policy as RoutingPolicy

__all__ = ["CLEARLY", "MOST_NODES", "FleetLine", "Plan", "PolicyLine", "make_plan", "promised"]

COMPILED_FROM = 2000
"""Requests per run from which a plan's thirty runs are worth loading machine code for."""
UNLIMITED = 2**31 - 1
MOST_NODES = 64
"""The largest fleet that may be asked about."""
ENOUGH_SHARE = 0.95
"""Of the requests that a node may get and an idle one answers in time, what counts as all of them."""

ZERO = Decimal(0)
CLEARLY = Decimal("1.1")
"""How many times as much something else has to save to be worth a word."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class FleetLine:
    """One fleet size. Money is the mean of a month over the hardware's life."""

    nodes: int
    ran: Ran
    outcome: Outcome
    keeps_objective: bool
    """Whether as many requests are in time as promised, or at least as many as the cloud alone manages."""

    @property
    def local_usd_per_month(self) -> Decimal:
        """Hardware, energy, maintenance and rent."""
        return self.outcome.total_usd_per_month - self.outcome.cloud_usd_per_month


@dataclass(frozen=True)
class Plan:
    """The whole answer. ``shown_nodes`` is the recommended fleet, or the least bad one when none pays."""

    inputs: PlanInputs
    is_worth_it: bool
    reason: str | None
    """Why never; ``None`` when it pays."""
    recommended_nodes: int
    shown_nodes: int
    band: Band
    """Of the shown fleet."""
    naive: Naive
    ceiling: Ceiling
    nodes_for_all: int | None
    """The smallest fleet tried that carries nearly all it may get and could answer in time; ``None`` when
    none does."""
    fleets: tuple[FleetLine, ...]
    policies: tuple[PolicyLine, ...]
    course: Course
    sensitivities: tuple[Sensitivity, ...]
    spreads: Mapping[str, Spread]
    would_pay: Mapping[str, Decimal | None]
    machines: tuple[MachineLine, ...]
    """One of each machine, what saves most first; the plan's own as the fleets tell it."""
    better: MachineLine | None
    """Another that keeps the objective: where nothing pays one that does, else one that saves more."""
    alone: FleetLine | None
    """One node that nobody asked about, where it keeps the objective, pays, and saves more than the shown."""
    patient: Patient | None
    """``None`` when there is no objective to loosen."""
    assumptions: tuple[Assumption, ...]
    warnings: tuple[str, ...]

    @property
    def shown(self) -> FleetLine:
        """The fleet that charts and policies are about."""
        return next(line for line in self.fleets if line.nodes == self.shown_nodes)

    @property
    def nodes_of_work(self) -> int | None:
        """Nodes that would have to work all the time, one request after another; ``None`` when unknown."""
        read = self.naive.prefill_utilisation
        return None if read is None else math.ceil(self.naive.decode_utilisation + read)

    @property
    def cloud_usd_per_request(self) -> Decimal:
        """What the cloud charges for the mean request today: tiers, cached tokens and batch considered."""
        return self.shown.outcome.case.cloud_usd_per_request


def make_plan(
    inputs: PlanInputs,
    *,
    workers: int | None = None,
    backend: str | None = None,
    on_progress: Progress | None = None,
) -> Plan:
    """The plan for these inputs; the same for the same inputs, however many workers there are.

    ``WorkloadError`` or ``ConfigError`` when something needed is unknown or impossible.
    """
    ceiling = check_idle(inputs)
    world = _world(inputs)
    runs = _first_runs(inputs)
    tally = _Tally(len(runs) + len(side_runs(inputs, 1)), on_progress)
    with Workers(world, workers, backend) as pool:
        fleets = _fleets(inputs, pool.run(carry_out, runs, tally.step))
        worth = _worth(inputs, fleets)
        ask = partial(_asked, inputs, pool, tally)
        shown = worth[0] if worth else _least_bad(inputs, fleets)
        side = ask(side_runs(inputs, shown.nodes, is_never=not worth))
        futures = side.futures(shown.ran)
        if not pays(futures) and (other := _next_that_pays(inputs, worth[1:], ask)) is not None:
            shown, side = other, ask(side_runs(inputs, other.nodes))
            futures = side.futures(other.ran)
    return _finish(inputs, ceiling, fleets, shown, side, futures)


def _asked(inputs: PlanInputs, pool: Workers[World], tally: _Tally, runs: Sequence[Run]) -> Side:
    """The answers to these questions; the bar is told that there are so many more."""
    tally.total = tally.done + len(runs)
    return Side(inputs, tuple(pool.run(carry_out, runs, tally.step)))


def _next_that_pays(
    inputs: PlanInputs, lines: Sequence[FleetLine], ask: Callable[[Sequence[Run]], Side]
) -> FleetLine | None:
    """The first of these fleets that pays in the middle future."""
    asked = ((line, ask(future_runs(inputs, line.nodes))) for line in lines)
    return next((line for line, side in asked if pays(side.futures(line.ran))), None)


class _Tally:
    """Counts finished runs for a progress bar."""

    def __init__(self, total: int, say: Progress | None) -> None:
        self.total = total
        self.done = 0
        self._say = say
        if say is not None:
            say(0, total)

    def step(self) -> None:
        self.done += 1
        if self._say is not None:
            self._say(self.done, self.total)


def _world(inputs: PlanInputs) -> World:
    pays_to_compile = compiled.can_run() and len(inputs.sampled) >= COMPILED_FROM
    workload = inputs.traffic.workload
    return World(
        whole=inputs.simulated,
        sample=inputs.sampled,
        fleet=inputs.node.fleet,
        objective=inputs.objective,
        cloud=inputs.cloud,
        seed=inputs.seed,
        machines={key: node.fleet for key, node in inputs.machines.items()},
        settings=RoutingPolicy(
            max_local_input_tokens=inputs.most_input_tokens or UNLIMITED, hedge_share=_hedge_share(inputs)
        ),
        suitable_ratio=inputs.suitable_ratio,
        idle_w=float(inputs.node.idle_w),
        active_w=float(inputs.node.active_w),
        requests_per_s=len(workload) / workload.span_s,
        engine="compiled" if pays_to_compile else "auto",
    )


def _first_runs(inputs: PlanInputs) -> list[Run]:
    """Every fleet size, the largest first since it takes longest; at other loads too if traffic will grow."""
    sizes = sorted({0, 1, *inputs.sizes}, reverse=True)
    runs = [Run(nodes, on_sample=False) for nodes in sizes]
    loads = growth_loads(inputs)
    if len(loads) > 1:
        runs += [Run(nodes, load=load) for nodes in sizes if nodes for load in loads]
    return runs


def _fleets(inputs: PlanInputs, ran: Sequence[Ran]) -> list[FleetLine]:
    price_usd = usd_per_request(inputs)
    whole = sorted((each for each in ran if not each.run.on_sample), key=lambda each: each.run.nodes)
    least = promised(inputs, whole[0])
    lines = []
    for each in whole:
        nodes = each.run.nodes
        side = [other for other in ran if other.run.on_sample and other.run.nodes == nodes]
        now = next((other for other in side if other.run.load == 1.0), each)
        runs = on_one_scale(each, now, [other for other in side if other.run.load != 1.0])
        case = make_case(inputs, nodes, runs, price_usd, Answers())
        lines.append(FleetLine(nodes, each, evaluate(case), each.attainment >= least))
    return lines


def promised(inputs: PlanInputs, cloud: Ran) -> float:
    """Share of requests in time that counts as keeping the objective; ``cloud`` is the run without nodes.

    Less than wanted by the standard error of so many requests: what is nearer cannot be told from it.
    """
    wanted = _wanted(inputs, cloud)
    return wanted - math.sqrt(wanted * (1 - wanted) / cloud.requests)


def _wanted(inputs: PlanInputs, cloud: Ran) -> float:
    """As many as promised, or as the cloud alone manages."""
    return min(inputs.objective.attainment_ratio, cloud.attainment)


def _worth(inputs: PlanInputs, fleets: Sequence[FleetLine]) -> list[FleetLine]:
    """Fleets asked about that keep the objective and cost less than the cloud alone, the cheapest first."""
    found = {
        line.nodes: line
        for line in fleets
        if line.nodes in inputs.sizes and line.keeps_objective and line.outcome.saved_usd > 0
    }
    return [found[each.case.nodes] for each in by_cost([line.outcome for line in found.values()])]


def _least_bad(inputs: PlanInputs, fleets: Sequence[FleetLine]) -> FleetLine:
    """The fleet asked about that loses least."""
    some = [line for line in fleets if line.nodes and line.nodes in inputs.sizes]
    kept = [line for line in some if line.keeps_objective] or some
    return max(kept, key=lambda line: (line.outcome.saved_usd, -line.nodes))


def _finish(
    inputs: PlanInputs,
    ceiling: Ceiling,
    fleets: Sequence[FleetLine],
    line: FleetLine,
    side: Side,
    futures: Sequence[Outcome],
) -> Plan:
    """The second half: the verdict on the shown fleet, ``line``, and all that is told besides."""
    case, spreads, found = side.case(line.ran), side.spreads(), band(futures)
    assumptions = _assumptions(inputs, side.share_spread())
    is_worth_it = line.keeps_objective and line.outcome.saved_usd > 0 and pays(futures)
    one = next(each for each in fleets if each.nodes == 1)
    machines, policies = side.machines(one.ran, one.outcome), side.policies()
    more_usd = CLEARLY * line.outcome.saved_usd if is_worth_it else ZERO
    thriftier = [each for each in machines if each.outcome.saved_usd > more_usd]
    alone = next(each.ran for each in policies if each.name == ALL_CLOUD)
    missed = None if line.keeps_objective else _missed(inputs, line, fleets[0].ran)
    return Plan(
        inputs=inputs,
        is_worth_it=is_worth_it,
        reason=None if is_worth_it else _why_never(line, missed),
        recommended_nodes=line.nodes if is_worth_it else 0,
        shown_nodes=line.nodes,
        band=found,
        naive=Naive(inputs.naive),
        ceiling=ceiling,
        nodes_for_all=_nodes_for_all(fleets, ceiling),
        fleets=tuple(fleets),
        policies=policies,
        course=courses(futures),
        sensitivities=tuple(each for each in sensitivities(case, spreads) if each.weight_usd),
        spreads=spreads,
        would_pay={} if is_worth_it or not line.keeps_objective else what_would_pay(evaluate(case), futures),
        machines=machines,
        alone=_alone(inputs, one, line, side),
        better=side.better(thriftier, promised(inputs, alone)),
        patient=side.patient(line.ran),
        assumptions=assumptions,
        warnings=tuple(_warnings(inputs, ceiling, line, assumptions, missed, pays=is_worth_it)),
    )


def _alone(inputs: PlanInputs, one: FleetLine, shown: FleetLine, side: Side) -> FleetLine | None:
    """One node, simulated for comparison alone, where asking about it would have changed the answer."""
    least_usd = max(ZERO, shown.outcome.saved_usd if shown.keeps_objective else ZERO)
    if 1 in inputs.sizes or not one.keeps_objective or one.outcome.saved_usd <= least_usd:
        return None
    return one if side.pays_elsewhere(one.outcome) else None


def _missed(inputs: PlanInputs, line: FleetLine, cloud: Ran) -> str:
    """What is in time where that is too little, and with the cloud alone if that is the measure."""
    in_time = percent_below(line.ran.attainment, _wanted(inputs, cloud))
    is_measure = cloud.attainment < inputs.objective.attainment_ratio
    alone = f" ({100 * cloud.attainment:.1f} % with the cloud alone)" if is_measure else ""
    return f"{in_time} of the requests are in time{alone}"


def _why_never(line: FleetLine, missed: str | None) -> str:
    """Why no fleet is bought, in one sentence; ``missed`` where it is the objective."""
    nodes = f"{line.nodes} node{'s' if line.nodes > 1 else ''}"
    if missed is not None:
        return f"no fleet keeps the objective: with {nodes} {missed}"
    if line.outcome.reason is not None:
        return f"with {nodes}, {line.outcome.reason}"
    return f"{nodes} would pay in too few of the futures considered"


def _nodes_for_all(fleets: Sequence[FleetLine], ceiling: Ceiling) -> int | None:
    wanted = ENOUGH_SHARE * ceiling.in_time_share
    return next((line.nodes for line in fleets if line.nodes and line.ran.useful_share >= wanted), None)


def _assumptions(inputs: PlanInputs, share: Spread) -> tuple[Assumption, ...]:
    """Everything the plan rests on: traffic, node, cloud, objective, money, and how it was simulated."""
    money = [
        *assumptions_of(inputs.costs),
        *inputs.assumptions,
        Assumption(
            "share avoided, against the simulated", Decimal(1), "ratio", share.grade,
            f"{share.source}; {share.low:.2f} to {share.high:.2f}",
        ),
    ]  # fmt: skip
    cached = unknown_cached(inputs)
    traffic = [*inputs.traffic.assumptions, *([] if cached is None else [cached])]
    limits = [*promises(inputs.objective), _longest_prompt(inputs.most_input_tokens)]
    limits += [_suitable(inputs.suitable_ratio), _hedged(inputs)]
    return (
        *traffic, *inputs.node.assumptions, *inputs.cloud.assumptions, *limits, *money, *_simulated(inputs),
    )  # fmt: skip


def _hedge_share(inputs: PlanInputs) -> float:
    return USUAL.hedge_share if inputs.hedge_share is None else inputs.hedge_share


def _hedged(inputs: PlanInputs) -> Assumption:
    name, share = "requests that may be sent twice, at most", _hedge_share(inputs)
    if inputs.hedge_share is not None:
        return Assumption(name, share, "ratio", "given", "routing.hedge_share of the configuration")
    return Assumption(
        name, share, "ratio", "guess", "what the gateway does unless routing.hedge_share differs"
    )


def _longest_prompt(limit: int | None) -> Assumption:
    name = "longest prompt a node may get"
    if limit is None:
        return Assumption(name, "what fits", "", "guess", "no limit unless stated")
    return Assumption(name, limit, "tokens", "given", "given")


def _suitable(ratio: float) -> Assumption:
    name = "requests that a local model answers well enough"
    if ratio == 1.0:
        return Assumption(name, ratio, "ratio", "guess", "all unless stated; spillway evidence measures it")
    return Assumption(name, ratio, "ratio", "given", "given")


def _simulated(inputs: PlanInputs) -> list[Assumption]:
    whole, sample = inputs.simulated, inputs.sampled
    return [
        Assumption(
            "requests simulated per fleet size", len(whole), "requests", "derived",
            f"{length_of(whole.span_s)} of {length_of(inputs.traffic.workload.span_s)}",
        ),
        Assumption(
            "requests simulated per side question", len(sample), "requests", "derived",
            f"{length_of(sample.span_s)}; policies, other loads, speeds and lengths",
        ),
        Assumption("futures drawn", inputs.effort.draws, "draws", "derived", f"seed {inputs.seed}"),
    ]  # fmt: skip


def _warnings(
    inputs: PlanInputs,
    ceiling: Ceiling,
    line: FleetLine,
    assumptions: Sequence[Assumption],
    missed: str | None,
    *,
    pays: bool,
) -> list[str]:
    found = [*traffic_warnings(inputs.traffic), *stretch_warnings(inputs), *inputs.warnings]
    found += [f"{a.name} is {a.source}" for a in assumptions if a.value is None and "unknown" in a.source]
    found += [*outgrown(inputs), *_long_prompts(inputs)]
    if pays and line.nodes == max(inputs.sizes) and _leaves_a_nodes_worth(line, ceiling):
        found.append(f"the largest fleet tried is the cheapest; {_larger(line.nodes)}")
    if not compiled.can_run():
        found.append(
            "numba is not installed, cannot be loaded or is switched off by NUMBA_DISABLE_JIT, so the plan "
            f"took long and rests on at most {inputs.effort.fleet_requests:,} requests per fleet; "
            "pip install 'spillway[plan]', or without that variable it does more in less time"
        )
    if ceiling.alone_share < 0.5:
        found.append(
            f"only {percent(ceiling.alone_share)} of the requests could be in time even on an idle node; "
            "the rest stays in the cloud however many nodes there are"
        )
    if missed is not None:
        found.append(
            f"with {line.nodes} node(s) only {missed}, "
            f"{exact_percent(inputs.objective.attainment_ratio)} were promised"
        )
    return found


def _leaves_a_nodes_worth(line: FleetLine, ceiling: Ceiling) -> bool:
    """Whether one more node has something to take, and costs less than what still goes to the cloud."""
    months = line.outcome.months
    left_usd = sum((month.all_cloud_usd * (1 - month.local_share) for month in months), ZERO)
    upkeep_usd = sum((month.maintenance_usd + month.rent_usd for month in months), ZERO)
    another_usd = (line.outcome.case.lost_value_usd + upkeep_usd) / line.nodes
    return left_usd > another_usd and line.ran.useful_share < ceiling.in_time_share


def _larger(nodes: int) -> str:
    """How to ask about more nodes than that."""
    if nodes >= MOST_NODES:
        return f"a plan tries no more than {MOST_NODES} nodes: plan for an equal part of the traffic"
    return f"a larger one may be cheaper still: --nodes 0-{min(2 * nodes, MOST_NODES)}"


def _long_prompts(inputs: PlanInputs) -> list[str]:
    """That the gateway, left as it is, would keep some of these prompts from its nodes."""
    usual = RoutingPolicy().max_local_input_tokens
    long_share = float((inputs.traffic.workload.input_tokens > usual).mean())
    if inputs.most_input_tokens is not None or long_share < 0.01:
        return []
    return [
        f"{percent(long_share)} of the prompts are longer than {usual:,} tokens, which the gateway keeps "
        "from nodes unless routing.max_local_input_tokens says otherwise; plan with a limit: "
        "--max-local-input-tokens"
    ]
