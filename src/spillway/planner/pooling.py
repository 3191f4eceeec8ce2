"""Several nodes with one queue: where a slot is free and nobody waits, who waits for another node moves in.

Only where it was believed in time there too, and would still be after the wait so far, as in the gateway.
Like ``planner.physics``, the one copy of what happens: interpreted the functions work on ``events.Node`` and
``Job`` objects, compiled on rows of arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from spillway.planner.physics import NONE, flow, last_sent, step, submit, unlink
from spillway.slo.turns import MOST_COMPARED, may_go, next_up

if TYPE_CHECKING:
    from spillway.planner.events import Job, Node, Tables

__all__ = [
    "ALL_NODES", "advance_together", "bit_of", "first_to_act", "is_before", "let_go", "may_move",
    "move_one", "next_queue", "take_over", "whose_move",
]  # fmt: skip

ALL_NODES = -1
"""``Job.in_time_at`` of one that may move anywhere."""
LAST_BIT = 62
"""The bit that stands for its node and for all after it."""


def advance_together(nodes: Sequence[Node], tables: Tables, now_s: float) -> None:
    """Everything has happened on all nodes up to and including ``now_s``, in the order of time."""
    while True:
        n = first_to_act(nodes)
        if nodes[n].next_s > now_s:
            break
        step(nodes[n], tables)
        while take_over(nodes, tables, n):
            pass


def first_to_act(nodes: Sequence[Node]) -> int:
    """The node with the next event; of several the first."""
    first = 0
    for n in range(1, len(nodes)):
        if nodes[n].next_s < nodes[first].next_s:
            first = n
    return first


def take_over(nodes: Sequence[Node], tables: Tables, n: int) -> bool:
    """Whether node ``n``, to which something just happened, took over one who waited for another node."""
    if nodes[n].waiting or nodes[n].taken >= nodes[n].slots:
        return False
    giver = next_queue(nodes, NONE)
    while giver != NONE:
        if move_one(nodes, tables, giver, n):
            return True
        giver = next_queue(nodes, giver)
    return False


def next_queue(nodes: Sequence[Node], after: int) -> int:
    """The node for which most wait, or most after node ``after``; ``NONE`` where nobody is left who waits."""
    found = NONE
    for n in range(len(nodes)):
        is_left = nodes[n].waiting and (after == NONE or is_before(nodes, after, n))
        if is_left and (found == NONE or is_before(nodes, n, found)):
            found = n
    return found


def is_before(nodes: Sequence[Node], a: int, b: int) -> bool:
    """Whether more wait for node ``a`` than for ``b``; of several the first comes before."""
    return nodes[a].waiting > nodes[b].waiting or (nodes[a].waiting == nodes[b].waiting and a < b)


def move_one(nodes: Sequence[Node], tables: Tables, n: int, to: int) -> bool:
    """Whether whoever is next of those who wait for node ``n`` and may move to node ``to`` did so."""
    giver, taker = nodes[n], nodes[to]
    turn = whose_move(giver, tables, taker, to)
    if turn == NONE:
        return False
    before, i = last_sent(giver, tables), giver.first_waiting
    while turn or not may_move(tables.jobs[i], taker, to):
        turn -= may_move(tables.jobs[i], taker, to)
        before, i = i, tables.jobs[i].next
    let_go(giver, tables, before, i, taker.now_s)
    tables.jobs[i].moved_to = to
    submit(taker, tables, i)
    return True


def whose_move(giver: Node, tables: Tables, taker: Node, to: int) -> int:
    """Who is served next of those who may move to node ``to``, as a place among these; ``NONE`` if nobody."""
    i, count = giver.first_waiting, 0
    for _ in range(giver.waiting):
        job = tables.jobs[i]
        if may_move(job, taker, to):
            if job.yields_s <= 0.0 and count == 0:
                return 0
            tables.yields_s[count], tables.leaves_s[count] = job.yields_s, job.leaves_s
            count += 1
            if count == MOST_COMPARED:
                break
        i = job.next
    return next_up(taker.now_s, tables.yields_s, tables.leaves_s, count, tables.is_passed) if count else NONE


def may_move(job: Job, taker: Node, to: int) -> bool:
    """Whether a request that waits elsewhere may be sent to node ``to``, which has a free slot."""
    is_in_time = taker.now_s <= job.moves_until_s and job.in_time_at & bit_of(to) != 0
    return is_in_time and may_go(job.yields_s, taker.sent_s, job.prefill_s)


def bit_of(n: int) -> int:
    """Node ``n`` in ``Job.in_time_at``."""
    return 1 << min(n, LAST_BIT)


def let_go(node: Node, tables: Tables, before: int, i: int, now_s: float) -> None:
    """Request ``i``, which waits behind ``before``, is another node's now."""
    flow(node, now_s)
    unlink(node, tables, before, i, True)
    node.in_flight -= 1
