"""The fake upstream when nothing is wrong: answers, records, events, scripts."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from openai import AsyncOpenAI

from spillway.testing.answers import answer_text, embedding_vector, tokens_of
from spillway.testing.fake_upstream import FakeUpstream, Fault, Reply
from spillway.testing.raw_client import MESSAGES, ask, raw_connection

TOOL = {
    "type": "function",
    "function": {
        "name": "find_order",
        "parameters": {
            "type": "object",
            "properties": {"id": {"type": "integer"}, "why": {"type": "string"}},
        },
    },
}
SAID = answer_text({"messages": MESSAGES})


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    """A healthy upstream."""
    async with FakeUpstream() as running:
        yield running


@pytest.fixture
async def client(upstream: FakeUpstream) -> AsyncIterator[AsyncOpenAI]:
    """The official client, pointed at it, without retries."""
    async with AsyncOpenAI(base_url=upstream.url, api_key="k", max_retries=0) as opened:
        yield opened


async def test_official_client_reads_a_whole_answer(client: AsyncOpenAI) -> None:
    """An unstreamed chat answer has the text, finish reason and token counts of the request."""
    answer = await client.chat.completions.create(model="m", messages=cast(Any, MESSAGES))
    assert answer.choices[0].message.content == SAID
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (8, 12)


async def test_official_client_reads_a_stream(client: AsyncOpenAI) -> None:
    """A streamed answer says the same, and ends with usage on a chunk without choices."""
    stream = await client.chat.completions.create(
        model="m", messages=cast(Any, MESSAGES), stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == SAID
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 20
    assert [c.usage for c in chunks[:-1]] == [None] * (len(chunks) - 1)


async def test_no_usage_unless_asked_for(upstream: FakeUpstream) -> None:
    """A stream that was not asked for usage has none, as OpenAI's."""
    wire = await ask(upstream.port, stream=True)
    assert b"usage" not in wire.body
    assert wire.data[-1] == "[DONE]"
    assert wire.finishes == ["stop"]


async def test_max_tokens_cuts_the_answer(upstream: FakeUpstream) -> None:
    """``max_tokens`` is obeyed and reported as ``length``."""
    wire = await ask(upstream.port, max_tokens=3)
    choice = wire.json["choices"][0]
    assert choice["message"]["content"] == "".join(tokens_of(SAID)[:3])
    assert choice["finish_reason"] == "length"
    assert wire.json["usage"]["completion_tokens"] == 3


async def test_several_choices_take_turns(upstream: FakeUpstream) -> None:
    """``n: 2`` streams two different answers interleaved, each with its own finish reason."""
    wire = await ask(upstream.port, stream=True, n=2)
    indexes = [chunk["choices"][0]["index"] for chunk in wire.chunks]
    assert indexes[:6] == [0, 1, 0, 1, 0, 1]
    assert wire.finishes == ["stop", "stop"]
    whole = await ask(upstream.port, n=2)
    first, second = (choice["message"]["content"] for choice in whole.json["choices"])
    assert first != second


async def test_tool_call_whole_and_streamed(client: AsyncOpenAI) -> None:
    """A request with tools is answered by a call whose arguments fit the schema, streamed in pieces."""
    asked: Any = {"model": "m", "messages": MESSAGES, "tools": [TOOL]}
    whole = await client.chat.completions.create(**asked)
    call = whole.choices[0].message.tool_calls[0]
    assert whole.choices[0].finish_reason == "tool_calls"
    assert json.loads(call.function.arguments) == {"id": 7, "why": "weir"}
    stream = await client.chat.completions.create(**asked, stream=True)
    deltas = [d for chunk in [c async for c in stream] for d in chunk.choices[0].delta.tool_calls or []]
    assert deltas[0].id
    assert deltas[0].function.name == call.function.name == "find_order"
    assert "".join(delta.function.arguments for delta in deltas) == call.function.arguments
    assert len(deltas) > 2


async def test_tool_result_is_answered_in_words(upstream: FakeUpstream) -> None:
    """After a tool's result the upstream speaks."""
    messages = [*MESSAGES, {"role": "tool", "tool_call_id": "c", "content": "{}"}]
    wire = await ask(upstream.port, messages=messages, tools=[TOOL])
    assert wire.json["choices"][0]["finish_reason"] == "stop"


