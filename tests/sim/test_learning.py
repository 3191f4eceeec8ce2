"""The gateway's learning against simulated nodes of unknown speed: attainment, p95, adaptation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from spillway.fleet.record import Entry, NodeRecord
from spillway.planner.arrivals import synthesise
from spillway.planner.catalogue import load_machines, load_models
from spillway.planner.events import FOR_EVER, Node
from spillway.planner.node_model import NodeModel, load_fit
from spillway.planner.policies import cloud
from spillway.planner.routed import Routed
from spillway.planner.runs import Arrivals
from spillway.planner.simulator import CloudModel, Fleet, Result, simulate
from spillway.planner.workload import Workload
from spillway.routing import NoEvidence, decide
from spillway.routing import Policy as RoutingPolicy
from spillway.slo.lengths import OutputLengths, Prompt
from spillway.slo.margin import FIRST_MARGIN
from spillway.slo.usual_work import UsualWork
from spillway.vocabulary import ModelFacts, NodeSnapshot, Objective, RequestFacts

NODE = NodeModel(load_machines()["rtx-4090"].machine, load_models()["llama-3.1-8b"].shape(), load_fit())
OBJECTIVE = Objective(ttft_s=2.0, total_s=20.0)
CLOUD = NodeSnapshot("cloud", "cloud", (ModelFacts("m"),))
SLOTS = 8


class Learning:
    """Rule 6 with ``fleet.NodeRecord`` as in the gateway: it sees first tokens and ends, never the pace.

    Who waits for a slot waits for ever here: nobody leaves and nobody is hedged.
    """

    name = "learning"
    reasons: tuple[str, ...] = ("spilled",)
    patience = FOR_EVER
    has_one_queue = False

    def __init__(self, slower_from_s: float = float("inf"), factor: float = 1.0) -> None:
        self.slower_from_s, self.factor = slower_from_s, factor
        self.lengths, self.usual = OutputLengths(), UsualWork()
        self.is_slow = False

    def begin(self, nodes: Sequence[Node], arrivals: Arrivals) -> None:
        """A record for each node."""
        self.nodes = nodes
        self.records = [NodeRecord() for _ in nodes]
        self.entries: list[dict[int, Entry]] = [{} for _ in nodes]
        for node in nodes:
            node.keeps_finished = True

    def choose(self, now_s: float, index: int, prompt: int, output: int, cached: int) -> int:
        """Learns what happened since the last arrival, then decides."""
        if now_s >= self.slower_from_s and not self.is_slow:
            self._slow_down()
        for k, node in enumerate(self.nodes):
            self._catch_up(k, node)
        usual, long = self.lengths.expect(Prompt(prompt, cached))
        facts = RequestFacts(
            request_id="", operation="chat", model="auto", input_tokens=prompt, objective=OBJECTIVE,
            usual_output_tokens=usual, long_output_tokens=long,
        )  # fmt: skip
        snapshots = [self._snapshot(k, node, now_s) for k, node in enumerate(self.nodes)]
        decision = decide(facts, NoEvidence(), [*snapshots, CLOUD], RoutingPolicy())
        if decision.work_s is not None:
            self.usual.see(decision.work_s)
        first = decision.choices[0]
        if first.side == "cloud":
            return cloud(0)
        k = int(first.upstream)
        entry = self.entries[k][index] = Entry(facts, first, now_s)
        self.records[k].send(entry, now_s)
        return k

    def _snapshot(self, k: int, node: Node, now_s: float) -> NodeSnapshot:
        record = self.records[k]
        return NodeSnapshot(
            str(k), "local", (ModelFacts("m"),), in_flight=node.in_flight, slots=SLOTS,
            pace=record.learner.pace(now_s), load=record.load(now_s, SLOTS), margin_ratio=FIRST_MARGIN,
            margins=record.margins.values,
            ttft_stretch=record.ttft_stretch.value, total_stretch=record.total_stretch.value,
            usual_work_s=self.usual.value,
        )  # fmt: skip

    def _catch_up(self, k: int, node: Node) -> None:
        """First tokens and ends in the order in which they came."""
        record, entries = self.records[k], self.entries[k]
        ended = {job.request: job for job in node.finished}
        seen: list[tuple[float, int, bool, int]] = []
        for request, entry in entries.items():
            job = ended.get(request) or node.tables.jobs.get(request)
            if job is not None and job.first_s > 0 and entry.first_s is None:
                seen.append((job.first_s, request, False, 0))
            if request in ended:
                seen.append((job.end_s if job else 0.0, request, True, int(ended[request].output_tokens)))
        for at_s, request, is_end, tokens in sorted(seen):
            entry = entries[request]
            if is_end:
                record.finish(entry, at_s, tokens)
                self.lengths.learn(entry.prompt, tokens)
                del entries[request]
            else:
                record.first_token(entry, at_s)
        node.finished.clear()

    def _slow_down(self) -> None:
        self.is_slow = True
        for node in self.nodes:
            steps = node.pace.steps_s
            steps[:] = [step * self.factor for step in steps]
            node.pace.context_s *= self.factor
            node.context_s *= self.factor
            node.pace.pace = Slower(self.factor)


class Slower:
    """The same node, that many times slower at reading."""

    pass_s = 0.0

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def prefill_s(self, prompt_tokens: float, cached_tokens: float) -> float:
        """Slower."""
        return self.factor * NODE.prefill_s(prompt_tokens, cached_tokens)

    def decode_step_s(self, batch: float, context_tokens: float) -> float:
        """Slower."""
        return self.factor * NODE.decode_step_s(batch, context_tokens)


def saturating(nodes: int = 1, hours: float = 3.0, seed: int = 4) -> Workload:
    """Two to three times what the nodes carry."""
    return synthesise(1_000_000, 1500, 200, days=hours / 24, shape="flat", seed=seed).at_rate(nodes * 12)


def run(policy: Learning, workload: Workload) -> Result:
    """One node, SLOTS slots."""
    fleet = Fleet(NODE, 1, SLOTS, NODE.cache_tokens() or 0.0)
    return simulate(workload, fleet, policy, OBJECTIVE, CloudModel(spread=0.0).times(workload))


def test_a_node_of_unknown_speed_is_filled_and_keeps_its_promise() -> None:
    """From its own answers alone: 95 % of the admitted in time, 90 % of what a known speed keeps local."""
    workload = saturating()
    policy = Learning()
    found = run(policy, workload)
    known = simulate(
        workload, Fleet(NODE, 1, SLOTS, NODE.cache_tokens() or 0.0), Routed(OBJECTIVE), OBJECTIVE,
        CloudModel(spread=0.0).times(workload),
    )  # fmt: skip
    assert found.local_attainment == pytest.approx(0.95, abs=0.025)
    assert found.local_share > 0.9 * known.local_share
    record = policy.records[0]
    for quantile in (record.ttft_stretch, record.total_stretch):
        assert quantile.covered / quantile.seen == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize("factor", [2.0, 0.5])
def test_within_a_minute_of_a_change_the_promise_holds_again(factor: float) -> None:
    """A node that becomes twice as slow or fast: from one minute later on the admitted are in time again."""
    workload = saturating(hours=3.0, seed=5)
    half_s = float(workload.time_s[len(workload) // 2])
    policy = Learning(slower_from_s=half_s, factor=factor)
    found = run(policy, workload)
    later = found.is_local & (workload.time_s > half_s + 60.0)
    assert later.sum() > 100
    assert float(found.in_time[later].mean()) > 0.93
    before = found.is_local & (workload.time_s < half_s)
    rate_before = before.sum() / half_s
    rate_later = later.sum() / (float(workload.time_s[-1]) - half_s - 60.0)
    assert np.sign(np.log(rate_later / rate_before)) == -np.sign(np.log(factor))
