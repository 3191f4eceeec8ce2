"""Reads ``spillway.yaml`` in phases: find, parse, put in the environment, validate, cross-check."""

from __future__ import annotations

import difflib
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from spillway.config.schema import RESERVED_NAMES, Config
from spillway.errors import ConfigError

__all__ = ["LoadedConfig", "load_config"]

FILE_NAME = "spillway.yaml"
_VARIABLE = re.compile(r"\$(\$)?\{([A-Za-z_][A-Za-z0-9_]*)\}")
Location = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A valid configuration, the file it came from, and what is odd about it without being wrong."""

    config: Config
    path: Path | None = None
    warnings: tuple[str, ...] = ()


def load_config(
    path: Path | None, environment: Mapping[str, str], *, needs_variables: bool = True
) -> LoadedConfig:
    """The configuration at ``path``, or the first found in the usual places, or the defaults.

    Without ``needs_variables`` one that is not set is taken as empty: a report needs no cloud's key.
    ConfigError names file, line and key of every problem at once, and never a value from the environment.
    """
    found = path or _find(environment)
    if found is None:
        return LoadedConfig(Config())
    text = _read(found)
    document = Document.parse(text, found)
    document.put_in(environment if needs_variables else defaultdict(str, environment))
    try:
        config = Config.model_validate(document.values)
    except ValidationError as error:
        raise ConfigError("\n".join(document.sentences(error.errors()))) from None
    problems, warnings = _cross_check(config)
    if problems:
        raise ConfigError("\n".join(f"{found}:{document.line(at)}: {said}" for at, said in problems))
    return LoadedConfig(_resolved(config, found), found, tuple(f"{found}: {said}" for said in warnings))


def _find(environment: Mapping[str, str]) -> Path | None:
    home = Path(environment.get("HOME") or Path.home())
    if sys.platform == "darwin":
        folder = home / "Library" / "Application Support"
    else:
        folder = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    for candidate in (Path(FILE_NAME), folder / "spillway" / FILE_NAME):
        if candidate.is_file():
            return candidate
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"there is no configuration file {path}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None


class Document:
    """A parsed file: plain values, and the line of each key."""

    def __init__(self, path: Path, values: Any, lines: dict[Location, int]) -> None:
        self.path = path
        self.values = values
        self._lines = lines

    @classmethod
    def parse(cls, text: str, path: Path) -> Document:
        """ConfigError for what is no YAML, no mapping, or says a key twice."""
        import yaml

        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            lines = dict(_lines(node, (), path)) if node is not None else {}
            values = loader.construct_document(node) if node is not None else {}
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            line = mark.line + 1 if mark else 1
            raise ConfigError(f"{path}:{line}: this is not YAML: {error.problem or 'syntax error'}") from None
        except yaml.YAMLError:
            raise ConfigError(f"{path}: this is not YAML") from None
        finally:
            loader.dispose()
        if not isinstance(values, dict):
            raise ConfigError(f"{path}:1: the file must hold keys and values, such as nodes: and clouds:")
        return cls(path, values, lines)

    def put_in(self, environment: Mapping[str, str]) -> None:
        """Replaces ``${NAME}`` in every text; ``$${`` stands for a literal ``${``."""
        self.values = self._expanded(self.values, (), environment)

    def _expanded(self, value: Any, at: Location, environment: Mapping[str, str]) -> Any:
        if isinstance(value, dict):
            return {key: self._expanded(item, (*at, key), environment) for key, item in value.items()}
        if isinstance(value, list):
            return [self._expanded(item, (*at, i), environment) for i, item in enumerate(value)]
        if not isinstance(value, str):
            return value

        def replace(match: re.Match[str]) -> str:
            escaped, name = match.groups()
            if escaped:
                return match[0][1:]
            if name not in environment and not isinstance(environment, defaultdict):
                place = f"{self.path}:{self.line(at)}: {_shown(at)}"
                raise ConfigError(f"{place}the environment has no variable {name}; set it first")
            return environment[name]

        return _VARIABLE.sub(replace, value)

    def line(self, at: Location) -> int:
        """The line of the key, or of the nearest thing around it."""
        while at:
            if at in self._lines:
                return self._lines[at]
            at = at[:-1]
        return 1

    def sentences(self, errors: list[ErrorDetails]) -> list[str]:
        """pydantic's errors for a person, in the order of the file.

        A value that may be a text or a mapping fails as both; what is wrong with the mapping says more.
        """
        placed = [(tuple(part for part in e["loc"] if not _is_type_tag(part)), e) for e in errors]
        told = [
            (self.line(at), f"{self.path}:{self.line(at)}: {_shown(at)}{_said(error, at)}")
            for at, error in placed
            if not (
                error["loc"][-1:] == ("str",)
                and any(other[: len(at)] == at for other, _ in placed if other != at)
            )
        ]
        return [sentence for _, sentence in sorted(told)]


def _lines(node: Any, at: Location, path: Path) -> Iterator[tuple[Location, int]]:
    import yaml

    yield at, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = key.value
            if name in seen:
                raise ConfigError(f"{path}:{key.start_mark.line + 1}: {_shown((*at, name))}is said twice")
            seen.add(name)
            yield (*at, name), key.start_mark.line + 1
            for below, line in _lines(value, (*at, name), path):
                if below != (*at, name):
                    yield below, line
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _lines(value, (*at, index), path)


def _shown(at: Location) -> str:
    """``nodes[0].slots: `` for a location, nothing for the whole file."""
    text = ""
    for part in at:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return f"{text}: " if text else ""


def _is_type_tag(part: str | int) -> bool:
    """pydantic puts the branch of a union into locations: class names, or kinds such as ``int``."""
    return isinstance(part, str) and (part in {"int", "str", "literal['auto']"} or part.endswith("Config"))


def _said(error: ErrorDetails, at: Location) -> str:
    kind = error["type"]
    if kind == "extra_forbidden":
        known = _known_keys(at[:-1])
        near = difflib.get_close_matches(str(at[-1]), known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
        return f"is not a known key; {hint}"
    if kind == "missing":
        return "is missing"
    message = error["msg"].removeprefix("Value error, ")
    return message[0].lower() + message[1:]


def _known_keys(at: Location) -> list[str]:
    """The keys that may stand at a location, from the schema."""
    section: Any = Config
    for part in at:
        if isinstance(part, int) or not _is_section(section):
            continue
        field = section.model_fields.get(part)
        section = next(iter(_sections(field.annotation)), None) if field else None
    return list(section.model_fields) if _is_section(section) else []


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    if _is_section(annotation):
        yield annotation
    for inner in get_args(annotation):
        yield from _sections(inner)


def _is_section(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, BaseModel)


# what only makes sense together


def _cross_check(config: Config) -> tuple[list[tuple[Location, str]], list[str]]:
    clouds = {cloud.name: {entry.name for entry in cloud.model_entries} for cloud in config.clouds}
    problems: list[tuple[Location, str]] = []
    warnings: list[str] = []
    if config.routing.reference is not None:
        name, _, model = config.routing.reference.partition("/")
        at: Location = ("routing", "reference")
        if not model or name not in clouds:
            known = ", ".join(clouds) or "none"
            problems.append((at, f"routing.reference: must be CLOUD/MODEL of a configured cloud ({known})"))
        elif clouds[name] and model not in clouds[name]:
            warnings.append(f"routing.reference: {model} is not among the models of {name}")
    problems += [
        (("prices", key), f"prices.{key}: must be CLOUD/MODEL of a configured cloud")
        for key in config.prices
        if key.partition("/")[0] not in clouds or not key.partition("/")[2]
    ]
    problems += [(("aliases", alias), said) for alias, said in _bad_aliases(config)]
    return problems, warnings


def _bad_aliases(config: Config) -> Iterator[tuple[str, str]]:
    upstreams = {node.name for node in config.nodes} | {cloud.name for cloud in config.clouds}
    for alias, target in config.aliases.items():
        if alias in RESERVED_NAMES:
            yield alias, f"aliases.{alias}: that word chooses a side and cannot be an alias"
            continue
        seen = {alias}
        while target in config.aliases:
            if target in seen:
                yield alias, f"aliases.{alias}: leads back to itself"
                break
            seen.add(target)
            target = config.aliases[target]
        else:
            upstream, slash, _ = target.partition("/")
            if slash and upstreams and upstream not in upstreams and not _is_listed(config, target):
                yield alias, f"aliases.{alias}: no node or cloud is called {upstream!r}"


def _is_listed(config: Config, model: str) -> bool:
    return any(entry.name == model for cloud in config.clouds for entry in cloud.model_entries)


def _resolved(config: Config, path: Path) -> Config:
    """Aliases lead to their end, and model files are looked for beside the configuration."""
    aliases = {alias: _end_of(alias, config.aliases) for alias in config.aliases}
    nodes = tuple(
        node.model_copy(update={"model": str((path.parent / Path(node.model).expanduser()).absolute())})
        if node.model is not None
        else node
        for node in config.nodes
    )
    return config.model_copy(update={"aliases": aliases, "nodes": nodes})


def _end_of(alias: str, aliases: Mapping[str, str]) -> str:
    while alias in aliases:
        alias = aliases[alias]
    return alias
