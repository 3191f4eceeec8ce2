"""The shared tables that the verify benches read, as plain rows."""

from __future__ import annotations

import ast
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spillway.verify import GivenAnswer, ToolCall, Wish

__all__ = ["answer_of_text", "calls_of_output", "rows", "wish_for_tools"]


def rows(path: Path) -> list[dict[str, Any]]:
    """The JSON lines of a gzip file."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def answer_of_text(text: str, finish: str = "stop") -> GivenAnswer:
    """A chat answer that says ``text``, made the way an engine sends it."""
    body = {"choices": [{"index": 0, "message": {"content": text}, "finish_reason": finish}]}
    answer = GivenAnswer.of(json.dumps(body).encode())
    if answer is None:
        raise ValueError("not an answer")
    return answer


def wish_for_tools(prompt: str, functions: list[dict[str, Any]], *, underscores: bool) -> Wish:
    """What a request with these tools asks for; some models know ``a.b`` as ``a_b``."""
    tools = []
    for function in functions:
        name = function["name"].replace(".", "_") if underscores else function["name"]
        tools.append({"type": "function", "function": {**function, "name": name}})
    body = {"messages": [{"role": "user", "content": prompt}], "tools": tools}
    return Wish.of(json.dumps(body).encode())


_HERMES = re.compile(r"<tool_call>\s*(.*?)\s*</tool_call>", re.DOTALL)


def calls_of_output(output: Any) -> tuple[ToolCall, ...] | None:
    """The calls of a raw benchmark output in any of its models' notations; ``None`` when it holds none.

    Broken arguments stay as they are, as an engine would hand them on.
    """
    if isinstance(output, list):
        return tuple(ToolCall(name, args) for call in output for name, args in call.items()) or None
    text = output.strip()
    found = _HERMES.findall(text)
    if found:
        return tuple(_named(call) for call in found)
    if text.startswith("{"):
        try:
            listed = json.loads(text).get("tool_calls") or ()
        except (ValueError, AttributeError):
            return None
        return tuple(_named(json.dumps(call)) for call in listed) or None
    return tuple(_python_calls(text)) or None


def _named(text: str) -> ToolCall:
    try:
        call = json.loads(text)
        return ToolCall(str(call["name"]), json.dumps(call.get("arguments", {})))
    except (ValueError, KeyError, TypeError, AttributeError):
        return ToolCall("", text)


def _python_calls(text: str) -> Iterator[ToolCall]:
    """Calls written as a Python list of calls with keyword arguments; nothing when it does not parse."""
    text = text.strip().strip("`").removeprefix("python").strip()
    try:
        tree = ast.parse(text if text.startswith("[") else f"[{text}]", mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    items = tree.body.elts if isinstance(tree.body, ast.List) else []
    for item in items:
        if not isinstance(item, ast.Call):
            return
        try:
            values = {arg.arg: ast.literal_eval(arg.value) for arg in item.keywords if arg.arg}
            yield ToolCall(ast.unparse(item.func), json.dumps(values))
        except (ValueError, TypeError, SyntaxError):
            return
