"""The stable codes a ``Decision`` gives as its reasons, with what each one means to a person."""

from __future__ import annotations

from typing import Final

__all__ = ["MEANING", "SPILLS"]

PRIVATE: Final = "private"
PINNED_LOCAL: Final = "pinned_local"
PINNED_CLOUD: Final = "pinned_cloud"
NAME_AUTO: Final = "name_auto"
NAME_SIDE: Final = "name_side"
NAME_NODE: Final = "name_node"
NAME_MODEL: Final = "name_model"
SUBSTITUTED: Final = "substituted"
CONTEXT: Final = "context_too_small"
CAPABILITY: Final = "capability_missing"
INPUT_BUDGET: Final = "input_over_local_budget"
OUTPUT_BUDGET: Final = "output_over_local_budget"
TASK: Final = "task_not_local"
DOWN: Final = "node_down"
BREAKER: Final = "breaker_open"
DRAINING: Final = "node_draining"
DRIFTED: Final = "node_drifted"
PASSTHROUGH: Final = "cloud_passthrough"
MODEL_GONE: Final = "model_gone"
FULL: Final = "node_full"
SLO_TTFT: Final = "slo_ttft"
SLO_TOTAL: Final = "slo_total"
LOADING: Final = "node_loading"
WORK: Final = "work_over_limit"
RETRIED: Final = "node_retried"
EXPLORED: Final = "explored"
LOCAL_FIRST: Final = "local_first"
CHEAPEST_CLOUD: Final = "cheapest_cloud"
HEDGED: Final = "hedged"
TAKEN_OVER: Final = "taken_over"
ESCALATED: Final = "escalated"
GATE_FAILED: Final = "gate_failed"
CONTINUED: Final = "continued"

DELAYS: Final[dict[str, str]] = {"full": FULL, "ttft": SLO_TTFT, "total": SLO_TOTAL, "work": WORK}
"""What rule 6 says of a node that would be late."""

MEANING: Final[dict[str, str]] = {
    PRIVATE: "the request is private, so only local nodes were considered",
    PINNED_LOCAL: "the caller pinned it to local nodes",
    PINNED_CLOUD: "the caller pinned it to clouds",
    NAME_AUTO: "the caller left the choice to spillway",
    NAME_SIDE: "the caller asked for this side",
    NAME_NODE: "the caller named the upstream",
    NAME_MODEL: "the caller named the model",
    SUBSTITUTED: "configuration lets a local model answer for the cloud model that was asked for",
    CONTEXT: "prompt and answer do not fit a slot of some node",
    CAPABILITY: "some upstream cannot do what the request needs (tools, schema, images, embeddings)",
    INPUT_BUDGET: "the prompt is longer than routing.max_local_input_tokens",
    OUTPUT_BUDGET: "the answer may be longer than routing.max_local_output_tokens",
    TASK: "this task class is not trusted to local nodes",
    DOWN: "some node does not answer its probe",
    BREAKER: "some upstream failed repeatedly and is left alone for a moment",
    DRAINING: "some node is being drained",
    DRIFTED: "some node drifted from its pin in a way that excludes it",
    PASSTHROUGH: 'some "local" model is served by a remote host',
    MODEL_GONE: "the node it waited for no longer serves the model",
    FULL: "the slots of some node and their queue are taken",
    SLO_TTFT: "some node would be late with its first token",
    SLO_TOTAL: "some node would finish too late",
    LOADING: "some node is loading its model",
    WORK: "it would wait there, and a wait is left to requests of less work",
    RETRIED: "a node that was late and has idled since gets one request, to find out whether it still is",
    EXPLORED: "its task class is not trusted to local nodes; it goes there all the same, to learn",
    LOCAL_FIRST: "a local node can take it, and its hardware is paid for",
    CHEAPEST_CLOUD: "it goes to the cloud with the lowest list price",
    HEDGED: "the first upstream was late, and another one that was asked as well spoke first",
    TAKEN_OVER: "it waited for one node, and another one had a slot free first",
    ESCALATED: "a local answer failed its checks, so that somebody else was asked",
    GATE_FAILED: "the answer failed its checks, and nobody could give a better one",
    CONTINUED: "the stream broke, and another upstream went on with the answer",
}

SPILLS: Final = frozenset(
    {
        *(CONTEXT, CAPABILITY, INPUT_BUDGET, OUTPUT_BUDGET, TASK, MODEL_GONE),
        *(DOWN, BREAKER, DRAINING, DRIFTED, PASSTHROUGH, FULL, SLO_TTFT, SLO_TOTAL, WORK, LOADING),
    }
)
"""The codes that say why a request which might have gone local went to a cloud."""
