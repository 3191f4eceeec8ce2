"""Writes the reference pages that repeat what the code knows: ``python docs/generate.py`` (a test checks them)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from spillway import errors
from spillway.cli import COMMANDS
from spillway.config.schema import Config
from spillway.ledger.migrations import STEPS
from spillway.routing.reasons import MEANING

REFERENCE = Path(__file__).parent / "reference"
NOTE = "<!-- Written by docs/generate.py; change the code and run it again. -->\n\n"


def pages() -> dict[str, str]:
    """File name → text of every generated page."""
    return {
        "configuration.md": NOTE + _configuration(),
        "errors.md": NOTE + _errors(),
        "reasons.md": NOTE + _reasons(),
        "ledger.md": NOTE + _ledger(),
        "commands.md": NOTE + _commands(),
    }


def _configuration() -> str:
    lines = [
        "# Configuration",
        "",
        "`spillway.yaml` in the working directory, else in the user's configuration folder, else none. Text values may",
        "hold `${NAME}` from the environment. The annotated example is `src/spillway/config/example.yaml`.",
        "",
        "| key | default | meaning |",
        "| --- | --- | --- |",
        *_rows(Config, ""),
    ]
    return "\n".join(lines) + "\n"


def _rows(section: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in section.model_fields.items():
        inner = next(_sections(field.annotation), None)
        many = "[]" if "tuple" in str(field.annotation) and inner else ""
        keyed = ".NAME" if "dict" in str(field.annotation) and inner else ""
        yield f"| `{prefix}{name}{many}{keyed}` | {_default(field)} | {field.description or ''} |"
        if inner is not None:
            yield from _rows(inner, f"{prefix}{name}{many}{keyed}.")


def _default(field: Any) -> str:
    if field.default is PydanticUndefined:
        return "required" if field.default_factory is None else ""
    return "" if field.default in (None, ()) else f"`{field.default}`"


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _sections(inner)


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
        "`upstream_loading`, `upstream_cut`, `upstream_failed`. A request the upstream itself rejects (400, 422) is",
        "returned with the upstream's status and body.",
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
    for statement in STEPS[0]:
        found = re.match(r"CREATE TABLE (\w+) \((.*)\)", statement, re.DOTALL)
        if found is None:
            continue
        lines += ["", f"## {found[1]}", "", "| column | type |", "| --- | --- |"]
        for line in found[2].splitlines():
            words = line.strip().rstrip(",").split()
            if words and words[0].isidentifier() and words[0].islower():
                lines.append(f"| `{words[0]}` | {words[1].strip('{}').lower()} |")
    return "\n".join(lines) + "\n"


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
