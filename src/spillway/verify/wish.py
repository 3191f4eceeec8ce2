"""What a request asks of its answer, from its bytes: JSON, tools, stops, limits, language."""

from __future__ import annotations

import re
from typing import Final, Literal, TypeAlias, TypeVar, cast

import msgspec
from msgspec import Raw, Struct

from spillway.verify.tongue import names_a_language, tongue_of

__all__ = ["ToolChoice", "Wish"]

ToolChoice = Literal["auto", "none", "required"]
T = TypeVar("T")

READ_CHARS: Final = 4_000
"""How much of the last user turn and of the system prompt is looked at for languages."""
MOST_TOOLS: Final = 1_024
_REPEATS: Final = re.compile(r"(?i)\b(?:repeat\w*|\d{2,} times|again and again|over and over|forever)\b")


class Wish(Struct, frozen=True, kw_only=True):
    """What the answer must be like. Holds schemas but no prompt text."""

    wants_json: bool = False
    wants_object: bool = False
    """Whether the JSON has to be an object (``json_object``)."""
    schema: bytes | None = None
    """JSON Schema of the answer as it came; ``None`` when none was given."""
    is_strict: bool = False
    tools: dict[str, bytes | None] = {}
    """Name → JSON Schema of the parameters as it came."""
    tool_choice: ToolChoice = "auto"
    named_tool: str | None = None
    """The one tool that has to be called."""
    has_parallel_calls: bool = True
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    n: int = 1
    language: str | None = None
    """The language the user surely writes (ISO 639-1); ``None`` for short or mixed texts."""
    names_language: bool = False
    """Whether a language is named in the request: then the answer may be in another than the user's."""
    may_repeat: bool = False
    """Whether the text asks to repeat something."""

    @classmethod
    def of(cls, body: bytes) -> Wish:
        """What a chat or completion body asks for; what cannot be read asks for nothing. Never raises."""
        fields = _object(body)
        is_json, is_object, schema, is_strict = _output(fields)
        choice, named = _tool_choice(fields)
        own, system = _texts(fields)
        seen = f"{system}\n{own}"
        return cls(
            wants_json=is_json,
            wants_object=is_object,
            schema=schema,
            is_strict=is_strict,
            tools=_tools(fields),
            tool_choice=choice,
            named_tool=named,
            has_parallel_calls=_decode(fields.get("parallel_tool_calls"), bool, True),
            stop=_stops(fields),
            max_tokens=_whole_number(fields, "max_completion_tokens", "max_tokens"),
            n=max(1, _whole_number(fields, "n") or 1),
            language=tongue_of(own),
            names_language=names_a_language(seen),
            may_repeat=_REPEATS.search(own) is not None,
        )


Fields: TypeAlias = dict[str, Raw]


def _decode(data: bytes | Raw | None, kind: type[T], default: T) -> T:
    """The JSON as ``kind``; the default when there is none or it is of another shape."""
    if data is None:
        return default
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, RecursionError):
        return default


def _object(data: bytes | Raw | None) -> Fields:
    return _decode(data, Fields, {})


def _list(data: Raw | None) -> list[Raw]:
    return _decode(data, list[Raw], [])


def _text(data: Raw | None) -> str:
    return _decode(data, str, "")


def _whole_number(fields: Fields, *keys: str) -> int | None:
    for key in keys:
        value = _decode(fields.get(key), float, -1.0)
        if value >= 0 and value.is_integer():
            return int(value)
    return None


def _output(fields: Fields) -> tuple[bool, bool, bytes | None, bool]:
    """(JSON wanted, an object wanted, schema, strict) in any of the engines' dialects."""
    form = _object(fields.get("response_format"))
    if not form:
        form = _object(_object(fields.get("text")).get("format"))
    kind = _text(form.get("type"))
    if kind in ("json_schema", "json_object"):
        inner = _object(form.get("json_schema")) or form
        is_strict = _decode(inner.get("strict"), bool, False)
        return True, kind == "json_object", _schema(inner.get("schema")), is_strict
    for raw in (
        fields.get("guided_json"),
        _object(fields.get("structured_outputs")).get("json"),
        fields.get("json_schema"),
    ):
        schema = _schema(raw)
        if schema is not None:
            return True, False, schema, True
    return False, False, None, False


def _schema(raw: Raw | None) -> bytes | None:
    """The schema's own bytes; some clients send it as a string."""
    if raw is None:
        return None
    data = bytes(raw)
    if data.startswith(b'"'):
        data = _text(raw).encode()
    return data if data.startswith(b"{") else None


def _tools(fields: Fields) -> dict[str, bytes | None]:
    """Name → parameter schema, of ``tools`` or the older ``functions``."""
    entries = [_object(raw) for raw in _list(fields.get("tools"))[:MOST_TOOLS]]
    functions = [_object(entry.get("function")) or entry for entry in entries]
    functions += [_object(raw) for raw in _list(fields.get("functions"))[:MOST_TOOLS]]
    named = [(_text(function.get("name")), function.get("parameters")) for function in functions]
    return {name: _schema(parameters) for name, parameters in named if name}


def _tool_choice(fields: Fields) -> tuple[ToolChoice, str | None]:
    """What has to be called: (mode, name of the one tool that must be)."""
    raw = fields.get("tool_choice") or fields.get("function_call")
    mode = _text(raw)
    if mode in ("none", "required"):
        return cast(ToolChoice, mode), None
    if mode == "any":
        return "required", None
    choice = _object(raw)
    if not choice:
        return "auto", None
    if _text(choice.get("type")) == "allowed_tools":
        inner = _object(choice.get("allowed_tools")) or choice
        return ("required" if _text(inner.get("mode")) == "required" else "auto"), None
    name = _text((_object(choice.get("function")) or choice).get("name"))
    return "required", name or None


def _stops(fields: Fields) -> tuple[str, ...]:
    raw = fields.get("stop")
    one = _text(raw)
    return (one,) if one else tuple(text for text in map(_text, _list(raw)) if text)


def _texts(fields: Fields) -> tuple[str, str]:
    """(the last user turn, the system prompt or the turns before), each cut to its last and first part."""
    prompt = fields.get("prompt")
    if prompt is not None:
        return _cut(_text(prompt) or "".join(map(_text, _list(prompt)[:1]))), ""
    own, others = "", []
    messages = _list(fields.get("messages"))
    for raw in [*messages[:2], *messages[-4:]]:
        message = _object(raw)
        content = message.get("content")
        text = _text(content) or "\n".join(_text(_object(part).get("text")) for part in _list(content)[:64])
        if _text(message.get("role")) == "user":
            own = text or own
        elif _text(message.get("role")) in ("system", "developer"):
            others.append(text)
    return _cut(own), _cut("\n".join(others))


def _cut(text: str) -> str:
    """Head and tail of a long text: instructions stand at either end."""
    if len(text) <= READ_CHARS:
        return text
    return text[: READ_CHARS // 2] + "\n" + text[-READ_CHARS // 2 :]
