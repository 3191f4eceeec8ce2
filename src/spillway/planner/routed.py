"""Our own policy in the simulator: the very ``routing.decide`` of the gateway, fed simulated snapshots."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from spillway.planner.events import Node
from spillway.planner.policies import cloud
from spillway.planner.runs import Arrivals
from spillway.routing import NoEvidence, decide, reasons
from spillway.routing import Policy as RoutingPolicy
from spillway.slo.lengths import OutputLengths, Prompt
from spillway.slo.margin import Margin
from spillway.slo.work_limit import WorkLimit
from spillway.vocabulary import ModelFacts, NodeSnapshot, Objective, RequestFacts

__all__ = ["Routed"]

LOCAL_MODEL = "local-model"
CLOUD_ANSWER_S = 10.0
"""When the length of an answer from the cloud is known, after its request came (guess)."""
CLOUD = NodeSnapshot("cloud", "cloud", (ModelFacts("cloud-model"),))
SPILLS = (
    reasons.SLO_TTFT, reasons.SLO_TOTAL, reasons.WORK, reasons.FULL, reasons.INPUT_BUDGET,
    reasons.OUTPUT_BUDGET, reasons.CONTEXT, reasons.TASK, "other",
)  # fmt: skip


class Routed:
    """``decide`` asked at every arrival; it learns lengths and margins from answers, never sees ahead."""

    name = "ours"
    reasons: tuple[str, ...] = SPILLS

    def __init__(self, objective: Objective, policy: RoutingPolicy | None = None) -> None:
        """``policy`` holds the owner's settings; ``objective`` is that of every request."""
        self._objective = objective
        self._policy = policy or RoutingPolicy()
        self._evidence = NoEvidence()

    def begin(self, nodes: Sequence[Node], arrivals: Arrivals) -> None:
        """Give the nodes the names that decisions will use."""
        self._nodes = nodes
        self._index = {f"node-{i}": i for i in range(len(nodes))}
        self._names = list(self._index)
        limits = [None if node.cache_tokens == float("inf") else int(node.cache_tokens) for node in nodes]
        self._models = [(ModelFacts(LOCAL_MODEL, context_tokens=limit),) for limit in limits]
        self._margins = [Margin(self._objective.attainment_ratio) for _ in nodes]
        self._lengths, self._limit = OutputLengths(), WorkLimit()
        self._last = arrivals.last_answer_tokens.tolist()
        self._mean = arrivals.mean_answer_tokens.tolist()
        self._spilled: deque[tuple[float, Prompt, int]] = deque()
        for node in nodes:
            node.keeps_finished = True

    def choose(self, now_s: float, index: int, prompt: int, output: int, cached: int) -> int:
        """The first upstream of the decision."""
        while self._spilled and self._spilled[0][0] + CLOUD_ANSWER_S <= now_s:
            self._lengths.learn(*self._spilled.popleft()[1:])
        for node, margin in zip(self._nodes, self._margins, strict=True):
            if node.finished:
                self._learn(node, margin)
        asked = Prompt(prompt, cached, self._last[index], self._mean[index])
        usual, long = self._lengths.expect(asked)
        facts = RequestFacts(
            request_id="", operation="chat", model="auto", input_tokens=prompt, input_grade="reported",
            cached_tokens=cached, objective=self._objective, usual_output_tokens=usual,
            long_output_tokens=long,
        )  # fmt: skip
        decision = decide(facts, self._evidence, self.snapshots(now_s), self._policy)
        if decision.work_s is not None:
            self._limit.see(now_s, decision.work_s, decision.local_nodes, spill=decision.spill)
        first = decision.choices[0]
        if first.side == "local":
            return self._index[first.upstream]
        self._spilled.append((now_s, asked, output))
        said = next((i for i, code in enumerate(SPILLS) if code in decision.reasons), len(SPILLS) - 1)
        return cloud(said)

    def snapshots(self, now_s: float) -> list[NodeSnapshot]:
        """The nodes as the gateway's fleet would describe them now, and the cloud."""
        limit_s = self._limit.limit
        found = [
            NodeSnapshot(
                self._names[i], "local", self._models[i], in_flight=node.in_flight, slots=node.slots,
                pace=node.pace, load=node.load(now_s), margin_ratio=margin.value, work_limit_s=limit_s,
            )
            for i, (node, margin) in enumerate(zip(self._nodes, self._margins, strict=True))
        ]  # fmt: skip
        found.append(CLOUD)
        return found

    def _learn(self, node: Node, margin: Margin) -> None:
        """Take in what ended: answer lengths, and whether the objective was kept."""
        limit_s, whole_s = self._objective.ttft_s, self._objective.total_s
        for job in node.finished:
            earlier = self._last[job.request], self._mean[job.request]
            self._lengths.learn(Prompt(job.prompt_tokens, job.cached_tokens, *earlier), job.output_tokens)
            first_s = node.first_s[job.request] - job.arrived_s
            total_s = node.end_s[job.request] - job.arrived_s
            margin.learn((limit_s is None or first_s <= limit_s) and (whole_s is None or total_s <= whole_s))
        node.finished.clear()
