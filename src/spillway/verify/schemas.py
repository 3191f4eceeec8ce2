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
MOST_CHECKS: Final = 20_000.0
"""Looks that one instance value may cost through references and alternatives."""
FOREIGN_CHECKS: Final = 60.0
"""Looks through a reference to a published meta-schema, the only foreign one that resolves."""
MOST_NESTED_IDS: Final = 64
BLAMED_CHECKS: Final = 64.0
BLAMED_NODES: Final = 2_000
"""Beyond these the reason of a violation is not asked for."""
MOST_WORK: Final = 5e6
"""Looks times instance values: a quarter of a second at worst, a millisecond as a rule."""
MOST_PATTERN_WORK: Final = 12_000
DEEPEST: Final = 200
"""Levels of an instance; compiled validators recurse."""
KEPT: Final = 256
BACKTRACK_LIMIT: Final = 50_000
REGEX_BYTES: Final = 1_000_000

_IN_PLACE: Final = (
    *("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "dependencies"),
    *("patternProperties", "extends"),
)
"""Keywords whose schemas may all look at the same value."""
_ONE_OF_CHILDREN: Final = (
    *("properties", "additionalProperties", "unevaluatedProperties", "propertyNames"),
    *("items", "prefixItems", "additionalItems", "unevaluatedItems", "contains"),
)
"""Keywords of whose schemas one looks at a value."""
_REGEX_TOKEN: Final = re.compile(
    r"\\(?:[pP]\{\w*\}|u\{?\w{0,6}\}?|.)|\[\^?\]?(?:\\.|[^\]\\])*\]|\{\d{1,9}(?:,\d{0,9})?\}|\(\?(?:<?[=!]|:|<\w+>)|.",
    re.DOTALL,
)
_BACKTRACKS: Final = re.compile(r"\(\?<?[=!]|\\[1-9]")
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
        try:
            if compiled.validator.is_valid(instance):
                return Judgement(True)
        except ValueError:  # deeper than the validator walks
            return SKIP_COSTLY
        if compiled.is_simple and nodes <= BLAMED_NODES:
            return _blame(compiled.validator, instance)
        return SKIP_COSTLY if compiled.may_give_up else Judgement(False)

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
    is_simple: bool = False
    """Whether asking for the reason is cheap: reasons of nested alternatives multiply."""
    may_give_up: bool = False
    """Whether some pattern backtracks, so that "not valid" may mean "given up on"."""
    skip: Judgement | None = None


def _blame(validator: jsonschema_rs.Validator, instance: object) -> Judgement:
    """The first violated keyword; a pattern that was given up on judges nothing."""
    import jsonschema_rs

    kinds = jsonschema_rs.ValidationErrorKind
    try:
        validator.validate(instance)
    except jsonschema_rs.ValidationError as error:
        if isinstance(error.kind, (kinds.BacktrackLimitExceeded, kinds.RegexEngineFailure)):
            return SKIP_COSTLY
        return Judgement(False, error.kind.name)
    except ValueError:
        return SKIP_COSTLY
    return Judgement(False)


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
    expansion = _Expansion(parsed)
    if nodes > MOST_NODES or depth > DEEPEST or _pattern_work(parsed) > MOST_PATTERN_WORK:
        return _Compiled(None, skip=SKIP_COSTLY)
    checks = expansion.checks()
    if checks > MOST_CHECKS:
        return _Compiled(None, skip=SKIP_COSTLY)
    validator = _validator(parsed) or _validator(_with_known_types(parsed))
    is_simple = checks <= BLAMED_CHECKS and not expansion.has_cycle
    return _Compiled(validator, checks, is_simple, any(map(_BACKTRACKS.search, _patterns_of(parsed))))


def _validator(schema: Any) -> jsonschema_rs.Validator | None:
    import jsonschema_rs

    options = jsonschema_rs.FancyRegexOptions(BACKTRACK_LIMIT, REGEX_BYTES, REGEX_BYTES)
    try:
        return jsonschema_rs.validator_for(
            schema, offline=True, validate_formats=True, pattern_options=options
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


def _patterns_of(schema: Any) -> Iterator[str]:
    for node in _schemas_in(schema):
        named = node.get("patternProperties")
        for pattern in (node.get("pattern"), *(named if isinstance(named, dict) else ())):
            if isinstance(pattern, str):
                yield pattern


def _pattern_work(schema: Any) -> int:
    """A bound on the size of all patterns once their counted repeats are unrolled."""
    return sum(map(_unrolled, _patterns_of(schema)))


def _unrolled(pattern: str) -> int:
    """Characters of a pattern once its counted repeats are written out; nested repeats multiply.

    >>> _unrolled("a{1,10}"), _unrolled("(?:ab{1,10}){1,10}"), _unrolled("[{}]x")
    (10, 110, 2)
    """
    sizes, last = [0], 0
    for token in _REGEX_TOKEN.finditer(pattern):
        text = token.group()
        repeat = _REPEAT.fullmatch(text)
        if text == "(" or text.startswith("(?"):
            sizes.append(0)
        elif text == ")" and len(sizes) > 1:
            last = sizes.pop()
            sizes[-1] += last
        elif repeat is not None:
            sizes[-1] += last * (max(1, int(repeat.group(2) or repeat.group(1))) - 1)
        elif text not in "*+?|^$":
            last = 1
            sizes[-1] += 1
    return sum(sizes)


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
    """How often one instance value can be looked at: through alternatives, references and overlapping keys.

    A reference back to where it came from counts once, since compiled validators remember what they did
    there; long chains of distinct alternatives are what multiplies.
    """

    def __init__(self, root: dict[str, Any]) -> None:
        self._roots = [root]
        self._named: dict[str, dict[str, Any]] = {}
        self._known: dict[int, float] = {}
        self._open: set[int] = set()
        self.has_cycle = False
        for node in _schemas_in(root):
            for key in ("$anchor", "$dynamicAnchor"):
                if isinstance(node.get(key), str):
                    self._named[f"#{node[key]}"] = node
            for key in ("$id", "id"):
                if isinstance(node.get(key), str) and node is not root:
                    self._named[node[key]] = node
                    self._roots.append(node)

    def checks(self) -> float:
        """Looks per instance value at worst; ``inf`` when the schema nests beyond reason."""
        if len(self._roots) > MOST_NESTED_IDS:
            return math.inf
        try:
            return self._checks(self._roots[0])
        except RecursionError:
            return math.inf

    def _checks(self, node: Any) -> float:
        if not isinstance(node, dict):
            return 1.0
        key = id(node)
        if key in self._known:
            self.has_cycle = self.has_cycle or key in self._open
            return self._known[key]
        self._known[key] = 1.0
        self._open.add(key)
        total = 1.0 + _values_compared(node)
        total += sum(self._checks(member) for name in _IN_PLACE for member in _members(node.get(name)))
        total += sum(
            max(map(self._checks, _members(node.get(name))), default=0.0) for name in _ONE_OF_CHILDREN
        )
        for name in ("$ref", "$dynamicRef", "$recursiveRef"):
            if isinstance(node.get(name), str):
                total += max(map(self._checks, self._targets(node[name])), default=FOREIGN_CHECKS)
        self._open.discard(key)
        self._known[key] = total
        return total

    def _targets(self, reference: str) -> list[Any]:
        """The subschemas a reference may mean; which of them is the validator's business."""
        if reference.startswith("#/") or reference == "#":
            found = [_at_pointer(root, reference) for root in self._roots]
            return [node for node in found if node is not None]
        base, _, fragment = reference.partition("#")
        named = [
            node
            for name, node in self._named.items()
            if name == reference or (base and (name.endswith(base) or base.endswith(name)))
        ]
        named += [node for name, node in self._named.items() if fragment and name == f"#{fragment}"]
        if fragment.startswith("/"):
            named += [_at_pointer(node, f"#{fragment}") for node in list(named)]
        return named


def _at_pointer(root: Any, reference: str) -> Any:
    node = root
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
    """The schemas in a keyword's value: one, a list of them, or named ones."""
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
