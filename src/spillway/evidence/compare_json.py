"""Structured answers compared field by field."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

__all__ = ["compare_calls", "compare_json", "json_in"]

FENCE = re.compile(r"\A\s*```[\w-]*\s*\n(.*?)\n?```\s*\Z", re.DOTALL)
MAX_LEAVES = 5000
MAX_DEPTH = 60
TEXT_WORDS = 12
"""A field of more words on both sides is a text, and is left out."""
NUMBER_TOLERANCE = 1e-9

Leaf = str | int | float | bool | None
Path = tuple[str, ...]


def json_in(text: str) -> tuple[Any] | None:
    """The object or array that the text is, perhaps in a code fence; ``None`` when it is none.

    Wrapped in a tuple only so that it cannot be mistaken for nothing.
    """
    fenced = FENCE.match(text)
    try:
        value = msgspec.json.decode(fenced[1] if fenced else text.strip())
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return (value,) if isinstance(value, dict | list) else None


def compare_json(local: Any, reference: Any) -> float | None:
    """Share of fields on which both agree; ``None`` when all of them are texts, or there are too many.

    A field that is missing counts as null. Lists of plain values are compared as collections, without order.

    >>> compare_json({"a": 1, "b": "Red "}, {"a": 1.0, "b": "red", "c": 3})
    0.6666666666666666
    """
    ours, theirs = _leaves(local), _leaves(reference)
    if ours is None or theirs is None:
        return None
    agreed = compared = 0
    for path in ours.keys() | theirs.keys():
        a, b = ours.get(path, Counter()), theirs.get(path, Counter())
        if _are_texts(a) and _are_texts(b):
            continue
        size = max(a.total(), b.total())
        compared += size
        agreed += (a & b).total()
    if compared == 0:
        return None if ours or theirs else 1.0
    return agreed / compared


def compare_calls(local: Sequence[tuple[str, str]], reference: Sequence[tuple[str, str]]) -> float:
    """Share of tool calls, in order, that are the same; a call of the right name counts by its arguments."""
    size = max(len(local), len(reference))
    pairs = zip(local, reference, strict=False)
    return sum(_compare_call(ours, theirs) for ours, theirs in pairs) / size


def _compare_call(local: tuple[str, str], reference: tuple[str, str]) -> float:
    if local[0] != reference[0]:
        return 0.0
    ours, theirs = json_in(local[1] or "{}"), json_in(reference[1] or "{}")
    if ours is None or theirs is None:
        return float(local[1].strip() == reference[1].strip())
    score = compare_json(ours[0], theirs[0])
    return float(ours == theirs) if score is None else score


def _leaves(value: Any) -> dict[Path, Counter[object]] | None:
    """Path → the plain values there; null counts as not there. ``None`` when there are too many."""
    found: dict[Path, Counter[object]] = {}
    for count, (path, leaf) in enumerate(_walk(value, ())):
        if count >= MAX_LEAVES:
            return None
        if leaf is not None:
            found.setdefault(path, Counter())[_plain(leaf)] += 1
    return found


def _walk(value: Any, path: Path) -> Iterator[tuple[Path, Leaf]]:
    if len(path) > MAX_DEPTH:
        yield path, "too deep"
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _walk(inner, (*path, str(name)))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            step = f"[{index}]" if isinstance(inner, dict | list) else "[]"
            yield from _walk(inner, (*path, step))
    else:
        yield path, value


def _plain(leaf: str | int | float | bool) -> object:
    """A value that is equal for what programs would take as equal."""
    if isinstance(leaf, bool):
        return ("bool", leaf)
    if isinstance(leaf, str):
        return " ".join(unicodedata.normalize("NFKC", leaf).casefold().split()).rstrip(".")
    return float(f"{leaf:.9g}") if isinstance(leaf, float) or abs(leaf) < 2**53 else leaf


def _are_texts(values: Counter[object]) -> bool:
    return bool(values) and all(
        isinstance(value, str) and len(value.split()) > TEXT_WORDS for value in values
    )
