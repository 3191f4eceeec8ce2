"""The gateway's own rules in the simulator, against the upper bound and the other policies."""

from __future__ import annotations

import pytest

from spillway.planner.arrivals import synthesise
from spillway.planner.catalogue import load_machines, load_models
from spillway.planner.node_model import NodeModel, load_fit
from spillway.planner.policies import ObservedTail, Policy, Reservation
from spillway.planner.routed import Routed
from spillway.planner.simulator import CloudModel, Fleet, simulate, upper_bound
from spillway.vocabulary import Objective

NODE = NodeModel(load_machines()["rtx-4090"].machine, load_models()["llama-3.1-8b"].shape(), load_fit())
OBJECTIVE = Objective(ttft_s=2.0, total_s=20.0)


@pytest.mark.slow
@pytest.mark.parametrize("nodes", [1, 3])
def test_it_comes_near_the_bound_and_beats_the_others(nodes: int) -> None:
    """At a rate that saturates the nodes it keeps 83 % of the bound's timely local answers."""
    workload = synthesise(1_000_000, 1500, 200, days=0.25, shape="flat", seed=4).at_rate(nodes * 12)
    cloud = CloudModel(spread=0.0).times(workload)
    fleet = Fleet(NODE, nodes, 8, NODE.cache_tokens() or 0.0)
    bound = upper_bound(workload, fleet, OBJECTIVE, cloud, tries=3)
    found = simulate(workload, fleet, Routed(OBJECTIVE), OBJECTIVE, cloud)
    assert bound.local_share < 0.95
    assert found.local_attainment is not None
    assert found.local_attainment > 0.94
    assert found.useful_share > 0.83 * bound.useful_share
    others: list[Policy] = [Reservation(2), ObservedTail(OBJECTIVE)]
    for policy in others:
        assert simulate(workload, fleet, policy, OBJECTIVE, cloud).local_share < 0.9 * found.local_share


def test_what_no_cache_holds_goes_to_the_cloud() -> None:
    """A prompt larger than the cache is refused for that reason."""
    workload = synthesise(100, 3000, 10, days=30)
    found = simulate(workload, Fleet(NODE, 1, 2, 500.0), Routed(OBJECTIVE), OBJECTIVE)
    assert found.spills.get("context_too_small", 0) > 50
