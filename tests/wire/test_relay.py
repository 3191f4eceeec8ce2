"""What a client gets through the gateway when upstreams behave, and when they do not."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from spillway.testing.fake_upstream import Fault, Reply
from spillway.testing.raw_client import MESSAGES, Wire, raw_connection

from .conftest import Running, Start

RESCUED = (
    Fault.REFUSED,
    Fault.RESET_BEFORE_HEADERS,
    Fault.CLOSED_BEFORE_HEADERS,
    Fault.SILENT,
    Fault.HEADERS_THEN_SILENT,
    Fault.CLOSED_AFTER_HEADERS,
    Fault.RESET_AFTER_HEADERS,
    Fault.EMPTY_BODY,
    Fault.HTML_200,
    Fault.HTML_502,
    Fault.RATE_LIMITED,
    Fault.RATE_LIMITED_NO_ADVICE,
    Fault.UNAUTHORIZED,
    Fault.MODEL_MISSING,
    Fault.ERROR_500,
    Fault.LOADING,
    Fault.CONTEXT_OPENAI,
    Fault.CONTEXT_LLAMACPP,
    Fault.ERROR_FIRST_EVENT,
)
"""Faults before the first content byte: the alternate answers and the client sees nothing of them."""
HARMLESS = (
    Fault.HEALTHY,
    Fault.MISSING_DONE,
    Fault.MISSING_USAGE,
    Fault.USAGE_ON_LAST_CHUNK,
    Fault.NULL_FIRST_CONTENT,
    Fault.KEEP_ALIVE_TRAP,
    Fault.LENGTH_FRAMED,
    Fault.CLOSE_DELIMITED,
    Fault.CRLF,
    Fault.SPLIT_EVENTS,
    Fault.COMMENTS,
    Fault.EARLY_HINTS,
    Fault.HUGE_EVENT,
    Fault.EMPTY_COMPLETION,
)
"""Oddities that must not keep the client from its answer."""
CUTTING = (Fault.CUT, Fault.CUT_CLEAN, Fault.RESET_MID_STREAM, Fault.STALLED, Fault.MALFORMED_FRAMING)
"""Faults after content was passed on: the stream ends with an error, never as success."""


def body(model: str = "auto", **fields: Any) -> bytes:
    """A small chat request."""
    return json.dumps({"model": model, "messages": MESSAGES, **fields}).encode()


async def ask(running: Running, payload: bytes, **headers: str) -> Wire:
    """One request to the gateway and its whole answer."""
    async with raw_connection(running.port) as client:
        client.send(
            payload, headers=tuple((name.replace("_", "-"), value) for name, value in headers.items())
        )
        return await client.answer()


def text_of(wire: Wire) -> str:
    """The answer's text, streamed or whole."""
    return wire.text if wire.data else str(wire.json["choices"][0]["message"]["content"])


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("fault", RESCUED)
async def test_alternate_answers_before_the_first_byte(start: Start, fault: Fault, is_stream: bool) -> None:
    """Whatever goes wrong before content was sent, the next upstream answers and both are recorded."""
    running = await start(mini="local", openai="cloud")
    running.upstreams["mini"].script(Reply(fault=fault, times=2))
    wire = await ask(running, body(stream=is_stream))
    assert wire.status == 200
    assert b"x-spillway-upstream: openai" in wire.head
    assert b"x-spillway-attempts: 2" in wire.head
    assert text_of(wire)
    outcome = (await running.books.wait())[0]
    assert [attempt.upstream for attempt in outcome.attempts] == ["mini", "openai"]
    assert outcome.attempts[0].error_code
    assert outcome.result == "ok"
    assert running.in_flight() == 0


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("fault", HARMLESS)
async def test_oddities_do_not_matter(start: Start, fault: Fault, is_stream: bool) -> None:
    """An unusual but healthy answer reaches the client whole, from the first upstream."""
    running = await start(mini="local")
    running.upstreams["mini"].script(Reply(fault=fault, huge_chars=200_000, delay_s=0.05, gap_s=0.01))
    wire = await ask(running, body(stream=is_stream))
    assert wire.status == 200
    assert (await running.books.wait())[0].result == "ok"
    assert text_of(wire) or fault is Fault.EMPTY_COMPLETION
    if is_stream:
        assert wire.data[-1] == "[DONE]"
    assert running.in_flight() == 0


@pytest.mark.parametrize("fault", CUTTING)
async def test_cut_stream_ends_with_an_error(start: Start, fault: Fault) -> None:
    """An answer that breaks after content was sent, with nobody to go on, ends with an error event."""
    running = await start(mini="local")
    running.upstreams["mini"].script(Reply(fault=fault, after=4))
    wire = await ask(running, body(stream=True))
    last = json.loads(wire.data[-1])
    assert last["error"]["upstream"] == "mini"
    assert "incomplete" in last["error"]["message"]
    outcome = (await running.books.wait())[0]
    assert outcome.result == "cut"
    assert outcome.attempts[0].usage is not None
    assert running.in_flight() == 0


