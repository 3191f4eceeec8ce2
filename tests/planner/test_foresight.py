"""The weighing policy: its three parts alone, and together against the upper bound."""

from __future__ import annotations

import math

import numpy as np
import pytest

from spillway.planner.arrivals import synthesise
from spillway.planner.catalogue import load_machines, load_models
from spillway.planner.events import Load
from spillway.planner.foresight import Foresight, Margin, WorkLimit, forecast
from spillway.planner.node_model import NodeModel, load_fit
from spillway.planner.policies import ObservedTail, Policy, Reservation
from spillway.planner.simulator import CloudModel, Fleet, simulate, upper_bound
from spillway.vocabulary import Objective

NODE = NodeModel(load_machines()["rtx-4090"].machine, load_models()["llama-3.1-8b"].shape(), load_fit())
OBJECTIVE = Objective(ttft_s=2.0, total_s=20.0)
IDLE = Load(0, 8, 0.0, 0.0, 0, 0, 0.0, 0.0)


def test_idle_node_takes_its_own_time() -> None:
    """With nothing else there, first token and end are those of the request alone."""
    found = forecast(IDLE, NODE, 2000, 0, 100, 100)
    assert found.ttft_s == pytest.approx(NODE.prefill_s(2000))
    assert found.total_s - found.ttft_s == pytest.approx(100 * NODE.decode_step_s(1, 2050))


def test_everything_before_it_delays_a_request() -> None:
    """Unread prompts, running answers, a full house and a cached prefix move the forecast the right way."""
    base = forecast(IDLE, NODE, 2000, 0, 100, 100)
    unread = forecast(Load(1, 8, 3.0, 4.0, 1, 0, 0.0, 2000.0), NODE, 2000, 0, 100, 100)
    assert unread.ttft_s == pytest.approx(base.ttft_s + 3.0)
    running = forecast(Load(4, 8, 0.0, 0.0, 0, 4, 8000.0, 0.0), NODE, 2000, 0, 100, 100)
    assert running.ttft_s > base.ttft_s
    assert running.total_s > base.total_s
    full = forecast(Load(8, 8, 0.0, 0.0, 0, 8, 8000.0, 0.0), NODE, 2000, 0, 100, 100)
    assert full.ttft_s > running.ttft_s
    assert forecast(IDLE, NODE, 2000, 1900, 100, 100).ttft_s < base.ttft_s


def test_work_limit_lets_pass_what_fills_the_nodes() -> None:
    """With twice the work that fits, the limit is the size below which about a node's worth lies."""
    limit = WorkLimit(window=1000, fill=1.0)
    sizes = np.random.default_rng(0).exponential(2.0, 1000)
    for i, work_s in enumerate(sizes):
        limit.see(float(i), float(work_s), 1)
    kept = sizes[sizes <= limit.limit_s].sum()
    assert kept == pytest.approx(1000, rel=0.05)
    calm = WorkLimit()
    for i in range(100):
        calm.see(float(i), 0.1, 1)
    assert calm.limit_s == math.inf


def test_margin_settles_where_the_share_is_kept() -> None:
    """When answers are late exactly above some margin, the margin stays near it."""
    margin = Margin(0.95)
    random = np.random.default_rng(1)
    seen = []
    for _ in range(5000):
        is_in_time = bool(random.random() > (0.3 if margin.value > 1.1 else 0.0))
        margin.learn(is_in_time)
        seen.append(is_in_time)
    assert margin.value == pytest.approx(1.1, abs=0.1)
    assert np.mean(seen[1000:]) == pytest.approx(0.96, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("nodes", [1, 3])
def test_it_comes_near_the_bound_and_beats_the_others(nodes: int) -> None:
    """At a rate that saturates the nodes it keeps 85 % of the bound's local share, at 95 % in time."""
    workload = synthesise(1_000_000, 1500, 200, days=0.25, shape="flat", seed=4).at_rate(nodes * 12)
    cloud = CloudModel(spread=0.0).times(workload)
    fleet = Fleet(NODE, nodes, 8, NODE.cache_tokens() or 0.0)
    bound = upper_bound(workload, fleet, OBJECTIVE, cloud, tries=3)
    found = simulate(workload, fleet, Foresight(OBJECTIVE), OBJECTIVE, cloud)
    assert bound.local_share < 0.95
    assert found.local_attainment is not None
    assert found.local_attainment > 0.94
    assert found.local_share > 0.85 * bound.local_share
    others: list[Policy] = [Reservation(2), ObservedTail(OBJECTIVE)]
    for policy in others:
        assert simulate(workload, fleet, policy, OBJECTIVE, cloud).local_share < 0.9 * found.local_share


def test_what_no_cache_holds_goes_to_the_cloud() -> None:
    """A prompt larger than the cache is refused for that reason."""
    workload = synthesise(100, 3000, 10, days=30)
    found = simulate(workload, Fleet(NODE, 1, 2, 500.0), Foresight(OBJECTIVE), OBJECTIVE)
    assert found.spills.get("context", 0) > 50
