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


class Delta(Struct):
    content: str | list[msgspec.Raw] | None = None
    """Text; some providers send reasoning as a list of parts."""
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: msgspec.Raw = NOTHING
    function_call: msgspec.Raw = NOTHING
    refusal: str | None = None

    @property
    def has_calls(self) -> bool:
        """Whether it holds a piece of a tool call."""
        return bytes(self.tool_calls) not in _EMPTY or bytes(self.function_call) not in _EMPTY


class ChunkChoice(Struct):
    index: int = 0
    delta: Delta | None = None
    text: str | None = None
    finish_reason: str | None = None

    @property
    def has_content(self) -> bool:
        """Whether a caller sees something of the answer in it: text, reasoning, a tool call."""
        delta = self.delta
        if delta is None:
            return bool(self.text)
        return bool(
            delta.content or delta.reasoning_content or delta.reasoning or delta.refusal or delta.has_calls
        )


class AnswerChoice(Struct):
    finish_reason: str | None = None
    message: msgspec.Raw = NOTHING
    text: str | None = None

    @property
    def is_answer(self) -> bool:
        """An empty answer counts only when it gives a reason for its end."""
        return bool(self.finish_reason or self.text) or _says_something(self.message)


def _says_something(message: msgspec.Raw) -> bool:
    if not bytes(message):
        return False
    try:
        return ChunkChoice(delta=_DELTA.decode(message)).has_content
    except msgspec.ValidationError:
        return True  # of a shape we do not know


class Answer(Struct):
    """The parts of a whole answer that the gateway reads; everything else passes unread."""

    model: str | None = None
    usage: UsageBody | None = None
    choices: list[AnswerChoice] | UnsetType = UNSET
    data: msgspec.Raw | UnsetType = UNSET
    error: msgspec.Raw | UnsetType = UNSET

    @property
    def is_answer(self) -> bool:
        """Whether it holds an embedding, or a choice that says something or says why it does not."""
        if self.data is not UNSET:
            return True
        return bool(self.choices) and any(choice.is_answer for choice in self.choices or ())

    @property
    def finish_reason(self) -> str | None:
        """Of the first choice."""
        return self.choices[0].finish_reason if self.choices else None


class Chunk(Struct):
    """The parts of one stream event that the gateway reads."""

    id: Any = None
    model: str | None = None
    choices: list[ChunkChoice] | None = None
    usage: UsageBody | None = None
    error: msgspec.Raw | UnsetType = UNSET
    is_opaque: bool = False
    """Valid JSON of a shape we do not know: it passes on, and counts as content."""

    @property
    def has_content(self) -> bool:
        """Whether a caller sees something of the answer in it."""
        return self.is_opaque or any(choice.has_content for choice in self.choices or ())

    @property
    def text(self) -> str:
        """What the first choice says in it."""
        if not self.choices:
            return ""
        first = self.choices[0]
        said = first.text or (first.delta.content if first.delta else None)
        return said if isinstance(said, str) else ""


_DELTA = msgspec.json.Decoder(Delta, strict=False)
_ANSWER = msgspec.json.Decoder(Answer, strict=False)
_CHUNK = msgspec.json.Decoder(Chunk, strict=False)


def parse_answer(body: bytes) -> Answer | None:
    """The answer in ``body``; ``None`` when it is none (not JSON, or of another shape)."""
    try:
        return _ANSWER.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return None


def parse_chunk(data: bytes) -> Chunk | None:
    """The chunk in the ``data:`` of one event; ``None`` when it is not JSON, or ``null``."""
    try:
        return _CHUNK.decode(data)
    except msgspec.ValidationError:
        return None if data == b"null" else Chunk(is_opaque=True)
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
