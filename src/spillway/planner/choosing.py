"""How policies choose among nodes, as functions that run interpreted and compiled alike.

``nodes`` are ``events.Node`` objects or rows with the same fields; records are flat lists or arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spillway.planner.events import Node

__all__ = ["add_to_tail", "by_load", "least_loaded", "observed", "rank_of", "spare_misses", "tail_s"]

Values = Any
"""Numbers: a list when interpreted, an array when compiled."""
MOST_LATE = 1
"""Answers one request may make late, itself included, where misses are to spare."""


def least_loaded(nodes: Sequence[Node]) -> int:
    """The node with the fewest requests per slot, the first among equals."""
    best = 0
    for i in range(1, len(nodes)):
        if nodes[i].in_flight * nodes[best].slots < nodes[best].in_flight * nodes[i].slots:
            best = i
    return best


def by_load(nodes: Sequence[Node], order: Values, sign: int) -> None:
    """``order`` lists the nodes by requests on them, fewest first, or most first with a sign of -1."""
    for i in range(len(order)):
        place = i
        while place and sign * nodes[order[place - 1]].in_flight > sign * nodes[i].in_flight:
            order[place] = order[place - 1]
            place -= 1
        order[place] = i


def spare_misses(late_share: float, taken: int, lost: int) -> int:
    """How many answers the next request may make late so that their share among all stays in bounds."""
    return max(0, min(int(late_share * (taken + 1)) - lost, MOST_LATE))


def observed(
    nodes: Sequence[Node],
    seen: Values,
    ranked: Values,
    window: int,
    tried_s: Values,
    ttft_s: float,
    total_s: float,
    now_s: float,
    rest_s: float,
) -> int:
    """The least loaded node whose recent tail is in time, or one that is due for another try; -1 for none."""
    best = -1
    for i in range(len(nodes)):
        is_fast = tail_s(seen, ranked, window, 2 * i) <= ttft_s
        if not (is_fast and tail_s(seen, ranked, window, 2 * i + 1) <= total_s):
            if now_s - tried_s[i] >= rest_s:
                tried_s[i] = now_s
                return i
        elif best < 0 or nodes[i].in_flight * nodes[best].slots < nodes[best].in_flight * nodes[i].slots:
            best = i
    return best


def tail_s(seen: Values, ranked: Values, window: int, record: int) -> float:
    """The 95th percentile of the last ``window`` values of a record; 0 before the first."""
    count = min(seen[record], window)
    return ranked[record * window + int(0.95 * (count - 1) + 0.999)] if count else 0.0


def add_to_tail(
    seen: Values,
    recent: Values,
    ranked: Values,
    window: int,
    record: int,
    value: float,
) -> None:
    """One more value in a record: ``recent`` in order of coming, ``ranked`` in order of size."""
    base = record * window
    count = min(seen[record], window)
    slot = base + seen[record] % window
    place = base + count
    if count == window:  # the oldest leaves, and only what lies between it and the new one moves
        place = rank_of(ranked, base, count, recent[slot])
        while place < base + count - 1 and ranked[place + 1] < value:
            ranked[place] = ranked[place + 1]
            place += 1
    while place > base and ranked[place - 1] > value:
        ranked[place] = ranked[place - 1]
        place -= 1
    ranked[place] = value
    recent[slot] = value
    seen[record] += 1


def rank_of(ranked: Values, base: int, count: int, value: float) -> int:
    """The first place of ``ranked`` from ``base`` on that holds at least ``value``."""
    low, high = base, base + count
    while low < high:
        middle = (low + high) >> 1
        if ranked[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low
