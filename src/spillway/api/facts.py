"""Bytes and headers become ``RequestFacts`` and a ``Payload``: the only place that reads a request body."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable
from random import Random, SystemRandom
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, Struct

from spillway.engines.payload import Payload
from spillway.errors import InvalidRequest
from spillway.vocabulary import Capability, Objective, Operation, RequestFacts, Side

__all__ = ["FIRST_CHARACTERS", "LAST_CHARACTERS", "Ids", "Parsed", "new_ids", "parse_request"]

Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Positive = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Texts = str | list[str | int | list[int]]
"""A text, several, or the same already as token ids."""


class Part(Struct):
    type: str
    text: str | None = None


class Message(Struct):
    role: str
    content: str | list[Part] | None = None
    tool_calls: Raw = Raw(b"")


class StreamOptions(Struct):
    include_usage: bool | None = None


class ResponseFormat(Struct):
    type: str


class UsageWish(Struct):
    include: bool | None = None


class Body(Struct):
    """The fields all generating endpoints share; others pass through unread."""

    model: Annotated[str, Meta(min_length=1)]
    models: list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    usage: UsageWish | None = None
    n: Positive | None = None
    max_tokens: Count | None = None


class ChatBody(Body, kw_only=True):
    messages: Annotated[list[Message], Meta(min_length=1)]
    max_completion_tokens: Count | None = None
    tools: list[Raw] | None = None
    response_format: ResponseFormat | None = None


class CompletionBody(Body, kw_only=True):
    prompt: Texts


class EmbeddingBody(Struct):
    model: Annotated[str, Meta(min_length=1)]
    input: Texts
    models: list[str] | None = None


class Ids(Struct, frozen=True):
    """Our id for the request, and the caller's if it sent one."""

    own: str
    client: str | None = None

    @property
    def shown(self) -> str:
        """What the caller gets back as ``x-request-id``."""
        return self.client or self.own


def new_ids(headers: dict[bytes, bytes]) -> Ids:
    """Fresh ids; a caller's that is too long or not plain printable ASCII is ignored."""
    own = f"req_{time.time_ns() // 1_000_000:012x}{_RANDOM.getrandbits(64):016x}"
    given = headers.get(b"x-request-id")
    if given is None or not _REQUEST_ID.fullmatch(given):
        return Ids(own)
    return Ids(own, given.decode("ascii"))


_RANDOM = Random(SystemRandom().getrandbits(256))
"""Ids must differ, not be secret: asking the system for each would cost a system call. They begin with the
time, so that the ledger's index grows at its end: random ones double the cost of a commit."""
_REQUEST_ID = re.compile(rb"[!-~]{1,128}")


class Parsed(Struct, frozen=True):
    """What one request is about, and its body for the upstream."""

    facts: RequestFacts
    payload: Payload


_CHAT = msgspec.json.Decoder(ChatBody)
_COMPLETION = msgspec.json.Decoder(CompletionBody)
_EMBEDDING = msgspec.json.Decoder(EmbeddingBody)


def parse_request(
    operation: Operation, raw: bytes, headers: dict[bytes, bytes], ids: Ids, key_name: str | None
) -> Parsed:
    """The facts of one request; InvalidRequest names the field that is wrong."""
    common = _common(headers, ids, key_name, len(raw), operation)
    if operation == "chat":
        return _chat(_decode(_CHAT, raw), raw, common)
    if operation == "completion":
        return _completion(_decode(_COMPLETION, raw), raw, common)
    return _embedding(_decode(_EMBEDDING, raw), raw, common)


def _chat(body: ChatBody, raw: bytes, common: dict[str, Any]) -> Parsed:
    needs: set[Capability] = {"chat"}
    tokens = 3
    tools_bytes = 0
    answers: list[int] = []
    for message in body.messages:
        content = message.content
        written = len(bytes(message.tool_calls)) // 4
        if isinstance(content, str):
            written += estimate_tokens(content)
        elif content is not None:
            written += _part_tokens(content, needs)
        tokens += written if content is None else written + 4
        if message.role == "assistant":
            answers.append(written)
    if body.tools:
        needs.add("tools")
        tools_bytes = sum(len(bytes(tool)) for tool in body.tools)
        tokens += tools_bytes // 4
    if body.response_format is not None and body.response_format.type == "json_schema":
        needs.add("schema")
    limit = body.max_completion_tokens if body.max_completion_tokens is not None else body.max_tokens
    common |= _answers(answers) | {"form": _form(body, tools_bytes)}
    return _generating(body, raw, common, frozenset(needs), tokens, limit)


FIRST_CHARACTERS, LAST_CHARACTERS = 64, 32
"""Of the first and of the last message, what tells a form: instructions stand before what varies (chosen on
the sessions of ``bench.planner.traces``)."""


