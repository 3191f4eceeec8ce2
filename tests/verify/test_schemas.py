"""Compiled schemas: verdicts, and bounds that hostile schemas cannot stretch."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from spillway.verify import Schemas


def judge(schema: Any, instance: object, schemas: Schemas | None = None) -> tuple[bool, str | None]:
    """(is valid, why it was skipped)."""
    raw = schema if isinstance(schema, bytes) else msgspec.json.encode(schema)
    judged = (schemas or Schemas()).judge(raw, instance)
    return judged.is_valid, judged.skipped


def test_valid_and_invalid() -> None:
    """An instance that fits is valid, one that does not names the keyword."""
    schemas = Schemas()
    schema = b'{"type": "object", "required": ["a"]}'
    assert schemas.judge(schema, {"a": 1}).is_valid
    judged = schemas.judge(schema, {"b": 1})
    assert (judged.is_valid, judged.keyword, judged.skipped) == (False, "required", None)


def test_formats_and_patterns_are_checked() -> None:
    """Formats count: JSON generators are asked for dates and get them."""
    schema = {"properties": {"on": {"format": "date"}, "id": {"pattern": "^[A-Z]{2}\\d+$"}}}
    assert judge(schema, {"on": "2026-11-24", "id": "AB1"}) == (True, None)
    assert judge(schema, {"on": "tomorrow", "id": "AB1"}) == (False, None)
    assert judge(schema, {"on": "2026-11-24", "id": "ab1"}) == (False, None)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "http://127.0.0.1:9/schema.json"},
        {"$ref": "https://example.com/schema.json#/a"},
        {"$ref": "file:///etc/passwd"},
        {"$ref": "other.json"},
        {"$id": "http://127.0.0.1:9/a", "properties": {"x": {"$ref": "b"}}},
        {"$schema": "http://127.0.0.1:9/meta"},
    ],
)
def test_nothing_is_ever_fetched(schema: Any) -> None:
    """A reference out of the schema makes it unusable; the answer passes with a flag, at once."""
    started_s = time.monotonic()
    assert judge(schema, {"x": 1}) == (True, "schema_invalid")
    assert time.monotonic() - started_s < 0.5


@pytest.mark.parametrize(
    "schema",
    [
        b"",
        b"\x00\xff{",
        b"[]",
        b"true",
        b'{"type": 7}',
        b'{"pattern": "("}',
        b'{"properties": [1]}',
        b'{"a":' * 50_000,
    ],
)
def test_broken_schemas_are_skipped(schema: bytes) -> None:
    """What is no schema judges nothing."""
    assert judge(schema, 1) == (True, "schema_invalid")


def test_reference_loops_end() -> None:
    """A schema that refers to itself compiles and judges."""
    assert judge({"$ref": "#"}, 1) == (True, None)
    mutual = {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}
    assert judge(mutual, 1) == (True, None)
    tree = {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#"}}}}
    assert judge(tree, {"kids": [{"kids": []}]}) == (True, None)
    assert judge(tree, {"kids": [{"kids": [3]}]}) == (False, None)


def _chain(length: int, *, through_items: bool) -> dict[str, Any]:
    """Alternatives that double with every link."""
    links: dict[str, Any] = {f"a{length}": {"type": "string"}}
    for i in range(length):
        target = {"$ref": f"#/$defs/a{i + 1}"}
        part = {"type": "array", "items": target} if through_items else target
        links[f"a{i}"] = {"anyOf": [part, {**part, "minItems": 0}]}
    return {"$defs": links, "$ref": "#/$defs/a0"}


@pytest.mark.parametrize("through_items", [False, True])
@pytest.mark.parametrize("length", [8, 12, 24, 60, 400])
def test_doubling_alternatives_are_refused_or_quick(length: int, through_items: bool) -> None:
    """Schemas whose checks double with each link cost little or are skipped."""
    instance: object = 1
    for _ in range(min(length, 60) if through_items else 0):
        instance = [instance]
    started_s = time.process_time()
    is_valid, skipped = judge(_chain(length, through_items=through_items), instance)
    assert time.process_time() - started_s < 0.5
    assert skipped == "schema_too_costly" or not is_valid


@pytest.mark.parametrize(
    ("schema", "instance"),
    [
        ({"pattern": "^(a+)+$"}, "a" * 500_000 + "!"),
        ({"pattern": r"^(?=(a+)+$)(a+)+\1$"}, "a" * 500_000 + "!"),
        ({"pattern": "((a{1,100}){1,100}){1,100}"}, "a"),
        ({"enum": [{"a": i} for i in range(5_000)]}, [1]),
        ({"items": {"enum": [{"a": i} for i in range(900)]}}, [{"a": i} for i in range(5_000)]),
        ({"items": {"$ref": "#"}}, None),
        ({"patternProperties": {f"a.*{i}.*b": {} for i in range(500)}}, {f"k{i}": 1 for i in range(20_000)}),
        (
            {"properties": {f"p{i}": {"type": "string"} for i in range(5_000)}},
            {f"p{i}": "" for i in range(5_000)},
        ),
    ],
    ids=["backtracking", "lookahead", "unrolled", "enum", "enum of items", "deep", "patterns", "wide"],
)
def test_costly_pairs_stay_bounded(schema: Any, instance: object) -> None:
    """Backtracking patterns, big enumerations, deep and wide instances end soon and never crash."""
    if instance is None:
        instance = 1
        for _ in range(900):
            instance = [instance]
    started_s = time.process_time()
    judge(schema, instance)
    assert time.process_time() - started_s < 1.0


def test_a_pattern_that_gives_up_judges_nothing() -> None:
    """When the pattern engine stops backtracking, the answer is not blamed."""
    assert judge({"pattern": r"^(a|a)*\1b$"}, "a" * 200 + "!") == (True, "schema_too_costly")


def test_type_names_of_other_languages_are_understood() -> None:
    """Tool definitions with "dict", "float" or "tuple" judge as object, number and array."""
    schema = {"type": "dict", "properties": {"x": {"type": "float"}, "y": {"type": "any"}}, "required": ["x"]}
    assert judge(schema, {"x": 1.5, "y": "?"}) == (True, None)
    assert judge(schema, {"x": "one"}) == (False, None)


def test_compiled_schemas_are_kept_and_bounded() -> None:
    """The same bytes compile once; old ones make room."""
    schemas = Schemas(kept=2)
    first = schemas._get(b'{"type": "string"}')
    assert schemas._get(b'{"type": "string"}') is first
    schemas.judge(b'{"type": "number"}', 1)
    schemas.judge(b'{"type": "boolean"}', 1)
    assert len(schemas._compiled) == 2
    assert schemas._get(b'{"type": "string"}') is not first
