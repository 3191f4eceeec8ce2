"""Our own policy in the simulator: the very ``routing.decide`` of the gateway, fed simulated snapshots."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from spillway.planner import outlook
from spillway.planner.events import FOR_EVER, Job, Node, Patience
from spillway.planner.physics import ANSWERED, LEFT, OVERTAKEN
from spillway.planner.policies import cloud, limits
from spillway.planner.pooling import ALL_NODES, bit_of
from spillway.planner.runs import Arrivals
from spillway.routing import NoEvidence, decide, reasons
from spillway.routing import Policy as RoutingPolicy
from spillway.slo.forecast import LEAST_FORECAST_S
from spillway.slo.hedges import BURST, saved_after
from spillway.slo.lengths import NO_FORM, Lengths, OutputLengths, Prompt
from spillway.slo.margin import Margin, Quantile
from spillway.vocabulary import Decision, ModelFacts, NodeSnapshot, Objective, RequestFacts

__all__ = ["UNLIMITED", "USUAL", "Routed"]

LOCAL_MODEL = "local-model"
CLOUD_ANSWER_S = 10.0
"""When the length of an answer from the cloud is known, after its request came (guess)."""
CLOUD_MODEL = (ModelFacts("cloud-model"),)
SPILLS = (
    reasons.SLO_TTFT, reasons.SLO_TOTAL, reasons.WORK, reasons.FULL, reasons.INPUT_BUDGET,
    reasons.OUTPUT_BUDGET, reasons.CONTEXT, reasons.TASK, reasons.HEDGED, "other",
)  # fmt: skip


USUAL = RoutingPolicy(hedge_share=0.05)
"""What matters here as the gateway has it by default."""
UNLIMITED = RoutingPolicy(max_local_input_tokens=10**9, hedge_share=USUAL.hedge_share)
"""The same with no limit on prompts: the objective alone decides."""


class _Asked(NamedTuple):
    at_s: float
    request: int
    prompt: Prompt
    output: int
    is_spilled: bool


def _hedge_s(decision: Decision) -> float:
    """When a cloud is asked too; the simulator knows no hedges between nodes."""
    delay_s = decision.hedge_delay_s
    return math.inf if delay_s is None or decision.choices[1].side == "local" else delay_s


class Routed:
    """``decide`` asked at every arrival; it learns lengths and margins from answers, never sees ahead."""

    name = "ours"
    reasons: tuple[str, ...] = SPILLS
    patience = FOR_EVER
    has_one_queue = True

    def __init__(
        self, objective: Objective, policy: RoutingPolicy = USUAL, *, knows_lengths: bool = False
    ) -> None:
        """``policy`` holds the owner's settings; ``objective`` is that of every request.

        With ``knows_lengths`` it is told how long each answer will get, as no gateway is: a clairvoyant.
        """
        self._objective = objective
        self._policy = policy
        self._knows_lengths = knows_lengths
        if knows_lengths:
            self.name = "clairvoyant"
        self._evidence = NoEvidence()

    def begin(self, nodes: Sequence[Node], arrivals: Arrivals) -> None:
        """Give the nodes the names that decisions will use."""
        self._nodes = nodes
        self._cloud = NodeSnapshot("cloud", "cloud", CLOUD_MODEL, ttft_p95_s=arrivals.cloud_p95_s)
        self._index = {f"node-{i}": i for i in range(len(nodes))}
        self._names = list(self._index)
        limits = [None if node.context_tokens == math.inf else int(node.context_tokens) for node in nodes]
        self._models = [(ModelFacts(LOCAL_MODEL, context_tokens=limit),) for limit in limits]
        self._margins = [Margin(self._objective.attainment_ratio) for _ in nodes]
        self._lengths = OutputLengths()
        self._usual, self._readings_s = list(outlook.NOTHING_SEEN), outlook.readings_of(nodes[0].pace)
        self._stretches = [Quantile() for _ in nodes]
        self._last = arrivals.last_answer_tokens.tolist()
        self._mean = arrivals.mean_answer_tokens.tolist()
        self._form = [None if form == NO_FORM else form for form in arrivals.form.tolist()]
        self._asked: deque[_Asked] = deque()
        self._told_up_to = 0
        """Requests before it have told their lengths, unless a node had them then."""
        for node in nodes:
            node.keeps_finished = True

    def choose(self, now_s: float, index: int, prompt: int, output: int, cached: int) -> int:
        """The first upstream of the decision."""
        for n, node in enumerate(self._nodes):
            if node.finished:
                self._learn(node, self._margins[n], self._stretches[n])
        self._learn_spilled(now_s)
        asked = self._asked_for(index, prompt, cached)
        usual, long = Lengths(output, output) if self._knows_lengths else self._expect(index, asked)
        facts = RequestFacts(
            request_id="", operation="chat", model="auto", input_tokens=prompt, input_grade="reported",
            cached_tokens=cached, objective=self._objective, usual_output_tokens=usual,
            long_output_tokens=long, max_output_tokens=self._asked_length(prompt, output),
        )  # fmt: skip
        decision = decide(facts, self._evidence, self.snapshots(now_s), self._policy)
        if decision.work_s is not None:
            outlook.see(self._usual, decision.work_s, self._unit_s(prompt, usual), prompt, usual)
        hedges, first = self._hedges, decision.choices[0]
        hedges[0] = saved_after(hedges[0], self._policy.hedge_share, BURST)
        is_local = first.side == "local"
        self._asked.append(_Asked(now_s, index, asked, output, not is_local))
        if is_local:
            self.patience = self._patience(decision, usual)
            return self._index[first.upstream]
        said = next((i for i, code in enumerate(SPILLS) if code in decision.reasons), len(SPILLS) - 1)
        return cloud(said)

    def _patience(self, decision: Decision, usual_tokens: float) -> Patience:
        """How long the request may wait, and where else it may be served meanwhile."""
        first = decision.choices[0]
        as_good = [one for one in decision.choices if one.side == "local" and one.miss_weight > 0.0]
        return Patience(
            first.queue_s,
            _hedge_s(decision),
            first.ttft_s or 0.0,
            first.miss_weight,
            first.yields_s,
            moves_s=min((one.queue_s for one in as_good), default=math.inf),
            in_time_at=sum({bit_of(self._index[one.upstream]) for one in as_good}) or ALL_NODES,
            usual_tokens=usual_tokens,
        )

    def _asked_for(self, index: int, prompt: int, cached: int) -> Prompt:
        """What request ``index`` tells of its answer."""
        return Prompt(prompt, cached, self._last[index], self._mean[index], form=self._form[index])

    def _asked_length(self, prompt: int, output: int) -> int | None:
        """The caller's ``max_tokens``, which usage files do not tell.

        An answer that no node could write to its end is taken to have been asked for at its length.
        """
        return None if self._nodes[0].holds(prompt, output) else output

    def _expect(self, index: int, asked: Prompt) -> Lengths:
        """How long the answer to request ``index`` may get; usage files do not tell its ``max_tokens``."""
        return self._lengths.expect(asked)

    @property
    def _hedges(self) -> list[float]:
        return self._nodes[0].tables.hedges

    def snapshots(self, now_s: float) -> list[NodeSnapshot]:
        """The nodes as the gateway's fleet would describe them now, and the cloud."""
        usual_s = None
        if self._usual[outlook.ARRIVALS]:
            usual_s = outlook.usual_work_s(self._usual, self._unit_s(0.0, 0.0))
        found = [
            NodeSnapshot(
                self._names[i], "local", self._models[i], in_flight=node.in_flight, slots=node.slots,
                pace=node.pace, load=node.load(now_s), margin_ratio=self._margins[i].value,
                ttft_stretch=self._stretches[i].value, usual_work_s=usual_s,
            )
            for i, node in enumerate(self._nodes)
        ]  # fmt: skip
        found.append(self._cloud)
        return found

    def _unit_s(self, prompt_tokens: float, output_tokens: float) -> float:
        """What a request of the usual sizes takes of a node; one of these where it is the first."""
        node = self._nodes[0]
        return outlook.unit_s(
            self._usual, self._readings_s, node.pace.steps_s, node.context_s, node.slots, prompt_tokens,
            output_tokens,
        )  # fmt: skip

    def _learn_spilled(self, now_s: float) -> None:
        """Answers that the cloud has given by now tell their lengths."""
        while self._asked and self._asked[0].at_s + CLOUD_ANSWER_S <= now_s:
            one = self._asked.popleft()
            self._told_up_to = one.request + 1
            if one.is_spilled or self._nodes[0].fates.fate[one.request] != ANSWERED:
                self._lengths.learn(one.prompt, one.output)

    def _learn(self, node: Node, margin: Margin, stretch: Quantile) -> None:
        """Take in what ended: answer lengths, kept objectives, and how far off forecasts were."""
        limit_s, whole_s = limits(self._objective)
        for job in node.finished:
            first_s, total_s = job.first_s - job.arrived_s, job.end_s - job.arrived_s
            if job.fate == ANSWERED:
                asked = self._asked_for(job.request, job.prompt_tokens, job.cached_tokens)
                self._lengths.learn(asked, job.output_tokens)
                stretch.learn(first_s / max(job.told_s, LEAST_FORECAST_S))
                margin.learn(first_s <= limit_s and total_s <= whole_s)
            else:
                self._learn_given_up(job, margin)
        node.finished.clear()

    def _learn_given_up(self, job: Job, margin: Margin) -> None:
        """Of a request that the node did not answer, as ``fleet.record`` judges it.

        One that left the queue was a miss, or a part of one; one that was overtaken on the node was, if it
        was late already; one that was overtaken in the queue tells nothing. If it took so long that its
        length would have been told by now, it tells that too.
        """
        if job.request < self._told_up_to:
            asked = self._asked_for(job.request, job.prompt_tokens, job.cached_tokens)
            self._lengths.learn(asked, job.output_tokens)
        if job.fate == LEFT and job.miss_weight > 0.0:
            margin.learn(False, job.miss_weight)
        elif job.fate == OVERTAKEN and job.end_s - job.arrived_s > min(limits(self._objective)):
            margin.learn(False)
