"""Who answers: the policies that a plan compares, behind one question asked at every arrival.

``choose`` answers with the index of a node, or with ``cloud(k)`` where ``k`` indexes the policy's reasons.
The first six know what a gateway could know; the clairvoyant knows every output length and service time.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from spillway.planner.events import Node
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
    "least_loaded",
]


def cloud(reason: int) -> int:
    """The answer "to the cloud", with the index of the reason."""
    return -1 - reason


class Policy(Protocol):
    """Decides one arrival after another; ``reasons`` name why requests went to the cloud."""

    name: str
    reasons: tuple[str, ...]

    def begin(self, nodes: Sequence[Node]) -> None:
        """A run starts on these nodes."""
        ...

    def choose(self, now_s: float, index: int, prompt: int, output: int, cached: int) -> int:
        """The node's index, or ``cloud(reason)``. ``output`` is the future: only a clairvoyant may look."""
        ...


def least_loaded(nodes: Sequence[Node]) -> int:
    """The node with the fewest requests per slot, the first among equals."""
    best, least = 0, nodes[0].in_flight / nodes[0].slots
    for i in range(1, len(nodes)):
        load = nodes[i].in_flight / nodes[i].slots
        if load < least:
            best, least = i, load
    return best


class AllCloud:
    """Everything goes to the cloud."""

    name = "all-cloud"
    reasons: tuple[str, ...] = ("policy",)

    def begin(self, nodes: Sequence[Node]) -> None:
        """Needs no node."""

    def choose(self, now_s: float, index: int, prompt: int, output: int, cached: int) -> int:
        """Always the cloud."""
        return -1


class AllLocal:
    """Everything goes to the least loaded node, however long it waits; what no cache holds must leave."""

    name = "all-local"
    reasons: tuple[str, ...] = ("context",)

    def begin(self, nodes: Sequence[Node]) -> None:
        """Remember the nodes."""
        self.nodes = nodes

    def choose(self, now_s: float, index: int, prompt: int, output: int, cached: int) -> int:
        """The least loaded node that can hold it."""
        return least_loaded(self.nodes) if self.nodes[0].holds(prompt, output) else cloud(0)


class Threshold:
    """Short prompts go local, long ones to the cloud; load does not matter.

    ``difficulty``, where known per request (0–1), adds a limit of its own.
    """

    name = "threshold"
    reasons: tuple[str, ...] = ("input_budget", "difficulty")

    def __init__(
        self,
        max_input_tokens: int = 8000,
        difficulty: Sequence[float] | None = None,
        max_difficulty: float = 0.5,
    ) -> None:
        self.max_input_tokens = max_input_tokens
        self.difficulty = difficulty
        self.max_difficulty = max_difficulty

    def begin(self, nodes: Sequence[Node]) -> None:
        """Remember the nodes."""
        self.nodes = nodes

    def choose(self, now_s: float, index: int, prompt: int, output: int, cached: int) -> int:
        """The least loaded node for what is short and easy."""
        if prompt > self.max_input_tokens or not self.nodes[0].holds(prompt, output):
            return cloud(0)
        if self.difficulty is not None and self.difficulty[index] > self.max_difficulty:
            return cloud(1)
        return least_loaded(self.nodes)


