"""Short ways to requests and answers as bytes."""

from __future__ import annotations

from typing import Any

import msgspec

from spillway.verify import GivenAnswer, Wish

__all__ = ["answer", "chat_body", "schema_wish", "tool_wish", "wish"]


def wish(said: str = "Tell me.", **fields: Any) -> Wish:
    """What a chat request with one user turn asks for."""
    return Wish.of(msgspec.json.encode({"messages": [{"role": "user", "content": said}], **fields}))


def schema_wish(schema: Any, **fields: Any) -> Wish:
    """A request for JSON of a schema."""
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}
    return wish(response_format=form, **fields)


def tool_wish(*, choice: Any = "auto", parameters: Any = None, **fields: Any) -> Wish:
    """A request with one tool, ``weather``."""
    schema = parameters or {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
    }
    tool = {"type": "function", "function": {"name": "weather", "parameters": schema}}
    return wish(tools=[tool], tool_choice=choice, **fields)


def chat_body(text: str | None = None, *, finish: str | None = "stop", **message: Any) -> dict[str, Any]:
    """A chat answer's body before it is encoded."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text, **message},
        "finish_reason": finish,
    }
    return {"choices": [choice], "usage": {"completion_tokens": 12}}


def answer(text: str | None = None, *, finish: str | None = "stop", **message: Any) -> GivenAnswer:
    """A chat answer as the gates see it."""
    found = GivenAnswer.of(msgspec.json.encode(chat_body(text, finish=finish, **message)))
    assert found is not None
    return found
