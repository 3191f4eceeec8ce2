"""JSON Schemas compiled once and kept, with bounds that no schema or answer can stretch.

References are resolved inside the schema only: nothing is ever fetched, from no network and no file. A
schema that cannot be compiled, or that could cost too much, is no reason to reject an answer: it is skipped
and a flag says so.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    import jsonschema_rs

__all__ = ["Judgement", "Schemas", "nodes_of"]

LONGEST_SCHEMA_BYTES: Final = 512_000
MOST_NODES: Final = 50_000
"""Nodes of a schema, its enumerated values included."""
MOST_EXPANDED: Final = 20_000.0
"""Checks that one instance node may cost through references and alternatives."""
MOST_WORK: Final = 2e7
"""Checks times instance nodes: about a second at worst, a millisecond as a rule."""
MOST_PATTERN_WORK: Final = 20_000
DEEPEST: Final = 200
"""Levels of an instance; compiled validators recurse."""
KEPT: Final = 256
BACKTRACK_LIMIT: Final = 50_000
REGEX_BYTES: Final = 1_000_000

_IN_PLACE: Final = (
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "dependentSchemas",
    "dependencies",
)
_REPEAT: Final = re.compile(r"\{(\d{1,9})(?:,(\d{0,9}))?\}")
_FOREIGN_TYPES: Final = {
    "dict": "object",
    "map": "object",
    "hashmap": "object",
    "list": "array",
    "tuple": "array",
    "set": "array",
    "arraylist": "array",
    "float": "number",
    "double": "number",
    "int": "integer",
    "long": "integer",
    "bool": "boolean",
    "str": "string",
    "char": "string",
    "none": "null",
    "any": "",
}
"""Type names that tool definitions of other languages use; ``any`` asks for nothing."""


class Judgement(Struct, frozen=True):
    """What a schema says of an instance."""

    is_valid: bool
    keyword: str | None = None
    """The keyword that was violated first; ``None`` when none was or nobody could say."""
    skipped: str | None = None
    """``schema_invalid`` or ``schema_too_costly`` when the schema judged nothing."""


SKIP_INVALID: Final = Judgement(True, None, "schema_invalid")
SKIP_COSTLY: Final = Judgement(True, None, "schema_too_costly")


class Schemas:
    """Compiled schemas by digest, the ``KEPT`` last ones; one per process is enough."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._compiled: dict[bytes, _Compiled] = {}

    def judge(self, schema: bytes, instance: object) -> Judgement:
        """Whether an instance (parsed JSON) fits; never raises, never fetches."""
        compiled = self._get(schema)
        if compiled.validator is None:
            return compiled.skip or SKIP_INVALID
        nodes, depth = nodes_of(instance, int(MOST_WORK / compiled.checks))
        if depth > DEEPEST or nodes * compiled.checks > MOST_WORK:
            return SKIP_COSTLY
        if compiled.validator.is_valid(instance):
            return Judgement(True)
        return _blame(compiled.validator, instance)

    def _get(self, schema: bytes) -> _Compiled:
        key = hashlib.blake2b(schema, digest_size=16).digest()
        found = self._compiled.pop(key, None) or _compile(schema)
        self._compiled[key] = found
        if len(self._compiled) > self._kept:
            del self._compiled[next(iter(self._compiled))]
        return found


class _Compiled(Struct, frozen=True):
    validator: jsonschema_rs.Validator | None
    checks: float = 1.0
    skip: Judgement | None = None


def _blame(validator: jsonschema_rs.Validator, instance: object) -> Judgement:
    """The first violated keyword; a pattern that was given up on judges nothing."""
    import jsonschema_rs

    try:
        validator.validate(instance)
    except jsonschema_rs.ValidationError as error:
        name = error.kind.name
        if isinstance(error.kind, _given_up()):
            return SKIP_COSTLY
        return Judgement(False, name)
    except ValueError:
        return SKIP_COSTLY
    return Judgement(False)


def _given_up() -> tuple[type[Any], ...]:
    from jsonschema_rs import ValidationErrorKind

    return (ValidationErrorKind.BacktrackLimitExceeded, ValidationErrorKind.RegexEngineFailure)


