"""Replays a workload against simulated nodes under a policy, and measures what came of it.

Nothing is drawn at random here: times of the cloud come as an array that is the same for every policy, so
policies are compared on the same luck. The same inputs give the same result to the last bit.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spillway.planner import compiled
from spillway.planner.events import Fates, Node, side_by_side
from spillway.planner.physics import LEFT, OVERTAKEN, OVERTAKEN_WAITING
from spillway.planner.policies import AllCloud, Clairvoyant, Policy
from spillway.planner.policies import cloud as to_cloud
from spillway.planner.pooling import advance_together
from spillway.planner.refusals import refusals
from spillway.planner.routed import UNLIMITED, Routed
from spillway.planner.runs import Arrivals, Fleet, Played
from spillway.planner.workload import Floats, Workload
from spillway.routing.reasons import FULL, HEDGED
from spillway.vocabulary import Grade, Objective

__all__ = ["CloudModel", "Engine", "Fleet", "Result", "best_known", "clairvoyants", "simulate"]

BLOCK = 65_536
USUAL_REACH = (50,)
"""How many requests before and after some of them the best known run looks at when it refuses the largest."""
COMPILED_FROM = 20_000
"""Requests times nodes from which the machine code is worth loading (0.7 s; measured)."""
WAITED_IN_VAIN, WAS_OVERTAKEN = (LEFT,), (OVERTAKEN_WAITING, OVERTAKEN)
Engine = Literal["auto", "interpreted", "compiled"]
Latencies = tuple[Floats, Floats]


@dataclass(frozen=True)
class CloudModel:
    """What the cloud takes: a first token after ``first_token_s`` in the median, then ``tok_s``.

    Both are spread log-normally with ``spread`` (sigma of the logarithm); 0 makes them constant.
    """

    first_token_s: float = 0.6
    tok_s: float = 80.0
    spread: float = 0.35
    grade: Grade = "guess"

    def times(self, workload: Workload, seed: int = 0) -> Latencies:
        """Seconds to first and to last token of every request, were it answered by the cloud."""
        random = np.random.default_rng(seed)
        factor = (
            np.exp(random.normal(0.0, self.spread, (2, len(workload)))) if self.spread else np.ones((2, 1))
        )
        first = self.first_token_s * factor[0] * np.ones(len(workload))
        rest = np.maximum(workload.output_tokens - 1, 0) / self.tok_s * factor[1]
        return first, first + rest


@dataclass(frozen=True)
class Result:
    """What came of one run, request by request, and what the nodes did meanwhile."""

    policy: str
    objective: Objective
    node: NDArray[np.int16]
    """Index of the node that answered; for the cloud -1 less the place of the reason in the policy's."""
    ttft_s: Floats
    total_s: Floats
    is_doubled: NDArray[np.bool_]
    """Requests that a node answered although a cloud had been asked too: that one is paid as well."""
    tokens: NDArray[np.int64]
    span_s: float
    busy_s: tuple[float, ...]
    area_s: tuple[float, ...]
    spills: Mapping[str, int] = field(default_factory=dict)
    """Requests that went to the cloud, by reason."""

    @property
    def is_local(self) -> NDArray[np.bool_]:
        """Which requests a node answered."""
        return np.asarray(self.node >= 0)

    @property
    def in_time(self) -> NDArray[np.bool_]:
        """Which requests kept the objective, wherever they were answered."""
        ok = np.ones(len(self.node), dtype=bool)
        if self.objective.ttft_s is not None:
            ok &= self.ttft_s <= self.objective.ttft_s
        if self.objective.total_s is not None:
            ok &= self.total_s <= self.objective.total_s
        return ok

    @property
    def local_share(self) -> float:
        """Share of requests answered by a node."""
        return float(self.is_local.mean())

    @property
    def useful_share(self) -> float:
        """Share of requests answered by a node and in time."""
        return float((self.is_local & self.in_time).mean())

    @property
    def local_token_share(self) -> float:
        """Share of tokens, read and written, that a node handled."""
        return float(self.tokens[self.is_local].sum() / max(int(self.tokens.sum()), 1))

    @property
    def attainment(self) -> float:
        """Share of all requests that kept the objective."""
        return float(self.in_time.mean())

    @property
    def local_attainment(self) -> float | None:
        """Share of local requests that kept the objective; ``None`` when none was local."""
        local = self.is_local
        return float(self.in_time[local].mean()) if local.any() else None

    @property
    def goodput_rps(self) -> float:
        """Requests per second that kept the objective."""
        return float(self.in_time.sum() / self.span_s)

    @property
    def utilisation(self) -> tuple[float, ...]:
        """Share of the time each node had something to do; 1 where it had to work on when nothing came."""
        return tuple(min(1.0, busy_s / self.span_s) for busy_s in self.busy_s)

    def quantiles(self, values: Floats, local_only: bool = False) -> dict[str, float] | None:
        """p50, p95 and p99 of ``ttft_s`` or ``total_s``; ``None`` over no request."""
        chosen = values[self.is_local] if local_only else values
        if not len(chosen):
            return None
        p50, p95, p99 = np.quantile(chosen, (0.5, 0.95, 0.99))
        return {"p50": float(p50), "p95": float(p95), "p99": float(p99)}


