"""What is read from the bytes of an answer."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from spillway.verify import GivenAnswer, ToolCall
from tests.verify.bodies import chat_body


def of(body: Any) -> GivenAnswer | None:
    """The answer in a body given as Python values."""
    return GivenAnswer.of(msgspec.json.encode(body))


def test_reads_a_chat_answer() -> None:
    """Text, reasoning, finish reason and reported tokens are read."""
    found = of(chat_body("42", reasoning_content="hm"))
    assert found is not None
    assert (found.text, found.reasoning, found.finish_reason, found.output_tokens) == ("42", "hm", "stop", 12)
    assert found.logprobs is None


def test_reads_a_completion_answer() -> None:
    """A completion's text and its lists of token log-probabilities are read."""
    logprobs = {
        "tokens": ["Hello", " you"],
        "token_logprobs": [None, -0.5],
        "top_logprobs": [None, {" you": -0.5, " all": -1.5}],
    }
    found = of({"choices": [{"text": "Hello you", "finish_reason": "stop", "logprobs": logprobs}]})
    assert found is not None
    assert found.text == "Hello you"
    assert found.tokens == (" you",)
    assert found.logprobs == (-0.5,)
    assert found.margins == (1.0,)


def test_reads_chat_logprobs_and_margins() -> None:
    """Each token's log-probability is kept, bounded, with its lead over the runner-up."""
    tops = [{"token": "a", "logprob": -0.1}, {"token": "b", "logprob": -2.5}]
    content = [
        {"token": "a", "logprob": -0.1, "top_logprobs": tops},
        {"token": "z", "logprob": -9999.0, "top_logprobs": tops},
    ]
    body = chat_body("az")
    body["choices"][0]["logprobs"] = {"content": content}
    found = of(body)
    assert found is not None
    assert found.logprobs == (-0.1, -100.0)
    assert found.margins == pytest.approx((2.4, -99.9))


def test_margins_are_unknown_without_alternatives() -> None:
    """An engine that gives no alternatives leaves the margins unknown, not zero."""
    body = chat_body("a")
    body["choices"][0]["logprobs"] = {"content": [{"token": "a", "logprob": -0.1}]}
    found = of(body)
    assert found is not None
    assert found.margins is None


def test_reads_tool_calls_in_every_notation() -> None:
    """Arguments as a string, as an object (some engines) and as the older function_call are all read."""
    calls = [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
        {"id": "2", "type": "function", "function": {"name": "g", "arguments": {"b": 2}}},
    ]
    found = of(chat_body(None, tool_calls=calls, function_call={"name": "h", "arguments": "{}"}))
    assert found is not None
    assert found.tool_calls == (ToolCall("f", '{"a":1}'), ToolCall("g", '{"b":2}'), ToolCall("h", "{}"))


def test_reads_content_parts_and_refusals() -> None:
    """Content as a list of parts is joined; a refusal field is kept."""
    found = of(chat_body(None, content=[{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]))
    assert found is not None
    assert found.text == "ab"
    refused = of(chat_body(None, refusal="No."))
    assert refused is not None
    assert refused.refusal == "No."


def test_keeps_further_choices() -> None:
    """With n > 1 the other choices stand beside the first."""
    body = chat_body("one")
    body["choices"].append(chat_body("two")["choices"][0])
    found = of(body)
    assert found is not None
    assert [choice.text for choice in found.rest] == ["two"]


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"\x00\xff\xfe junk",
        b"[]",
        b"{}",
        b'{"choices": []}',
        b'{"choices": 7}',
        b'{"error": {"message": "no"}}',
        b'{"choices": [{"message": {"content": ' + b"[" * 50_000,
    ],
)
def test_other_bodies_are_no_answer(junk: bytes) -> None:
    """Empty, binary, foreign and hostile bodies give None."""
    assert GivenAnswer.of(junk) is None


def test_puts_a_stream_together() -> None:
    """Chunks add up to text, tool calls, log-probabilities, finish reason and usage; junk is passed over."""
    chunks = [
        {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "He"}}]},
        {"choices": [{"index": 1, "delta": {"content": "another choice"}}]},
        {
            "choices": [
                {
                    "index": 0,
                    "delta": {"content": "llo"},
                    "logprobs": {"content": [{"token": "llo", "logprob": -0.2}]},
                }
            ]
        },
        {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"name": "f"}}]}}]},
        {
            "choices": [
                {"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}]}}
            ]
        },
        {
            "choices": [
                {"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}}
            ]
        },
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
        {"choices": [], "usage": {"completion_tokens": 9}},
    ]
    found = GivenAnswer.of_chunks([*map(msgspec.json.encode, chunks), b"[DONE]", b"{broken"])
    assert found is not None
    assert found.text == "Hello"
    assert found.tool_calls == (ToolCall("f", '{"a":1}'),)
    assert (found.finish_reason, found.output_tokens, found.logprobs) == ("tool_calls", 9, (-0.2,))


def test_a_stream_without_choices_is_no_answer() -> None:
    """Events without any choice give None."""
    assert GivenAnswer.of_chunks([b'{"error": {}}', b"[DONE]"]) is None
