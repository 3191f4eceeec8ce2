"""The text of ``spillway.yaml`` as plain values, with the line of each key and the environment put in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from spillway.errors import ConfigError, printable

__all__ = ["Document", "Location", "Problem", "shown"]

Location = tuple[str | int, ...]
Problem = tuple[Location, str]
"""Where something is wrong, and what."""

_VARIABLE = re.compile(r"\$(\$)?\{(?:([A-Za-z_][A-Za-z0-9_]*)\})?")
SHORTEST_SECRET = 4
"""Shorter values from the environment are not hidden: hiding ``1`` would garble every message."""


def shown(at: Location) -> str:
    """``nodes[0].slots`` for a location, nothing for the whole file."""
    text = ""
    for part in at:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else part)
    return text


class Document:
    """A parsed file: plain values, the line of each key, and which of its values must not be shown."""

    def __init__(self, path: Path, values: dict[str, Any], lines: dict[Location, int]) -> None:
        self.path = path
        self.values = values
        self._lines = lines
        self._hidden: dict[str, str] = {}

    @classmethod
    def parse(cls, text: str, path: Path) -> Document:
        """The document in ``text``; ConfigError for what is no YAML, no mapping, or says a key twice."""
        import yaml

        try:
            loader = yaml.SafeLoader(text)
            node = loader.get_single_node()
            if node is None:
                return cls(path, {}, {})
            twice: list[Problem] = []
            lines = dict(_lines(node, (), twice))
            if twice:
                raise cls(path, {}, lines).error(twice)
            values = loader.construct_document(node)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise ConfigError(f"{path}:{line}: this is not YAML: {error.problem or 'syntax error'}") from None
        except (yaml.YAMLError, ValueError) as error:
            said = str(error).partition("\n")[0]
            raise ConfigError(f"{path}: this is not YAML: {said}") from None
        except RecursionError:
            raise ConfigError(f"{path}: it is nested too deeply, or refers to itself") from None
        if not isinstance(values, dict):
            raise ConfigError(f"{path}:1: the file must hold keys and values, such as nodes: and clouds:")
        return cls(path, values, lines)

    def put_in(self, environment: Mapping[str, str], *, needs_variables: bool = True) -> None:
        """Replaces ``${NAME}`` in every text; ``$${`` stands for a literal ``${``.

        ConfigError lists every variable that is not set; without ``needs_variables`` those count as empty.
        """
        problems: list[Problem] = []
        self.values = self._expanded(self.values, (), environment, problems if needs_variables else None)
        if problems:
            raise self.error(problems)

    def _expanded(
        self, value: Any, at: Location, environment: Mapping[str, str], problems: list[Problem] | None
    ) -> Any:
        if isinstance(value, dict):
            return {k: self._expanded(item, (*at, k), environment, problems) for k, item in value.items()}
        if isinstance(value, list):
            return [self._expanded(item, (*at, i), environment, problems) for i, item in enumerate(value)]
        if not isinstance(value, str):
            return value

        def replace(match: re.Match[str]) -> str:
            escaped, name = match.groups()
            if escaped:
                return match[0][1:]
            if name is None:
                said = "${ begins no variable: write ${NAME}, or $${ for a plain ${"
            elif name in environment:
                self._hidden[environment[name]] = name
                return environment[name]
            else:
                said = f"the environment has no variable {name}: set it first"
            if problems is not None:
                problems.append((at, said))
            return ""

        return _VARIABLE.sub(replace, value)

    def has(self, at: Location) -> bool:
        """Whether the file says something there."""
        return at in self._lines

    def line(self, at: Location) -> int:
        """The line of the key, or of the nearest thing around it."""
        while at:
            if at in self._lines:
                return self._lines[at]
            at = at[:-1]
        return 1

    def sentences(self, problems: list[Problem]) -> list[str]:
        """``FILE:LINE: KEY: WHAT`` for each, in the order of the file, without values of the environment."""
        placed = sorted((self.line(at), shown(at), said) for at, said in problems)
        return [
            printable(self._without_secrets(f"{self.path}:{line}: {key}{': ' if key else ''}{said}"))
            for line, key, said in placed
        ]

    def error(self, problems: list[Problem]) -> ConfigError:
        """All of them in one error, a line each."""
        return ConfigError("\n".join(self.sentences(problems)))

    def _without_secrets(self, text: str) -> str:
        for value, name in sorted(self._hidden.items(), key=lambda item: -len(item[0])):
            if len(value) >= SHORTEST_SECRET:
                for form in (value, repr(value)[1:-1]):
                    text = text.replace(form, f"${{{name}}}")
        return text


def _lines(node: Any, at: Location, twice: list[Problem]) -> Iterator[tuple[Location, int]]:
    """Where each key stands; what is said a second time is added to ``twice``."""
    import yaml

    yield at, node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _lines(value, (*at, index), twice)
    elif isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key must be text", problem_mark=key.start_mark)
            name, line = key.value, key.start_mark.line + 1
            if name in seen:
                twice.append(((*at, name), f"is said twice, first in line {seen[name]}"))
            seen.setdefault(name, line)
            for below, below_line in _lines(value, (*at, name), twice):
                yield below, line if below == (*at, name) else below_line
