"""A policy that weighs each request: what it would take here and now, and whether that is well spent.

Three ideas, each of which a gateway could use, since it counts everything it needs itself:

* **forecast**: a request's own prompt, the prompts unread before it and the caches being read decide its
  times; typical times of other requests do not.
* **work limit**: under overload not all requests fit, so those that cost most work per request leave first.
  The limit is where the recent arrivals below it would just fill the nodes, which keeps most requests local.
* **margin**: how much of the objective a forecast may use is learned from the answers, so that the configured
  share keeps it: every miss lowers it much, every hit raises it a little.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from spillway.planner.events import Load, Node, Pace
from spillway.planner.node_model import CHUNK_TOKENS
from spillway.planner.policies import cloud
from spillway.vocabulary import Objective

__all__ = ["Forecast", "Foresight", "Margin", "WorkLimit", "forecast"]


class Forecast(NamedTuple):
    """Seconds from now to the first and to the last token."""

    ttft_s: float
    total_s: float


def forecast(
    load: Load, pace: Pace, prompt_tokens: int, cached_tokens: int, output_tokens: float, long_output: float
) -> Forecast:
    """What one more request would take on a node with that load.

    ``output_tokens`` is the length of a usual answer, ``long_output`` one that few exceed. Each chunk of
    prompt lets the running answers take one step; a request without a free slot waits for its share of them.
    """
    chunks = load.unread_chunks + math.ceil(max(prompt_tokens - cached_tokens, 1) / CHUNK_TOKENS)
    now_s = step_s(pace, load.running, load.running_tokens)
    ttft_s = load.unread_s + pace.prefill_s(prompt_tokens, cached_tokens) + chunks * now_s
    if load.in_flight >= load.slots:
        ttft_s += (load.in_flight - load.slots + 1) / load.slots * output_tokens * now_s
    batch = min(load.running + load.unread + 1, load.slots)
    held = load.running_tokens + load.unread_tokens + prompt_tokens + (load.unread + 1) * output_tokens / 2
    return Forecast(ttft_s, ttft_s + long_output * step_s(pace, batch, held))


def step_s(pace: Pace, batch: int, held_tokens: float) -> float:
    """Seconds of a decode step of that many sequences which hold so many tokens together."""
    return pace.decode_step_s(batch, held_tokens / batch) if batch else 0.0


class WorkLimit:
    """The most work a request may be to stay local, such that those below it just fill the nodes.

    Looks at the last ``window`` arrivals; ``fill`` is how full they may be: 1 was best or nearly so on all
    traces tried (0.8 to 1.2).
    """

    def __init__(self, window: int = 400, fill: float = 1.0, every: int = 25) -> None:
        self.limit_s = math.inf
        self._recent: deque[tuple[float, float]] = deque(maxlen=window)
        self._fill = fill
        self._every = every
        self._seen = 0

    def see(self, now_s: float, work_s: float, nodes: int) -> None:
        """One more arrival, wherever it will go."""
        self._recent.append((now_s, work_s))
        self._seen += 1
        if self._seen % self._every:
            return
        span_s = now_s - self._recent[0][0]
        if span_s > 0:
            sizes = sorted(work for _, work in self._recent)
            fits = bisect_left(list(accumulate(sizes)), self._fill * nodes * span_s)
            self.limit_s = sizes[fits] if fits < len(sizes) else math.inf


class Margin:
    """The share of an objective a forecast may use, learned so that ``attainment`` of the answers keep it."""

    def __init__(self, attainment: float, start: float = 0.9, step: float = 0.02) -> None:
        self.value = start
        self._attainment = min(attainment + 0.01, 0.999)
        self._step = step

    def learn(self, is_in_time: bool) -> None:
        """One more answer."""
        change = (1.0 - self._attainment) if is_in_time else -self._attainment
        self.value = min(max(self.value + self._step * change, 0.3), 2.0)


class Foresight:
    """Forecast, work limit and margin together; knows no output length before the answer has ended."""

    name = "foresight"
    reasons: tuple[str, ...] = ("late", "long", "context")

    def __init__(self, objective: Objective, limit: WorkLimit | None = None) -> None:
        self.objective = objective
        self.limit = limit or WorkLimit()
        self.margin = Margin(objective.attainment_ratio)
        self._outputs: deque[float] = deque(maxlen=300)
        self._usual, self._long = 200.0, 400.0
        """Answer lengths assumed before the first answers (guess)."""
        self._since = 0

    def begin(self, nodes: Sequence[Node]) -> None:
        """Remember the nodes."""
        self.nodes = nodes
        for node in nodes:
            node.keeps_finished = True

    def choose(self, now_s: float, index: int, prompt: int, output: int, cached: int) -> int:
        """The node with the earliest first token among those that would keep the objective."""
        for node in self.nodes:
            if node.finished:
                self._learn(node)
        first = self.nodes[0]
        if not first.holds(prompt, self._long):
            return cloud(2)
        work_s = self._work_s(first, prompt, cached)
        self.limit.see(now_s, work_s, len(self.nodes))
        if work_s > self.limit.limit_s:
            return cloud(1)
        best, earliest_s = cloud(0), math.inf
        for i, node in enumerate(self.nodes):
            ttft_s = self._ttft_s(node, now_s, prompt, cached)
            if ttft_s < earliest_s:
                best, earliest_s = i, ttft_s
        return best

    def _work_s(self, node: Node, prompt: int, cached: int) -> float:
        """Seconds of a whole, full node that the request takes: reading, and its part of the steps."""
        step = node.pace.decode_step_s(node.slots, 0.0) / node.slots
        cache_s = node.pace.decode_step_s(1.0, prompt + self._usual / 2) - node.pace.decode_step_s(1.0, 0.0)
        return node.pace.prefill_s(prompt, cached) + self._usual * (step + cache_s)

    def _ttft_s(self, node: Node, now_s: float, prompt: int, cached: int) -> float:
        """Expected first token, infinite where the objective would be missed.

        An idle node may use the whole objective: nothing but the request itself can make it late.
        """
        found = forecast(node.load(now_s), node.pace, prompt, cached, self._usual, self._long)
        allowed = self.margin.value if node.in_flight else max(self.margin.value, 1.0)
        limit_s, whole_s = self.objective.ttft_s, self.objective.total_s
        if limit_s is not None and found.ttft_s > allowed * limit_s:
            return math.inf
        if whole_s is not None and found.total_s > allowed * whole_s:
            return math.inf
        return found.ttft_s

    def _learn(self, node: Node) -> None:
        """Take in what ended: answer lengths, and whether the objective was kept."""
        limit_s, whole_s = self.objective.ttft_s, self.objective.total_s
        for job in node.finished:
            self._outputs.append(job.output_tokens)
            first_s = node.first_s[job.request] - job.arrived_s
            total_s = node.end_s[job.request] - job.arrived_s
            self.margin.learn(
                (limit_s is None or first_s <= limit_s) and (whole_s is None or total_s <= whole_s)
            )
        self._since += len(node.finished)
        node.finished.clear()
        if self._since >= 20:
            self._since = 0
            ordered = sorted(self._outputs)
            self._usual = sum(ordered) / len(ordered)
            self._long = ordered[int(0.8 * (len(ordered) - 1))]
