"""Nodes with one queue: where a slot is free and nobody waits, who waits for another node moves in.

Only where the request's own decision lists that node, and where it is not worse off there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from spillway.fleet.queue import Grant, Waiting
from spillway.fleet.standing import why_not
from spillway.slo.turns import READ_AHEAD_S, may_go
from spillway.vocabulary import Choice

if TYPE_CHECKING:
    from spillway.fleet.registry import Upstream

__all__ = ["take_over"]


def take_over(taker: Upstream, nodes: Iterable[Upstream], now_s: float) -> bool:
    """Whether a slot of ``taker`` went to somebody who waited for another node; its owner counts it.

    Those come first for whose node most wait, of them whoever would be served next there of all who may move.
    """
    givers = [node for node in nodes if len(node.queue)]
    if not givers or len(taker.queue) or not taker.has_room_for_others or not _is_fit(taker, now_s):
        return False
    givers.sort(key=lambda node: -len(node.queue))
    return any(_move_one(giver, taker, now_s) for giver in givers)


def _move_one(giver: Upstream, taker: Upstream, now_s: float) -> bool:
    """Whether whoever is next of those who wait for ``giver`` and may move to ``taker`` does so."""
    way = _Way(giver, taker, now_s)
    return giver.queue.hand_on(now_s, way.is_open_to, way.grant)


class _Way:
    """From the queue of one node to a free slot of another, at one moment."""

    def __init__(self, giver: Upstream, taker: Upstream, now_s: float) -> None:
        self._taker = taker
        self._now_s = now_s
        self._pace_here, self._pace_there = giver.pace(now_s), taker.pace(now_s)
        self._unread_s = taker.unread_s(now_s)

    def is_open_to(self, waiting: Waiting) -> bool:
        """Whether that request may move."""
        taker, entry = self._taker, waiting.entry
        choice = waiting.caller.choice_at(taker.name)
        if choice is None or not _is_as_good(choice, waiting, self._now_s):
            return False
        if why_not(taker, entry.facts, choice) is not None:
            return False
        there_s = self._reading_there_s(waiting)
        here_s = 0.0
        if self._pace_here is not None:
            here_s = self._pace_here.prefill_s(entry.prompt_tokens, entry.cached_tokens)
        return there_s - here_s <= READ_AHEAD_S and may_go(choice.yields_s, self._unread_s, there_s)

    def grant(self, waiting: Waiting) -> Grant:
        """The slot there, for one to whom the way is open."""
        choice = waiting.caller.choice_at(self._taker.name)
        assert choice is not None
        waiting.caller.move(choice)
        return Grant(self._taker, waiting.entry.moved(choice, self._taker.token_ratio))

    def _reading_there_s(self, waiting: Waiting) -> float:
        if self._pace_there is None:
            return 0.0
        facts, ratio = waiting.entry.facts, self._taker.token_ratio
        cached = facts.cached_at(self._taker.name)
        return self._pace_there.prefill_s(facts.input_tokens * ratio, cached * ratio)


def _is_fit(node: Upstream, now_s: float) -> bool:
    """Whether it is so well that one may leave another node's queue for it."""
    return node.is_up and node.breaker.state(now_s) == "closed" and not node.is_loading


def _is_as_good(choice: Choice, waiting: Waiting, now_s: float) -> bool:
    """Whether it is the model that was asked for, and in time if it could be in time where it waits."""
    here = waiting.entry.choice
    waited_s = now_s - waiting.entry.came_s + waiting.caller.waited_s
    is_in_time = waited_s <= choice.queue_s and choice.miss_weight > 0.0
    is_late = not here.miss_weight or now_s >= waiting.due_s
    return choice.rank == here.rank and (is_in_time or is_late)
