"""Who is served next among those who may be overtaken."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from spillway.slo.turns import CROWDING, next_up

QUEUES = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 60)), min_size=1, max_size=7)


def chosen(queue: list[tuple[int, int]], now_s: float = 0.0) -> tuple[int, list[int]]:
    """Who is next, and who is not passed over; ``queue`` holds (work, when it leaves) as they are due."""
    is_passed = [True] * len(queue)
    turns, leaves_s = [float(work) for work, _ in queue], [float(leaves) for _, leaves in queue]
    place = next_up(now_s, turns, leaves_s, len(queue), is_passed)
    return place, [k for k, passed in enumerate(is_passed) if not passed]


def in_time(queue: list[tuple[int, int]], served: list[int]) -> bool:
    """Whether each of these gets its slot before it leaves, one after another."""
    ahead_s = 0.0
    for k in served:
        work, leaves_s = queue[k]
        if CROWDING * ahead_s > leaves_s:
            return False
        ahead_s += work
    return True


@given(QUEUES)
def test_the_first_is_served_while_all_are_in_time(queue: list[tuple[int, int]]) -> None:
    """Nobody is passed over without need."""
    queue = sorted(queue, key=lambda one: one[1])
    if in_time(queue, list(range(len(queue)))):
        assert chosen(queue) == (0, list(range(len(queue))))


@given(QUEUES)
def test_as_many_as_possible_are_in_time(queue: list[tuple[int, int]]) -> None:
    """Of equal patience no choice loses fewer, and those that are kept are all in time; the first is next."""
    queue = [(work, 20) for work, _ in queue]
    place, kept = chosen(queue)
    assert place == kept[0]
    assert in_time(queue, kept)
    larger = combinations(range(len(queue)), len(kept) + 1)
    assert not any(in_time(queue, list(served)) for served in larger)


def test_where_nobody_is_in_time_any_more_the_first_is_served() -> None:
    """They leave by themselves, at that very moment."""
    assert chosen([(2, 1), (1, 2)], now_s=5.0) == (0, [])
