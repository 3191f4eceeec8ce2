"""A node that renders prompts itself is asked, and what it answers is judged as any rendering."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from spillway.engines.embedded import EmbeddedEngine
from spillway.engines.http_client import HttpClient
from spillway.engines.wire import Origin
from spillway.pinning.templates import Source, render_by_node, report_on
from spillway.pinning.templates.conversations import CONVERSATIONS
from tests.engine_fixtures import CHAT_TEMPLATE, build_micro_gguf, needs_engine

Answer = Callable[[dict[str, Any]], tuple[int, object]]


@asynccontextmanager
async def node(answer: Answer) -> AsyncIterator[tuple[HttpClient, list[dict[str, Any]]]]:
    """A client of a node that answers ``/apply-template`` as told, and the bodies it was sent."""
    seen: list[dict[str, Any]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length:")[2].split()[0])
        seen.append(json.loads(await reader.readexactly(length)))
        status, body = answer(seen[-1]) if head.startswith("post /apply-template ") else (404, {})
        raw = json.dumps(body).encode()
        writer.write(
            b"HTTP/1.1 %d X\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % (status, len(raw)) + raw
        )
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = HttpClient(Origin.parse(f"http://127.0.0.1:{port}"))
    try:
        yield client, seen
    finally:
        await client.close()
        server.close()
        await server.wait_closed()


async def test_every_conversation_is_asked_as_clients_write_it() -> None:
    """The node gets OpenAI's shape: arguments as text, no tokens, tools only where offered."""
    async with node(lambda body: (200, {"prompt": json.dumps(body["messages"])})) as (client, seen):
        reference = await render_by_node(client)
    assert reference is not None
    assert set(reference.renderings) == {conversation.name for conversation in CONVERSATIONS}
    assert all(set(body) <= {"messages", "tools", "add_generation_prompt"} for body in seen)
    calls = [call for body in seen for m in body["messages"] for call in m.get("tool_calls", [])]
    assert calls
    assert all(isinstance(call["function"]["arguments"], str) for call in calls)


async def test_dates_of_these_days_are_taken_out() -> None:
    """Prompts that differ only in today's date compare equal from day to day."""
    today = datetime.now(UTC).strftime("%d %b %Y")
    async with node(lambda body: (200, {"prompt": f"Today: {today}."})) as (client, _):
        reference = await render_by_node(client)
    assert reference is not None
    assert reference.text("user") == "Today: [date]."
    assert reference.renderings["user"].is_dated


async def test_a_refusal_is_a_result() -> None:
    """What the template refuses is reported with its own words, not the engine's around them."""
    error = {
        "error": {"message": "Failed ...\nError: Jinja Exception: System role not supported", "code": 500}
    }

    def answer(body: dict[str, Any]) -> tuple[int, object]:
        is_refused = body["messages"][0]["role"] == "system"
        return (500, error) if is_refused else (200, {"prompt": "".join(map(json.dumps, body["messages"]))})

    async with node(answer) as (client, _):
        reference = await render_by_node(client)
    assert reference is not None
    found = {one.code: one for one in report_on(reference, Source("{{ x }}")).findings}
    assert "System role not supported" in found["refuses-system"].sentence


async def test_no_endpoint_no_result() -> None:
    """An engine without the endpoint, one that answers nonsense and one that is away give nothing."""
    for answer in ((404, {"error": "no"}), (200, {"prompt": 7}), (200, "x"), (503, {}), (500, "x")):
        async with node(lambda body, told=answer: told) as (client, seen):  # type: ignore[misc]
            assert await render_by_node(client) is None
        assert len(seen) == 1
    assert await render_by_node(HttpClient(Origin.parse("http://127.0.0.1:9"))) is None


@pytest.mark.engine
@needs_engine
async def test_a_real_engine_is_asked(tmp_path: Path) -> None:
    """llama.cpp renders every conversation; where its prompts differ from ours it adapted the request."""
    engine = EmbeddedEngine(
        build_micro_gguf(tmp_path / "micro.gguf"), name="micro", slots=1, context_tokens=256
    )
    await engine.start()
    client = HttpClient(Origin.parse(engine.url))
    try:
        reference = await render_by_node(client, ((b"authorization", f"Bearer {engine.api_key}".encode()),))
    finally:
        await client.close()
        await engine.stop()
    assert reference is not None
    assert all(rendered.failure is None for rendered in reference.renderings.values())
    assert reference.text("system_user") == (
        "<|im_start|>system\nYou are the harbour clerk of Ostmole.<|im_end|>\n"
        '<|im_start|>user\nCompare Tom & Jerry\'s <b>"quay"</b>, please.<|im_end|>\n<|im_start|>assistant\n'
    )
    found = {one.code for one in report_on(reference, Source(CHAT_TEMPLATE)).findings}
    assert found == {"no-tool-support", "swallowed-reasoning"}
