"""What users of OpenAI's own client see of failing upstreams."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from spillway.testing.answers import answer_text
from spillway.testing.fake_upstream import Fault, Reply
from spillway.testing.raw_client import MESSAGES

from .conftest import Running, Start

WHOLE = answer_text({"messages": MESSAGES})
ASKED: Any = {"model": "auto", "messages": MESSAGES, "temperature": 0}


@pytest.fixture
async def gateway(start: Start) -> Running:
    """A node and a cloud behind a gateway."""
    running: Running = await start(mini="local", openai="cloud")
    return running


@pytest.fixture
async def client(gateway: Running) -> AsyncIterator[AsyncOpenAI]:
    """The official client, without retries that would hide a failure."""
    async with AsyncOpenAI(base_url=gateway.url, api_key="unused", max_retries=0, timeout=10) as ai:
        yield ai


async def read(client: AsyncOpenAI, **wishes: Any) -> tuple[str, list[Any]]:
    """The text of a stream, and its chunks."""
    stream = await client.chat.completions.create(stream=True, **ASKED, **wishes)
    chunks = [chunk async for chunk in stream]
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    return "".join(delta.content or "" for delta in deltas), chunks


async def test_a_broken_stream_reads_on(client: AsyncOpenAI, gateway: Running) -> None:
    """The loop over a stream that breaks simply goes on, and the extra field says that it was continued."""
    gateway.upstreams["mini"].script(Reply(fault=Fault.CUT, after=6))
    text, chunks = await read(client, stream_options={"include_usage": True})
    assert text == WHOLE
    assert chunks[-1].usage.model_extra["spillway"]["continued"] is True
    assert [c.model_extra["spillway"]["upstream"] for c in chunks if "spillway" in (c.model_extra or {})] == [
        "openai"
    ]


async def test_a_stream_nobody_can_continue_raises(client: AsyncOpenAI, gateway: Running) -> None:
    """The client's loop ends with its own exception, after the words that had come."""
    gateway.upstreams["mini"].script(Reply(fault=Fault.CUT, after=6))
    private = {"x-spillway-private": "true"}
    stream = await client.chat.completions.create(stream=True, **ASKED, extra_headers=private)
    seen: list[Any] = []
    with pytest.raises(openai.APIError, match="incomplete"):
        await _collect(stream, seen)
    assert seen


async def _collect(stream: Any, seen: list[Any]) -> None:
    async for chunk in stream:
        seen.append(chunk)  # noqa: PERF401  what came before the exception must be kept


async def test_tool_calls_arrive_whole(client: AsyncOpenAI, gateway: Running) -> None:
    """A tool call that breaks is made anew by the alternate; the client gets one, with whole arguments."""
    gateway.upstreams["mini"].script(Reply(fault=Fault.STALLED, after=3))
    parameters = {"type": "object", "properties": {"q": {"type": "string"}}}
    tools = [{"type": "function", "function": {"name": "find", "parameters": parameters}}]
    _, chunks = await read(client, tools=tools)
    calls = [call for c in chunks for choice in c.choices for call in choice.delta.tool_calls or ()]
    assert [call.function.name for call in calls if call.function.name] == ["find"]
    assert "".join(call.function.arguments or "" for call in calls) == '{"q": "weir"}'


async def test_a_whole_answer_survives(client: AsyncOpenAI, gateway: Running) -> None:
    """An unstreamed call whose first upstream falls silent in the middle returns a complete answer."""
    gateway.upstreams["mini"].script(Reply(fault=Fault.STALLED, after=6))
    raw = await client.chat.completions.with_raw_response.create(**ASKED)
    answer = raw.parse()
    assert answer.choices[0].message.content == WHOLE
    assert answer.usage
    assert answer.usage.completion_tokens == 12
    assert raw.headers["x-spillway-attempts"] == "2"


async def test_errors_become_the_clients_own(client: AsyncOpenAI, gateway: Running) -> None:
    """Rate limits, timeouts and refusals raise what users of the client already handle."""
    private = {"x-spillway-private": "true"}
    gateway.upstreams["mini"].script(Reply(fault=Fault.RATE_LIMITED, retry_after="7"))
    with pytest.raises(openai.RateLimitError) as limited:
        await client.chat.completions.create(**ASKED, extra_headers=private)
    assert limited.value.response.headers["retry-after"] == "7"
    gateway.upstreams["mini"].script(Fault.CONTEXT_LLAMACPP)
    with pytest.raises(openai.BadRequestError):
        await client.chat.completions.create(**ASKED, extra_headers=private)
    gateway.upstreams["mini"].script(Fault.SILENT)
    with pytest.raises(openai.InternalServerError) as silent:
        await client.chat.completions.create(**ASKED, extra_headers=private)
    assert silent.value.status_code == 504
