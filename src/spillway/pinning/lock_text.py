"""The YAML of a lock: read with the line of each key, written in one stable order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import NODEFAULT, Struct
from msgspec.structs import fields

from spillway.errors import LockError

__all__ = ["Location", "LockText", "rendered"]

Location = tuple[str | int, ...]
LINE_WIDTH = 110
DEEPEST = 32
"""Levels of brackets and indents; a lock has seven."""


class LockText:
    """A parsed file: plain values, and where each key stands."""

    def __init__(self, path: Path, values: dict[str, Any], lines: dict[Location, int]) -> None:
        self.path = path
        self.values = values
        self._lines = lines

    @classmethod
    def parse(cls, text: str, path: Path) -> LockText:
        """The values in ``text``; LockError for what is no YAML mapping, or says a key twice."""
        import yaml

        kind = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        loader = kind(text)
        try:
            _check_depth(yaml.parse(text, kind), path)
            node = loader.get_single_node()
            lines = dict(_lines(node, (), path, set())) if node is not None else {}
            values = loader.construct_document(node) if node is not None else None
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise LockError(f"{path}:{line}: this is not YAML: {error.problem or 'syntax error'}") from None
        except (yaml.YAMLError, ValueError) as error:
            said = str(error).partition("\n")[0]
            raise LockError(f"{path}: this is not YAML: {said}") from None
        except RecursionError:
            raise LockError(f"{path}: it is nested too deeply for a lock") from None
        finally:
            loader.dispose()
        if not isinstance(values, dict):
            raise LockError(f"{path}: this is no lock: it holds no keys; write one with spillway pin")
        return cls(path, values, lines)

    def mapping(self, at: Location) -> dict[str, Any]:
        """The mapping there, empty when there is none; LockError when something else stands there."""
        value: Any = self.values
        for step in at:
            value = value.get(step) if isinstance(value, dict) else None
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.error(at, "must be a mapping")
        return value

    def error(self, at: Location, said: str) -> LockError:
        """``FILE:LINE: KEY: WHAT``; the line is that of the nearest key that is there."""
        near = at
        while near and near not in self._lines:
            near = near[:-1]
        key = ".".join(map(str, at))
        return LockError(f"{self.path}:{self._lines.get(near, 1)}: {key}: {said}")


def rendered(schema: str, lock: Any, end: str) -> str:
    """The text of a lock: names sorted, fields in the order of the records, long texts as blocks."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Writes texts of several lines as blocks and lists of numbers in one line."""

    Dumper.add_representer(str, _text)
    Dumper.add_representer(list, _list)
    body = {
        "schema": schema,
        "nodes": {name: _plain(node) for name, node in sorted(lock.nodes.items())},
        "templates": dict(sorted(lock.templates.items())),
        "end": end,
    }
    written: str = yaml.dump(
        body, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=LINE_WIDTH, default_flow_style=False
    )
    return written


def _text(dumper: Any, text: str) -> Any:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _list(dumper: Any, items: list[Any]) -> Any:
    is_short = all(isinstance(item, int | float) or len(str(item)) < LINE_WIDTH // 4 for item in items)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=is_short)


def _plain(value: Any) -> Any:
    """Records as mappings without what is unknown; whole numbers without their ``.0``."""
    if isinstance(value, Struct):
        pairs = ((field, getattr(value, field.name)) for field in fields(value))
        return {field.name: _plain(item) for field, item in pairs if not _is_left_out(field, item)}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in sorted(value.items())}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)
    return value


def _is_left_out(field: Any, item: Any) -> bool:
    """What is as if it had not been written; unknown (``None``) always is."""
    if field.default_factory is not NODEFAULT:
        return bool(item == field.default_factory())
    return bool(item == field.default)


def _check_depth(events: Iterable[Any], path: Path) -> None:
    """LockError beyond ``DEEPEST``: the parser in C recurses, and would end the process there."""
    import yaml

    depth = 0
    for event in events:
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            line = event.start_mark.line + 1
            raise LockError(f"{path}:{line}: it is nested too deeply for a lock")


def _lines(node: Any, at: Location, path: Path, seen: set[int]) -> Iterator[tuple[Location, int]]:
    """Where each key stands; LockError for a key said twice, one that is no text, and for references,
    which can make a small file endless."""
    import yaml

    yield at, node.start_mark.line + 1
    if isinstance(node, yaml.ScalarNode):
        return
    if id(node) in seen:
        raise LockError(f"{path}:{node.start_mark.line + 1}: references (& and *) have no place in a lock")
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _lines(value, (*at, index), path, seen)
        return
    names: set[str] = set()
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
            raise LockError(f"{path}:{line}: a key must be text: quote it")
        if key.value in names:
            raise LockError(f"{path}:{line}: {key.value} is said twice")
        names.add(key.value)
        for below, below_line in _lines(value, (*at, key.value), path, seen):
            yield below, line if below == (*at, key.value) else below_line
