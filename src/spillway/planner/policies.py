"""Who answers: the policies that a plan compares, behind one question asked at every arrival.

``choose`` answers with the index of a node, or with ``cloud(k)`` where ``k`` indexes the policy's reasons.
The first six know what a gateway could know; the clairvoyant knows every output length and service time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from spillway.planner import choosing, physics
from spillway.planner.events import FOR_EVER, Node, Patience
from spillway.planner.runs import Arrivals
from spillway.vocabulary import Objective

__all__ = [
    "AllCloud",
    "AllLocal",
    "Clairvoyant",
    "ObservedTail",
    "Policy",
    "Reservation",
    "Threshold",
    "cloud",
    "limits",
]


def cloud(reason: int) -> int:
    """The answer "to the cloud", with the index of the reason."""
    return -1 - reason


class Policy(Protocol):
    """Decides one arrival after another; ``reasons`` name why requests went to the cloud."""

    name: str
    reasons: tuple[str, ...]
    patience: Patience
    """How long the request it chose a node for last may wait there."""
    has_one_queue: bool
    """Whether a node that is free takes over who waits for another."""

    def begin(self, nodes: Sequence[Node], arrivals: Arrivals) -> None:
        """A run starts on these nodes. Of ``arrivals`` a policy may look at what has come by now."""
        ...

    def choose(self, now_s: float, index: int, prompt: int, output: int, cached: int) -> int:
        """The node's index, or ``cloud(reason)``. ``output`` is the future: only a clairvoyant may look."""
        ...


def limits(objective: Objective) -> tuple[float, float]:
    """Limits to first and last token in seconds, infinite where there is none."""
    ttft_s, total_s = objective.ttft_s, objective.total_s
    return math.inf if ttft_s is None else ttft_s, math.inf if total_s is None else total_s


class AllCloud:
    """Everything goes to the cloud."""

    name = "all-cloud"
    reasons: tuple[str, ...] = ("policy",)
    patience = FOR_EVER
    has_one_queue = False

    def begin(self, nodes: Sequence[Node], arrivals: Arrivals) -> None:
        """Needs no node."""

    def choose(self, now_s: float, index: int, prompt: int, output: int, cached: int) -> int:
        """Always the cloud."""
        return -1


class AllLocal:
    """Everything goes to the least loaded node, however long it waits; what no node holds must leave."""

    name = "all-local"
    reasons: tuple[str, ...] = ("context",)
    patience = FOR_EVER
    has_one_queue = False

    def begin(self, nodes: Sequence[Node], arrivals: Arrivals) -> None:
        """Remember the nodes."""
        self.nodes = nodes

    def choose(self, now_s: float, index: int, prompt: int, output: int, cached: int) -> int:
        """The least loaded node that can hold it."""
        return choosing.least_loaded(self.nodes) if self.nodes[0].holds(prompt, output) else cloud(0)


class Threshold:
    """Short prompts go local, long ones to the cloud; load does not matter.

    ``difficulty``, where known per request (0–1), adds a limit of its own.
    """

    name = "threshold"
    reasons: tuple[str, ...] = ("input_budget", "difficulty", "context")
    patience = FOR_EVER
    has_one_queue = False

    def __init__(
        self,
        max_input_tokens: int = 8000,
        difficulty: Sequence[float] | None = None,
        max_difficulty: float = 0.5,
    ) -> None:
        self.max_input_tokens = max_input_tokens
        self.difficulty = difficulty
        self.max_difficulty = max_difficulty

    def begin(self, nodes: Sequence[Node], arrivals: Arrivals) -> None:
        """Remember the nodes."""
        self.nodes = nodes

    def choose(self, now_s: float, index: int, prompt: int, output: int, cached: int) -> int:
        """The least loaded node for what is short and easy."""
        if not self.nodes[0].holds(prompt, output):
            return cloud(2)
        if prompt > self.max_input_tokens:
            return cloud(0)
        if self.difficulty is not None and self.difficulty[index] > self.max_difficulty:
            return cloud(1)
        return choosing.least_loaded(self.nodes)


class Reservation:
    """At most so many requests per node at once; the rest goes to the cloud."""

    name = "reservation"
    reasons: tuple[str, ...] = ("full", "context")
    patience = FOR_EVER
    has_one_queue = False

    def __init__(self, per_node: int | None = None) -> None:
        """``per_node`` defaults to the node's slots."""
        self.per_node = per_node

    def begin(self, nodes: Sequence[Node], arrivals: Arrivals) -> None:
        """Remember the nodes."""
        self.nodes = nodes

    def choose(self, now_s: float, index: int, prompt: int, output: int, cached: int) -> int:
        """The least loaded node unless that one is full."""
        i = choosing.least_loaded(self.nodes)
        node = self.nodes[i]
        if not node.holds(prompt, output):
            return cloud(1)
        return i if node.in_flight < (self.per_node or node.slots) else cloud(0)


