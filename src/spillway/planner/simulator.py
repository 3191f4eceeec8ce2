"""Replays a workload against simulated nodes under a policy, and measures what came of it.

Nothing is drawn at random here: times of the cloud come as an array that is the same for every policy, so
policies are compared on the same luck. The same inputs give the same result to the last bit.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spillway.planner.events import Node, Pace
from spillway.planner.policies import AllCloud, Clairvoyant, Policy
from spillway.planner.workload import Floats, Workload
from spillway.vocabulary import Grade, Objective

__all__ = ["CloudModel", "Fleet", "Result", "simulate", "upper_bound"]

BLOCK = 65_536
Latencies = tuple[Floats, Floats]


@dataclass(frozen=True)
class Fleet:
    """Equal nodes: how fast, how many, how many sequences each works on, and what its cache holds."""

    pace: Pace
    nodes: int
    slots: int
    cache_tokens: float = math.inf
    has_prefix_cache: bool = True
    """Whether the workload's cached tokens are taken as cached on the nodes too."""


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
    """Index of the node that answered, -1 for the cloud."""
    ttft_s: Floats
    total_s: Floats
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
        """Share of the time each node had something to do."""
        return tuple(min(1.0, busy_s / self.span_s) for busy_s in self.busy_s)

    def quantiles(self, values: Floats, local_only: bool = False) -> dict[str, float] | None:
        """p50, p95 and p99 of ``ttft_s`` or ``total_s``; ``None`` over no request."""
        chosen = values[self.is_local] if local_only else values
        if not len(chosen):
            return None
        p50, p95, p99 = np.quantile(chosen, (0.5, 0.95, 0.99))
        return {"p50": float(p50), "p95": float(p95), "p99": float(p99)}

    def energy_kwh(self, idle_w: float, active_w: float) -> float:
        """Energy of all nodes over the whole time, idle time included."""
        busy_s = sum(self.busy_s)
        idle_s = max(len(self.busy_s) * self.span_s - busy_s, 0.0)
        return (busy_s * active_w + idle_s * idle_w) / 3.6e6


def simulate(
    workload: Workload,
    fleet: Fleet,
    policy: Policy,
    objective: Objective,
    cloud: Latencies | None = None,
) -> Result:
    """The workload replayed once; without nodes all of it goes to the cloud, whatever the policy.

    ``cloud`` defaults to ``CloudModel().times(workload)``.
    """
    count = len(workload)
    first_s, end_s = array("d", bytes(8 * count)), array("d", bytes(8 * count))
    nodes = [Node(fleet.pace, fleet.slots, first_s, end_s, fleet.cache_tokens) for _ in range(fleet.nodes)]
    chosen = array("h", bytes(2 * count))
    spills: Counter[int] = Counter()
    asked = policy if nodes else AllCloud()
    asked.begin(nodes)
    _play(workload, fleet.has_prefix_cache, nodes, asked, chosen, spills)
    span_s = max(workload.span_s, float(workload.time_s[-1]))
    node = np.frombuffer(chosen, dtype=np.int16)
    ttft_s, total_s = _latencies(workload, node, first_s, end_s, cloud or CloudModel().times(workload))
    return Result(
        policy=policy.name,
        objective=objective,
        node=node,
        ttft_s=ttft_s,
        total_s=total_s,
        tokens=workload.input_tokens.astype(np.int64) + workload.output_tokens,
        span_s=span_s,
        busy_s=tuple(n.busy_s for n in nodes),
        area_s=tuple(n.area_s for n in nodes),
        spills={asked.reasons[-1 - code]: spilled for code, spilled in sorted(spills.items(), reverse=True)},
    )


def _play(
    workload: Workload,
    has_prefix_cache: bool,
    nodes: Sequence[Node],
    policy: Policy,
    chosen: array[int],
    spills: Counter[int],
) -> None:
    """Every arrival in order: let the nodes catch up, ask the policy, hand the request over."""
    index = 0
    for start in range(0, len(workload), BLOCK):
        block = slice(start, start + BLOCK)
        prompts = workload.input_tokens[block].tolist()
        cached = (
            workload.cached_tokens[block].tolist()
            if has_prefix_cache and workload.cached_tokens is not None
            else [0] * len(prompts)
        )
        rows = zip(
            workload.time_s[block].tolist(),
            prompts,
            workload.output_tokens[block].tolist(),
            cached,
            strict=True,
        )
        for now_s, prompt, output, hit in rows:
            for node in nodes:
                if node.next_s <= now_s:
                    node.advance(now_s)
            choice = policy.choose(now_s, index, prompt, output, hit)
            if choice >= 0:
                chosen[index] = choice
                nodes[choice].submit(now_s, index, prompt, output, hit)
            else:
                chosen[index] = -1
                spills[choice] += 1
            index += 1
    for node in nodes:
        node.advance(1e300)


def _latencies(
    workload: Workload, node: NDArray[np.int16], first_s: array[float], end_s: array[float], cloud: Latencies
) -> Latencies:
    local = node >= 0
    ttft_s = np.where(local, np.frombuffer(first_s) - workload.time_s, cloud[0])
    total_s = np.where(local, np.frombuffer(end_s) - workload.time_s, cloud[1])
    return ttft_s, total_s


def upper_bound(
    workload: Workload,
    fleet: Fleet,
    objective: Objective,
    cloud: Latencies | None = None,
    tries: int = 6,
) -> Result:
    """The best of several clairvoyant runs, each refusing requests beyond another amount of work.

    It knows lengths and service times but not future arrivals; trying limits on the work of one request makes
    up for that: where short requests are many, taking them instead of a few long ones raises the share.
    """
    pace = fleet.pace
    sample = np.linspace(0, len(workload) - 1, min(len(workload), 2000)).astype(int)
    work_s = [
        pace.prefill_s(float(workload.input_tokens[i]), 0.0)
        + float(workload.output_tokens[i]) * pace.decode_step_s(1.0, float(workload.input_tokens[i]))
        for i in sample
    ]
    limits = [math.inf, *(float(np.quantile(work_s, 1 - k / tries)) for k in range(1, tries))]
    runs = [
        simulate(workload, fleet, Clairvoyant(objective, len(workload), limit), objective, cloud)
        for limit in limits
    ]
    return max(runs, key=lambda run: run.local_share)
