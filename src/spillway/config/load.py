"""Reads ``spillway.yaml`` in phases: find, parse, put in the environment, validate, cross-check."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from spillway.config.complaints import complaints
from spillway.config.consistency import oddities, problems_of
from spillway.config.document import Document
from spillway.config.schema import Config, NodeConfig
from spillway.errors import ConfigError

__all__ = ["FILE_NAME", "LoadedConfig", "find_config", "load_config"]

FILE_NAME = "spillway.yaml"
LOCK_NAME = "spillway.lock"


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
    found = path or find_config(environment)
    if found is None:
        return LoadedConfig(_resolved(Config(), Path(FILE_NAME)))
    document = Document.parse(_read(found), found)
    document.put_in(environment, needs_variables=needs_variables)
    try:
        config = Config.model_validate(document.values)
    except ValidationError as error:
        raise document.error(complaints(document, error.errors())) from None
    if problems := problems_of(config, needs_secrets=needs_variables):
        raise document.error(problems)
    warnings = document.sentences(oddities(config, needs_secrets=needs_variables))
    return LoadedConfig(_resolved(config, found), found, tuple(warnings))


def find_config(environment: Mapping[str, str]) -> Path | None:
    """The configuration that is read where none is named: here, then where the user's settings are kept."""
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
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"there is no configuration file {path}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None


def _resolved(config: Config, path: Path) -> Config:
    """Aliases lead to their end, and files that it names are looked for beside the configuration."""
    aliases = {alias: _end_of(alias, config.aliases) for alias in config.aliases}
    nodes = tuple(_with_place(node, path.parent) for node in config.nodes)
    pins = config.pins.model_copy(update={"lock": _place_of_lock(config.pins.lock, path.parent)})
    routing = config.routing
    if routing.task_file is not None:
        routing = routing.model_copy(update={"task_file": _beside(routing.task_file, path.parent)})
    return config.model_copy(update={"aliases": aliases, "nodes": nodes, "pins": pins, "routing": routing})


def _place_of_lock(lock: str | None, folder: Path) -> str | None:
    """The lock beside the configuration; ``None`` when none is named and none is there."""
    if lock is None and not (folder / LOCK_NAME).is_file():
        return None
    return _beside(lock or LOCK_NAME, folder)


def _beside(name: str, folder: Path) -> str:
    return str((folder / Path(name).expanduser()).absolute())


def _with_place(node: NodeConfig, folder: Path) -> NodeConfig:
    named = {"model": node.model, "profile": node.profile}
    return node.model_copy(update={key: _beside(name, folder) for key, name in named.items() if name})


def _end_of(alias: str, aliases: Mapping[str, str]) -> str:
    while alias in aliases:
        alias = aliases[alias]
    return alias