class Reservation:
    """At most so many requests per node at once; the rest goes to the cloud."""

    name = "reservation"
    reasons: tuple[str, ...] = ("full", "context")

    def __init__(self, per_node: int | None = None) -> None:
        """``per_node`` defaults to the node's slots."""
        self.per_node = per_node

    def begin(self, nodes: Sequence[Node]) -> None:
        """Remember the nodes."""
        self.nodes = nodes

    def choose(self, now_s: float, index: int, prompt: int, output: int, cached: int) -> int:
        """The least loaded node unless that one is full."""
        i = least_loaded(self.nodes)
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
    window = 50
    rest_s = 30.0

    def __init__(self, objective: Objective) -> None:
        self.objective = objective

    def begin(self, nodes: Sequence[Node]) -> None:
        """Start with empty records."""
        self.nodes = nodes
        self.tails = [(_Tail(self.window), _Tail(self.window)) for _ in nodes]
        self.tried_s = [float("-inf")] * len(nodes)
        for node in nodes:
            node.keeps_finished = True

    def choose(self, now_s: float, index: int, prompt: int, output: int, cached: int) -> int:
        """The least loaded node that is fast enough, or is due for another try."""
        best = -1
        for i, node in enumerate(self.nodes):
            self._learn(i, node)
            if not self._is_fast(i):
                if now_s - self.tried_s[i] < self.rest_s:
                    continue
                self.tried_s[i] = now_s
                return i if node.holds(prompt, output) else cloud(1)
            if best < 0 or node.in_flight * self.nodes[best].slots < self.nodes[best].in_flight * node.slots:
                best = i
        if best < 0:
            return cloud(0)
        return best if self.nodes[best].holds(prompt, output) else cloud(1)

    def _learn(self, i: int, node: Node) -> None:
        first, total = self.tails[i]
        for job in node.finished:
            first.add(node.first_s[job.request] - job.arrived_s)
            total.add(node.end_s[job.request] - job.arrived_s)
        node.finished.clear()

    def _is_fast(self, i: int) -> bool:
        first, total = self.tails[i]
        limit_s, whole_s = self.objective.ttft_s, self.objective.total_s
        return (limit_s is None or first.p95() <= limit_s) and (whole_s is None or total.p95() <= whole_s)


class _Tail:
    """The 95th percentile of the last so many values; 0 before the first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._order: deque[float] = deque()
        self._sorted: list[float] = []

    def add(self, value: float) -> None:
        if len(self._order) == self._size:
            del self._sorted[bisect_left(self._sorted, self._order.popleft())]
        self._order.append(value)
        insort(self._sorted, value)

    def p95(self) -> float:
        return self._sorted[int(0.95 * (len(self._sorted) - 1) + 0.999)] if self._sorted else 0.0


class Clairvoyant:
    """Knows all lengths and the node's exact future, and refuses what would be late or make others late.

    ``max_work_s`` additionally refuses requests that alone take longer: many short ones instead of one long.
    ``simulator.upper_bound`` tries several and keeps the best.
    """

    name = "clairvoyant"
    reasons: tuple[str, ...] = ("late", "long", "context")

    def __init__(self, objective: Objective, count: int, max_work_s: float = float("inf")) -> None:
        """``count`` is the number of requests of the run."""
        self.objective = objective
        self.max_work_s = max_work_s
        self._first = array("d", bytes(8 * count))
        self._end = array("d", bytes(8 * count))

    def begin(self, nodes: Sequence[Node]) -> None:
        """Remember the nodes."""
        self.nodes = nodes

    def choose(self, now_s: float, index: int, prompt: int, output: int, cached: int) -> int:
        """The fullest node on which every objective is still kept; spare ones stay free for long requests."""
        node = self.nodes[0]
        if not node.holds(prompt, output):
            return cloud(2)
        pace = node.pace
        alone_s = pace.prefill_s(prompt, cached) + max(output - 1, 0) * pace.decode_step_s(
            1.0, prompt + output / 2
        )
        if alone_s > self.max_work_s:
            return cloud(1)
        order = sorted(range(len(self.nodes)), key=lambda i: -self.nodes[i].in_flight)
        seen_idle = False
        for i in order:
            if not self.nodes[i].in_flight:
                if seen_idle:
                    continue
                seen_idle = True
            if self._keeps_all(self.nodes[i], now_s, index, prompt, output, cached):
                return i
        return cloud(0)

    def _keeps_all(self, node: Node, now_s: float, index: int, prompt: int, output: int, cached: int) -> bool:
        """Whether this request and all those on the node would keep the objective, if nothing else came."""
        twin = node.copy(self._first, self._end)
        for job in twin.jobs():
            self._first[job.request] = node.first_s[job.request]
        twin.submit(now_s, index, prompt, output, cached)
        present = twin.jobs()
        twin.advance(float("1e300"))
        ttft_s, total_s = self.objective.ttft_s, self.objective.total_s
        for job in present:
            if ttft_s is not None and self._first[job.request] - job.arrived_s > ttft_s:
                return False
            if total_s is not None and self._end[job.request] - job.arrived_s > total_s:
                return False
        return True
