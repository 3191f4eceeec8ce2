"""One queue for several simulated nodes: hand-computed cases, the books, and M/M/c over nodes of one slot."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spillway.planner.events import FOR_EVER, Fates, Node, Patience, side_by_side
from spillway.planner.physics import ANSWERED, LEFT, NONE, OVERTAKEN
from spillway.planner.policies import AllLocal
from spillway.planner.pooling import ALL_NODES, advance_together, bit_of
from spillway.planner.simulator import Fleet, simulate
from spillway.vocabulary import Objective
from tests.planner import queueing
from tests.planner.test_events import Steady as Linear
from tests.planner.test_events import mean_wait_s, poisson
from tests.planner.test_patience import Steady

Row = tuple[float, int, int, int, Patience]
"""When it comes, to which node, prompt, answer, patience."""


def play(rows: Sequence[Row], nodes: int = 2, slots: int = 1, cache: float = math.inf) -> list[Node]:
    """The nodes after all of it; a prompt token and a step take a second each."""
    fleet = side_by_side(nodes, Steady(), slots, Fates.of(len(rows)), cache)
    tables = fleet[0].tables
    for i, (now_s, n, prompt, output, patience) in enumerate(rows):
        advance_together(fleet, tables, now_s)
        fleet[n].submit(now_s, i, prompt, output, 0, patience)
    advance_together(fleet, tables, 1e9)
    for node in fleet:
        node.keeps_finished = True
        node.fetch()
    return fleet


def test_a_node_that_is_free_takes_over_who_waits_elsewhere() -> None:
    """It is read there at that moment, and the fates say where; time present adds up node by node."""
    rows = [(0.0, 0, 1, 10, FOR_EVER), (0.0, 1, 1, 4, FOR_EVER), (1.0, 0, 1, 1, FOR_EVER)]
    first, second = play(rows)
    fates = first.fates
    assert list(fates.moved_to) == [NONE, NONE, 1]
    assert list(fates.first_s) == [1.0, 1.0, 5.0]  # the second node was free at 4
    assert [job.request for job in second.finished] == [1, 2]
    assert (first.area_s, second.area_s) == (10.0 + 3.0, 4.0 + 1.0)


def test_whoever_would_be_served_next_moves() -> None:
    """By turn, and of the longest queue: the large one is passed over where not all can be served in time."""
    hasty = Patience(leaves_s=5.5, yields_s=2.0)
    rows = [
        *((0.0, n, 1, 30 if n < 2 else 4, FOR_EVER) for n in range(3)),
        (1.0, 0, 1, 1, FOR_EVER),  # the only one here
        (1.0, 1, 1, 1, Patience(leaves_s=5.5, yields_s=9.0)),
        (1.0, 1, 1, 1, hasty),
        (1.0, 1, 1, 1, hasty),
    ]
    fates = play(rows, nodes=3)[0].fates
    assert list(fates.moved_to[3:]) == [2, NONE, 2, 2]
    assert list(fates.first_s[5:]) == [5.0, 6.0]
    assert fates.first_s[3] == 7.0
    assert list(fates.fate) == [ANSWERED] * 4 + [LEFT] + [ANSWERED] * 2


def test_nobody_moves_where_a_prompt_is_to_be_read_first() -> None:
    """As in its own queue: one that may be overtaken waits until the node has read what it has."""
    yielding = Patience(yields_s=3.0)
    rows = [
        *((0.0, 0, 1, 30, FOR_EVER) for _ in range(2)),
        (0.0, 1, 1, 4, FOR_EVER),
        (0.0, 1, 5, 9, FOR_EVER),  # read from 1 to 8, while the other writes
        (1.0, 0, 1, 1, yielding),
    ]
    fates = play(rows, slots=2)[0].fates
    assert fates.first_s[3] < fates.first_s[4]
    assert fates.moved_to[4] == 1


@pytest.mark.parametrize(
    ("patience", "moves"),
    [
        (Patience(in_time_at=bit_of(0) | bit_of(1)), True),
        (Patience(in_time_at=bit_of(0) | bit_of(2)), False),
        (Patience(moves_s=3.0), True),  # it came at 1, and the second node is free at 4
        (Patience(moves_s=2.9), False),
    ],
)
def test_nobody_moves_to_where_it_would_be_late(patience: Patience, moves: bool) -> None:
    """Where a node was believed late, or the wait was too long already, one waits on for its own."""
    rows = [(0.0, 0, 1, 10, FOR_EVER), (0.0, 1, 1, 4, FOR_EVER), (1.0, 0, 1, 1, patience)]
    fates = play(rows)[0].fates
    assert (fates.moved_to[2], fates.first_s[2]) == ((1, 5.0) if moves else (NONE, 11.0))


def test_a_cloud_that_was_asked_before_the_move_may_still_speak_first() -> None:
    """It was asked at 2, the request moved at 4, and the cloud speaks at 7, when the prompt is half read."""
    fleet = side_by_side(2, Steady(), 1, Fates.of(3), math.inf)
    tables = fleet[0].tables
    tables.hedges[0] = 1.0
    fleet[0].submit(0.0, 0, 1, 30, 0)
    fleet[1].submit(0.0, 1, 1, 4, 0)
    advance_together(fleet, tables, 1.0)
    fleet[0].submit(1.0, 2, 10, 1, 0, Patience(hedge_s=1.0), 5.0)
    advance_together(fleet, tables, 1e9)
    fleet[1].fetch()
    fates = fleet[1].fates
    assert (fates.asked_s[2], fates.moved_to[2]) == (2.0, 1)
    assert (fates.fate[2], fates.end_s[2]) == (OVERTAKEN, 7.0)


def test_one_that_may_not_move_is_in_nobodys_way() -> None:
    """The next of those who may is taken, by turn among these."""
    here = Patience(in_time_at=bit_of(0), yields_s=1.0)
    rows = [
        (0.0, 0, 1, 30, FOR_EVER),
        (0.0, 1, 1, 4, FOR_EVER),
        (1.0, 0, 1, 1, here),
        (1.0, 0, 1, 1, Patience(leaves_s=5.5, yields_s=9.0)),
        (1.0, 0, 1, 1, Patience(leaves_s=5.5, yields_s=2.0)),
    ]
    fates = play(rows)[0].fates
    assert list(fates.moved_to[2:]) == [NONE, 1, 1]
    assert list(fates.first_s[2:]) == [31.0, 6.0, 5.0]


def test_where_the_longest_queue_gives_nobody_another_does() -> None:
    """One whose next may not move is passed over, and so is the next one of those."""
    here = [Patience(in_time_at=bit_of(n)) for n in range(3)]
    rows = [
        *((0.0, n, 1, 30 if n < 3 else 4, FOR_EVER) for n in range(4)),
        *((1.0, 0, 1, 1, FOR_EVER) for _ in range(1)),
        *((1.0, 1, 1, 1, here[1]) for _ in range(3)),
        *((1.0, 2, 1, 1, here[2]) for _ in range(2)),
    ]
    fates = play(rows, nodes=4)[0].fates
    assert list(fates.moved_to[4:]) == [3, *[NONE] * 5]
    assert fates.first_s[4] == 5.0


def test_more_nodes_than_bits_share_the_last() -> None:
    """A number of 64 bits tells the first nodes apart; it never overflows."""
    bits = [bit_of(n) for n in range(100)]
    assert len(set(bits)) == 63
    assert bits[62] == bits[99] < 2**63
    assert all(ALL_NODES & bit for bit in bits)


def test_one_that_lacks_room_in_the_other_cache_waits_there() -> None:
    """The gateway knows no cache but the engine's slots: it has been sent, and does not come back."""
    rows = [
        (0.0, 0, 1, 30, FOR_EVER),
        (0.0, 0, 1, 30, FOR_EVER),
        (0.0, 1, 1, 20, FOR_EVER),
        (0.0, 1, 1, 4, FOR_EVER),
        (1.0, 0, 20, 30, Patience(leaves_s=25.0)),
    ]
    fates = play(rows, slots=2, cache=65.0)[0].fates
    assert fates.moved_to[4] == 1
    assert fates.fate[4] == ANSWERED