async def test_logprobs(client: AsyncOpenAI) -> None:
    """Log probabilities come per token with as many alternatives as asked for."""
    answer = await client.chat.completions.create(
        model="m", messages=cast(Any, MESSAGES), logprobs=True, top_logprobs=2
    )
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert "".join(entry.token for entry in logprobs.content) == SAID
    assert {len(entry.top_logprobs) for entry in logprobs.content} == {2}


async def test_json_schema_is_obeyed(upstream: FakeUpstream) -> None:
    """``response_format`` with a schema yields JSON that satisfies it."""
    schema = {"type": "object", "properties": {"task": {"enum": ["refund", "other"]}}}
    form = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}
    wire = await ask(upstream.port, response_format=form)
    assert json.loads(wire.json["choices"][0]["message"]["content"]) == {"task": "refund"}


async def test_legacy_completions(client: AsyncOpenAI) -> None:
    """``/v1/completions`` answers whole and streamed, with the same text."""
    whole = await client.completions.create(model="m", prompt="once", logprobs=1)
    stream = await client.completions.create(model="m", prompt="once", stream=True)
    assert "".join([chunk.choices[0].text async for chunk in stream]) == whole.choices[0].text
    assert whole.choices[0].logprobs is not None


async def test_embeddings(client: AsyncOpenAI) -> None:
    """Each input has its own unit vector, also in the base64 form the official client asks for."""
    answer = await client.embeddings.create(model="m", input=["a", "b"])
    assert answer.data[1].embedding == pytest.approx(embedding_vector("b"), abs=1e-6)
    assert sum(value * value for value in answer.data[0].embedding) == pytest.approx(1.0, abs=1e-5)
    assert answer.usage.prompt_tokens == 2


