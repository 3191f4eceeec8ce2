"""Bodies for and from upstreams that are asked for a comparison."""

from __future__ import annotations

from typing import Any

import msgspec

from spillway.evidence.compare import Reply
from spillway.relay.run import Job
from spillway.verify import GivenAnswer

__all__ = ["capped", "judge_body", "prompt_text", "reply_of", "wants_json"]

LENGTH_FIELDS = ("max_completion_tokens", "max_tokens")
LEAST_TOKENS = 512
MOST_TOKENS = 8192
PER_SAID_TOKEN = 4
"""The other side may need more words; beyond so many times as much it is cut, and then not compared."""
NOT_OURS = {"stream": None, "stream_options": None, "logprobs": None, "top_logprobs": None}


def capped(job: Job, model: str, said_tokens: int | None) -> tuple[bytes, int]:
    """The request for another model, unstreamed and with a bounded answer; and that bound, in tokens.

    Without a bound no budget could be kept: the first answer's length says how long another one may be.
    """
    payload = job.payload
    field = next((name for name in LENGTH_FIELDS if name in payload.fields), "max_tokens")
    given = payload.value(field)
    cap = min(MOST_TOKENS, max(LEAST_TOKENS, PER_SAID_TOKEN * (said_tokens or 0)))
    tokens = min(given, cap) if isinstance(given, int) and given > 0 else cap
    return payload.bytes_for(model, {**NOT_OURS, field: tokens}), tokens


def reply_of(body: bytes) -> Reply | None:
    """What a whole answer says; ``None`` when it says nothing, refused, or was cut at its bound."""
    answer = GivenAnswer.of(body)
    if answer is None or answer.refusal or answer.finish_reason in ("length", "content_filter"):
        return None
    calls = tuple((call.name, call.arguments) for call in answer.tool_calls)
    return Reply(answer.text, calls) if answer.text.strip() or calls else None


def wants_json(job: Job) -> bool:
    """Whether the request asked for JSON."""
    wanted = job.payload.value("response_format")
    return isinstance(wanted, dict) and wanted.get("type") in ("json_object", "json_schema")


def prompt_text(job: Job) -> str:
    """The conversation as a text, for a judge."""
    return "\n\n".join(_turns(job.payload.value("messages")))


def _turns(messages: Any) -> list[str]:
    if not isinstance(messages, list):
        return []
    return [
        f"{turn.get('role')}: {_content(turn.get('content'))}" for turn in messages if isinstance(turn, dict)
    ]


def _content(content: Any) -> str:
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def judge_body(model: str, messages: list[dict[str, str]], max_tokens: int) -> bytes:
    """What a judge is asked: short, and the same every time."""
    return msgspec.json.encode(
        {"model": model, "messages": messages, "max_tokens": max_tokens, "temperature": 0}
    )