def _form(body: ChatBody, tools_bytes: int) -> int:
    """``RequestFacts.form``. Strings hash differently in each process."""
    first, last, wanted = body.messages[0], body.messages[-1], body.response_format
    return hash((
        body.model, tools_bytes, wanted and wanted.type,
        first.role, _text_start(first, FIRST_CHARACTERS), last.role, _text_start(last, LAST_CHARACTERS),
    ))  # fmt: skip


def _text_start(message: Message, characters: int) -> str | None:
    """That much of its text, or of its first part's."""
    content = message.content
    text = content[0].text if content and not isinstance(content, str) else content
    return text[:characters] if isinstance(text, str) else None


def _answers(tokens: list[int]) -> dict[str, float]:
    """What the sizes of the conversation's answers so far tell of the next one."""
    if not tokens:
        return {}
    logs = sum([math.log(count) for count in tokens if count > 1])
    return {
        "last_answer_tokens": float(max(tokens[-1], 1)),
        "mean_answer_tokens": math.exp(logs / len(tokens)),
    }


def _part_tokens(parts: list[Part], needs: set[Capability]) -> int:
    tokens = 0
    for part in parts:
        if part.text is not None:
            tokens += estimate_tokens(part.text)
        elif part.type in ("image_url", "input_image", "image"):
            needs.add("images")
            tokens += IMAGE_TOKENS
    return tokens


def _completion(body: CompletionBody, raw: bytes, common: dict[str, Any]) -> Parsed:
    tokens = _input_tokens(body.prompt)
    first = body.prompt if isinstance(body.prompt, str) else next(iter(body.prompt), None)
    if isinstance(first, str):
        common["form"] = hash((body.model, first[:FIRST_CHARACTERS]))
    return _generating(body, raw, common, frozenset({"completion"}), tokens, body.max_tokens)


def _generating(
    body: Body,
    raw: bytes,
    common: dict[str, Any],
    needs: frozenset[Capability],
    input_tokens: int,
    max_output_tokens: int | None,
) -> Parsed:
    is_stream = body.stream is True
    asked = body.stream_options is not None and body.stream_options.include_usage is True
    facts = RequestFacts(
        model=body.model,
        fallback_models=_fallbacks(body.model, body.models),
        is_stream=is_stream,
        wants_usage=asked or (body.usage is not None and body.usage.include is True),
        input_tokens=input_tokens,
        max_output_tokens=max_output_tokens,
        choices=body.n or 1,
        needs=needs,
        **common,
    )
    include_usage = is_stream and not asked
    has_ours = body.models is not None or body.usage is not None
    return Parsed(facts, Payload(raw, body.model, include_usage=include_usage, has_ours=has_ours))


def _embedding(body: EmbeddingBody, raw: bytes, common: dict[str, Any]) -> Parsed:
    facts = RequestFacts(
        model=body.model,
        fallback_models=_fallbacks(body.model, body.models),
        input_tokens=_input_tokens(body.input),
        max_output_tokens=0,
        needs=frozenset({"embedding"}),
        **common,
    )
    has_ours = body.models is not None
    return Parsed(facts, Payload(raw, body.model, include_usage=False, has_ours=has_ours))


def _fallbacks(model: str, models: list[str] | None) -> tuple[str, ...]:
    return tuple(name for name in models if name != model) if models else ()


IMAGE_TOKENS = 800
"""What an image is taken to add to a prompt until the engine counts it (guess; providers say 85 to 1,500)."""


