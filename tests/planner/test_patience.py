"""Requests that wait in vain or are overtaken on a simulated node: hand-computed cases, and the books."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spillway.planner.events import FOR_EVER, Fates, Node, Patience
from spillway.planner.physics import ANSWERED, LEFT, OVERTAKEN, OVERTAKEN_WAITING


@dataclass(frozen=True)
class Steady:
    """A step takes a second however many share it, a prompt token a second."""

    pass_s: float = 0.0

    def decode_step_s(self, batch: float, context_tokens: float) -> float:
        """A second."""
        return 1.0

    def prefill_s(self, prompt_tokens: float, cached_tokens: float) -> float:
        """A second a token."""
        return float(prompt_tokens)


def one_slot(count: int, hedges: float = 0.0, slots: int = 1) -> Node:
    """A node for so many requests, with so many hedges saved up."""
    node = Node(Steady(), slots, Fates.of(count))
    node.tables.hedges[0] = hedges
    return node


def test_whoever_gets_no_slot_in_time_leaves() -> None:
    """It leaves at that moment, a cloud is asked then, and those behind it are served as if it never came."""
    node = one_slot(3)
    node.submit(0.0, 0, 1, 10, 0)  # read until 1, written until 10
    node.submit(0.0, 1, 1, 1, 0, Patience(leaves_s=4.0))
    node.submit(0.0, 2, 1, 1, 0)
    node.advance(4.0)
    assert (node.in_flight, node.waiting) == (2, 1)
    node.advance(1e9)
    fates = node.fates
    assert list(fates.fate) == [ANSWERED, LEFT, ANSWERED]
    assert fates.asked_s[1] == 4.0
    assert fates.first_s[2] == pytest.approx(11.0)


def test_a_slot_at_the_last_moment_counts() -> None:
    """A slot that comes free at the very moment of leaving is taken."""
    node = one_slot(2)
    node.submit(0.0, 0, 1, 4, 0)  # until 4
    node.submit(0.0, 1, 1, 1, 0, Patience(leaves_s=4.0))
    node.advance(1e9)
    assert list(node.fates.fate) == [ANSWERED, ANSWERED]


def test_who_lacks_only_room_in_the_cache_has_been_sent() -> None:
    """With a slot free the gateway has handed it over: it cannot leave the queue any more."""
    node = Node(Steady(), 2, Fates.of(2), cache_tokens=15)
    node.submit(0.0, 0, 1, 10, 0)
    node.submit(0.0, 1, 5, 5, 0, Patience(leaves_s=2.0))
    node.advance(1e9)
    assert list(node.fates.fate) == [ANSWERED, ANSWERED]


@pytest.mark.parametrize(("cloud_s", "fate"), [(3.0, OVERTAKEN), (7.0, ANSWERED)])
def test_a_late_prompt_is_raced_by_a_cloud(cloud_s: float, fate: int) -> None:
    """Asked 2 s after arrival, whoever speaks first answers; the loser's slot is free at once."""
    node = one_slot(2, hedges=1.0)
    node.submit(0.0, 0, 8, 1, 0, Patience(hedge_s=2.0), cloud_s)  # read until 8
    node.submit(0.0, 1, 1, 1, 0)
    node.advance(1e9)
    assert node.fates.fate[0] == fate
    assert node.fates.asked_s[0] == 2.0
    assert node.fates.first_s[1] == pytest.approx(2.0 + cloud_s + 1.0 if fate else 9.0)


@pytest.mark.parametrize("overtaken", [(1,), (2,), (3,), (1, 2), (1, 3), (2, 3)])
def test_one_of_a_pass_may_be_overtaken(overtaken: tuple[int, ...]) -> None:
    """The others' first tokens come when they would have; without anybody left it ends at once."""
    node = one_slot(4, hedges=3.0, slots=4)
    node.submit(0.0, 0, 1, 1, 0)  # read until 1
    for i in range(1, 4):
        hedge_s = 2.0 if i in overtaken else math.inf
        node.submit(0.0, i, 3, 2, 0, Patience(hedge_s=hedge_s), 4.0)  # read until 10, together
    node.advance(8.0)
    assert (node.reading_count, node.reading_tokens) == (3 - len(overtaken), 9 - 3 * len(overtaken))
    node.advance(1e9)
    for i in range(1, 4):
        assert node.fates.fate[i] == (OVERTAKEN if i in overtaken else ANSWERED)
        assert node.fates.end_s[i] == (6.0 if i in overtaken else 11.0)
        assert node.fates.first_s[i] == (0.0 if i in overtaken else 10.0)


def test_a_pass_that_lost_all_its_prompts_ends() -> None:
    """The next is read as if they had never come."""
    node = one_slot(4, hedges=3.0, slots=3)
    node.submit(0.0, 0, 1, 1, 0)
    for i in (1, 2):
        node.submit(0.0, i, 10, 1, 0, Patience(hedge_s=2.0), 3.0 + i)  # read until 21; overtaken at 6 and 7
    node.advance(1.5)
    node.submit(1.5, 3, 1, 1, 0)
    node.advance(1e9)
    assert list(node.fates.fate) == [ANSWERED, OVERTAKEN, OVERTAKEN, ANSWERED]
    assert node.fates.first_s[3] == 8.0


