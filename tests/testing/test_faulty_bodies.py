"""Faults in what an answer says do on the wire what ``spillway.testing.faults`` says."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from spillway.testing.answers import answer_text
from spillway.testing.fake_upstream import FakeUpstream, Fault, Reply
from spillway.testing.raw_client import MESSAGES, Wire, ask

SAID = answer_text({"messages": MESSAGES})
FIRST_TWO = " ".join(SAID.split()[:2])
"""What three events say: the first one is the role."""


async def broken(reply: Fault | Reply, **how: Any) -> Wire:
    """The answer to one streamed request under that reply, read until the peer closes if it must."""
    async with FakeUpstream(reply) as upstream:
        return await ask(upstream.port, **{"stream": True, **how})


async def test_malformed_event() -> None:
    """One event is not JSON, the others are; an unstreamed body is cut JSON of correct length."""
    wire = await broken(Fault.MALFORMED_EVENT)
    assert wire.data[3] == '{"id": "broken", "cho'
    assert wire.data[-1] == "[DONE]"
    whole = await broken(Fault.MALFORMED_EVENT, stream=False)
    assert whole.ending == "complete"
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        assert whole.json


async def test_malformed_framing() -> None:
    """A chunk-size line that is no number, then FIN."""
    wire = await broken(Fault.MALFORMED_FRAMING)
    assert wire.ending == "fin"
    assert wire.payload.endswith(b"\r\nzz\r\nnot a chunk\r\n")


async def test_missing_parts() -> None:
    """One of [DONE], finish reason and usage is missing, the other two are there."""
    seen = {}
    for fault in (Fault.MISSING_DONE, Fault.MISSING_FINISH, Fault.MISSING_USAGE):
        wire = await broken(fault, stream_options={"include_usage": True})
        assert wire.text == SAID
        has_usage = any(chunk.get("usage") for chunk in wire.chunks)
        seen[fault] = (wire.data[-1] == "[DONE]", bool(wire.finishes), has_usage)
    assert list(seen.values()) == [(False, True, True), (True, False, True), (True, True, False)]


async def test_missing_parts_of_a_body() -> None:
    """Unstreamed, the finish reason and the usage are null."""
    assert (await broken(Fault.MISSING_USAGE, stream=False)).json["usage"] is None
    body = (await broken(Fault.MISSING_FINISH, stream=False)).json
    assert body["choices"][0]["finish_reason"] is None
    assert body["choices"][0]["message"]["content"] == SAID


async def test_usage_on_last_chunk() -> None:
    """Usage stands on the chunk with the finish reason, without having been asked for."""
    wire = await broken(Fault.USAGE_ON_LAST_CHUNK)
    last = wire.chunks[-1]
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["usage"]["completion_tokens"] == 12


async def test_null_first_content() -> None:
    """The role's event has null content."""
    wire = await broken(Fault.NULL_FIRST_CONTENT)
    assert wire.chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": None}
    assert wire.text == SAID


async def test_empty_completion() -> None:
    """A complete answer that says nothing."""
    wire = await broken(Fault.EMPTY_COMPLETION, stream_options={"include_usage": True})
    assert (wire.text, wire.finishes, wire.data[-1]) == ("", ["stop"], "[DONE]")
    assert wire.chunks[-1]["usage"]["completion_tokens"] == 0
    body = (await broken(Fault.EMPTY_COMPLETION, stream=False)).json
    assert body["choices"][0]["message"]["content"] == ""


async def test_empty_body() -> None:
    """200 with nothing in it, whatever was asked for."""
    for stream in (True, False):
        wire = await broken(Fault.EMPTY_BODY, stream=stream)
        assert (wire.status, wire.payload) == (200, b"")
        assert b"content-length: 0" in wire.head


@pytest.mark.parametrize(("fault", "status"), [(Fault.HTML_200, 200), (Fault.HTML_502, 502)])
async def test_html(fault: Fault, status: int) -> None:
    """A page of HTML where JSON or events were expected."""
    wire = await broken(fault)
    assert wire.status == status
    assert b"content-type: text/html" in wire.head
    assert wire.body.startswith(b"<!doctype html>")


REFUSALS: list[tuple[Fault, int, str, object]] = [
    (Fault.RATE_LIMITED, 429, "code", "rate_limit_exceeded"),
    (Fault.RATE_LIMITED_NO_ADVICE, 429, "code", "rate_limit_exceeded"),
    (Fault.OUT_OF_QUOTA, 429, "code", "insufficient_quota"),
    (Fault.UNAUTHORIZED, 401, "code", "invalid_api_key"),
    (Fault.MODEL_MISSING, 404, "code", "model_not_found"),
    (Fault.BAD_REQUEST, 400, "param", "temperature"),
    (Fault.ERROR_500, 500, "code", "server_error"),
    (Fault.ERROR_500_ONCE, 500, "code", "server_error"),
    (Fault.LOADING, 503, "message", "Loading model"),
    (Fault.CONTEXT_OPENAI, 400, "code", "context_length_exceeded"),
    (Fault.CONTEXT_LLAMACPP, 400, "type", "exceed_context_size_error"),
    (Fault.CONTENT_FILTER_400, 400, "code", "content_filter"),
]


