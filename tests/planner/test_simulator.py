"""Policies against one another on one workload, the metrics, and our own routing in simulated time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spillway.planner.arrivals import synthesise
from spillway.planner.catalogue import load_machines, load_models
from spillway.planner.node_model import NodeModel, load_fit
from spillway.planner.policies import (
    AllCloud,
    AllLocal,
    Clairvoyant,
    ObservedTail,
    Policy,
    Reservation,
    Threshold,
)
from spillway.planner.routed import Routed
from spillway.planner.simulator import CloudModel, Fleet, Result, best_known, simulate
from spillway.planner.workload import Workload
from spillway.routing import Policy as RoutingPolicy
from spillway.vocabulary import Objective

OBJECTIVE = Objective(ttft_s=2.0, total_s=20.0)


@pytest.fixture(scope="module")
def workload() -> Workload:
    """Three days of a busy service with short prompts."""
    return synthesise(60_000, 600, 200, days=3, seed=3).at_rate(4)


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    """One small machine."""
    node = NodeModel(
        load_machines()["mac-mini-m4-pro"].machine, load_models()["qwen3-4b"].shape(), load_fit()
    )
    return Fleet(node, 1, 4, node.cache_tokens() or 0.0)


def policies() -> list[Policy]:
    """One of each kind that knows no future."""
    return [
        AllCloud(), AllLocal(), Threshold(1000), Reservation(), ObservedTail(OBJECTIVE), Routed(OBJECTIVE),
    ]  # fmt: skip


@pytest.mark.parametrize("policy", policies(), ids=lambda policy: policy.name)
def test_every_request_is_accounted_for(policy: Policy, workload: Workload, fleet: Fleet) -> None:
    """Local plus spilled is all, every spill has a reason, and the cloud's times are the same for all."""
    cloud = CloudModel().times(workload)
    found = simulate(workload, fleet, policy, OBJECTIVE, cloud)
    assert int(found.is_local.sum()) + sum(found.spills.values()) == len(workload)
    assert (found.ttft_s > 0).all()
    assert (found.total_s >= found.ttft_s).all()
    waited_s = (found.ttft_s - cloud[0])[~found.is_local]
    assert (waited_s > -1e-9).all()  # some waited for a slot in vain first
    assert OBJECTIVE.ttft_s is not None
    assert (waited_s <= OBJECTIVE.ttft_s).all()
    assert policy.name == "ours" or (waited_s == 0.0).all()
    assert set(found.spills) <= set(policy.reasons)


@pytest.mark.parametrize("policy", [*policies()[1:], Clairvoyant(OBJECTIVE)], ids=lambda policy: policy.name)
def test_what_one_sequence_cannot_hold_goes_to_the_cloud(policy: Policy, fleet: Fleet) -> None:
    """A request that outgrows its part of the cache leaves for that reason, however much all parts hold."""
    whole = synthesise(3000, 300, 100, days=30)
    fits = whole.input_tokens.astype(int) + whole.output_tokens <= 400
    assert 0.2 < fits.mean() < 0.8
    nodes = replace(fleet, nodes=2, cache_tokens=1600.0, context_tokens=400.0)
    found = simulate(whole, nodes, policy, OBJECTIVE)
    assert not found.is_local[~fits].any()
    assert found.is_local[fits].mean() > 0.9
    code = "context_too_small" if policy.name == "ours" else "context"
    assert found.spills[code] == int((~fits).sum())


@pytest.mark.parametrize("make", [lambda: Routed(OBJECTIVE), lambda: ObservedTail(OBJECTIVE)])
def test_same_inputs_same_result(make: type[Policy], workload: Workload, fleet: Fleet) -> None:
    """Two runs agree in every bit."""
    one, two = (simulate(workload, fleet, make(), OBJECTIVE) for _ in range(2))
    assert (one.node == two.node).all()
    assert (one.total_s == two.total_s).all()
    assert one.busy_s == two.busy_s


def test_clairvoyant_keeps_every_local_promise(workload: Workload, fleet: Fleet) -> None:
    """The clairvoyant is never late locally: later arrivals slow earlier ones only as far as these allow."""
    found = simulate(workload, fleet, Clairvoyant(OBJECTIVE), OBJECTIVE)
    assert found.local_attainment == 1.0
    assert found.local_share > 0.2


def test_clairvoyant_spends_the_misses_it_is_given(workload: Workload, fleet: Fleet) -> None:
    """With misses to spare it uses just so many of them, and takes more requests for it."""
    strict = simulate(workload, fleet, Clairvoyant(OBJECTIVE), OBJECTIVE)
    found = simulate(workload, fleet, Clairvoyant(OBJECTIVE, late_share=0.05), OBJECTIVE)
    assert found.local_attainment is not None
    assert 0.949 < found.local_attainment < 0.96
    assert found.local_share > strict.local_share


def test_clairvoyant_refuses_what_it_is_told_to(workload: Workload, fleet: Fleet) -> None:
    """Requests refused beforehand go to the cloud for that reason."""
    refused = workload.input_tokens > 1000
    found = simulate(workload, fleet, Clairvoyant(OBJECTIVE, refused), OBJECTIVE)
    assert not found.is_local[refused].any()
    assert found.spills["long"] == int(refused.sum())