def estimate_tokens(text: str) -> int:
    """Tokens in ``text``: UTF-8 bytes over four, which errs by 15 % on average (measured on five corpora)."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return (size + 3) // 4


def _input_tokens(value: Texts) -> int:
    if isinstance(value, str):
        return estimate_tokens(value)
    total = 0
    for item in value:
        if isinstance(item, str):
            total += estimate_tokens(item)
        else:
            total += 1 if isinstance(item, int) else len(item)
    return total


# headers


def _common(
    headers: dict[bytes, bytes], ids: Ids, key_name: str | None, size: int, operation: Operation
) -> dict[str, Any]:
    common: dict[str, Any] = {
        "request_id": ids.own,
        "client_request_id": ids.client,
        "operation": operation,
        "body_bytes": size,
        "key_name": key_name,
    }
    if any(name.startswith(b"x-spillway-") for name in headers):
        common |= _wishes(headers)
    return common


_SIDES: dict[bytes, Side] = {b"local": "local", b"cloud": "cloud"}
_TASK = re.compile(rb"[a-z][a-z0-9_-]{0,63}")
_BAD_TASK = "x-spillway-task must be a task class such as extraction: lower-case letters, digits, _ and -"


def _wishes(headers: dict[bytes, bytes]) -> dict[str, Any]:
    """What the ``x-spillway-…`` headers ask for; an unknown one is an error, since a typo could leak."""
    unknown = [n for n in headers if n.startswith(b"x-spillway-") and n not in _KNOWN_HEADERS]
    if unknown:
        raise InvalidRequest(
            f"unknown header {unknown[0].decode('latin-1')}; known are {_names(_KNOWN_HEADERS)}",
            param=unknown[0].decode("latin-1"),
        )
    wishes: dict[str, Any] = {"is_private": _flag(headers, b"x-spillway-private")}
    if (pin := headers.get(b"x-spillway-pin")) is not None:
        if pin not in _SIDES:
            raise InvalidRequest("x-spillway-pin must be local or cloud", param="x-spillway-pin")
        wishes["pin"] = _SIDES[pin]
    if wishes["is_private"] and wishes.get("pin") == "cloud":
        raise InvalidRequest("a private request cannot be pinned to the cloud", param="x-spillway-pin")
    if (task := headers.get(b"x-spillway-task")) is not None:
        if not _TASK.fullmatch(task):
            raise InvalidRequest(_BAD_TASK, param="x-spillway-task")
        wishes["task"] = task.decode()
    if (slo_class := headers.get(b"x-spillway-slo-class")) is not None:
        wishes["slo_class"] = slo_class.decode("latin-1")
    wishes["timeout_s"] = _limit_s(headers, b"x-spillway-timeout-ms")
    limits_s = {field: _limit_s(headers, name) for name, field in _DEADLINES.items()}
    wishes["deadlines"] = tuple((field, limit_s) for field, limit_s in limits_s.items() if limit_s)
    ttft_s = _limit_s(headers, b"x-spillway-slo-ttft-ms")
    total_s = _limit_s(headers, b"x-spillway-slo-total-ms")
    if ttft_s is not None and total_s is not None and total_s < ttft_s:
        raise InvalidRequest(
            "x-spillway-slo-total-ms must not be below x-spillway-slo-ttft-ms",
            param="x-spillway-slo-total-ms",
        )
    if ttft_s is not None or total_s is not None:
        wishes["objective"] = Objective("request", ttft_s, total_s)
    return wishes


_DEADLINES = {
    b"x-spillway-connect-timeout-ms": "connect_s",
    b"x-spillway-first-token-timeout-ms": "first_token_s",
    b"x-spillway-stall-timeout-ms": "stall_s",
}
_KNOWN_HEADERS = (
    b"x-spillway-pin",
    b"x-spillway-private",
    b"x-spillway-task",
    b"x-spillway-slo-ttft-ms",
    b"x-spillway-slo-total-ms",
    b"x-spillway-slo-class",
    b"x-spillway-timeout-ms",
    *_DEADLINES,
)


def _flag(headers: dict[bytes, bytes], name: bytes) -> bool:
    value = headers.get(name, b"false").lower()
    if value not in (b"true", b"false", b"1", b"0"):
        raise InvalidRequest(f"{name.decode()} must be true or false", param=name.decode())
    return value in (b"true", b"1")


def _limit_s(headers: dict[bytes, bytes], name: bytes) -> float | None:
    value = headers.get(name)
    if value is None:
        return None
    try:
        limit_ms = float(value)
    except ValueError:
        limit_ms = -1.0
    if not 0 < limit_ms < 86_400_000:
        raise InvalidRequest(
            f"{name.decode()} must be a positive number of milliseconds", param=name.decode()
        )
    return limit_ms / 1000


def _names(names: Iterable[bytes]) -> str:
    return ", ".join(name.decode() for name in names)


# msgspec's errors, told to a person


_AT = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_MISSING = re.compile(r"Object missing required field `(?P<field>[^`]+)`")


def _decode(decoder: msgspec.json.Decoder[Any], raw: bytes) -> Any:
    if not raw:
        raise InvalidRequest("the request body is empty; send a JSON object", code="invalid_json")
    try:
        if not raw.isascii():
            raw.decode()  # the decoder checks only what it keeps, and what it skips goes upstream
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"the request body is not JSON: {error}", code="invalid_json") from None
    except RecursionError:
        raise InvalidRequest("the request body is nested too deeply", code="invalid_json") from None


def _invalid(message: str) -> InvalidRequest:
    at = _AT.search(message)
    path = at["path"] if at else ""
    said = message[: at.start()] if at else message
    if missing := _MISSING.match(said):
        field = f"{path}.{missing['field']}" if path else missing["field"]
        return InvalidRequest(f"{field} is missing", param=field, code="missing_required_parameter")
    where = path or "the request body"
    return InvalidRequest(f"{where}: {said[0].lower()}{said[1:]}", param=path or None, code="invalid_type")
