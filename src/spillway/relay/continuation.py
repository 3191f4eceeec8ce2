"""How an upstream is asked to go on with an answer that another one began."""

from __future__ import annotations

from typing import Any

import msgspec

from spillway.engines.profiles import Prefill
from spillway.relay.request import expected_choices, is_structured
from spillway.relay.run import Job
from spillway.relay.seam import Seam
from spillway.relay.step import Method

__all__ = ["changes_to_continue", "is_continuable", "methods_for"]

INSTRUCTION = (
    "A technical fault cut your answer off in the middle. Go on with it from exactly where it stopped: "
    "write only what comes next, starting with the very next character. Do not repeat anything, do not "
    "apologise and do not comment."
)
SHORT_CHARS = 40
"""A beginning that another model may well write in the same words (guess)."""


def is_continuable(job: Job) -> bool:
    """Whether the answer is one text, so that somebody else can write the rest of it."""
    if expected_choices(job) != 1:
        return False
    if job.facts.operation == "chat":
        return not is_structured(job)
    payload = job.payload
    return (
        isinstance(payload.value("prompt"), str) and not payload.value("echo") and not payload.value("suffix")
    )


def methods_for(job: Job, seam: Seam, prefill: Prefill, attempts_left: int) -> list[Method]:
    """Ways to try at one upstream, best first, at most as many as attempts are left.

    Making the beginning again costs a whole prompt and helps only if the same words come out, so it is tried
    where that can be expected: without randomness, or when hardly anything was said.
    """
    if job.facts.operation == "completion":
        return ["prompt"]
    methods: list[Method] = ["prefill"] if prefill != "none" else []
    if len(seam.text) <= SHORT_CHARS or _is_repeatable(job):
        methods.append("restart")
    methods.append("instruct")
    if len(methods) <= attempts_left:
        return methods
    return (
        methods[:1]
        if methods[0] == "prefill" and attempts_left == 1
        else [*methods[: attempts_left - 1], "instruct"]
    )


def _is_repeatable(job: Job) -> bool:
    return job.payload.value("temperature") == 0 or job.payload.value("seed") is not None


def changes_to_continue(
    job: Job, seam: Seam, method: Method, prefill: Prefill, said_tokens: int
) -> dict[str, object]:
    """The request fields that ask for the rest; limits of length are lowered by what was already said."""
    if method == "restart":
        return {}
    if method == "prompt":
        return {"prompt": job.payload.value("prompt") + seam.text, **_less(job, said_tokens)}
    messages = msgspec.json.decode(job.payload.fields["messages"], type=list[msgspec.Raw])
    if method == "instruct":
        told: list[object] = [_spoken(seam.text, messages), {"role": "user", "content": INSTRUCTION}]
        return {"messages": [*messages, *told], **_less(job, said_tokens)}
    spoken = _spoken(seam.text, messages)
    switches: dict[str, object] = {}
    if prefill == "marked":
        spoken["prefix"] = True
    elif prefill == "switched":
        switches = {"continue_final_message": True, "add_generation_prompt": False}
    return {"messages": [*messages, spoken], **switches, **_less(job, said_tokens)}


def _spoken(text: str, messages: list[msgspec.Raw]) -> dict[str, Any]:
    """The assistant's turn so far; what the client itself had put into its mouth is taken out of ``messages``
    and goes before it."""
    last = msgspec.json.decode(messages[-1])
    begun = last.get("content")
    if last.get("role") == "assistant" and isinstance(begun, str) and not last.get("tool_calls"):
        messages.pop()
        return {**last, "content": begun + text}
    return {"role": "assistant", "content": text}


def _less(job: Job, said_tokens: int) -> dict[str, object]:
    limits = {name: job.payload.value(name) for name in ("max_tokens", "max_completion_tokens")}
    return {name: max(1, limit - said_tokens) for name, limit in limits.items() if isinstance(limit, int)}
