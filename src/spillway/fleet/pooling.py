"""Nodes with one queue: where a slot is free and nobody waits, who waits for another node moves in.

Only where the request's own decision lists that node, and where it is not worse off there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from spillway.fleet.queue import Grant, Waiting
from spillway.slo.turns import READ_AHEAD_S
from spillway.vocabulary import Choice

if TYPE_CHECKING:
    from spillway.fleet.registry import Upstream

__all__ = ["take_over"]


def take_over(taker: Upstream, nodes: Iterable[Upstream], now_s: float) -> bool:
    """Whether a slot of ``taker`` went to somebody who waited for another node; its owner counts it.

    Those come first for whose node most wait, of them whoever would be served next there.
    """
    givers = [node for node in nodes if len(node.queue)]
    if not givers or len(taker.queue) or not taker.has_room or not _is_fit(taker, now_s):
        return False
    givers.sort(key=lambda node: -len(node.queue))
    return any(_move_one(giver, taker, now_s) for giver in givers)


def _move_one(giver: Upstream, taker: Upstream, now_s: float) -> bool:
    """Whether whoever is next of those who wait for ``giver`` and have a choice for ``taker`` moves there."""

    def moved(waiting: Waiting) -> Grant | None:
        choice = waiting.caller.choice_at(taker.name)
        if choice is None or not _is_as_good(choice, waiting, now_s):
            return None
        if not waiting.entry.facts.needs.isdisjoint(taker.withheld):
            return None  # it drifted meanwhile
        entry = waiting.entry.moved(choice, taker.token_ratio)
        more_s = taker.reading_s(entry) - giver.reading_s(waiting.entry)
        if more_s > READ_AHEAD_S or not taker.may_go(entry):
            return None
        waiting.caller.move(choice)
        return Grant(taker, entry)

    return giver.queue.hand_on(now_s, lambda one: one.caller.choice_at(taker.name) is not None, moved)


def _is_fit(node: Upstream, now_s: float) -> bool:
    """Whether it is in such a state that one may leave another node's queue for it."""
    is_well = node.is_up and node.breaker.state(now_s) == "closed"
    return is_well and not (node.is_draining or node.is_quarantined or node.is_loading)


def _is_as_good(choice: Choice, waiting: Waiting, now_s: float) -> bool:
    """Whether it is the model that was asked for, and in time if it would be in time where it waits."""
    here = waiting.entry.choice
    waited_s = now_s - waiting.entry.came_s + waiting.caller.waited_s
    is_in_time = waited_s <= choice.queue_s and choice.miss_weight > 0.0
    return choice.rank == here.rank and (is_in_time or not here.miss_weight)
