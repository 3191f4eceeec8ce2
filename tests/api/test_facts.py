"""What a request body tells of the answers that came before."""

from __future__ import annotations

import json

import pytest

from spillway.api.facts import estimate_tokens, new_ids, parse_request
from spillway.vocabulary import Operation, RequestFacts

HELLO: dict[str, object] = {"role": "user", "content": "Hello!"}


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


RULES: dict[str, object] = {
    "role": "system",
    "content": "You sort support mails into one of: order, refund, other. " * 3,
}


def form(*messages: dict[str, object], **fields: object) -> int:
    """The form of a chat with these messages."""
    found = facts({"messages": list(messages), **fields}).form
    assert found is not None
    return found


def user(content: object) -> dict[str, object]:
    """A message of a user."""
    return {"role": "user", "content": content}


def test_what_one_program_asks_has_one_form() -> None:
    """Whatever follows the beginnings, in the first message and in the last; parts are read like texts."""
    mail = "Sort this mail, please, in one word: "
    assert form(RULES, user(mail + "Where is it?")) == form(RULES, user(mail + "I want my money back"))
    assert form(RULES, user(mail)) == form(RULES, user([{"type": "text", "text": mail + "Where is it?"}]))
    assert form(RULES, HELLO, user(mail)) == form(RULES, user(mail))
    assert form(HELLO) == form(HELLO)


def test_forms_differ_by_what_is_asked_and_of_whom() -> None:
    """By instructions, by the last message and its role, by tools, by the format wanted and by the model."""
    tool = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
    picture = {"type": "image_url", "image_url": {"url": "data:,"}}
    found = [
        form(RULES, HELLO),
        form(HELLO),
        form(RULES, user("Summarise it")),
        form(RULES, {**HELLO, "role": "assistant"}),
        form(RULES, HELLO, tools=[tool]),
        form(RULES, HELLO, response_format={"type": "json_object"}),
        form(RULES, HELLO, model="local"),
        form(RULES, user([picture])),
        form(RULES, user([])),
        form(RULES, user("")),
    ]
    assert len(set(found)) == len(found) - 1  # no part and a picture have no text both
    assert facts({"prompt": "Once upon"}, "completion").form != facts({"prompt": "Twice"}, "completion").form
    nothing = [
        facts({"prompt": [1, 2, 3]}, "completion"),
        facts({"prompt": []}, "completion"),
        facts({"input": "x"}, "embedding"),
    ]
    assert [one.form for one in nothing] == [None, None, None]