def simulate(
    workload: Workload,
    fleet: Fleet,
    policy: Policy,
    objective: Objective,
    cloud: Latencies | None = None,
    engine: Engine = "auto",
) -> Result:
    """The workload replayed once; without nodes all of it goes to the cloud, whatever the policy.

    ``cloud`` defaults to ``CloudModel().times(workload)``. ``engine`` changes how long it takes and
    nothing else: ``auto`` runs compiled what has a compiled form and is long enough for it to pay.
    """
    asked, latencies = policy if fleet.nodes else AllCloud(), cloud or CloudModel().times(workload)
    played = _play(Arrivals.of(workload, fleet, latencies[0]), fleet, asked, engine)
    node = _answered_by(played, asked.reasons)
    ttft_s, total_s = _latencies(workload, played, node >= 0, latencies)
    spilled = np.bincount(-1 - node[node < 0].astype(np.int64)).tolist()
    return Result(
        policy=policy.name,
        objective=objective,
        node=node,
        ttft_s=ttft_s,
        total_s=total_s,
        is_doubled=(node >= 0) & (played.asked_s >= 0.0),
        tokens=workload.input_tokens.astype(np.int64) + workload.output_tokens,
        span_s=max(workload.span_s, float(workload.time_s[-1])),
        busy_s=played.busy_s,
        area_s=played.area_s,
        spills={asked.reasons[place]: count for place, count in enumerate(spilled) if count},
    )


def _play(arrivals: Arrivals, fleet: Fleet, policy: Policy, engine: Engine) -> Played:
    """The run in the way asked for."""
    pays = len(arrivals) * max(fleet.nodes, 1) >= COMPILED_FROM
    if engine == "compiled" or (engine == "auto" and pays and compiled.can_run()):
        played = compiled.play(arrivals, fleet, policy)
        if played is not None:
            return played
        if engine == "compiled":
            raise ValueError(f"the policy {policy.name!r} has no compiled form")
    return _interpret(arrivals, fleet, policy)


def _interpret(arrivals: Arrivals, fleet: Fleet, policy: Policy) -> Played:
    """Every arrival in order: let the nodes catch up, ask the policy, hand the request over."""
    fates = Fates.of(len(arrivals))
    nodes = side_by_side(
        fleet.nodes, fleet.pace, fleet.slots, fates, fleet.cache_tokens, fleet.context_tokens
    )
    chosen = array("h", bytes(2 * len(arrivals)))
    policy.begin(nodes, arrivals)
    for index, (now_s, prompt, output, cached, first_s) in enumerate(_rows(arrivals)):
        _catch_up(nodes, now_s, policy.has_one_queue)
        choice = chosen[index] = policy.choose(now_s, index, prompt, output, cached)
        if choice >= 0:
            nodes[choice].submit(now_s, index, prompt, output, cached, policy.patience, first_s)
    _catch_up(nodes, 1e300, policy.has_one_queue)
    return Played(
        np.frombuffer(chosen, dtype=np.int16),
        np.frombuffer(fates.moved_to, dtype=np.int16),
        np.frombuffer(fates.first_s),
        np.frombuffer(fates.end_s),
        np.frombuffer(fates.asked_s),
        np.frombuffer(fates.fate, dtype=np.int8),
        tuple(node.busy_s for node in nodes),
        tuple(node.area_s for node in nodes),
    )


