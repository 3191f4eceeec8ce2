"""Sweeps over fleet sizes and loads, and the smallest fleet that is enough."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from decimal import Decimal
from multiprocessing import get_context

import pytest

from spillway.planner.arrivals import synthesise
from spillway.planner.capacity import Carried, Mapper, share_curve, smallest_fleet, sweep
from spillway.planner.catalogue import load_machines, load_models
from spillway.planner.money import ARTICLE
from spillway.planner.node_model import NodeModel, load_fit
from spillway.planner.routed import Routed
from spillway.planner.simulator import CloudModel, Fleet
from spillway.vocabulary import Objective

OBJECTIVE = Objective(ttft_s=2.0, total_s=20.0)
PATIENT = Objective(ttft_s=20.0, total_s=60.0)
NODE = NodeModel(load_machines()["mac-mini-m4-pro"].machine, load_models()["qwen3-4b"].shape(), load_fit())
FLEET = Fleet(NODE, 1, 4, NODE.cache_tokens() or 0.0)
WORKLOAD = synthesise(150_000, 600, 150, days=1, seed=9)


def test_sweep_covers_sizes_and_loads_in_order() -> None:
    """Each size meets each load; more nodes carry more, more load leaves a smaller share; none carry none."""
    done = []
    found = sweep(
        WORKLOAD,
        FLEET,
        Routed,
        OBJECTIVE,
        sizes=[0, 1, 2],
        loads=[1.0, 8.0],
        on_done=lambda: done.append(1),
    )
    assert [(c.nodes, c.load_factor) for c in found] == [(n, f) for n in (0, 1, 2) for f in (1.0, 8.0)]
    assert len(done) == 6
    none, one, two = found[:2], found[2:4], found[4:]
    assert [c.local_share for c in none] == [0, 0]
    assert none[0].local_attainment is None
    assert one[0].local_share > one[1].local_share
    assert two[1].local_share > one[1].local_share
    assert one[1].requests_per_month == pytest.approx(8 * 150_000, rel=0.01)
    assert 0 < one[0].busy_ratio < one[1].busy_ratio <= 1


def test_other_processes_do_not_change_the_answer() -> None:
    """A pool of processes as the mapper finds exactly what this process does."""

    def found(mapper: Mapper) -> list[Carried]:
        cloud = CloudModel(spread=0.0)
        return sweep(
            WORKLOAD, FLEET, Routed, OBJECTIVE, sizes=[1, 2], loads=[4.0], cloud=cloud, mapper=mapper
        )

    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        assert found(map) == found(pool.map)


def test_curve_follows_the_sweep() -> None:
    """The curve for the money passes through what was simulated."""
    found = sweep(WORKLOAD, FLEET, Routed, OBJECTIVE, sizes=[1], loads=[1.0, 8.0])
    curve = share_curve(found)
    for carried in found:
        at = curve.at(Decimal(repr(carried.requests_per_month)))
        assert float(at) == pytest.approx(carried.local_share)


def test_smallest_fleet_is_enough_and_one_less_is_not() -> None:
    """The fleet found carries the share in time; one node fewer does not."""
    busy = WORKLOAD.at_rate(10)
    found = smallest_fleet(busy, FLEET, Routed, PATIENT, local_share=0.9)
    assert found is not None
    assert found.nodes > 1
    assert found.local_share >= 0.9
    less = sweep(busy, FLEET, Routed, PATIENT, sizes=[found.nodes - 1])[0]
    assert less.local_share < 0.9
    assert smallest_fleet(busy, FLEET, Routed, PATIENT, local_share=0.9, most=1) is None


@pytest.mark.slow
def test_the_article_needs_several_nodes() -> None:
    """The article's million requests a month overwhelm its one node and take several to carry in time."""
    node = NODE.calibrated(float(ARTICLE.decode_tok_s), grade="guess")
    workload = synthesise(
        float(ARTICLE.requests_per_month), float(ARTICLE.input_tokens), float(ARTICLE.output_tokens), days=1
    )
    fleet = Fleet(node, 1, 8, node.cache_tokens() or 0.0)
    one = sweep(workload, fleet, Routed, PATIENT, sizes=[1])[0]
    assert one.local_share < 0.7
    enough = smallest_fleet(workload, fleet, Routed, PATIENT, local_share=0.8, most=8)
    assert enough is not None
    assert enough.nodes >= 2
