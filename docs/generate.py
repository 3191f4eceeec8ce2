"""Writes the reference pages that repeat what the code knows: ``python docs/generate.py`` (a test checks them)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from spillway import errors
from spillway.cli import COMMANDS
from spillway.config.complaints import sections_in
from spillway.config.schema import Config
from spillway.config.write import json_schema
from spillway.ledger.migrations import STEPS
from spillway.routing.reasons import MEANING

REFERENCE = Path(__file__).parent / "reference"
NOTE = "<!-- Written by docs/generate.py; change the code and run it again. -->\n\n"


def pages() -> dict[str, str]:
    """File name → text of every generated page."""
    return {
        "configuration.md": NOTE + _configuration(),
        "spillway.schema.json": json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n",
        "errors.md": NOTE + _errors(),
        "reasons.md": NOTE + _reasons(),
        "ledger.md": NOTE + _ledger(),
        "commands.md": NOTE + _commands(),
    }


def _configuration() -> str:
    lines = [
        "# Configuration",
        "",
        "`spillway.yaml` is looked for in the working directory, then in `$XDG_CONFIG_HOME/spillway` or",
        "`~/.config/spillway` (on macOS `~/Library/Application Support/spillway`); `--config FILE` names another. None at",
        "all is fine: nodes are found on the usual local ports and clouds by the usual key variables.",
        "",
        "Text values may hold `${NAME}` from the environment, and `$${` stands for a plain `${`. An unknown key, a wrong",
        "value or a variable that is not set is an error that names file, line and key, all of them at once; values from",
        "the environment never show. A relative `model` or `profile` starts at the file's own folder.",
        "",
        "The annotated example is `src/spillway/config/example.yaml`, and `spillway.schema.json` beside this page lets an",
        "editor check the file while you type. `spillway up --write-config` writes a file from what it finds.",
        "",
        "| key | values | default | meaning |",
        "| --- | --- | --- | --- |",
        *_rows(Config, ""),
    ]
    return "\n".join(lines) + "\n"


def _rows(section: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in section.model_fields.items():
        inner = next(sections_in(field.annotation), None)
        many = "[]" if get_origin(field.annotation) is tuple and inner else ""
        keyed = get_origin(field.annotation) is dict and inner
        key = f"{prefix}{name}{many}{KEYED.get(name, '.NAME') if keyed else ''}"
        meaning = field.description or (_first(inner) if inner else "")
        yield f"| `{key}` | {_values(field)} | {_default(field)} | {meaning} |"
        if inner is not None:
            yield from _rows(inner, f"{key}.")


KEYED = {"prices": ".CLOUD/MODEL", "slo": ".CLASS"}


def _values(field: Any) -> str:
    """Which values a key takes, with its limits."""
    limits = [f"{SIGNS[name]} {value}" for each in field.metadata for name, value in _limits(each)]
    return ", ".join([_kind(field.annotation), *limits])


SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def _limits(constraint: Any) -> list[tuple[str, Any]]:
    return [(name, getattr(constraint, name)) for name in SIGNS if hasattr(constraint, name)]


def _kind(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin is tuple:
        return f"list of {_kind(inner[0])}"
    if origin is dict:
        return f"mapping to {_kind(inner[1])}"
    if inner:
        return " or ".join(
            _kind(each) for each in inner if each is not type(None) and not isinstance(each, FieldInfo)
        )
    if issubclass(annotation, BaseModel):
        return "mapping"
    return KINDS[annotation]


KINDS = {
    str: "text",
    SecretStr: "secret text",
    int: "whole number",
    float: "number",
    Decimal: "number",
    bool: "true, false",
}


def _default(field: Any) -> str:
    if field.default is PydanticUndefined:
        return "required" if field.default_factory is None else ""
    if field.default in (None, ()):
        return ""
    default = ", ".join(field.default) if isinstance(field.default, tuple) else field.default
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _errors() -> str:
    lines = [
        "# Errors",
        "",
        'Every error is `{"error": {"message", "type", "param", "code"}}`, with `upstream` when the fault is not ours. In a',
        "stream that has begun it comes as a `data:` event, and `[DONE]` does not follow.",
        "",
        "| status | code | type | meaning |",
        "| --- | --- | --- | --- |",
    ]
    leaves = [
        each
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, errors.RequestError)
    ]
    for leaf in sorted(leaves, key=lambda each: (each.status, each.default_code)):
        if leaf is not errors.RequestError:
            lines.append(f"| {leaf.status} | `{leaf.default_code}` | `{leaf.type}` | {_first(leaf)} |")
    lines += [
        "",
        "Codes of a failing upstream (502 or 504): `upstream_unreachable`, `upstream_timeout`, `upstream_closed`,",
        "`upstream_malformed`, `upstream_rate_limited`, `upstream_refused_key`, `upstream_unknown_model`,",
        "`upstream_loading`, `upstream_out_of_quota`, `upstream_resting`, `upstream_unfit`, `upstream_cut`, `upstream_failed`.",
        "A request the upstream itself rejects (400, 422), or refuses for its content, is returned with its status and body.",
        "",
        "Codes that only the ledger has, since nobody is there to read them: `client_closed`, `client_too_slow`, and",
        "`hedge_lost` of an attempt that another one overtook.",
    ]
    return "\n".join(lines) + "\n"


def _first(thing: Any) -> str:
    return (thing.__doc__ or "").strip().partition("\n")[0]


def _reasons() -> str:
    rows = [f"| `{code}` | {text} |" for code, text in MEANING.items()]
    head = [
        "# Reasons",
        "",
        "Stable codes in `x-spillway-reason`, in the ledger and in `spillway_spill_total`.",
        "",
    ]
    return "\n".join([*head, "| code | meaning |", "| --- | --- |", *rows]) + "\n"


def _ledger() -> str:
    lines = [
        "# Ledger",
        "",
        "SQLite or PostgreSQL, the same tables. Unknown is `NULL`, never 0. Money is US dollars. A request's cost is the sum",
        "over its attempts. Times end in `_s` and are seconds; `accepted_at` is seconds since 1970 (UTC). Texts of prompts",
        "and answers are stored only with `capture: true`.",
    ]
    for statement in chain.from_iterable(STEPS):
        added = re.match(r"ALTER TABLE (\w+) ADD COLUMN (\w+) (\S+)", statement)
        if added is not None:
            end = lines.index("", lines.index(f"## {added[1]}") + 2)
            lines.insert(end, _column(added[2], added[3]))
        found = re.match(r"CREATE TABLE (\w+) \((.*)\)", statement, re.DOTALL)
        if found is None:
            continue
        lines += ["", f"## {found[1]}", "", "| column | type |", "| --- | --- |"]
        for line in found[2].splitlines():
            words = line.strip().rstrip(",").split()
            if words and words[0].isidentifier() and words[0].islower():
                lines.append(_column(*words[:2]))
    return "\n".join(lines) + "\n"


def _column(name: str, kind: str) -> str:
    return f"| `{name}` | {kind.strip('{}').lower()} |"


def _commands() -> str:
    rows = [f"| `spillway {name}` | {text} |" for name, text in COMMANDS.items()]
    tail = [
        "",
        "Each has `--help` with an example. Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 a check found",
        "a problem. Errors are one sentence on stderr.",
    ]
    return "\n".join(["# Commands", "", "| command | what it does |", "| --- | --- |", *rows, *tail]) + "\n"


if __name__ == "__main__":
    for file_name, text in pages().items():
        (REFERENCE / file_name).write_text(text)