async def test_models_and_health_are_probes(upstream: FakeUpstream, client: AsyncOpenAI) -> None:
    """Probes are answered, recorded apart and leave the script alone."""
    upstream.script(Fault.ERROR_500)
    upstream.respond("GET", "/props", {"total_slots": 2})
    assert [model.id async for model in client.models.list()] == ["fake-model"]
    async with raw_connection(upstream.port) as raw:
        raw.send_bytes(b"GET /props HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await raw.answer()).json == {"total_slots": 2}
        raw.send_bytes(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\nGET /nope HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b'"status": "ok"' in (await raw.answer(enough=b"invalid_request_error")).raw
    assert [probe.path for probe in upstream.probes] == ["/v1/models", "/props", "/health", "/nope"]
    assert (await ask(upstream.port)).status == 500


async def test_records_what_arrived(upstream: FakeUpstream) -> None:
    """Method, path, headers, body bytes and connection of every request are kept."""
    async with raw_connection(upstream.port) as raw:
        for model in ("one", "two"):
            raw.send({"model": model, "messages": MESSAGES}, headers=(("X-Thing", "7"),))
            await raw.answer()
    await ask(upstream.port, model="three")
    seen = await upstream.requests(3)
    assert [entry.json["model"] for entry in seen] == ["one", "two", "three"]
    assert [entry.connection for entry in seen] == [1, 1, 2]
    assert seen[0].header("x-thing") == "7"
    assert seen[0].request.method == "POST"
    assert (upstream.accepted_connections, upstream.max_in_flight) == (2, 1)
    assert all(entry.ended_s is not None and entry.hung_up_s is None for entry in seen)


async def test_reads_chunked_requests(upstream: FakeUpstream) -> None:
    """A request body sent in chunks is put together."""
    body = json.dumps({"model": "m", "messages": MESSAGES}).encode()
    async with raw_connection(upstream.port) as raw:
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        raw.send_bytes(head + b"5\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (body[:5], len(body) - 5, body[5:]))
        assert (await raw.answer()).status == 200
    assert upstream.received[0].body == body


async def test_refuses_bodies_that_are_no_object(upstream: FakeUpstream) -> None:
    """A body that is not a JSON object gets OpenAI's 400; bytes that are not HTTP get a 400 and FIN."""
    async with raw_connection(upstream.port) as raw:
        raw.send(b"[1, 2")
        assert (await raw.answer()).json["error"]["type"] == "invalid_request_error"
        raw.send_bytes(b"\x00\x01 nonsense\r\n\r\n")
        wire = await raw.answer(to_the_end=True)
        assert (wire.status, wire.ending) == (400, "fin")


async def test_script_is_used_in_order_then_default() -> None:
    """Scripted replies serve one request each, ``times`` more, and then the default rules."""
    async with FakeUpstream(
        Fault.ERROR_500, Reply(fault=Fault.LOADING, times=2), default=Reply(text="hi")
    ) as up:
        statuses = [(await ask(up.port)).status for _ in range(3)]
        assert statuses == [500, 503, 503]
        assert (await ask(up.port)).json["choices"][0]["message"]["content"] == "hi"
        assert [entry.fault for entry in up.received][-2:] == [Fault.LOADING, Fault.HEALTHY]


async def test_extra_headers(upstream: FakeUpstream) -> None:
    """A reply may carry headers of its own."""
    upstream.script(Reply(headers=(("x-ratelimit-remaining-requests", "9"),)))
    assert b"x-ratelimit-remaining-requests: 9" in (await ask(upstream.port)).head


async def test_waiting_for_what_never_comes_fails(upstream: FakeUpstream) -> None:
    """An awaited event that does not happen says what was waited for and what was seen."""
    await ask(upstream.port)
    with pytest.raises(TimeoutError, match=r"2 requests; received .*chat/completions healthy"):
        await upstream.requests(2, timeout_s=0.01)


async def test_held_requests_overlap_and_go_on_when_released(upstream: FakeUpstream) -> None:
    """``held`` keeps requests in flight for exactly as long as the test wants."""
    upstream.script(Reply(fault=Fault.HELD, after=-1), Reply(fault=Fault.HELD, after=2))
    first = asyncio.create_task(ask(upstream.port, stream=True))
    await upstream.held(1)
    second = asyncio.create_task(ask(upstream.port, stream=True))
    await upstream.held(2)
    assert upstream.in_flight == 2
    upstream.release()
    assert [(await task).text for task in (first, second)] == [SAID, SAID]
    await upstream.idle()
    assert (upstream.in_flight, upstream.max_in_flight) == (0, 2)


async def test_hung_up_while_held(upstream: FakeUpstream) -> None:
    """A client that leaves a held request is noticed."""
    upstream.script(Reply(fault=Fault.HELD, after=1))
    await ask(upstream.port, stream=True, enough=b"assistant")
    (entry,) = await upstream.disconnected()
    assert entry.ended_s is None


async def test_idle_connections_can_be_closed(upstream: FakeUpstream) -> None:
    """``hang_up_idle`` ends kept-alive connections with FIN."""
    async with raw_connection(upstream.port) as raw:
        raw.send({"messages": MESSAGES})
        await raw.answer()
        upstream.hang_up_idle()
        assert (await raw.answer(to_the_end=True)).ending == "fin"


async def test_connection_close_is_obeyed(upstream: FakeUpstream) -> None:
    """A client that asks for ``connection: close`` gets FIN after its answer."""
    async with raw_connection(upstream.port) as raw:
        raw.send({"messages": MESSAGES}, headers=(("connection", "close"),))
        wire = await raw.answer(to_the_end=True)
        assert (wire.status, wire.ending) == (200, "fin")


async def test_a_handler_that_dies_is_not_hidden() -> None:
    """A request the fake cannot handle resets the connection and fails the test on leaving."""
    with pytest.raises(ValueError, match="no-such-fault"):
        async with FakeUpstream() as upstream:
            assert (await ask(upstream.port, model="fault:no-such-fault")).ending == "reset"


async def test_runs_by_hand() -> None:
    """The module runs as a program: one ready line, and every fault is a model."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "spillway.testing.fake_upstream", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        ready = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))
        async with AsyncOpenAI(base_url=ready["url"], api_key="k", max_retries=0) as client:
            models = {model.id async for model in client.models.list()}
        assert {f"fault:{fault}" for fault in Fault} < models
    finally:
        process.terminate()
        await process.wait()
