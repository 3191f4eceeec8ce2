"""Go's values as templates see them: records with known fields, maps that may miss keys, how each prints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spillway.pinning.templates.failures import TemplateFailure

__all__ = ["JsonMap", "Record", "field_of", "is_true", "printed", "to_json"]

Value = Any
"""``Record``, list, dict (a Go map), str, int, float, bool or ``None``: templates mix them freely."""


@dataclass(frozen=True, slots=True)
class Record:
    """A Go struct: asking for a field that it lacks is an error. ``source`` is what ``json`` prints."""

    fields: Mapping[str, Value]
    source: Value
    prints_json: bool = False


class JsonMap(dict[str, Any]):
    """A Go map that prints as JSON, as the arguments of a tool call do."""


def field_of(value: Value, name: str) -> Value:
    """The field or key; a missing key of a map is ``None``, everything else missing is a failure."""
    if isinstance(value, Record):
        if name in value.fields:
            return value.fields[name]
        raise TemplateFailure("error", f"messages and tools have no field {name!r}")
    if isinstance(value, Mapping):
        return value.get(name)
    what = "nothing" if value is None else f"a {type(value).__name__}"
    raise TemplateFailure("error", f"it asks for {name!r} of {what}")


def is_true(value: Value) -> bool:
    """Go's template truth: zero and empty are false, a record is always true."""
    return True if isinstance(value, Record) else bool(value)


def printed(value: Value) -> str:
    """What an action prints for the value."""
    if isinstance(value, str):
        return value
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Record):
        return to_json(value) if value.prints_json else f"{{{' '.join(map(printed, value.fields.values()))}}}"
    if isinstance(value, JsonMap):
        return to_json(value)
    if isinstance(value, list):
        if value and isinstance(value[0], Record) and value[0].prints_json:
            return to_json(value)
        return f"[{' '.join(map(printed, value))}]"
    if isinstance(value, Mapping):
        return f"map[{' '.join(f'{k}:{printed(value[k])}' for k in sorted(value))}]"
    return str(value)


def to_json(value: Value) -> str:
    """Compact JSON as Go writes it, with ``<``, ``>`` and ``&`` escaped."""
    text = json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _plain(value: Value) -> Value:
    if isinstance(value, Record):
        return value.source
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(value[key]) for key in sorted(value)}
    return value
