"""Asks a node one canary and returns what it answered, in a form that can be compared."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Protocol

import msgspec
from msgspec import Struct

from spillway.engines.http_client import HttpClient
from spillway.engines.metadata import mapping, text
from spillway.engines.told import sha256_of
from spillway.engines.wire import Headers, WireError, request_head
from spillway.pinning.canaries import Canary, Check
from spillway.verify.answer import GivenAnswer

__all__ = ["Answer", "Asker", "CanaryUnanswered", "NodeAsker", "NodeBusy", "passed_checks"]

CONNECT_S = 5.0
ANSWER_S = 60.0
"""Longest time for one canary; a node slower than that is not measured by canaries."""
LARGEST_BYTES = 4 << 20
SKETCH_SIZE = 16
BUSY = frozenset({401, 403, 408, 409, 425, 429})
"""Refusals that say nothing of the model."""


class CanaryUnanswered(Exception):
    """No answer. ``is_refusal``: the node works and refuses the request, which it did not when pinned."""

    def __init__(self, why: str, *, is_refusal: bool = False) -> None:
        super().__init__(why)
        self.is_refusal = is_refusal


class NodeBusy(CanaryUnanswered):
    """Somebody else needs the node now."""


class Answer(Struct, frozen=True, kw_only=True):
    """One answer to one canary."""

    text: str
    """Text, reasoning and tool calls; empty for an embedding."""
    tokens: str
    """Digest of text and tokens."""
    logprobs: tuple[float, ...] = ()
    sketch: tuple[float, ...] = ()
    calls: tuple[tuple[str, str], ...] = ()
    """Tools called, as pairs of name and arguments."""
    model: str | None = None
    """As the node reports it."""
    fingerprint: str | None = None


class Asker(Protocol):
    """Whoever answers canaries."""

    async def ask(self, canary: Canary, model: str) -> Answer:
        """The answer; CanaryUnanswered when there is none. Cancelling it stops the node's work."""
        ...


class NodeAsker:
    """Asks a node over HTTP."""

    def __init__(self, client: HttpClient, kind: str, api_key: str | None) -> None:
        self._client = client
        self._kind = kind
        self._headers: Headers = [(b"content-type", b"application/json")]
        if api_key:
            self._headers = [*self._headers, (b"authorization", b"Bearer " + api_key.encode())]
        self._prefix = "" if client.origin.base_path.endswith("/v1") else "/v1"

    async def ask(self, canary: Canary, model: str) -> Answer:
        """The answer; CanaryUnanswered when there is none. Cancelling it stops the node's work."""
        path = "/embeddings" if canary.operation == "embedding" else "/chat/completions"
        try:
            raw = await self._post(self._prefix + path, canary.body(model, self._kind))
        except WireError as error:
            raise CanaryUnanswered(str(error)) from None
        return _embedding(raw) if canary.operation == "embedding" else _chat(raw)

    async def _post(self, path: str, body: bytes) -> bytes:
        exchange = await self._client.open(
            "POST", path, self._headers, body, connect_s=CONNECT_S, head_s=ANSWER_S, may_reuse=False
        )
        try:
            raw = await exchange.body(LARGEST_BYTES, ANSWER_S)
        finally:
            exchange.abort()  # does nothing to a complete one; stops the node's work otherwise
        if exchange.status != 200:
            is_refusal = 400 <= exchange.status < 500 and exchange.status not in BUSY
            said = raw[:200].decode("utf-8", "replace")
            raise CanaryUnanswered(f"status {exchange.status}: {said}", is_refusal=is_refusal)
        return raw

    async def is_busy(self) -> bool:
        """Whether llama.cpp works on something that did not come from us; other engines do not tell."""
        if self._kind != "llamacpp":
            return False
        origin = self._client.origin
        root = replace(origin, base_path=origin.base_path.removesuffix("/v1"))
        head = request_head("GET", "/slots", root, self._headers)
        try:
            exchange = await self._client.send(head, b"", connect_s=1.0, head_s=1.0)
            try:
                slots = msgspec.json.decode(await exchange.body(LARGEST_BYTES, 1.0))
            finally:
                exchange.abort()
        except (WireError, msgspec.DecodeError, UnicodeDecodeError):
            return False
        return any(mapping(slot).get("is_processing") is True for slot in slots or ())


def passed_checks(checks: tuple[Check, ...], answer: Answer) -> tuple[str, ...]:
    """Names of the checks that the answer passes."""
    return tuple(check.name for check in checks if _passes(check, answer))


def _passes(check: Check, answer: Answer) -> bool:
    if check.contains is not None:
        return check.contains in answer.text
    if check.one_of:
        said = answer.text.lower()
        return sum(1 for word in check.one_of if word.lower() in said) == 1
    if check.max_chars is not None:
        return len(answer.text) <= check.max_chars
    if check.calls is not None:
        return any(name == check.calls and _is_json(arguments) for name, arguments in answer.calls)
    return _is_json(answer.text)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _chat(raw: bytes) -> Answer:
    chunks = [line[5:].strip() for line in raw.split(b"\n") if line.startswith(b"data:")]
    chunks = [chunk for chunk in chunks if chunk and chunk != b"[DONE]"] or [raw]
    given = GivenAnswer.of_chunks(chunks) if chunks != [raw] else GivenAnswer.of(raw)
    if given is None or given.finish_reason is None:
        raise CanaryUnanswered("the answer was cut, or is none of the OpenAI API")
    calls = tuple((call.name, _canonical(call.arguments)) for call in given.tool_calls)
    parts = [given.text, given.reasoning, *(f"{name}({arguments})" for name, arguments in calls)]
    whole = "\n".join(part for part in parts if part)
    meta = _meta(chunks[0])
    return Answer(
        text=whole,
        tokens=sha256_of(json.dumps([whole, given.tokens])),
        logprobs=tuple(round(value, 4) for value in given.logprobs or ()),
        calls=calls,
        model=meta.get("model"),
        fingerprint=meta.get("system_fingerprint"),
    )


def _canonical(arguments: str) -> str:
    """Arguments with sorted keys: the same call written in another order is the same call."""
    try:
        return json.dumps(json.loads(arguments), sort_keys=True, ensure_ascii=False)
    except (ValueError, RecursionError):
        return arguments


def _meta(chunk: bytes) -> dict[str, str]:
    try:
        found = msgspec.json.decode(chunk)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return {key: said for key, value in mapping(found).items() if (said := text(value)) is not None}


def _embedding(raw: bytes) -> Answer:
    try:
        vector = msgspec.json.decode(raw)["data"][0]["embedding"]
        numbers = [float(value) for value in vector]
    except (msgspec.DecodeError, UnicodeDecodeError, LookupError, TypeError, ValueError):
        raise CanaryUnanswered("the answer holds no embedding") from None
    sketch = _sketch(numbers)
    return Answer(text="", tokens=sha256_of(json.dumps(sketch)), sketch=sketch)


def _sketch(vector: list[float]) -> tuple[float, ...]:
    """A unit vector projected to few numbers: enough to notice another one, small enough for a lock."""
    length = math.sqrt(sum(value * value for value in vector)) or 1.0
    sums = [0.0] * SKETCH_SIZE
    state = 0x9E3779B9
    for value in vector:
        for index in range(SKETCH_SIZE):
            state = (1103515245 * state + 12345) & 0x7FFFFFFF
            sums[index] += value if state & 0x10000 else -value
    return tuple(round(total / length, 4) for total in sums)