def _catch_up(nodes: Sequence[Node], now_s: float, has_one_queue: bool) -> None:
    """All has happened up to ``now_s``; without a common queue no node needs to know of another."""
    if has_one_queue and len(nodes) > 1:
        advance_together(nodes, nodes[0].tables, now_s)
        for node in nodes:
            node.fetch()
        return
    for node in nodes:
        if node.next_s <= now_s:
            node.advance(now_s)


def _rows(arrivals: Arrivals) -> Iterator[tuple[float, int, int, int, float]]:
    """Requests as Python's own numbers, a block at a time."""
    sizes = (arrivals.prompt_tokens, arrivals.output_tokens, arrivals.cached_tokens)
    columns = (arrivals.time_s, *sizes, arrivals.cloud_first_s)
    for start in range(0, len(arrivals), BLOCK):
        yield from zip(*(column[start : start + BLOCK].tolist() for column in columns), strict=True)


def _answered_by(played: Played, reasons: Sequence[str]) -> NDArray[np.int16]:
    """The node that answered each request, else the cloud with the reason."""
    node = np.where(played.moved_to >= 0, played.moved_to, played.choice)
    for fates, code in ((WAITED_IN_VAIN, FULL), (WAS_OVERTAKEN, HEDGED)):
        gone = np.isin(played.fate, fates)
        if gone.any():
            node[gone] = to_cloud(reasons.index(code))
    return node


def _latencies(
    workload: Workload, played: Played, is_local: NDArray[np.bool_], cloud: Latencies
) -> Latencies:
    """Seconds from arrival; who was tried on a node first has waited before a cloud was asked."""
    waited_s = np.where(played.asked_s >= 0.0, played.asked_s - workload.time_s, 0.0)
    ttft_s = np.where(is_local, played.first_s - workload.time_s, waited_s + cloud[0])
    total_s = np.where(is_local, played.end_s - workload.time_s, waited_s + cloud[1])
    return ttft_s, total_s


def best_known(
    workload: Workload,
    fleet: Fleet,
    objective: Objective,
    cloud: Latencies | None = None,
    tries: int = 6,
    engine: Engine = "auto",
    reaches: Sequence[int] = USUAL_REACH,
    worth: Callable[[Result], float] = lambda run: run.useful_share,
) -> Result:
    """The best of many clairvoyant runs: the most local answers in time that are known to be possible.

    More may be, for not everything was tried; no policy without that knowledge should have more. Best is the
    run of the largest ``worth``. The runs refuse more or fewer large requests beforehand, keep every promise
    or spend the misses that the objective allows, and spread requests over the nodes or fill one after the
    other. ``tries`` measures of refusal are tried per reach; four runs each on several nodes, two on one. One
    more follows our own rules with the length of every answer told beforehand.
    """
    return max(clairvoyants(workload, fleet, objective, cloud, tries, engine, reaches), key=worth)


def clairvoyants(
    workload: Workload,
    fleet: Fleet,
    objective: Objective,
    cloud: Latencies | None = None,
    tries: int = 6,
    engine: Engine = "auto",
    reaches: Sequence[int] = USUAL_REACH,
) -> Iterator[Result]:
    """The runs of which ``best_known`` takes the best, one by one; the first follows our own rules."""
    times = cloud or CloudModel().times(workload)
    orders = (False, True) if fleet.nodes > 1 else (False,)
    knowing = Routed(objective, UNLIMITED, knows_lengths=True)
    yield simulate(workload, fleet, knowing, objective, times, engine)
    for is_refused in refusals(Arrivals.of(workload, fleet), fleet, tries, reaches):
        for late_share, packs in product((0.0, 1.0 - objective.attainment_ratio), orders):
            policy = Clairvoyant(objective, is_refused, late_share, packs)
            yield simulate(workload, fleet, policy, objective, times, engine)