GAPS = st.sampled_from([0.0, 0.25, 1.0, 3.0])
WAITS = st.sampled_from([0.0, 1.0, 4.0, math.inf])
ROWS = st.tuples(GAPS, st.integers(0, 2), st.integers(0, 6), st.integers(0, 6), WAITS, WAITS, WAITS)


@settings(max_examples=200, deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=40), st.integers(1, 3), st.sampled_from([math.inf, 12.0]))
def test_nothing_is_lost_on_the_way(
    drawn: list[tuple[float, int, int, int, float, float, float]], slots: int, cache: float
) -> None:
    """Every request ends exactly once, and all nodes are as empty at the end as they were at first."""
    rows: list[Row] = []
    now_s = 0.0
    for gap_s, n, prompt, output, leaves_s, hedge_s, yields_s in drawn:
        now_s += gap_s
        patience = Patience(leaves_s, hedge_s, yields_s=0.0 if yields_s == math.inf else yields_s)
        rows.append((now_s, n, prompt, output, patience))
    nodes = play(rows, 3, slots, cache)
    ended = [job for node in nodes for job in node.finished]
    assert sorted(job.request for job in ended) == list(range(len(rows)))
    for n, node in enumerate(nodes):
        counts = (node.in_flight, node.taken, node.queued, node.waiting, node.running, node.reading_count)
        assert counts == (0, 0, 0, 0, 0, 0)
        assert (node.cache_used, node.sent_s, node.queued_s) == (0.0, 0.0, 0.0)
        assert node.queued_tokens == node.queued_chunks == 0
        for job in node.finished:
            assert n == (rows[job.request][1] if job.moved_to == NONE else job.moved_to)
    present_s = sum(job.end_s - job.arrived_s for job in ended)
    assert sum(node.area_s for node in nodes) == pytest.approx(present_s)


class Pooled(AllLocal):
    """Everything local, with one queue for all nodes."""

    has_one_queue = True


@pytest.mark.slow
def test_nodes_of_one_slot_are_the_servers_of_erlang() -> None:
    """Waits are those of M/M/c within 2 %, which separate queues are far from."""
    ratios: dict[str, list[float]] = {"pooled": [], "apart": []}
    for seed in range(3):
        service_s = np.random.default_rng(20 + seed).exponential(1.0, 400_000)
        workload = poisson(0.8 * 3, service_s / service_s.mean(), seed).only(slice(120_000))
        expected_s = queueing.mmc_wait_s(120_000 / float(workload.time_s[-1]), 1.0, 3)
        for name, policy in (("pooled", Pooled()), ("apart", AllLocal())):
            found = simulate(workload, Fleet(Linear(1e-4), 3, 1), policy, Objective(), None, "interpreted")
            ratios[name].append(mean_wait_s(found, workload) / expected_s)
    assert np.mean(ratios["pooled"]) == pytest.approx(1.0, rel=0.02)
    assert np.mean(ratios["apart"]) > 1.1
