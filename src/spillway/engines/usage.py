"""What an answer says about itself: tokens, model, finish reason, error; bodies become records here."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from spillway.vocabulary import Usage

__all__ = ["Answer", "Chunk", "parse_answer", "parse_chunk", "with_cost"]


NOTHING = msgspec.Raw(b"")
_EMPTY = (b"", b"null", b"[]")


class PromptDetails(Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class CompletionDetails(Struct):
    reasoning_tokens: int | None = None


class UsageBody(Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None

    def to_usage(self) -> Usage:
        """The same as a record of ours; details that are missing stay unknown."""
        prompt, completion = self.prompt_tokens_details, self.completion_tokens_details
        return Usage(
            input_tokens=self.prompt_tokens,
            output_tokens=self.completion_tokens,
            cache_read_tokens=prompt.cached_tokens if prompt else None,
            cache_write_tokens=prompt.cache_write_tokens if prompt else None,
            reasoning_tokens=completion.reasoning_tokens if completion else None,
        )


class AnswerChoice(Struct):
    finish_reason: str | None = None


class Answer(Struct):
    """The parts of a whole answer that the gateway reads; everything else passes unread."""

    model: str | None = None
    usage: UsageBody | None = None
    choices: list[AnswerChoice] | UnsetType = UNSET
    data: msgspec.Raw | UnsetType = UNSET
    error: msgspec.Raw | UnsetType = UNSET

    @property
    def is_answer(self) -> bool:
        """Whether it holds choices or embeddings at all."""
        return self.choices is not UNSET or self.data is not UNSET

    @property
    def finish_reason(self) -> str | None:
        """Of the first choice."""
        return self.choices[0].finish_reason if self.choices else None


class Delta(Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: msgspec.Raw = NOTHING
    refusal: str | None = None


class ChunkChoice(Struct):
    delta: Delta | None = None
    text: str | None = None
    finish_reason: str | None = None


class Chunk(Struct):
    """The parts of one stream event that the gateway reads."""

    model: str | None = None
    choices: list[ChunkChoice] | None = None
    usage: UsageBody | None = None
    error: msgspec.Raw | UnsetType = UNSET
    is_opaque: bool = False
    """Valid JSON of a shape we do not know: it passes on, and counts as content."""

    @property
    def has_content(self) -> bool:
        """Whether a caller sees something of the answer in it: text, reasoning, a tool call."""
        if self.is_opaque:
            return True
        for choice in self.choices or ():
            delta = choice.delta
            if choice.text or (
                delta is not None
                and (
                    delta.content
                    or delta.reasoning_content
                    or delta.reasoning
                    or bytes(delta.tool_calls) not in _EMPTY
                    or delta.refusal
                )
            ):
                return True
        return False

    @property
    def text(self) -> str:
        """What the first choice says in it."""
        if not self.choices:
            return ""
        first = self.choices[0]
        return first.text or (first.delta.content if first.delta else None) or ""

    @property
    def finish_reason(self) -> str | None:
        """Of the first choice that has one."""
        for choice in self.choices or ():
            if choice.finish_reason:
                return choice.finish_reason
        return None


_ANSWER = msgspec.json.Decoder(Answer, strict=False)
_CHUNK = msgspec.json.Decoder(Chunk, strict=False)


def parse_answer(body: bytes) -> Answer | None:
    """The answer in ``body``; ``None`` when it is none (not JSON, or of another shape)."""
    try:
        return _ANSWER.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return None


def parse_chunk(data: bytes) -> Chunk | None:
    """The chunk in the ``data:`` of one event; ``None`` when it is not JSON."""
    try:
        return _CHUNK.decode(data)
    except msgspec.ValidationError:
        return Chunk(is_opaque=True)
    except (msgspec.MsgspecError, RecursionError):
        return None


def with_cost(body: bytes, cost: dict[str, Any]) -> bytes:
    """The same JSON object with ``cost`` merged into its ``usage``; unchanged when it has none."""
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    usage = fields.get("usage")
    if usage is None or not bytes(usage).lstrip().startswith(b"{"):
        return body
    merged = {**msgspec.json.decode(usage, type=dict[str, msgspec.Raw]), **cost}
    return msgspec.json.encode({**fields, "usage": merged})
