"""Writes a configuration for people: annotated, with secrets as references to the environment."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from spillway.config.schema import (
    CloudConfig,
    CloudModelConfig,
    Config,
    KeyConfig,
    NodeConfig,
    RoutingConfig,
    Section,
)
from spillway.errors import ConfigError

__all__ = ["example_text", "json_schema", "render_config", "write_config"]

HEAD = (
    "# Written by spillway up --write-config. `spillway check` says whether it works.",
    "# Every option is described in the reference; keys are read from the environment.",
)
ALWAYS = {
    "Config": {"server", "nodes", "clouds", "routing", "ledger"},
    "ServerConfig": {"host", "port"},
    "NodeConfig": {"engine", "slots"},
    "CloudConfig": {"models"},
    "RoutingConfig": {"local_tasks", "max_local_input_tokens", "max_local_output_tokens"},
}
"""What is written even where it is the default: people look for it."""
HINTS = {
    ("NodeConfig", "hardware"): "hardware: {price_usd: 2000, life_months: 48, idle_w: 8, active_w: 40}",
    ("Config", "electricity_usd_per_kwh"): "electricity_usd_per_kwh: 0.27",
}
"""What is offered as a comment while it is not set."""
KINDS = {kind.__name__: kind for kind in (Config, NodeConfig, CloudModelConfig, RoutingConfig)}
LEDGER_VARIABLE = "SPILLWAY_LEDGER"
WIDTH = 100
Lines = Iterator[str]


def example_text() -> str:
    """The example that shows every option."""
    return resources.files("spillway.config").joinpath("example.yaml").read_text(encoding="utf-8")


def json_schema() -> dict[str, Any]:
    """The configuration as JSON Schema, for editors that check YAML while one types."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema()}


def render_config(config: Config, key_variables: Mapping[str, str]) -> str:
    """YAML that ``load_config`` reads as ``config``: what differs from the defaults, and the main options.

    ``key_variables`` names the variable of each upstream's key. One it does not name is read from
    ``NAME_API_KEY``, a gateway key from ``SPILLWAY_KEY_NAME``, a ledger's address with a user in it from
    ``SPILLWAY_LEDGER``; a secret's value is never written.
    """
    return "\n".join([*HEAD, *_Renderer(config, key_variables).section(config, "")]) + "\n"


