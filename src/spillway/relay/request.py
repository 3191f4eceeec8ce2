"""What an upstream is sent for one attempt: the client's body with the fewest changes that are needed.

Whole answers are asked for as streams: only then is there a first token to wait for and a stall to notice.
The fields added for that are left out where an upstream has refused them before.
"""

from __future__ import annotations

from spillway.relay.run import Job

__all__ = ["changes_for", "expected_choices", "is_structured", "last_words", "refused_field"]

FIELDS_OF_OURS = ("stream_options", "logprobs", "stream")
"""Fields that the gateway may add; a refusal is looked for in this order, since one name holds another."""


def changes_for(
    job: Job, refused: set[str], *, streams: bool, wants_logprobs: bool, more: dict[str, object]
) -> dict[str, object]:
    """The fields to set; ``more`` are those of a continuation."""
    changes: dict[str, object] = dict(more)
    facts, payload = job.facts, job.payload
    if streams and not facts.is_stream:
        changes["stream"] = True
    if streams and (payload.include_usage or not facts.is_stream) and "stream_options" not in refused:
        changes["stream_options"] = payload.usage_options()
    if wants_logprobs and "logprobs" not in refused:
        changes["logprobs"] = True if facts.operation == "chat" else 1
    return changes


def refused_field(status: int, body: bytes, changes: dict[str, object]) -> str | None:
    """The field of ours that made an upstream refuse the request, if it was one."""
    if status not in (400, 422):
        return None
    for name in FIELDS_OF_OURS:
        if changes.get(name) is not None and name.encode() in body:
            return name
    return None


def expected_choices(job: Job) -> int:
    """How many answers will come: ``n`` for each prompt."""
    raw = b"" if job.facts.operation != "completion" else bytes(job.payload.fields.get("prompt", b""))
    if not raw.startswith(b"["):
        return job.facts.choices
    prompts = job.payload.value("prompt")
    is_one = not prompts or isinstance(prompts[0], int)  # one prompt as token ids
    return job.facts.choices if is_one else job.facts.choices * len(prompts)


def is_structured(job: Job) -> bool:
    """Whether the answer is to be JSON, or another form that cannot be stitched together from two halves."""
    wanted = job.payload.fields.get("response_format")
    if wanted is None or bytes(wanted) == b"null":
        return False
    return bool(job.payload.value("response_format").get("type") != "text")


def last_words(job: Job) -> str:
    """What the client put into the assistant's mouth for the answer to go on from; empty as a rule."""
    payload = job.payload
    if job.facts.operation != "chat" or b'"assistant"' not in payload.raw:
        return ""
    last = payload.value("messages")[-1]
    content = last.get("content")
    return content if last.get("role") == "assistant" and isinstance(content, str) else ""
