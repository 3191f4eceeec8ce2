"""Deterministic OpenAI-shaped answers: the same request always gets the same text, counts and numbers.

A token here is a run of non-blank characters with the blanks before it, so counts can be checked by eye.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "CREATED_S",
    "Answer",
    "answer_for",
    "answer_text",
    "count_prompt_tokens",
    "count_tokens",
    "embedding_vector",
    "error_body",
    "tokens_of",
    "value_for_schema",
]

Json = dict[str, Any]

CREATED_S = 1_790_000_000
"""``created`` in every body, so that bodies compare equal byte by byte."""
MESSAGE_TOKENS = 4
"""What each chat message adds to the prompt for its role and marks."""
EMBEDDING_DIMENSIONS = 8
WORDS = """river lock weir gate basin canal spring rain flood dry naïve €5 slow quick deep over under level
north south 水 stone reed heron otter mill bridge ford delta marsh"""
VOCABULARY = WORDS.split()


def tokens_of(text: str) -> list[str]:
    """The text cut into tokens; joined they are the text again.

    >>> tokens_of("one  two")
    ['one', '  two']
    """
    return re.findall(r"\s*\S+|\s+$", text)


def count_tokens(text: str) -> int:
    """How many tokens the text has."""
    return len(tokens_of(text))


def error_body(message: str, kind: str, code: str | int | None = None, **more: object) -> Json:
    """OpenAI's error object."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code, **more}}


def answer_text(body: Mapping[str, Any], choice: int = 0, words: int = 12) -> str:
    """What the healthy upstream says to this request: words chosen by a hash of its prompt."""
    prompt = json.dumps([body.get("messages"), body.get("prompt"), choice], sort_keys=True)
    digest = hashlib.sha256(prompt.encode()).digest()
    return " ".join(VOCABULARY[digest[i % 32] % len(VOCABULARY)] for i in range(words))


def count_prompt_tokens(body: Mapping[str, Any]) -> int:
    """Prompt tokens of a chat, completion or embedding request."""
    messages = body.get("messages")
    if isinstance(messages, list):
        return sum(MESSAGE_TOKENS + count_tokens(_text_of(message)) for message in messages)
    given = body.get("prompt", body.get("input", ""))
    parts = given if isinstance(given, list) else [given]
    return sum(count_tokens(p) if isinstance(p, str) else len(p) if isinstance(p, list) else 1 for p in parts)


def value_for_schema(schema: Mapping[str, Any]) -> Any:
    """A small value that satisfies the common parts of a JSON schema."""
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    kind = schema.get("type")
    if kind == "object" or "properties" in schema:
        return {name: value_for_schema(part) for name, part in schema.get("properties", {}).items()}
    if kind == "array":
        return [value_for_schema(schema.get("items", {}))]
    return {"integer": 7, "number": 1.5, "boolean": True, "null": None}.get(str(kind), "weir")


def embedding_vector(text: str, dimensions: int = EMBEDDING_DIMENSIONS) -> list[float]:
    """A unit vector that depends on the text alone."""
    raw = hashlib.shake_256(text.encode("utf-8", "surrogatepass")).digest(2 * dimensions)
    values = [value / 32768 + 1e-6 for (value,) in struct.iter_unpack("<h", raw)]
    length = math.sqrt(sum(value * value for value in values))
    return [value / length for value in values]


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole answer before it is put on the wire. ``pieces`` holds, per choice, the tokens to say."""

    body: Mapping[str, Any]
    is_chat: bool
    pieces: tuple[tuple[str, ...], ...]
    finish_reason: str
    tool: tuple[str, str] | None = None
    """Name and JSON arguments of the one tool call to make instead of speaking."""
    fingerprint: str = "fp_fake"
    created_s: int = CREATED_S
    prompt_tokens: int | None = None
    """Tokens of the prompt; ``None`` counts them by ``count_prompt_tokens``."""

    @property
    def model(self) -> str:
        """The model as the request named it."""
        return str(self.body.get("model", "fake-model"))

    @property
    def identifier(self) -> str:
        """The answer's id, a hash of the request."""
        digest = hashlib.sha256(json.dumps(self.body, sort_keys=True).encode()).hexdigest()[:24]
        return ("chatcmpl-" if self.is_chat else "cmpl-") + digest

    @property
    def text(self) -> str:
        """What the first choice says."""
        return "".join(self.pieces[0])

    @property
    def usage(self) -> Json:
        """Prompt, completion and total tokens."""
        counted = self.prompt_tokens
        prompt = count_prompt_tokens(self.body) if counted is None else counted
        said = sum(len(pieces) for pieces in self.pieces)
        said = count_tokens(self.tool[1]) + 1 if self.tool else said
        return {"prompt_tokens": prompt, "completion_tokens": said, "total_tokens": prompt + said}


def answer_for(body: Mapping[str, Any], *, is_chat: bool, text: str | None = None) -> Answer:
    """The healthy answer: obeys ``max_tokens``, ``n``, ``tools`` and ``response_format``."""
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    choices = range(int(body.get("n") or 1))
    full = [tokens_of(_spoken(body, choice) if text is None else text) for choice in choices]
    said = tuple(tuple(pieces[:limit]) for pieces in full)
    tool = _tool_call(body) if is_chat and text is None else None
    was_cut = any(len(short) < len(long) for short, long in zip(said, full, strict=True))
    finish = "tool_calls" if tool else "length" if was_cut else "stop"
    return Answer(body=body, is_chat=is_chat, pieces=said, finish_reason=finish, tool=tool)


def encode_embedding(vector: Sequence[float], encoding: object) -> list[float] | str:
    """The vector as a list or, when asked for, as base64 of little-endian floats."""
    if encoding != "base64":
        return list(vector)
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _spoken(body: Mapping[str, Any], choice: int) -> str:
    wanted = body.get("response_format")
    if isinstance(wanted, dict) and wanted.get("type") == "json_schema":
        return json.dumps(value_for_schema(wanted["json_schema"].get("schema", {})))
    if isinstance(wanted, dict) and wanted.get("type") == "json_object":
        return json.dumps({"answer": answer_text(body, choice, words=3)}, ensure_ascii=False)
    return answer_text(body, choice)


def _tool_call(body: Mapping[str, Any]) -> tuple[str, str] | None:
    tools, choice = body.get("tools"), body.get("tool_choice")
    messages = body.get("messages") or [{}]
    if not tools or choice == "none" or messages[-1].get("role") == "tool":
        return None
    functions = {tool["function"]["name"]: tool["function"] for tool in tools}
    named = choice["function"]["name"] if isinstance(choice, dict) else next(iter(functions))
    return named, json.dumps(value_for_schema(functions[named].get("parameters", {})))


def _text_of(message: object) -> str:
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return " ".join(str(part.get("text", "")) for part in parts if isinstance(part, dict))
