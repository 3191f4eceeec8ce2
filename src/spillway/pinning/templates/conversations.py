"""The conversations that every template is rendered with, and what of them a prompt must still contain.

Each part has words that occur nowhere else, so that finding them in the prompt tells that the part arrived.
The tool call's identifier has nine letters and digits because some templates insist on that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = [
    "CALLED",
    "CONVERSATIONS",
    "NEEDLES",
    "Conversation",
    "Part",
    "ReasoningField",
    "Shape",
    "by_name",
    "context_of",
]

Message = Mapping[str, Any]
ReasoningField = Literal["reasoning_content", "reasoning", "thinking", "part"]
Part = Literal[
    "system",
    "first_user",
    "user",
    "answer",
    "tools",
    "arguments",
    "second_arguments",
    "result",
    "second_result",
    "reasoning",
    "draft",
]

SYSTEM = "You are the harbour clerk of Ostmole."
FIRST_USER = "Which ferry leaves first?"
ANSWER = "The Seeadler leaves at six."
USER = 'Compare Tom & Jerry\'s <b>"quay"</b>, please.'
REASONING = "Pondering: gulls fly low tonight."
RESULT = "gale warning, nine degrees"
SECOND_RESULT = "drizzle, eleven degrees"
DRAFT = "The harbour opens"
CALLED = "get_tide_weather"

NEEDLES: Mapping[Part, tuple[str, ...]] = {
    "system": (SYSTEM,),
    "first_user": (FIRST_USER,),
    "user": ("Compare Tom", "please."),
    "answer": (ANSWER,),
    "tools": (CALLED, "anchorage"),
    "arguments": ("Kap Arkona",),
    "second_arguments": ("Hiddensee",),
    "result": (RESULT,),
    "second_result": (SECOND_RESULT,),
    "reasoning": ("gulls fly low",),
    "draft": (DRAFT,),
}
"""What each part cannot be recognised without; all of the words must be in the prompt."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """``parts`` are those that the prompt must contain, in order of their first words."""

    name: str
    messages: tuple[Message, ...]
    parts: tuple[Part, ...]
    tools: tuple[Message, ...] = ()
    add_generation_prompt: bool = True
    is_evened_out: bool = False
    """Whether engines rewrite such a request for templates that do not take it as it was sent."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How a template wants a request written; engines find out and adapt, and so do we (``shapes``)."""

    arguments: Literal["object", "text"] = "object"
    """Tool arguments as a mapping or as the JSON text that clients send."""
    reasoning: ReasoningField = "reasoning_content"
    """The field with an answer's reasoning; ``part``: a part of its content."""
    content: Literal["text", "parts"] = "text"
    """Contents as text or as lists of parts."""
    wordless: Literal["empty", "null"] = "empty"
    """The content of a tool call without words: clients send either."""
    no_tools: Literal["null", "absent"] = "null"
    """What stands in ``tools`` when none are offered: transformers sets null, llama.cpp leaves it out."""


def _system() -> Message:
    return {"role": "system", "content": SYSTEM}


def _user(text: str = USER) -> Message:
    return {"role": "user", "content": text}


def _assistant(text: str | None = ANSWER, **more: object) -> Message:
    return {"role": "assistant", "content": text, **more}


def _call(number: int = 1, place: str = "Kap Arkona") -> Mapping[str, Any]:
    function = {"name": CALLED, "arguments": {"anchorage": place, "days": 3}}
    return {"id": f"call0000{number}", "type": "function", "function": function}


def _result(text: str = RESULT, number: int = 1) -> Message:
    return {"role": "tool", "tool_call_id": f"call0000{number}", "name": CALLED, "content": text}


def _tool(name: str, about: str, properties: Mapping[str, Any], required: list[str]) -> Message:
    schema = {"type": "object", "properties": properties, "required": required}
    return {"type": "function", "function": {"name": name, "description": about, "parameters": schema}}


TOOLS = (
    _tool(
        CALLED,
        "Forecast for an anchorage.",
        {
            "anchorage": {"type": "string", "description": "Where the ship lies."},
            "days": {"type": "integer", "description": "How far ahead."},
        },
        ["anchorage"],
    ),
    _tool(
        "book_berth", "Books a berth.", {"pier": {"type": "string", "description": "Which pier."}}, ["pier"]
    ),
)

