"""What a request body tells of the answers that came before."""

from __future__ import annotations

import json

import pytest

from spillway.api.facts import estimate_tokens, new_ids, parse_request
from spillway.vocabulary import Operation, RequestFacts

HELLO = {"role": "user", "content": "Hello!"}


def facts(body: dict[str, object], operation: Operation = "chat") -> RequestFacts:
    """The facts of such a body."""
    raw = json.dumps({"model": "auto", **body}).encode()
    return parse_request(operation, raw, {}, new_ids({}), None).facts


def test_a_first_question_has_no_answer_before() -> None:
    """Neither has one after a system prompt only, a completion or an embedding."""
    system = {"role": "system", "content": "Be brief."}
    found = [
        facts({"messages": [system, HELLO]}),
        facts({"prompt": "Once upon a time"}, "completion"),
        facts({"input": "Once upon a time"}, "embedding"),
    ]
    assert [(one.last_answer_tokens, one.mean_answer_tokens) for one in found] == [(None, None)] * 3


def test_the_last_answer_and_the_geometric_mean_are_told() -> None:
    """Answers of 4, 16 and 64 tokens: the last has 64, the mean is 16."""
    said = [{"role": "assistant", "content": "abc " * tokens} for tokens in (4, 16, 64)]
    found = facts({"messages": [HELLO, said[0], HELLO, said[1], HELLO, said[2], HELLO]})
    assert found.last_answer_tokens == 64
    assert found.mean_answer_tokens == pytest.approx(16)


def test_parts_and_tool_calls_count() -> None:
    """An answer in parts is their sum; what it asks of tools is part of it, and may be all of it."""
    call = {
        "id": "c",
        "type": "function",
        "function": {"name": "f", "arguments": '{"x": "' + "y" * 400 + '"}'},
    }
    result = {"role": "tool", "tool_call_id": "c", "content": "z" * 4000}
    parts = [{"type": "text", "text": "a" * 40}, {"type": "text", "text": "b" * 40}]
    silent = facts(
        {"messages": [HELLO, {"role": "assistant", "content": None, "tool_calls": [call]}, result]}
    )
    assert silent.last_answer_tokens == len(json.dumps([call])) // 4
    assert silent.mean_answer_tokens == pytest.approx(silent.last_answer_tokens)
    both = facts({"messages": [HELLO, {"role": "assistant", "content": parts, "tool_calls": [call]}, result]})
    assert both.last_answer_tokens == silent.last_answer_tokens + 2 * estimate_tokens("a" * 40)
    assert both.input_tokens > 1000


def test_an_empty_answer_counts_as_one_token() -> None:
    """So that its logarithm exists and it is not taken for none."""
    found = facts({"messages": [HELLO, {"role": "assistant", "content": ""}, HELLO]})
    assert (found.last_answer_tokens, found.mean_answer_tokens) == (1, 1)
