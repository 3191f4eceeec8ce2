"""Whether tool calls are ones the request offered, with arguments that fit."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from spillway.verify.answer import GivenAnswer, ToolCall
from spillway.verify.schemas import Schemas
from spillway.verify.wish import Wish

__all__ = ["fault_in_calls"]

_LEAKED: Final = re.compile(
    r"^\s*(?:<tool_call>|<\|python_tag\|>|\[TOOL_CALLS\]|<function=|<\|tool_call|<｜tool▁calls|functools\[|"
    r'\{"(?:name|function)":\s*"[\w.:-]+",\s*"(?:arguments|parameters)")'
)
"""A call that the engine's template left in the text, where no client looks for it."""


def fault_in_calls(answer: GivenAnswer, wish: Wish, schemas: Schemas, notes: list[str]) -> str | None:
    """What is wrong with the calls of an answer, as a sentence; ``None`` when nothing is.

    Appends to ``notes`` what could not be judged.
    """
    calls = answer.tool_calls
    if not calls:
        return _missing(answer, wish)
    if not wish.tools:
        return "the answer calls a tool, but none was offered"
    if wish.tool_choice == "none":
        return "the answer calls a tool although the request forbids it"
    if wish.named_tool is not None and any(call.name != wish.named_tool for call in calls):
        return "the answer calls another tool than the one required"
    if not wish.has_parallel_calls and len(calls) > 1:
        return "the answer makes several calls although the request allows one"
    for call in calls:
        fault = _fault(call, wish, schemas, notes)
        if fault is not None:
            return fault
    return None


def _missing(answer: GivenAnswer, wish: Wish) -> str | None:
    if wish.tools and wish.tool_choice == "required":
        return "the answer calls no tool although the request requires one"
    if answer.finish_reason in ("tool_calls", "function_call"):
        return "the answer ends for a tool call and holds none"
    if wish.tools and wish.tool_choice != "none" and _LEAKED.match(answer.text):
        return "the answer holds a tool call as plain text"
    return None


def _fault(call: ToolCall, wish: Wish, schemas: Schemas, notes: list[str]) -> str | None:
    if call.name not in wish.tools:
        return "the answer calls a tool that was not offered"
    try:
        arguments = msgspec.json.decode(call.arguments or "{}")
    except (msgspec.MsgspecError, RecursionError):
        return "the arguments of a tool call are not JSON"
    if not isinstance(arguments, dict):
        return "the arguments of a tool call are not a JSON object"
    schema = wish.tools[call.name]
    if schema is None:
        return None
    judged = schemas.judge(schema, arguments)
    if judged.skipped is not None:
        notes.append(judged.skipped)
    if judged.is_valid:
        return None
    return f"the arguments of a tool call violate its parameters ({judged.keyword or 'unknown keyword'})"