_ASKED = (_user(FIRST_USER), _assistant(), _user())
_USED = (_user(), _assistant("", tool_calls=[_call()]), _result())

CONVERSATIONS: tuple[Conversation, ...] = (
    Conversation("user", (_user(),), ("user",)),
    Conversation("user_no_prompt", (_user(),), ("user",), add_generation_prompt=False),
    Conversation("system_user", (_system(), _user()), ("system", "user")),
    Conversation("multi_turn", (_system(), *_ASKED), ("system", "first_user", "answer", "user")),
    Conversation("no_system", _ASKED, ("first_user", "answer", "user")),
    Conversation("answered", (_user(), _assistant()), ("user", "answer"), add_generation_prompt=False),
    Conversation("prefill", (_user(), _assistant(DRAFT)), ("user", "draft"), add_generation_prompt=False),
    Conversation(
        "content_parts",
        (_system(), {"role": "user", "content": [{"type": "text", "text": USER}]}),
        ("system", "user"),
        is_evened_out=True,
    ),
    Conversation("tools_offered", (_system(), _user()), ("system", "tools", "user"), TOOLS),
    Conversation("tools_no_system", (_user(),), ("tools", "user"), TOOLS),
    Conversation("tool_result", _USED, ("tools", "user", "arguments", "result"), TOOLS),
    Conversation(
        "tool_results",
        (
            _user(),
            _assistant("", tool_calls=[_call(), _call(2, "Hiddensee")]),
            _result(),
            _result(SECOND_RESULT, 2),
        ),
        ("tools", "user", "arguments", "second_arguments", "result", "second_result"),
        TOOLS,
    ),
    Conversation(
        "after_tool_result",
        (_system(), *_USED, _assistant(), _user(FIRST_USER)),
        ("system", "tools", "user", "arguments", "result", "answer", "first_user"),
        TOOLS,
    ),
    Conversation(
        "call_null_content",
        (_user(), _assistant(None, tool_calls=[_call()]), _result()),
        ("tools", "user", "arguments", "result"),
        TOOLS,
        is_evened_out=True,
    ),
    Conversation(
        "reasoning_history",
        (_user(FIRST_USER), _assistant(ANSWER, reasoning=REASONING), _user()),
        ("first_user", "reasoning", "answer", "user"),
    ),
    Conversation(
        "reasoning_tool_loop",
        (_user(), _assistant("", reasoning=REASONING, tool_calls=[_call()]), _result()),
        ("tools", "user", "reasoning", "arguments", "result"),
        TOOLS,
    ),
)


def by_name(name: str) -> Conversation:
    """The conversation of that name."""
    return next(conversation for conversation in CONVERSATIONS if conversation.name == name)


def context_of(conversation: Conversation, shape: Shape, *, bos: str, eos: str) -> dict[str, Any]:
    """The names that a template is rendered with, as transformers and llama.cpp set them."""
    context = {
        "messages": [_shaped(message, shape) for message in conversation.messages],
        "add_generation_prompt": conversation.add_generation_prompt,
        "bos_token": bos,
        "eos_token": eos,
    }
    if conversation.tools or shape.no_tools == "null":
        context |= {"tools": list(conversation.tools) or None, "documents": None}
    return context


def _shaped(message: Message, shape: Shape) -> dict[str, Any]:
    shaped = dict(message)
    reasoning = shaped.pop("reasoning", None)
    if reasoning is not None and shape.reasoning == "part":
        words = {"type": "text", "text": shaped["content"]}
        shaped["content"] = [{"type": "thinking", "thinking": reasoning}, words]
    elif reasoning is not None:
        shaped[shape.reasoning] = reasoning
    if shape.wordless == "null" and shaped["content"] == "":
        shaped["content"] = None
    if shape.content == "parts" and isinstance(shaped["content"], str):
        shaped["content"] = [{"type": "text", "text": shaped["content"]}]
    if shape.arguments == "text" and "tool_calls" in shaped:
        shaped["tool_calls"] = [_with_text_arguments(call) for call in shaped["tool_calls"]]
    return shaped


def _with_text_arguments(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call["function"]
    return {**call, "function": {**function, "arguments": json.dumps(function["arguments"])}}
