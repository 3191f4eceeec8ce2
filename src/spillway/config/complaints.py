"""What pydantic finds wrong, said for a person who wrote YAML."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from spillway.config.document import Document, Location, Problem, shown
from spillway.config.schema import Config

__all__ = ["complaints", "nearest", "sections_in"]

PLAIN = {
    "missing": "is missing",
    "string_type": "must be text in quotes",
    "tuple_type": "must be a list",
    "model_type": "must be a mapping of keys and values",
    "dict_type": "must be a mapping of keys and values",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "decimal_type": "must be a number",
    "decimal_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "invalid_key": "a key must be text; put it in quotes",
    "string_pattern_mismatch": "may hold only a-z, 0-9, '.', '_', '-', and must begin with a letter or digit",
}
"""pydantic's kinds of errors whose own words speak of Python."""


def complaints(document: Document, errors: list[ErrorDetails]) -> list[Problem]:
    """One problem per location.

    A value that may be a text or a mapping fails as both: what is wrong inside the mapping says more, and
    where nothing is inside, both ways are offered.
    """
    placed = [(_location(document, error), error) for error in errors]
    said: dict[Location, list[str]] = {}
    for at, error in placed:
        is_branch = len(at) < len(error["loc"])
        if is_branch and any(other[: len(at)] == at for other, _ in placed if len(other) > len(at)):
            continue
        said.setdefault(at, []).append(_said(error, at))
    return [(at, _either(texts)) for at, texts in said.items()]


def nearest(word: str, known: Iterable[str]) -> str:
    """``; did you mean X?`` when something known is close to ``word``, else nothing."""
    near = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def sections_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The parts of the schema that a field's type mentions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from sections_in(inner)


def _location(document: Document, error: ErrorDetails) -> Location:
    """pydantic's location without what it adds: branches of a union, and ``[key]`` for a wrong key."""
    if not error["loc"]:
        return _culprit(document, error["msg"])
    at: Location = ()
    for part in error["loc"]:
        is_tag = isinstance(part, str) and (
            part in {"int", "str", "literal['auto']", "[key]"} or part.endswith("Config")
        )
        if not is_tag or document.has((*at, part)):
            at = (*at, part)
    if _is_about_key(error):
        return (*at[:-1], str(at[-1]))
    return at


def _culprit(document: Document, message: str) -> Location:
    """Where the file says what an error of the whole file is about: its first quoted name, or first word."""
    words = message.removeprefix("Value error, ").split(" ")
    at = tuple(words[0].split("."))
    if document.has(at):
        return at
    quoted = message.split("'")[1:2]
    for part in ("clouds", "nodes"):
        entries = document.values.get(part) or []
        for index in reversed(range(len(entries))):
            if [entries[index].get("name")] == quoted:
                return (part, index, "name")
    return ()


def _is_about_key(error: ErrorDetails) -> bool:
    return error["type"] == "invalid_key" or error["loc"][-1:] == ("[key]",)


def _said(error: ErrorDetails, at: Location) -> str:
    kind = error["type"]
    if _is_about_key(error):
        return PLAIN["invalid_key"]
    if kind == "extra_forbidden":
        known = _known_keys(at[:-1])
        return "unknown key" + (nearest(str(at[-1]), known) or f"; known are {', '.join(known)}")
    if error["input"] is None and kind in PLAIN and kind != "missing":
        return "is empty: give it a value or leave the key out"
    if kind == "literal_error":
        expected = error["ctx"]["expected"].replace("'", "")
        return f"must be {expected}" + nearest(str(error["input"]), expected.replace(" or", ",").split(", "))
    if kind in PLAIN:
        return PLAIN[kind]
    message = error["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    return message.removeprefix(f"{shown(at)} ")


def _either(texts: list[str]) -> str:
    first, *others = dict.fromkeys(texts)
    return " or ".join([first, *(text.removeprefix("must be ") for text in others)])


def _known_keys(at: Location) -> list[str]:
    """The keys that may stand at a location, from the schema."""
    section: type[BaseModel] = Config
    is_inside = False  # of a list or a mapping, whose index or name is no key of the schema
    for part in at:
        if is_inside:
            is_inside = False
            continue
        annotation = section.model_fields[str(part)].annotation
        section = next(sections_in(annotation))
        is_inside = get_origin(annotation) in (tuple, dict)
    return list(section.model_fields)