@pytest.mark.parametrize("nodes", [1, 3])
def test_no_policy_beats_the_best_known_run(nodes: int, workload: Workload, fleet: Fleet) -> None:
    """No policy answers more requests locally and in time than the best known run, beyond noise."""
    workload, fleet = workload.at_rate(nodes), replace(fleet, nodes=nodes)
    cloud = CloudModel(spread=0.0).times(workload)
    known = best_known(workload, fleet, OBJECTIVE, cloud, tries=5)
    for policy in policies():
        found = simulate(workload, fleet, policy, OBJECTIVE, cloud)
        assert found.useful_share <= 1.005 * known.useful_share, policy.name


def test_late_answers_make_no_run_the_best(workload: Workload, fleet: Fleet) -> None:
    """The best known run has most answers that are local and in time, not most local ones."""
    workload, cloud = workload.at_rate(2), CloudModel(spread=0.0).times(workload)
    known = best_known(workload, fleet, OBJECTIVE, cloud)
    most = best_known(workload, fleet, OBJECTIVE, cloud, worth=lambda run: run.local_share)
    assert most.local_share > known.local_share
    assert most.useful_share < known.useful_share


def test_more_nodes_carry_more(workload: Workload, fleet: Fleet) -> None:
    """A second node raises the local share under the same routing."""
    one = simulate(workload, fleet, Routed(OBJECTIVE), OBJECTIVE)
    two = simulate(workload, Fleet(fleet.pace, 2, fleet.slots), Routed(OBJECTIVE), OBJECTIVE)
    assert two.local_share > one.local_share
    assert len(two.utilisation) == 2


def test_routing_sees_what_the_gateway_would(workload: Workload, fleet: Fleet) -> None:
    """An overloaded node spills for reasons of its objective, and the snapshot carries load and pace."""
    policy = Routed(OBJECTIVE)
    found = simulate(workload, fleet, policy, OBJECTIVE, engine="interpreted")
    assert found.spills.get("slo_ttft", 0) + found.spills.get("work_over_limit", 0) > 0
    node, cloud = policy.snapshots(workload.span_s + 1000)
    assert node.slots == 4
    assert node.in_flight == 0
    assert node.pace is not None
    assert node.load is not None
    assert node.load.unread == 0
    assert node.margin_ratio != 0.9
    assert cloud.side == "cloud"


def test_owner_settings_reach_the_rules(workload: Workload, fleet: Fleet) -> None:
    """The token budget of the owner's policy spills longer prompts, with its own reason."""
    found = simulate(workload, fleet, Routed(OBJECTIVE, RoutingPolicy(max_local_input_tokens=500)), OBJECTIVE)
    longer = workload.input_tokens > 500
    assert not found.is_local[longer].any()
    assert found.spills["input_over_local_budget"] == int(longer.sum())


def test_threshold_can_judge_difficulty(workload: Workload, fleet: Fleet) -> None:
    """Where difficulty is known, hard requests go to the cloud."""
    hard = np.arange(len(workload)) % 2 == 1
    found = simulate(workload, fleet, Threshold(10**6, hard.astype(float).tolist()), OBJECTIVE)
    assert not found.is_local[hard].any()
    assert found.spills == {"difficulty": int(hard.sum())}


def test_cloud_latency_is_as_stated() -> None:
    """Without spread every cloud answer takes the stated times; with it the median does."""
    workload = synthesise(10_000, 100, 101, days=30)
    first, total = CloudModel(0.5, 100, 0.0).times(workload)
    assert (first == 0.5).all()
    assert total == pytest.approx(0.5 + (workload.output_tokens - 1) / 100)
    assert np.median(CloudModel(0.5, 100, 0.4).times(workload)[0]) == pytest.approx(0.5, rel=0.03)


def test_metrics_by_hand() -> None:
    """Shares, attainment, goodput and utilisation of four requests, computed by hand."""
    found = Result(
        policy="x", objective=Objective(ttft_s=1.0),
        node=np.array([0, 0, -1, -1], dtype=np.int16), ttft_s=np.array([0.5, 1.5, 0.5, 2.0]),
        total_s=np.array([1.0, 2.0, 1.0, 3.0]), is_doubled=np.zeros(4, dtype=np.bool_),
        tokens=np.array([300, 100, 100, 500]), span_s=10.0,
        busy_s=(4.0,), area_s=(3.0,),
    )  # fmt: skip
    assert found.local_share == 0.5
    assert found.local_token_share == 0.4
    assert found.attainment == 0.5
    assert found.local_attainment == 0.5
    assert found.goodput_rps == 0.2
    assert found.utilisation == (0.4,)
    assert found.quantiles(found.ttft_s, local_only=True) == pytest.approx(
        {"p50": 1.0, "p95": 1.45, "p99": 1.49}
    )


def test_no_local_request_has_no_local_figures(workload: Workload, fleet: Fleet) -> None:
    """Where nothing was local, local attainment and quantiles are unknown, not zero."""
    found = simulate(workload, fleet, AllCloud(), OBJECTIVE)
    assert found.local_attainment is None
    assert found.quantiles(found.ttft_s, local_only=True) is None
