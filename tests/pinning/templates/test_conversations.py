"""The reference conversations say what they are meant to say."""

from __future__ import annotations

import json
from itertools import permutations

import pytest

from spillway.pinning.templates.conversations import (
    CONVERSATIONS,
    NEEDLES,
    Conversation,
    Shape,
    by_name,
    context_of,
)


@pytest.mark.parametrize("conversation", CONVERSATIONS, ids=lambda conversation: conversation.name)
def test_parts_are_in_the_conversation(conversation: Conversation) -> None:
    """Each part that a prompt must contain stands in its conversation, and no other part does."""
    told = json.dumps([conversation.messages, conversation.tools], ensure_ascii=False)
    for part, needles in NEEDLES.items():
        if part == "tools":
            is_there = bool(conversation.tools)
        else:
            is_there = all(json.dumps(needle)[1:-1] in told for needle in needles)
        assert is_there == (part in conversation.parts), part


def test_needles_do_not_hide_in_each_other() -> None:
    """Finding the words of one part never means finding another's."""
    for one, other in permutations(NEEDLES, 2):
        assert not all(any(n in words for words in NEEDLES[other]) for n in NEEDLES[one]), (one, other)


def test_shapes_rewrite_requests() -> None:
    """A shape changes how a request is written and nothing of what it says."""
    conversation = by_name("reasoning_tool_loop")
    plain = context_of(conversation, Shape(), bos="<s>", eos="</s>")
    shape = Shape(arguments="text", reasoning="thinking", content="parts", wordless="null", no_tools="absent")
    shaped = context_of(conversation, shape, bos="<s>", eos="</s>")
    assert plain["messages"][1]["tool_calls"][0]["function"]["arguments"] == {
        "anchorage": "Kap Arkona",
        "days": 3,
    }
    told = shaped["messages"][1]
    assert json.loads(told["tool_calls"][0]["function"]["arguments"]) == {
        "anchorage": "Kap Arkona",
        "days": 3,
    }
    assert (told["content"], told["thinking"]) == (None, plain["messages"][1]["reasoning_content"])
    assert shaped["messages"][0]["content"] == [{"type": "text", "text": plain["messages"][0]["content"]}]
    thought = context_of(conversation, Shape(reasoning="part"), bos="", eos="")["messages"][1]
    assert [part["type"] for part in thought["content"]] == ["thinking", "text"]
    assert "reasoning_content" not in thought
    without = by_name("user")
    assert context_of(without, Shape(), bos="", eos="")["tools"] is None
    assert "tools" not in context_of(without, shape, bos="", eos="")