async def test_error_event_is_never_success(start: Start) -> None:
    """An error the upstream reports in its stream leads to the alternate or to an error, never to an end."""
    running = await start(mini="local", openai="cloud")
    running.upstreams["mini"].script(Reply(fault=Fault.ERROR_EVENT, after=4))
    wire = await ask(running, body(stream=True))
    outcome = (await running.books.wait())[0]
    assert outcome.attempts[0].error_code == "upstream_failed"
    if outcome.result == "ok":
        assert outcome.attempts[1].upstream == "openai"
    else:
        assert json.loads(wire.data[-1])["error"]["upstream"] == "mini"


async def test_missing_finish_reason_is_not_success(start: Start) -> None:
    """A stream that ends with [DONE] but without a finish reason is reported as incomplete."""
    running = await start(mini="local")
    running.upstreams["mini"].script(Fault.MISSING_FINISH)
    wire = await ask(running, body(stream=True))
    assert json.loads(wire.data[-1])["error"]["code"] == "upstream_cut"


@pytest.mark.parametrize("is_stream", [False, True])
async def test_bad_request_is_returned_as_it_came(start: Start, is_stream: bool) -> None:
    """A rejection that is about the request is passed on once, with the upstream's status and body."""
    running = await start(mini="local", openai="cloud")
    running.upstreams["mini"].script(Fault.BAD_REQUEST)
    wire = await ask(running, body(stream=is_stream))
    assert wire.status == 400
    assert wire.json["error"]["param"] == "temperature"
    assert not await _was_asked(running, "openai")


async def test_content_filter_is_not_shopped_around(start: Start) -> None:
    """A refusal on content grounds is returned, not taken to the next provider."""
    running = await start(mini="local", openai="cloud")
    running.upstreams["mini"].script(Fault.CONTENT_FILTER_400)
    wire = await ask(running, body())
    assert wire.status == 400
    assert not await _was_asked(running, "openai")


async def test_all_fail_names_the_upstream(start: Start) -> None:
    """When nothing is left the error says which upstream failed and how."""
    running = await start(mini="local")
    running.upstreams["mini"].script(Fault.ERROR_500)
    wire = await ask(running, body())
    assert wire.status == 502
    assert wire.json["error"]["upstream"] == "mini"
    assert (await running.books.wait())[0].result == "error"


async def test_a_rate_limit_reaches_the_caller(start: Start) -> None:
    """When the only upstream limits our rate, the caller gets 429 with its advice, so that it backs off."""
    running = await start(openai="cloud")
    running.upstreams["openai"].script(Reply(fault=Fault.RATE_LIMITED, retry_after="7"))
    wire = await ask(running, body())
    assert wire.status == 429
    assert b"retry-after: 7" in wire.head
    assert wire.json["error"]["upstream"] == "openai"


@pytest.mark.parametrize("fault", RESCUED)
async def test_private_requests_fail_closed(start: Start, fault: Fault) -> None:
    """However the local node fails, a private request never reaches a cloud."""
    running = await start(mini="local", openai="cloud")
    running.upstreams["mini"].script(Reply(fault=fault, times=3))
    wire = await ask(running, body(), x_spillway_private="true")
    assert wire.status >= 400 or fault is Fault.LOADING  # that passes, and the node is waited for
    assert not await _was_asked(running, "openai")


@pytest.mark.parametrize("is_stream", [False, True])
async def test_hang_up_cancels_the_upstream(start: Start, is_stream: bool) -> None:
    """A client that closes its connection ends the upstream's work within 100 ms, and is recorded.

    The best of three counts: on a busy machine this process itself may be held up for longer.
    """
    running = await start(mini="local")
    delays_s = [await _hang_up(running, is_stream, count) for count in (1, 2, 3)]
    assert min(delays_s) < 0.1
    for outcome in await running.books.wait(3):
        assert outcome.result == "cancelled"
        assert outcome.attempts[0].error_code == "client_closed"
    assert running.in_flight() == 0


async def _hang_up(running: Running, is_stream: bool, count: int) -> float:
    """Seconds from the client's hang-up in the middle of its answer to the gateway's at the upstream."""
    upstream = running.upstreams["mini"]
    upstream.script(Reply(fault=Fault.HELD, after=4 if is_stream else -1))
    async with raw_connection(running.port) as client:
        client.send(body(stream=is_stream))
        await upstream.held(1)
        left_s = asyncio.get_running_loop().time()
    gone = (await upstream.disconnected(count))[-1]
    assert gone.hung_up_s is not None
    return gone.hung_up_s - left_s


async def test_keep_alive_race_is_retried_once(start: Start) -> None:
    """A kept connection that the upstream closes under our request costs the client nothing."""
    running = await start(mini="local")
    running.upstreams["mini"].script(Fault.KEEP_ALIVE_RACE)
    first, second = await ask(running, body()), await ask(running, body())
    assert (first.status, second.status) == (200, 200)
    assert [len(o.attempts) for o in await running.books.wait(2)] == [1, 1]