@pytest.mark.parametrize(("fault", "status", "key", "value"), REFUSALS)
async def test_refusals(fault: Fault, status: int, key: str, value: object) -> None:
    """An error status with OpenAI's error object, streamed or not; the connection stays usable."""
    for stream in (True, False):
        wire = await broken(fault, stream=stream)
        assert (wire.status, wire.ending) == (status, "complete")
        assert b"content-type: application/json" in wire.head
        assert wire.json["error"][key] == value


async def test_retry_after_only_where_promised() -> None:
    """One 429 carries the advice of the reply, the other none; llama.cpp's overflow tells both sizes."""
    assert b"retry-after: 7" in (await broken(Reply(fault=Fault.RATE_LIMITED, retry_after="7"))).head
    assert b"retry-after" not in (await broken(Fault.RATE_LIMITED_NO_ADVICE)).head
    error = (await broken(Fault.CONTEXT_LLAMACPP)).json["error"]
    assert (error["n_prompt_tokens"], error["n_ctx"]) == (5000, 4096)


async def test_500_once_by_name() -> None:
    """As a model name, only the first request fails."""
    async with FakeUpstream() as upstream:
        statuses = [(await ask(upstream.port, model="fault:error-500-once")).status for _ in range(3)]
    assert statuses == [500, 200, 200]


async def test_unavailable_for_a_while() -> None:
    """503 until the time is over, then healthy, scripted or by name."""
    while_s = 0.15
    brief = Reply(fault=Fault.UNAVAILABLE_FOR_A_WHILE, for_s=while_s)
    async with FakeUpstream(brief, default=Reply(for_s=while_s)) as upstream:
        for model in ("fake-model", "fault:unavailable-for-a-while"):
            started_s = asyncio.get_running_loop().time()
            first = await ask(upstream.port, model=model)
            assert first.json["error"]["code"] == "server_is_overloaded"
            statuses = [503]
            while statuses[-1] == 503:
                statuses.append((await ask(upstream.port, model=model)).status)
            assert statuses[-1] == 200
            assert asyncio.get_running_loop().time() - started_s >= while_s


async def test_content_filter() -> None:
    """The answer stops early with ``content_filter``."""
    wire = await broken(Fault.CONTENT_FILTER)
    assert (wire.text, wire.finishes, wire.data[-1]) == (FIRST_TWO, ["content_filter"], "[DONE]")
    choice = (await broken(Fault.CONTENT_FILTER, stream=False)).json["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == (FIRST_TWO, "content_filter")


async def test_prefill_rejected() -> None:
    """Only a conversation that ends with the assistant is refused."""
    started = [*MESSAGES, {"role": "assistant", "content": "It is"}]
    async with FakeUpstream(default=Fault.PREFILL_REJECTED) as upstream:
        assert (await ask(upstream.port, messages=started)).status == 400
        assert (await ask(upstream.port)).status == 200


async def test_error_events() -> None:
    """An error object as an event, after others or first, then a correct end. Bodies: 200 with an error."""
    late = await broken(Fault.ERROR_EVENT)
    first = await broken(Fault.ERROR_FIRST_EVENT)
    assert (late.status, late.text, len(late.chunks)) == (200, FIRST_TWO, 4)
    assert len(first.chunks) == 1
    for wire in (late, first):
        assert wire.chunks[-1]["error"]["type"] == "server_error"
        assert wire.payload.endswith(b"0\r\n\r\n")
        assert "[DONE]" not in wire.data
    whole = await broken(Fault.ERROR_FIRST_EVENT, stream=False)
    assert (whole.status, list(whole.json)) == (200, ["error"])


async def test_crlf() -> None:
    """Events end with CRLF CRLF."""
    wire = await broken(Fault.CRLF)
    assert wire.body.count(b"\r\n\r\n") == len(wire.data)
    assert b"\n\n" not in wire.body
    assert wire.text == SAID


async def test_split_events() -> None:
    """Pieces end in the middle of events and characters; together they are the healthy answer."""
    async with FakeUpstream(Fault.SPLIT_EVENTS) as upstream:
        wire = await ask(upstream.port, stream=True)
        assert wire.text == SAID
        assert wire.body == (await ask(upstream.port, stream=True)).body
    assert len(wire.arrivals) > 3 * len(wire.data)


async def test_comments() -> None:
    """Comment lines stand before every event."""
    wire = await broken(Fault.COMMENTS)
    assert wire.body.count(b": keep-alive\n\n") == len(wire.data)
    assert wire.text == SAID


async def test_huge_event() -> None:
    """One event is larger than any sensible buffer."""
    wire = await broken(Reply(fault=Fault.HUGE_EVENT, huge_chars=300_000))
    assert max(len(data) for data in wire.data) > 300_000
    assert wire.text == "x" * 300_000


async def test_early_hints() -> None:
    """A 103 response comes before the real one."""
    wire = await broken(Fault.EARLY_HINTS)
    assert wire.raw.startswith(b"HTTP/1.1 103 Early Hints\r\n")
    assert (wire.status, wire.text) == (200, SAID)


async def test_field_rejected() -> None:
    """A request with that field is refused by its name, one without is answered."""
    reply = Reply(fault=Fault.FIELD_REJECTED, field="stream_options")
    refused = await broken(reply, stream_options={"include_usage": True})
    assert refused.status == 400
    assert "stream_options" in refused.json["error"]["message"]
    assert (await broken(reply)).data[-1] == "[DONE]"
