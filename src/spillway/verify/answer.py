"""What an answer says, from its bytes: text, tool calls, finish reason, and how sure each token was."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Raw, Struct

__all__ = ["GivenAnswer", "ToolCall"]

LEAST_LOGPROB: Final = -100.0
"""Engines write -9999 or minus infinity for "next to impossible"; this is as good and adds up."""
NULL: Final = b"null"


class ToolCall(Struct, frozen=True):
    """One call as the model wrote it: ``arguments`` is JSON text, or what was meant to be."""

    name: str
    arguments: str = ""


class GivenAnswer(Struct, frozen=True, kw_only=True):
    """One choice of a whole chat or completion answer. Carries the text: never log it."""

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    refusal: str | None = None
    finish_reason: str | None = None
    tokens: tuple[str, ...] | None = None
    """The tokens that ``logprobs`` are of; ``None`` when the engine gave none."""
    logprobs: tuple[float, ...] | None = None
    """Natural log-probability of each token, 0 or less; ``None`` when the engine gave none."""
    margins: tuple[float, ...] | None = None
    """By how much each token beat its runner-up; ``None`` unless the engine gave alternatives."""
    output_tokens: int | None = None
    """Of all choices together, as the engine reports it."""
    rest: tuple[GivenAnswer, ...] = ()
    """The further choices, when more than one was asked for."""

    @classmethod
    def of(cls, body: bytes) -> GivenAnswer | None:
        """The answer in a whole body; ``None`` when it is not one (not JSON, no choices, other shapes)."""
        try:
            found = _BODY.decode(body)
        except (msgspec.MsgspecError, RecursionError):
            return None
        if not found.choices:
            return None
        tokens = found.usage.completion_tokens if found.usage else None
        first, *rest = [_choice(choice, tokens) for choice in found.choices]
        return msgspec.structs.replace(first, rest=tuple(rest)) if rest else first

    @classmethod
    def of_chunks(cls, chunks: Iterable[bytes]) -> GivenAnswer | None:
        """The answer that the ``data:`` payloads of a stream add up to; ``None`` when they hold none.

        Of several choices only the first is put together.
        """
        parts = _Parts()
        for data in chunks:
            try:
                parts.add(_CHUNK.decode(data))
            except (msgspec.MsgspecError, RecursionError):
                continue
        return parts.whole() if parts.has_choice else None


class _TopToken(Struct):
    logprob: float | None = None


class _Token(Struct):
    token: str = ""
    logprob: float | None = None
    top_logprobs: list[_TopToken] | None = None


class _Logprobs(Struct):
    """Chat answers list objects under ``content``, completions list numbers beside their tokens."""

    content: list[_Token] | None = None
    tokens: list[str] | None = None
    token_logprobs: list[float | None] | None = None
    top_logprobs: list[dict[str, float] | None] | None = None


class _Function(Struct):
    name: str | None = None
    arguments: Raw = Raw(NULL)


class _Call(Struct):
    index: int | None = None
    function: _Function | None = None


class _Part(Struct):
    text: str | None = None


class _Message(Struct):
    content: str | list[_Part] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None
    function_call: _Function | None = None


class _Choice(Struct):
    index: int = 0
    message: _Message | None = None
    delta: _Message | None = None
    text: str | None = None
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Usage(Struct):
    completion_tokens: int | None = None


class _Body(Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None


_BODY: Final = msgspec.json.Decoder(_Body, strict=False)
_CHUNK: Final = _BODY


def _choice(choice: _Choice, output_tokens: int | None) -> GivenAnswer:
    message = choice.message or _Message()
    calls = [call.function for call in message.tool_calls or () if call.function is not None]
    if message.function_call is not None:
        calls.append(message.function_call)
    tokens, logprobs, margins = _sureness(choice.logprobs)
    return GivenAnswer(
        text=choice.text if choice.text is not None else _text(message.content),
        reasoning=message.reasoning_content or message.reasoning or "",
        tool_calls=tuple(ToolCall(call.name or "", _arguments(call.arguments)) for call in calls),
        refusal=message.refusal or None,
        finish_reason=choice.finish_reason or None,
        tokens=tokens,
        logprobs=logprobs,
        margins=margins,
        output_tokens=output_tokens,
    )


def _text(content: str | list[_Part] | None) -> str:
    if isinstance(content, list):
        return "".join(part.text or "" for part in content)
    return content or ""


def _arguments(raw: Raw) -> str:
    """The arguments as JSON text; some engines send the object itself instead of a string."""
    data = bytes(raw)
    if data.startswith(b'"'):
        return msgspec.json.decode(data, type=str)
    return "" if data == NULL else data.decode("utf-8", "replace")


def _sureness(
    found: _Logprobs | None,
) -> tuple[tuple[str, ...] | None, tuple[float, ...] | None, tuple[float, ...] | None]:
    """(tokens, log-probabilities, margins); a first token of an echoed prompt has none and is left out."""
    if found is None:
        return None, None, None
    if found.content:
        known = [token for token in found.content if token.logprob is not None]
        tops = [[top.logprob for top in token.top_logprobs or ()] for token in known]
        return (
            tuple(token.token for token in known),
            tuple(_bounded(token.logprob) for token in known),
            _margins([_bounded(token.logprob) for token in known], tops),
        )
    if found.token_logprobs and found.tokens and len(found.tokens) == len(found.token_logprobs):
        above = found.top_logprobs or [None] * len(found.tokens)
        rows = [
            row for row in zip(found.tokens, found.token_logprobs, above, strict=False) if row[1] is not None
        ]
        values = [_bounded(row[1]) for row in rows]
        return (
            tuple(row[0] for row in rows),
            tuple(values),
            _margins(values, [list((row[2] or {}).values()) for row in rows]),
        )
    return None, None, None


def _bounded(logprob: float | None) -> float:
    if logprob is None or math.isnan(logprob):
        return LEAST_LOGPROB
    return min(0.0, max(LEAST_LOGPROB, logprob))


def _margins(values: list[float], tops: list[list[float | None]]) -> tuple[float, ...] | None:
    """Token minus the best alternative: the second of the list when the token is its first.

    An engine that lists fewer than two for some token found nothing else possible there.
    """
    if not any(len(top) > 1 for top in tops):
        return None
    margins = []
    for value, top in zip(values, tops, strict=True):
        first, second, *_ = *sorted((_bounded(x) for x in top), reverse=True), LEAST_LOGPROB, LEAST_LOGPROB
        margins.append(value - (second if value >= first - 1e-9 else first))
    return tuple(margins)


class _Parts:
    """A streamed answer as it adds up."""

    def __init__(self) -> None:
        self.has_choice = False
        self._texts: list[str] = []
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self._calls: dict[int, list[str]] = {}
        self._finish: str | None = None
        self._tokens: list[_Token] = []
        self._output_tokens: int | None = None

    def add(self, chunk: _Body) -> None:
        """Takes in one event."""
        if chunk.usage is not None and chunk.usage.completion_tokens is not None:
            self._output_tokens = chunk.usage.completion_tokens
        for choice in chunk.choices or ():
            if choice.index != 0:
                continue
            self.has_choice = True
            self._finish = choice.finish_reason or self._finish
            self._add_delta(choice)
            if choice.logprobs is not None:
                self._add_logprobs(choice.logprobs)

    def _add_delta(self, choice: _Choice) -> None:
        delta = choice.delta or _Message()
        self._texts.append(choice.text if choice.text is not None else _text(delta.content))
        self._reasoning.append(delta.reasoning_content or delta.reasoning or "")
        self._refusal.append(delta.refusal or "")
        for call in delta.tool_calls or ():
            if call.function is not None:
                self._add_call(call.index if call.index is not None else len(self._calls), call.function)
        if delta.function_call is not None:
            self._add_call(0, delta.function_call)

    def _add_call(self, index: int, function: _Function) -> None:
        name_and_arguments = self._calls.setdefault(index, ["", ""])
        name_and_arguments[0] += function.name or ""
        name_and_arguments[1] += _arguments(function.arguments)

    def _add_logprobs(self, found: _Logprobs) -> None:
        if found.content:
            self._tokens.extend(found.content)
        elif found.tokens and found.token_logprobs:
            pairs = zip(found.tokens, found.token_logprobs, strict=False)
            self._tokens.extend(_Token(token, logprob) for token, logprob in pairs)

    def whole(self) -> GivenAnswer:
        """What has been added so far, as one answer."""
        tokens, logprobs, margins = _sureness(_Logprobs(content=self._tokens))
        return GivenAnswer(
            text="".join(self._texts),
            reasoning="".join(self._reasoning),
            tool_calls=tuple(ToolCall(*call) for _, call in sorted(self._calls.items())),
            refusal="".join(self._refusal) or None,
            finish_reason=self._finish,
            tokens=tokens,
            logprobs=logprobs,
            margins=margins,
            output_tokens=self._output_tokens,
        )