async def test_unknown_fields_survive(start: Start) -> None:
    """What the gateway does not understand reaches the upstream byte for byte; its own fields do not."""
    running = await start(mini="local")
    odd: dict[str, Any] = {"temperature": 1e-7, "logit_bias": {"50256": -100}, "weird": [1.50, "ü😀", None]}
    await ask(running, body(models=["auto"], **odd), x_spillway_task="extraction")
    got = (await running.upstreams["mini"].requests())[0]
    assert {name: got.json[name] for name in odd} == odd
    assert got.json["model"] == "mini-model"
    assert "models" not in got.json
    assert b"1e-07" in got.body
    assert b"1.5" in got.body
    assert got.header("x-spillway-task") is None
    assert got.header("authorization") == "Bearer upstream-key"


async def test_a_conversation_with_tools_passes(start: Start) -> None:
    """Tool calls and their results in the history reach the upstream unchanged, and the answer comes back."""
    running = await start(openai="cloud")
    call = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{}"}}
    history = [
        *MESSAGES,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "nothing"},
    ]
    tools = [{"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}]
    payload = json.dumps({"model": "auto", "messages": history, "tools": tools, "stream": True}).encode()
    wire = await ask(running, payload)
    got = (await running.upstreams["openai"].requests())[0]
    assert got.json["messages"] == history
    assert got.json["tools"] == tools
    assert wire.data[-1] == "[DONE]"


async def test_usage_is_asked_for_and_hidden(start: Start) -> None:
    """The gateway needs usage to bill; a client that did not ask for it sees no usage chunk."""
    running = await start(openai="cloud")
    wire = await ask(running, body(stream=True))
    got = (await running.upstreams["openai"].requests())[0]
    assert got.json["stream_options"] == {"include_usage": True}
    assert not any('"usage"' in data and '"choices": []' in data for data in wire.data)
    attempt = (await running.books.wait())[0].attempts[0]
    assert attempt.usage is not None
    assert attempt.usage.grade == "reported"


async def test_usage_chunk_carries_the_cost(start: Start) -> None:
    """A client that asks for usage learns cost, side and attempts from the usage chunk."""
    running = await start(openai="cloud")
    wire = await ask(running, body(stream=True, stream_options={"include_usage": True}))
    usage = json.loads(wire.data[-2])["usage"]
    assert usage["cost"] == 0.01
    assert usage["spillway"]["upstream"] == "openai"
    assert usage["prompt_tokens"] > 0


@pytest.mark.parametrize("tools", [None, [{"type": "function", "function": {"name": "find"}}]])
async def test_usage_on_the_last_chunk_is_told_once(start: Start, tools: Any) -> None:
    """An upstream may put usage on the chunk that ends the answer; clients that add up what they are told
    would count it twice, so it moves to the usage chunk with all its details."""
    running = await start(openai="cloud")
    running.upstreams["openai"].default = Reply(fault=Fault.USAGE_ON_LAST_CHUNK)
    asked = body(stream=True, stream_options={"include_usage": True}, tools=tools)
    chunks = (await ask(running, asked)).chunks
    assert [chunk["choices"] for chunk in chunks if chunk.get("usage")] == [[]]
    assert chunks[-2]["choices"][0]["finish_reason"]
    plain = (await ask(running, body(stream=True, tools=tools))).chunks
    assert plain[-1]["choices"][0]["finish_reason"]
    assert plain[-1]["usage"].items() <= chunks[-1]["usage"].items()
    assert chunks[-1]["usage"]["cost"] == 0.01


async def test_headers_tell_where_it_came_from(start: Start) -> None:
    """Every answer says upstream, side, reason, attempts, cost and echoes the caller's id."""
    running = await start(mini="local", openai="cloud")
    wire = await ask(running, body(), x_request_id="mine-1")
    for line in (
        b"x-request-id: mine-1",
        b"x-spillway-upstream: mini",
        b"x-spillway-side: local",
        b"x-spillway-reason: name_auto,local_first",
        b"x-spillway-attempts: 1",
        b"x-spillway-cost-usd: 0",
        b"x-spillway-overhead-ms: ",
    ):
        assert line in wire.head


async def test_breaker_leaves_a_broken_upstream_alone(start: Start) -> None:
    """After three failures in a row the node is not asked again; the answer still comes."""
    running = await start(mini="local", openai="cloud")
    running.upstreams["mini"].script(Reply(fault=Fault.ERROR_500, times=10))
    for _ in range(5):
        assert (await ask(running, body())).status == 200
    assert len(await running.upstreams["mini"].requests(3)) == 3
    assert "breaker_open" in running.books.outcomes[-1].reasons


async def _was_asked(running: Running, name: str) -> bool:
    await running.books.wait()
    return any(a.upstream == name for o in running.books.outcomes for a in o.attempts)