def _compile(schema: bytes) -> _Compiled:
    if len(schema) > LONGEST_SCHEMA_BYTES:
        return _Compiled(None, skip=SKIP_COSTLY)
    try:
        parsed = msgspec.json.decode(schema)
    except (msgspec.MsgspecError, RecursionError):
        return _Compiled(None)
    if not isinstance(parsed, dict):
        return _Compiled(None)
    nodes, depth = nodes_of(parsed, MOST_NODES)
    if nodes > MOST_NODES or depth > DEEPEST or _pattern_work(parsed) > MOST_PATTERN_WORK:
        return _Compiled(None, skip=SKIP_COSTLY)
    checks = _Expansion(parsed).most()
    if checks > MOST_EXPANDED:
        return _Compiled(None, skip=SKIP_COSTLY)
    validator = _validator(parsed) or _validator(_with_known_types(parsed))
    return _Compiled(validator, checks)


def _validator(schema: Any) -> jsonschema_rs.Validator | None:
    import jsonschema_rs

    options = jsonschema_rs.FancyRegexOptions(BACKTRACK_LIMIT, REGEX_BYTES, REGEX_BYTES)
    try:
        return jsonschema_rs.validator_for(
            schema, offline=True, validate_formats=False, pattern_options=options
        )
    except (ValueError, TypeError, jsonschema_rs.ReferencingError):
        return None


def nodes_of(value: object, most: int = MOST_NODES) -> tuple[int, int]:
    """(values in a JSON value, levels), counted level by level; stops soon after ``most`` values."""
    count, depth = 1, 0
    level = [value]
    while level and count <= most:
        depth += 1
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        count += len(below)
        level = below
    return count, depth


def _schemas_in(value: Any) -> Iterator[dict[str, Any]]:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            yield item
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)


def _pattern_work(schema: Any) -> int:
    """A bound on the size of all patterns once their counted repeats are unrolled."""
    total = 0
    for node in _schemas_in(schema):
        patterns = [node.get("pattern")]
        named = node.get("patternProperties")
        patterns.extend(named if isinstance(named, dict) else ())
        for pattern in patterns:
            if isinstance(pattern, str):
                total += len(pattern) + _unrolled(pattern)
    return total


def _unrolled(pattern: str) -> int:
    product = 1
    for low, high in _REPEAT.findall(pattern):
        product *= max(1, int(high or low))
        if product > MOST_PATTERN_WORK:
            break
    return product if product > 1 else 0


def _with_known_types(value: Any) -> Any:
    """The schema with type names of other languages replaced; unknown ones ask for nothing."""
    if isinstance(value, list):
        return [_with_known_types(item) for item in value]
    if not isinstance(value, dict):
        return value
    out = {key: _with_known_types(item) for key, item in value.items()}
    kind = out.get("type")
    if isinstance(kind, str):
        known = _FOREIGN_TYPES.get(kind.lower(), kind.lower())
        if known in {"object", "array", "string", "number", "integer", "boolean", "null"}:
            out["type"] = known
        else:
            del out["type"]
    if isinstance(out.get("required"), bool):
        del out["required"]
    return out


class _Expansion:
    """How many checks one instance node can cost: its alternatives and references, followed in place."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._known: dict[int, float] = {}

    def most(self) -> float:
        """The dearest subschema's checks; ``inf`` when references nest beyond reason."""
        try:
            return max(self._checks(node) for node in _schemas_in(self._root))
        except RecursionError:
            return math.inf

    def _checks(self, node: Any) -> float:
        if not isinstance(node, dict):
            return 1.0
        key = id(node)
        if key in self._known:
            return self._known[key]
        self._known[key] = 1.0  # so that a reference back to here is not followed twice
        total = 1.0 + _values_compared(node)
        for name in _IN_PLACE:
            total += sum(map(self._checks, _members(node.get(name))))
        for name in ("$ref", "$dynamicRef", "$recursiveRef"):
            reference = node.get(name)
            if isinstance(reference, str):
                total += self._checks(self._target(reference))
        self._known[key] = total
        return total

    def _target(self, reference: str) -> Any:
        """The local subschema of a reference; ``None`` for anything that is not a local pointer."""
        if not reference.startswith("#"):
            return None
        node: Any = self._root
        for part in reference[1:].split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            if isinstance(node, dict):
                node = node.get(name)
            elif isinstance(node, list) and name.isdigit() and int(name) < len(node):
                node = node[int(name)]
            else:
                return None
        return node


def _members(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        return [value, *value.values()]
    return []


def _values_compared(node: dict[str, Any]) -> float:
    """Enumerated objects and lists are compared one by one, plain values by a look-up."""
    values = node.get("enum")
    if not isinstance(values, list):
        return 0.0
    return float(sum(isinstance(value, (dict, list)) for value in values))