class _Renderer:
    """Walks the schema beside the values; each description is written once, where its key comes first."""

    def __init__(self, config: Config, key_variables: Mapping[str, str]) -> None:
        self._config = config
        self._variables = key_variables
        self._explained: set[tuple[str, str]] = set()

    def section(self, section: Section, indent: str) -> Lines:
        """The lines of one part."""
        kind = type(section).__name__
        for name, field in type(section).model_fields.items():
            value = getattr(section, name)
            if name == "reference" and value is None:
                yield from self._hint(kind, name, indent, self._likely_reference())
            if self._is_left_out(section, name):
                yield from self._hint(kind, name, indent, HINTS.get((kind, name)))
                continue
            if not indent:
                yield ""
            comment = self._comment(kind, name, field.description)
            if isinstance(value, SecretStr):
                lines = iter([f"{indent}{name}: ${{{self._variable(section)}}}"])
            elif name == "ledger" and "@" in value and not value.startswith("sqlite"):
                lines = iter([f"ledger: ${{{LEDGER_VARIABLE}}}  # the address, which may hold a password"])
            else:
                lines = self._entry(name, value, indent)
            yield from _annotated(lines, indent, comment)

    @staticmethod
    def _is_left_out(section: Section, name: str) -> bool:
        if name in ALWAYS.get(type(section).__name__, ()):
            return False
        field = type(section).model_fields[name]
        return not field.is_required() and bool(
            getattr(section, name) == field.get_default(call_default_factory=True)
        )

    def _entry(self, key: str, value: object, indent: str) -> Lines:
        inner = indent + "  "
        body: list[str] = []
        if isinstance(value, Section):
            body = list(self.section(value, inner))
        elif isinstance(value, dict):
            body = [line for name, item in value.items() for line in self._entry(_text(name), item, inner)]
        elif isinstance(value, tuple) and key != "local_tasks":
            body = [line for item in value for line in self._item(item, inner)]
        if body:
            yield f"{indent}{key}:"
            yield from body
        else:
            yield f"{indent}{key}: {_scalar(value)}"

    def _item(self, item: object, indent: str) -> Lines:
        if isinstance(item, Section):
            mark = f"{indent}- "
            for line in self.section(item, indent + "  "):
                yield mark + line[len(mark) :]
                mark = indent + "  "
            return
        yield f"{indent}- {_scalar(item)}"
        long_form = f"- {{name: {_scalar(item)}, substitute: true}}"
        yield from self._hint("CloudModelConfig", "substitute", indent, long_form)

    def _hint(self, kind: str, name: str, indent: str, line: str | None) -> Lines:
        """A key that is not set, as a comment, once."""
        if line is not None and (kind, name) not in self._explained:
            self._explained.add((kind, name))
            if not indent:
                yield ""
            yield f"{indent}# {KINDS[kind].model_fields[name].description}"
            yield f"{indent}# {line}"

    def _likely_reference(self) -> str | None:
        """The model answers are compared with while none is set."""
        for cloud in self._config.clouds:
            for entry in cloud.model_entries[:1]:
                return f"reference: {_text(f'{cloud.name}/{entry.name}')}"
        return None

    def _comment(self, kind: str, name: str, description: str | None) -> str:
        is_plain = name in ("name", "key", "api_key")
        if is_plain or description is None or (kind, name) in self._explained:
            return ""
        self._explained.add((kind, name))
        return f"# {description}"

    def _variable(self, owner: Section) -> str:
        match owner:
            case KeyConfig(name=name):
                return f"SPILLWAY_KEY_{_upper(name)}"
            case NodeConfig(name=name) | CloudConfig(name=name):
                return self._variables.get(name) or _upper(f"{name}_API_KEY")
        raise TypeError(f"{type(owner).__name__} holds a secret that no variable is known for")


def _annotated(lines: Lines, indent: str, comment: str) -> Lines:
    """The comment beside the first line, or above where that gets long."""
    first = next(lines)
    if not comment:
        yield first
    elif len(first) + len(comment) + 2 <= WIDTH:
        yield f"{first}  {comment}"
    else:
        yield indent + comment
        yield first
    yield from lines


def _upper(name: str) -> str:
    word = re.sub(r"[^A-Z0-9]", "_", name.upper())
    return word if not word[:1].isdigit() else f"_{word}"


def _scalar(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case tuple():
            return f"[{', '.join(map(_scalar, value))}]"
        case dict() | Section():  # empty, or all defaults
            return "{}"
        case float() if value.is_integer() and abs(value) < 1e15:
            return str(int(value))
        case Decimal():
            # a number in YAML is a float, which holds 15 digits for certain
            plain = f"{value:f}"
            return plain if len(value.as_tuple().digits) <= 15 else f'"{plain}"'
        case str():
            return _text(value)
    return str(value)


def _text(value: str) -> str:
    """The text as YAML, plain where that means the same; ``${`` is escaped."""
    import yaml

    value = value.replace("${", "$${")
    try:
        written = (f"[{value}]", f"- {value}", f"{value}: 1")
        if [yaml.safe_load(text) for text in written] == [[value], [value], {value: 1}]:
            return value
    except yaml.YAMLError:
        pass
    quoted: str = yaml.safe_dump(value, default_style='"', width=1_000_000_000, allow_unicode=True)
    return quoted.rstrip("\n")


def write_config(path: Path, text: str, *, force: bool = False) -> None:
    """Writes the file whole or not at all; ConfigError when it exists and ``force`` is not given."""
    if path.exists() and not force:
        raise ConfigError(f"{path} exists already: add --force to overwrite it")
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None
