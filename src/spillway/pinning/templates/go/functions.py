"""The functions that a Go template may call."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from spillway.pinning.templates import bounds
from spillway.pinning.templates.failures import TemplateFailure
from spillway.pinning.templates.go.values import is_true, printed, to_json

__all__ = ["FUNCTIONS"]

_VERB = re.compile(r"%([-+# 0]*)(\d*)(?:\.(\d+))?([a-zA-Z%])")


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, (list, str)) and isinstance(key, int) and 0 <= key < len(value):
            value = value[key]
        else:
            raise TemplateFailure("error", f"it asks for item {key!r} of {_kind(value)}")
    return value


def _slice(value: Any, start: int = 0, end: int | None = None) -> Any:
    if not isinstance(value, (list, str)):
        raise TemplateFailure("error", f"it slices {_kind(value)}")
    stop = len(value) if end is None else end
    if not 0 <= start <= stop <= len(value):
        raise TemplateFailure("error", f"it slices {start} to {stop} of {len(value)} items")
    return value[start:stop]


def _len(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, (list, Mapping)):
        return len(value)
    raise TemplateFailure("error", f"it asks for the length of {_kind(value)}")


def _compare(left: Any, right: Any, sign: str) -> bool:
    both_numbers = isinstance(left, (int, float)) and isinstance(right, (int, float))
    if both_numbers or (isinstance(left, str) and isinstance(right, str)):
        return bool(left < right if sign == "lt" else left <= right)
    raise TemplateFailure("error", f"it compares {_kind(left)} with {_kind(right)}")


def _printf(form: str, *values: Any) -> str:
    bounds.check_format(form)
    rest = iter(values)

    def one(match: re.Match[str]) -> str:
        flags, width, precision, verb = match.groups()
        if verb == "%":
            return "%"
        value = next(rest, None)
        if verb in "fFeEgG" and isinstance(value, (int, float)):
            return f"%{flags}{width}.{precision or 6}{verb}" % value
        text = to_json(value) if verb == "q" else printed(value)
        return text.ljust(int(width or 0)) if "-" in flags else text.rjust(int(width or 0))

    return _VERB.sub(one, form)


def _print(*values: Any) -> str:
    spaced = "".join(
        printed(one) + (" " if not isinstance(one, str) and not isinstance(other, str) else "")
        for one, other in pairwise(values)
    )
    return spaced + (printed(values[-1]) if values else "")


def _kind(value: Any) -> str:
    names = {str: "a text", int: "a number", float: "a number", list: "a list", bool: "a truth value"}
    return "nothing" if value is None else names.get(type(value), "a record")


def _and(*values: Any) -> Any:
    return next((value for value in values if not is_true(value)), values[-1])


def _or(*values: Any) -> Any:
    return next((value for value in values if is_true(value)), values[-1])


def _eq(first: Any, *others: Any) -> bool:
    return any(type(first) is type(other) and first == other for other in others)


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "and": _and,
    "or": _or,
    "not": lambda value: not is_true(value),
    "eq": _eq,
    "ne": lambda left, right: not _eq(left, right),
    "lt": lambda left, right: _compare(left, right, "lt"),
    "le": lambda left, right: _compare(left, right, "le"),
    "gt": lambda left, right: not _compare(left, right, "le"),
    "ge": lambda left, right: not _compare(left, right, "lt"),
    "index": _index,
    "len": _len,
    "slice": _slice,
    "print": _print,
    "println": lambda *values: " ".join(map(printed, values)) + "\n",
    "printf": _printf,
    "json": to_json,
}
"""Go's own that make sense in prompts, and Ollama's ``json``; the dated ones live where the clock is."""
