"""Several nodes with one queue: where a slot is free and nobody waits, who waits for another node moves in.

Like ``planner.physics``, the one copy of what happens: interpreted the functions work on ``events.Node`` and
``Job`` objects, compiled on rows of arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from spillway.planner.physics import flow, last_sent, step, submit, unlink, whose_turn
from spillway.slo.turns import may_go

if TYPE_CHECKING:
    from spillway.planner.events import Node, Tables

__all__ = ["advance_together", "first_to_act", "let_go", "longest_queue", "take_over"]


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
    taker = nodes[n]
    if taker.waiting or taker.taken >= taker.slots:
        return False
    longest = longest_queue(nodes)
    giver = nodes[longest]
    if not giver.waiting:
        return False
    place = whose_turn(giver, tables, taker.now_s)
    before, i = last_sent(giver, tables), giver.first_waiting
    for _ in range(place):
        before, i = i, tables.jobs[i].next
    job = tables.jobs[i]
    if not may_go(job.yields_s, taker.sent_s, job.prefill_s):
        return False
    let_go(giver, tables, before, i, taker.now_s)
    job.moved_to = n
    submit(taker, tables, i)
    return True


def longest_queue(nodes: Sequence[Node]) -> int:
    """The node for which most wait; of several the first."""
    longest = 0
    for n in range(1, len(nodes)):
        if nodes[n].waiting > nodes[longest].waiting:
            longest = n
    return longest


def let_go(node: Node, tables: Tables, before: int, i: int, now_s: float) -> None:
    """Request ``i``, which waits behind ``before``, is another node's now."""
    flow(node, now_s)
    unlink(node, tables, before, i, True)
    node.in_flight -= 1
