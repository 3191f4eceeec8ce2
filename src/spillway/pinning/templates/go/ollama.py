"""Renders a model's Go template as Ollama does: which values it hands over, and how old templates are run."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from spillway.pinning.templates.failures import TemplateFailure
from spillway.pinning.templates.go.evaluate import evaluate
from spillway.pinning.templates.go.nodes import Action, Branch, Command, Field, Node, Pipe, field_names
from spillway.pinning.templates.go.parser import ParsedTemplate, parse
from spillway.pinning.templates.go.values import JsonMap, Record
from spillway.pinning.templates.rendered import Rendered

__all__ = ["GoTemplate"]

_RESPONSE = "Response"


class GoTemplate:
    """One parsed template; ``TemplateFailure`` when the text is none."""

    def __init__(self, text: str) -> None:
        try:
            parsed = parse(text)
        except RecursionError as error:
            raise TemplateFailure("memory", "it is nested too deeply") from error
        bodies = (parsed.body, *parsed.named.values())
        names = {name.lower() for body in bodies for name in field_names(body)}
        if not names & {"messages", "response"}:
            # without a place for the answer, its place is the end
            parsed = replace(parsed, body=(*parsed.body, Action(Pipe((Command((Field((_RESPONSE,)),)),)))))
        self._parsed = parsed
        self._takes_messages = "messages" in names

    def render(self, context: Mapping[str, Any], now_s: float) -> Rendered:
        """The prompt for a context when it is ``now_s`` (UTC)."""
        clock = _Clock(now_s)
        try:
            text = self._text(context, clock.functions)
        except RecursionError as error:
            raise TemplateFailure("memory", "it calls itself without end") from error
        return Rendered(text, is_dated=clock.was_asked)

    def _text(self, context: Mapping[str, Any], functions: _Functions) -> str:
        system, messages = _collated(context["messages"])
        if not self._takes_messages:
            return self._turn_by_turn(messages, functions)
        values = {
            "System": system,
            "Messages": [_message(m) for m in messages],
            "Tools": [_tool(tool) for tool in context.get("tools") or []],
            _RESPONSE: "",
            "Think": False,
            "ThinkLevel": "",
            "IsThinkSet": False,
        }
        return evaluate(self._parsed, values, functions)

    def _turn_by_turn(self, messages: Sequence[Mapping[str, Any]], functions: _Functions) -> str:
        """Templates older than message lists see one system text, prompt and response at a time."""
        done: list[str] = []
        turn: dict[str, Any] = _turn()
        for message in messages:
            role, content = message["role"], message["content"]
            if (role == "system" and (turn["Prompt"] or turn[_RESPONSE])) or (
                role == "user" and turn[_RESPONSE]
            ):
                done.append(evaluate(self._parsed, turn, functions))
                turn = _turn()
            slot = {"system": "System", "user": "Prompt", "assistant": _RESPONSE}.get(role)
            if slot is not None:
                turn[slot] = content
        last = ParsedTemplate(_up_to_response(self._parsed.body)[0], self._parsed.named)
        return "".join([*done, evaluate(last, turn, functions)])


_Functions = Mapping[str, Callable[..., Any]]


class _Clock:
    def __init__(self, now_s: float) -> None:
        self._now = datetime.fromtimestamp(now_s, UTC)
        self.was_asked = False
        self.functions: _Functions = {
            "currentDate": lambda *_: self._day(0),
            "yesterdayDate": lambda *_: self._day(-1),
        }

    def _day(self, offset: int) -> str:
        self.was_asked = True
        return (self._now + timedelta(days=offset)).strftime("%Y-%m-%d")


def _turn() -> dict[str, Any]:
    return {"System": "", "Prompt": "", _RESPONSE: "", "Think": False, "IsThinkSet": False}


def _collated(messages: Sequence[Mapping[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
    """All system texts as one, and the messages with neighbours of one role merged, except tool results."""
    merged: list[dict[str, Any]] = []
    for message in _flattened(messages):
        if merged and merged[-1]["role"] == message["role"] != "tool":
            merged[-1] = merged[-1] | {"content": merged[-1]["content"] + "\n\n" + message["content"]}
        else:
            merged.append(message)
    system = "\n\n".join(m["content"] for m in _flattened(messages) if m["role"] == "system")
    return system, merged


def _flattened(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Messages whose content is text: each part of a content list becomes a message of its own."""
    flat: list[dict[str, Any]] = []
    for message in messages:
        content = message.get("content")
        parts = content if isinstance(content, list) else [{"text": content or ""}]
        flat += [dict(message) | {"content": part.get("text", "")} for part in parts]
    return flat


def _message(message: Mapping[str, Any]) -> Record:
    fields = {
        "Role": message["role"],
        "Content": message["content"],
        "Thinking": message.get("reasoning_content", ""),
        "Images": [],
        "ToolCalls": [_tool_call(call) for call in message.get("tool_calls") or []],
        "ToolName": message.get("name", ""),
        "ToolCallID": message.get("tool_call_id", ""),
    }
    return Record(fields, dict(message))


def _tool_call(call: Mapping[str, Any]) -> Record:
    told = call["function"]["arguments"]
    arguments = json.loads(told) if isinstance(told, str) else told
    name = call["function"]["name"]
    function = Record(
        {"Index": 0, "Name": name, "Arguments": JsonMap(arguments)}, {"name": name, "arguments": arguments}
    )
    return Record({"ID": call.get("id", ""), "Function": function}, {"function": function.source})


def _tool(tool: Mapping[str, Any]) -> Record:
    told = tool["function"]
    schema = told.get("parameters", {})
    properties = {name: _property(one) for name, one in schema.get("properties", {}).items()}
    parameters = Record(
        {
            "Type": schema.get("type", ""),
            "Properties": properties,
            "Required": schema.get("required", []),
            "Items": schema.get("items"),
            "Defs": schema.get("$defs"),
        },
        schema,
        prints_json=True,
    )
    fields = {"Name": told["name"], "Description": told.get("description", ""), "Parameters": parameters}
    function = Record(fields, told, prints_json=True)
    return Record({"Type": tool["type"], "Function": function, "Items": None}, tool, prints_json=True)


def _property(schema: Mapping[str, Any]) -> Record:
    fields = {
        "Type": schema.get("type", ""),
        "Description": schema.get("description", ""),
        "Enum": schema.get("enum", []),
        "Items": schema.get("items"),
        "AnyOf": schema.get("anyOf", []),
        "ToTypeScriptType": schema.get("type", "any"),
    }
    return Record(fields, schema)


def _up_to_response(nodes: Sequence[Node]) -> tuple[tuple[Node, ...], bool]:
    """The nodes up to the first that prints the response, where the model goes on; and whether one did."""
    kept: list[Node] = []
    for node in nodes:
        if not isinstance(node, Branch):
            kept.append(node)
            if _RESPONSE in field_names((node,)):
                return tuple(kept), True
            continue
        body, is_cut = _up_to_response(node.body)
        otherwise: tuple[Node, ...] = ()
        if not is_cut:
            otherwise, is_cut = _up_to_response(node.otherwise)
        kept.append(replace(node, body=body, otherwise=otherwise))
        if is_cut:
            return tuple(kept), True
    return tuple(kept), False
