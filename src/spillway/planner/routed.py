"""Our own policy in the simulator: the very ``routing.decide`` of the gateway, fed simulated snapshots."""

from __future__ import annotations

from collections.abc import Sequence

from spillway.planner.events import Node
from spillway.planner.policies import cloud
from spillway.routing import NoEvidence, decide, reasons
from spillway.routing import Policy as RoutingPolicy
from spillway.vocabulary import ModelFacts, NodeSnapshot, Objective, RequestFacts

__all__ = ["Routed"]

LOCAL_MODEL = "local-model"
CLOUD = NodeSnapshot("cloud", "cloud", (ModelFacts("cloud-model"),))
SPILLS = (
    reasons.SLO_TTFT, reasons.SLO_TOTAL, reasons.FULL, reasons.INPUT_BUDGET, reasons.OUTPUT_BUDGET,
    reasons.CONTEXT, reasons.TASK, "other",
)  # fmt: skip


class Routed:
    """``decide`` asked at every arrival; it sees in-flight counts and typical times, never output lengths."""

    name = "ours"
    reasons: tuple[str, ...] = SPILLS

    def __init__(self, objective: Objective, policy: RoutingPolicy | None = None) -> None:
        """``policy`` holds the owner's settings; its objective for the class ``default`` is replaced."""
        settings = policy or RoutingPolicy()
        self._objective = objective
        self._policy = settings
        self._evidence = NoEvidence()

    def begin(self, nodes: Sequence[Node]) -> None:
        """Give the nodes the names that decisions will use."""
        self._nodes = nodes
        self._index = {f"node-{i}": i for i in range(len(nodes))}
        self._names = list(self._index)
        limits = [None if node.cache_tokens == float("inf") else int(node.cache_tokens) for node in nodes]
        self._models = [(ModelFacts(LOCAL_MODEL, context_tokens=limit),) for limit in limits]

    def choose(self, now_s: float, index: int, prompt: int, output: int, cached: int) -> int:
        """The first upstream of the decision."""
        facts = RequestFacts(
            request_id="", operation="chat", model="auto", input_tokens=prompt, input_grade="reported",
            objective=self._objective,
        )  # fmt: skip
        decision = decide(facts, self._evidence, self.snapshots(), self._policy)
        first = decision.choices[0]
        if first.side == "local":
            return self._index[first.upstream]
        said = next((i for i, code in enumerate(SPILLS) if code in decision.reasons), len(SPILLS) - 1)
        return cloud(said)

    def snapshots(self) -> list[NodeSnapshot]:
        """The nodes as the gateway's fleet would describe them now, and the cloud."""
        found = [
            NodeSnapshot(
                self._names[i], "local", self._models[i], True, "closed", False,
                node.in_flight, node.slots, node.service_s, node.first_token_s,
            )
            for i, node in enumerate(self._nodes)
        ]  # fmt: skip
        found.append(CLOUD)
        return found