class ObservedTail:
    """A node is used while the 95th percentile of its last answers keeps the objective.

    After a miss one request in ``rest_s`` seconds tries again, as simple fallbacks do.
    """

    name = "observed-p95"
    reasons: tuple[str, ...] = ("slow", "context")
    patience = FOR_EVER
    has_one_queue = False
    window = 50
    rest_s = 30.0

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.ttft_s, self.total_s = limits(objective)

    def begin(self, nodes: Sequence[Node], arrivals: Arrivals) -> None:
        """Start with empty records: two per node, of first tokens and of whole answers."""
        self.nodes = nodes
        self.seen = [0] * 2 * len(nodes)
        self.recent = [0.0] * 2 * len(nodes) * self.window
        self.ranked = list(self.recent)
        self.tried_s = [-math.inf] * len(nodes)
        for node in nodes:
            node.keeps_finished = True

    def choose(self, now_s: float, index: int, prompt: int, output: int, cached: int) -> int:
        """The least loaded node that is fast enough, or is due for another try."""
        for i, node in enumerate(self.nodes):
            for job in node.finished:
                self._add(2 * i, job.first_s - job.arrived_s)
                self._add(2 * i + 1, job.end_s - job.arrived_s)
            node.finished.clear()
        chosen = choosing.observed(
            self.nodes, self.seen, self.ranked, self.window, self.tried_s, self.ttft_s, self.total_s,
            now_s, self.rest_s,
        )  # fmt: skip
        if chosen < 0:
            return cloud(0)
        return chosen if self.nodes[chosen].holds(prompt, output) else cloud(1)

    def _add(self, record: int, value: float) -> None:
        choosing.add_to_tail(self.seen, self.recent, self.ranked, self.window, record, value)


class Clairvoyant:
    """Knows all lengths and the node's exact future, and refuses what would be late or make others late.

    ``is_refused`` additionally refuses requests chosen beforehand with knowledge of the whole workload: many
    short ones are served instead of few long ones. ``late_share`` of the local answers may be late, which is
    spent on requests that delay one answer too much. With ``packs`` the fullest node comes first, so that
    others stay free for long requests, else the emptiest. ``best_known`` tries many and keeps the best.
    """

    name = "clairvoyant"
    reasons: tuple[str, ...] = ("late", "long", "context")
    patience = FOR_EVER
    has_one_queue = False

    def __init__(
        self,
        objective: Objective,
        is_refused: NDArray[np.bool_] | None = None,
        late_share: float = 0.0,
        packs: bool = False,
    ) -> None:
        """``is_refused`` has one entry per request of the run."""
        self.objective = objective
        self.is_refused = is_refused
        self.late_share = late_share
        self.packs = packs
        self.ttft_s, self.total_s = limits(objective)

    def begin(self, nodes: Sequence[Node], arrivals: Arrivals) -> None:
        """Remember the nodes."""
        self.nodes = nodes
        self._order = list(range(len(nodes)))
        self._taken = self._lost = 0

    def choose(self, now_s: float, index: int, prompt: int, output: int, cached: int) -> int:
        """The first node, by how many requests it has, on which every objective is still kept."""
        if not self.nodes[0].holds(prompt, output):
            return cloud(2)
        if self.is_refused is not None and self.is_refused[index]:
            return cloud(1)
        most = choosing.spare_misses(self.late_share, self._taken, self._lost)
        chosen, seen_idle = cloud(0), False
        choosing.by_load(self.nodes, self._order, -1 if self.packs else 1)
        for i in self._order:
            node = self.nodes[i]
            if node.in_flight or not seen_idle:
                seen_idle = seen_idle or not node.in_flight
                late = self._late(node, now_s, index, prompt, output, cached, most, False)
                if late <= most:
                    chosen, most = i, late - 1
                if most < 0:
                    break
        if chosen >= 0:
            self._take(chosen, most + 1, now_s, index, prompt, output, cached)
        return chosen

    def _take(
        self, chosen: int, late: int, now_s: float, index: int, prompt: int, output: int, cached: int
    ) -> None:
        """Count it, and remember who will be late for it."""
        self._taken += 1
        self._lost += late
        if late:
            self._late(self.nodes[chosen], now_s, index, prompt, output, cached, late, True)

    def _late(
        self,
        node: Node,
        now_s: float,
        index: int,
        prompt: int,
        output: int,
        cached: int,
        most: int,
        marks: bool,
    ) -> int:
        """Requests on the node that would newly miss their objective if this one came and then nothing."""
        twin = node.copy()
        twin.submit(now_s, index, prompt, output, cached)
        new = twin.tables.jobs[index]
        late = physics.count_late(twin, twin.tables, self.ttft_s, self.total_s, most, marks)
        if marks and new.is_lost:
            node.lost.add(index)
        return late
