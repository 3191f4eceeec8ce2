"""Streams put together to whole answers: equal to what the engine, or the fake, sends unstreamed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from spillway.clock import SystemClock
from spillway.demo.model import verify_demo_model
from spillway.engines.embedded import EmbeddedEngine
from spillway.engines.http_client import HttpClient
from spillway.engines.openai_compatible import OpenAICompatible
from spillway.engines.wire import Origin
from spillway.fleet.registry import Fleet, Upstream
from spillway.relay.assemble import assemble
from spillway.relay.relay import Relay
from spillway.testing.answers import answer_for
from spillway.testing.bodies import event, stream_events, whole_json
from spillway.testing.raw_client import MESSAGES
from spillway.vocabulary import Deadlines, ModelFacts
from tests.engine_fixtures import needs_engine

from .conftest import PlainBooks, Stage

TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "find",
            "parameters": {"type": "object", "properties": {"q": {"type": "string"}}},
        },
    }
]
SCHEMA = {
    "type": "json_schema",
    "json_schema": {"name": "x", "schema": {"properties": {"ok": {"type": "boolean"}}}},
}

ANSWERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "cut short": {"max_tokens": 3},
    "several": {"n": 3},
    "log-probabilities": {"logprobs": True, "top_logprobs": 2},
    "schema": {"response_format": SCHEMA},
    "tools": {"tools": TOOLS},
    "several with tools": {"tools": TOOLS, "n": 2},
}


@pytest.mark.parametrize("wishes", ANSWERS.values(), ids=ANSWERS.keys())
@pytest.mark.parametrize("is_chat", [True, False], ids=["chat", "completion"])
def test_events_become_the_whole_answer(wishes: dict[str, Any], is_chat: bool) -> None:
    """Events put together equal the unstreamed body of the same answer, field by field."""
    if not is_chat and ("tools" in wishes or "response_format" in wishes):
        pytest.skip("completions have no such wish")
    body = {
        "model": "m",
        "messages": MESSAGES,
        "prompt": "hello",
        "stream_options": {"include_usage": True},
        **wishes,
    }
    answer = answer_for(body, is_chat=is_chat)
    *events, usage, _ = stream_events(answer)
    whole = assemble(b"".join(events), "chat" if is_chat else "completion", usage[6:-2])
    expected = whole_json(answer)
    for choice in expected["choices"]:
        choice.get("message", {}).pop("refusal", None)  # a stream never says that there is none
    assert whole == expected


def test_pieces_of_every_kind_are_joined() -> None:
    """Reasoning, names in pieces or repeated, items by index, unknown fields: all end where they belong."""

    def delta(**fields: Any) -> bytes:
        return event({"id": "a", "choices": [{"index": 0, "delta": fields, "finish_reason": None}]})

    events = [
        delta(role="assistant", content=None),
        delta(reasoning_content="Let me "),
        delta(reasoning_content="see.", reasoning_details=[{"index": 0, "type": "text", "text": "Let"}]),
        delta(content="Hi", reasoning_details=[{"index": 0, "type": "text", "text": " me"}]),
        delta(
            tool_calls=[
                {"index": 0, "id": "c1", "type": "function", "function": {"name": "fi", "arguments": ""}}
            ]
        ),
        delta(tool_calls=[{"index": 0, "function": {"name": "nd", "arguments": '{"a"'}}]),
        delta(tool_calls=[{"index": 1, "id": "c2", "function": {"name": "get", "arguments": "{"}}]),
        delta(tool_calls=[{"index": 1, "id": "c2", "function": {"name": "get", "arguments": "}"}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": ":1}"}}]),
        event(
            {
                "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls", "stop_reason": 7}],
                "timings": {"a": 1},
            }
        ),
    ]
    message = {
        "role": "assistant",
        "content": "Hi",
        "reasoning_content": "Let me see.",
        "reasoning_details": [{"index": 0, "type": "text", "text": "Let me"}],
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"a":1}'}},
            {"id": "c2", "function": {"name": "get", "arguments": "{}"}},
        ],
    }
    assert assemble(b"".join(events), "chat") == {
        "id": "a",
        "choices": [{"index": 0, "finish_reason": "tool_calls", "message": message, "stop_reason": 7}],
        "timings": {"a": 1},
        "object": "chat.completion",
    }


def test_comments_and_other_line_ends_do_not_matter() -> None:
    """Events between comments, or ended the other way, are read as well."""
    one = b': still there\r\n\r\ndata: {"choices":[{"index":0,"text":"a"}]}\r\n\r\n'
    two = b'data:{"choices":[{"index":0,"text":"b","finish_reason":"stop"}]}\r\n\r\n'
    choice = {"index": 0, "text": "ab", "finish_reason": "stop"}
    assert assemble(one + two, "completion")["choices"] == [choice]


# the real engine


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[EmbeddedEngine]:
    """The demo model on the real engine."""
    running = EmbeddedEngine(verify_demo_model(), name="demo", slots=2, context_tokens=512, threads=1)
    await running.start()
    yield running
    await running.stop()


ORDER = [{"role": "user", "content": "where is my order 48213?"}]
ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("chat", {"messages": ORDER}),
    "log-probabilities": ("chat", {"messages": ORDER, "logprobs": True, "top_logprobs": 2}),
    "schema": ("chat", {"messages": ORDER, "response_format": SCHEMA}),
    "tools": ("chat", {"messages": ORDER, "tools": TOOLS}),
    "several": ("chat", {"messages": ORDER, "n": 2}),
    "begun by the client": ("chat", {"messages": [*ORDER, {"role": "assistant", "content": '{"intent'}]}),
    "empty": ("chat", {"messages": ORDER, "grammar": 'root ::= ""'}),
    "completion": ("completion", {"prompt": "hello"}),
    "completion with log-probabilities": ("completion", {"prompt": "hello", "logprobs": 2}),
    "several completions": ("completion", {"prompt": ["hello", "where"]}),
    "echo": ("completion", {"prompt": "hello", "echo": True}),
}


@pytest.mark.engine
@needs_engine
async def test_the_engine_itself_would_have_answered_so(engine: EmbeddedEngine) -> None:
    """Whole answers through the gateway, which streams, equal those of the engine asked directly."""
    upstream = Upstream(
        "demo",
        "local",
        OpenAICompatible(engine.url, engine.api_key, reuses_after_stream=False),
        (ModelFacts("demo"),),
        kind="llamacpp",
    )
    fleet, books = Fleet((upstream,), SystemClock()), PlainBooks()
    stage = Stage({}, fleet, books, Relay(fleet, books, SystemClock()), Deadlines())
    direct = HttpClient(Origin.parse(engine.url))
    differing = {}
    for name, (operation, wishes) in ASKED.items():
        fields = {"temperature": 0, "max_tokens": 12, "cache_prompt": False, **wishes}
        got = await stage.ask(operation, **fields)  # type: ignore[arg-type]
        path = "/v1/chat/completions" if operation == "chat" else "/v1/completions"
        expected = await _unstreamed(direct, engine.api_key, path, {"model": "demo", **fields})
        if _comparable(got.json, name) != _comparable(expected, name):
            differing[name] = (got.json, expected)
        assert "timings" in got.json
    await direct.close()
    await fleet.close()
    assert differing == {}


async def _unstreamed(client: HttpClient, key: str, path: str, body: dict[str, Any]) -> Any:
    headers = [(b"authorization", b"Bearer " + key.encode()), (b"content-type", b"application/json")]
    exchange = await client.open("POST", path, headers, json.dumps(body).encode())
    return json.loads(await exchange.body(10_000_000))


def _comparable(answer: dict[str, Any], name: str) -> dict[str, Any]:
    """Less what differs by nature. Of several answers llama.cpp counts one's tokens only; we count all."""
    kept = {k: v for k, v in answer.items() if k not in ("id", "created", "timings")}
    if name.startswith("several"):
        del kept["usage"]
    return kept