def test_a_hedge_beside_the_queue_ends_the_wait() -> None:
    """A cloud that was asked while the request still waited answers it, and the node never had it."""
    node = one_slot(2, hedges=1.0)
    node.submit(0.0, 0, 1, 10, 0)
    node.submit(0.0, 1, 1, 1, 0, Patience(leaves_s=9.0, hedge_s=2.0), 3.0)
    node.advance(5.0)
    assert node.in_flight == 1
    assert (node.fates.fate[1], node.fates.asked_s[1]) == (OVERTAKEN_WAITING, 2.0)


def test_without_budget_nobody_is_asked_twice() -> None:
    """The first of two late requests uses up the one hedge there is."""
    node = one_slot(2, hedges=1.0)
    for i in range(2):
        node.submit(0.0, i, 20, 1, 0, Patience(hedge_s=2.0 + i), 30.0)
    node.advance(1e9)
    assert [asked_s >= 0 for asked_s in node.fates.asked_s] == [True, False]
    assert list(node.fates.fate) == [ANSWERED, ANSWERED]
    assert node.tables.hedges == [0.0]


@pytest.mark.parametrize(("leaves_s", "order"), [(99.0, [0, 3, 5, 1, 2, 4]), (9.0, [0, 3, 5, 2, 4, 1])])
def test_the_largest_is_passed_over_when_not_all_can_be_served(leaves_s: float, order: list[int]) -> None:
    """Else all are served as they came; those who may not be overtaken go first in any case."""
    node = one_slot(6)
    node.submit(0.0, 0, 1, 1, 0)  # read until 1
    for i, yields_s in enumerate((9.0, 2.0, 0.0, 2.0, 0.0), 1):
        node.submit(0.5, i, 1, 1, 0, Patience(yields_s=yields_s, leaves_s=leaves_s))
    node.advance(1e9)
    assert sorted(range(6), key=node.fates.first_s.__getitem__) == order


def test_a_long_prompt_is_sent_when_the_one_before_it_is_read() -> None:
    """So a smaller one that comes meanwhile goes first; short ones are sent together; who waits may leave."""
    node = one_slot(6, slots=5)
    node.submit(0.0, 0, 5, 100, 0, Patience(yields_s=5.0))  # read until 5
    node.submit(1.0, 1, 4, 1, 0, Patience(yields_s=4.0))
    node.submit(2.0, 2, 3, 1, 0, Patience(yields_s=3.0, leaves_s=9.0))
    node.submit(3.0, 3, 2, 1, 0, Patience(yields_s=6.0, leaves_s=1.5))
    node.submit(4.0, 4, 0, 1, 0, Patience(yields_s=0.1))  # nothing to read
    node.submit(4.0, 5, 0, 1, 0, Patience(yields_s=0.1))
    node.advance(4.4)
    assert (node.taken, node.waiting, node.sent_s) == (1, 5, 5.0)
    node.advance(1e9)
    first_s = node.fates.first_s
    assert node.fates.fate[3] == LEFT
    assert node.fates.asked_s[3] == 4.5
    assert first_s[0] == 5.0 < first_s[2] < first_s[1] == first_s[4] == first_s[5]


TIMES = st.sampled_from([0.5, 2.0, 7.0, math.inf])
ROWS = st.tuples(
    *(st.floats(0, 4), st.integers(0, 6), st.integers(0, 8), TIMES, TIMES),
    *(st.sampled_from([0.5, 4.0]), st.sampled_from([0.0, 0.0, 1.0, 2.0, 3.0])),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=40), st.integers(1, 4), st.sampled_from([math.inf, 12.0]))
def test_nothing_is_lost_and_nothing_stays(
    rows: list[tuple[float, int, int, float, float, float, float]], slots: int, cache: float
) -> None:
    """Every request ends exactly once, none leaves late, and the node is as empty at the end as at first."""
    fates = Fates.of(len(rows))
    node = Node(Steady(), slots, fates, cache)
    node.tables.hedges[0] = 3.0
    node.keeps_finished = True
    now_s = 0.0
    for i, (gap_s, prompt, output, leaves_s, hedge_s, cloud_s, yields_s) in enumerate(rows):
        now_s += gap_s
        node.advance(now_s)
        patience = Patience(leaves_s, hedge_s, yields_s=yields_s)
        node.submit(now_s, i, prompt, min(output, 6), 0, patience, cloud_s)
    node.advance(1e9)
    assert sorted(job.request for job in node.finished) == list(range(len(rows)))
    for job in node.finished:
        if job.fate == LEFT:
            assert job.end_s == pytest.approx(job.leaves_s)
        elif job.fate != ANSWERED:
            assert job.end_s == pytest.approx(job.asked_s + job.cloud_s)
        else:
            assert job.end_s >= job.first_s >= job.arrived_s
    assert sum(job.asked_s >= 0 and job.fate != LEFT for job in node.finished) <= 3
    empty = (node.in_flight, node.queued, node.waiting, node.taken, node.running, node.done)
    assert empty == (0, 0, 0, 0, 0, 0)
    assert (node.cache_used, node.queued_s, node.queued_tokens, node.queued_chunks) == (0, 0, 0, 0)
    assert node.sent_s == 0


def test_for_ever_is_the_default() -> None:
    """Without patience of its own a request waits as long as it takes."""
    assert math.inf == FOR_EVER.leaves_s == FOR_EVER.hedge_s
