"""What a request asks of its answer."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from spillway.verify import Wish
from tests.verify.bodies import schema_wish, tool_wish, wish

SCHEMA = {"type": "object"}


@pytest.mark.parametrize(
    "fields",
    [
        {"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA, "strict": True}}},
        {"response_format": {"type": "json_schema", "schema": SCHEMA}},
        {"text": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        {"guided_json": SCHEMA},
        {"guided_json": '{"type": "object"}'},
        {"structured_outputs": {"json": SCHEMA}},
        {"json_schema": SCHEMA},
    ],
)
def test_reads_a_schema_in_every_dialect(fields: dict[str, Any]) -> None:
    """OpenAI's, llama.cpp's and vLLM's ways to give a schema are all read."""
    asked = wish(**fields)
    assert asked.wants_json
    assert asked.schema is not None
    assert msgspec.json.decode(asked.schema) == SCHEMA


def test_reads_strictness_and_objects() -> None:
    """json_object wants an object; strict is read from a schema."""
    assert schema_wish(SCHEMA).is_strict
    loose = wish(response_format={"type": "json_object"})
    assert loose.wants_object
    assert loose.schema is None
    assert not wish(response_format={"type": "text"}).wants_json


def test_reads_tools_and_choices() -> None:
    """Tools, the older functions, and every form of tool_choice are read."""
    assert list(tool_wish().tools) == ["weather"]
    assert tool_wish(choice="required").tool_choice == "required"
    assert tool_wish(choice="none").tool_choice == "none"
    named = tool_wish(choice={"type": "function", "function": {"name": "weather"}})
    assert (named.tool_choice, named.named_tool) == ("required", "weather")
    allowed = tool_wish(choice={"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": []}})
    assert (allowed.tool_choice, allowed.named_tool) == ("required", None)
    old = wish(functions=[{"name": "f", "parameters": SCHEMA}], function_call={"name": "f"})
    assert list(old.tools) == ["f"]
    assert old.named_tool == "f"


def test_reads_limits_and_stops() -> None:
    """Stops, token limits, number of choices and the parallel switch are read; odd values are not."""
    asked = wish(stop=["a", "b"], max_completion_tokens=5, max_tokens=9, n=2, parallel_tool_calls=False)
    assert (asked.stop, asked.max_tokens, asked.n, asked.has_parallel_calls) == (("a", "b"), 5, 2, False)
    odd = wish(stop=7, max_tokens="many", n=-1)
    assert (odd.stop, odd.max_tokens, odd.n) == ((), None, 1)


def test_reads_the_language_of_the_user() -> None:
    """The last user turn says the language; short ones say none; naming a language is noticed."""
    german = "Kannst du mir bitte erklären, warum der Himmel am Abend rot ist und nicht blau wie am Tag?"
    assert wish(german).language == "de"
    assert not wish(german).names_language
    assert wish("Hi there").language is None
    assert wish("Answer in French, please: why is the sky red in the evening?").names_language
    in_system = [
        {"role": "system", "content": "Always answer in Dutch."},
        {"role": "user", "content": german},
    ]
    assert Wish.of(msgspec.json.encode({"messages": in_system})).names_language
    parts = [{"role": "user", "content": [{"type": "text", "text": german}]}]
    assert Wish.of(msgspec.json.encode({"messages": parts})).language == "de"
    assert Wish.of(msgspec.json.encode({"prompt": german})).language == "de"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\x00",
        b"[]",
        b'"x"',
        b'{"messages": 7, "tools": "x", "response_format": []}',
        b'{"a":' * 40_000,
    ],
)
def test_never_raises(body: bytes) -> None:
    """Bodies that make no sense ask for nothing."""
    assert Wish.of(body) == Wish()


def test_two_megabytes_take_milliseconds() -> None:
    """A long history is passed over, not parsed."""
    turns = [{"role": "user", "content": "lorem ipsum " * 800} for _ in range(220)]
    body = msgspec.json.encode({"messages": turns, "response_format": {"type": "json_object"}})
    assert len(body) > 2_000_000
    started_s = time.process_time()
    assert Wish.of(body).wants_json
    assert time.process_time() - started_s < 0.25
