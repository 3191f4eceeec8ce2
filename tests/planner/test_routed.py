"""The gateway's own rules in the simulator, against the best known run and the other policies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from spillway.planner.arrivals import synthesise
from spillway.planner.catalogue import load_machines, load_models
from spillway.planner.events import Node, Patience
from spillway.planner.node_model import NodeModel, load_fit
from spillway.planner.policies import ObservedTail, Policy, Reservation
from spillway.planner.pooling import bit_of
from spillway.planner.routed import Routed
from spillway.planner.runs import Arrivals
from spillway.planner.simulator import CloudModel, Fleet, best_known, simulate
from spillway.slo.lengths import OutputLengths
from spillway.slo.pace import LinearPace
from spillway.vocabulary import Objective

NODE = NodeModel(load_machines()["rtx-4090"].machine, load_models()["llama-3.1-8b"].shape(), load_fit())
OBJECTIVE = Objective(ttft_s=2.0, total_s=20.0)


@pytest.mark.slow
@pytest.mark.parametrize("nodes", [1, 3])
def test_it_comes_near_the_best_known_and_beats_the_others(nodes: int) -> None:
    """At a rate that saturates the nodes it keeps 83 % of the best known run's timely local answers."""
    workload = synthesise(1_000_000, 1500, 200, days=0.25, shape="flat", seed=4).at_rate(nodes * 12)
    cloud = CloudModel(spread=0.0).times(workload)
    fleet = Fleet(NODE, nodes, 8, NODE.cache_tokens() or 0.0)
    known = best_known(workload, fleet, OBJECTIVE, cloud, tries=3)
    found = simulate(workload, fleet, Routed(OBJECTIVE), OBJECTIVE, cloud)
    assert known.local_share < 0.95
    assert found.local_attainment is not None
    assert found.local_attainment > 0.94
    assert found.useful_share > 0.83 * known.useful_share
    others: list[Policy] = [Reservation(2), ObservedTail(OBJECTIVE)]
    for policy in others:
        assert simulate(workload, fleet, policy, OBJECTIVE, cloud).local_share < 0.9 * found.local_share


def test_what_no_cache_holds_goes_to_the_cloud() -> None:
    """A prompt larger than the cache is refused for that reason."""
    workload = synthesise(100, 3000, 10, days=30)
    found = simulate(workload, Fleet(NODE, 1, 2, 500.0), Routed(OBJECTIVE), OBJECTIVE)
    assert found.spills.get("context_too_small", 0) > 50


class Recorded(Routed):
    """Remembers what each request was sent to wait with."""

    def begin(self, nodes: Sequence[Node], arrivals: Arrivals) -> None:
        """Nothing is remembered yet."""
        super().begin(nodes, arrivals)
        self.waits: dict[int, Patience] = {}
        self.fates = nodes[0].fates

    def choose(self, now_s: float, index: int, prompt: int, output: int, cached: int) -> int:
        """As ours."""
        chosen = super().choose(now_s, index, prompt, output, cached)
        if chosen >= 0:
            self.waits[index] = self.patience
        return chosen


def test_nobody_moves_to_a_node_it_was_believed_late_at() -> None:
    """Of those whom a free node takes over, each was believed in time there, and has not waited too long."""
    pace = LinearPace(0.01, 4e-4, 0.0, 0.015, 0.001, 1e-7)
    workload = synthesise(12_000_000, 1000, 200, days=0.01, shape="flat", seed=2)
    policy = Recorded(OBJECTIVE)
    simulate(workload, Fleet(pace, 3, 4), policy, OBJECTIVE, engine="interpreted")
    moved = {i: n for i, n in enumerate(policy.fates.moved_to) if n >= 0}
    assert len(moved) > 50
    assert all(policy.waits[i].in_time_at & bit_of(n) for i, n in moved.items())
    assert any(not each.in_time_at & bit_of(n) for each in policy.waits.values() for n in range(3))
    assert all(each.moves_s <= each.leaves_s for each in policy.waits.values())


@pytest.mark.parametrize("ttft_s", [2.0, 30.0])
def test_every_answer_tells_its_length_once(ttft_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that left the queue, or was overtaken, after its length would have been known from a cloud."""
    busy = synthesise(10_000_000, 1000, 200, days=0.01, shape="flat", seed=2)
    time_s = busy.time_s.copy()
    time_s[-1] += 600.0  # when it comes, all others have ended
    workload = replace(busy, time_s=time_s, output_tokens=np.arange(len(busy), dtype=np.int32) % 400 + 1)
    learned: list[int] = []
    monkeypatch.setattr(OutputLengths, "learn", lambda self, asked, tokens: learned.append(int(tokens)))
    objective = Objective(ttft_s=ttft_s, total_s=120.0)
    pace = LinearPace(0.01, 4e-4, 0.0, 0.015, 0.001, 1e-7)
    found = simulate(workload, Fleet(pace, 1, 4), Routed(objective), objective, engine="interpreted")
    assert found.spills.get("node_full", 0) + found.spills.get("hedged", 0) > 50
    assert sorted(learned) == sorted(workload.output_tokens[:-1].tolist())
