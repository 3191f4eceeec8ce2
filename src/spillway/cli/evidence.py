"""``spillway evidence``: how far local answers are trusted, and why."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import typer

from spillway.cli.evidence_log import LogOptions
from spillway.cli.evidence_log_print import run_log
from spillway.cli.evidence_options import EvidenceOptions
from spillway.cli.options import taking
from spillway.cli.output import console_of, echo_json
from spillway.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from rich.text import Text

    from spillway.config.schema import Config
    from spillway.evidence.store import Disagreement
    from spillway.evidence.table import EvidenceLine, EvidenceTable

__all__ = ["command"]

DISAGREEMENTS_SCHEMA = "spillway.evidence.disagreements/1"
WIDTH = 130
"""Columns where there is no terminal to ask."""
SHOWN = 20
SHOWN_CHARACTERS = 600
REPLAYED = (
    "local", "local_model", "local_key_env", "reference", "reference_model", "reference_key_env", "judge",
)  # fmt: skip
"""Options that only a replay uses."""


@taking(EvidenceOptions)
def command(options: EvidenceOptions) -> None:
    """Show for each task class and model how good local answers are, how sure that is, and what follows.

    With --from-log it says, before anything is bought, what would be safe to keep local.

    Examples: spillway evidence --json

    spillway evidence --from-log sample.jsonl --local http://127.0.0.1:11434 --reference openai/gpt-4o-mini
    """
    from spillway.config.load import load_config

    settings = load_config(options.config, os.environ, needs_variables=False).config
    if options.from_log is not None:
        run_log(_log_options(options.from_log, options, settings), settings, options.as_json)
        return
    alone = next((each for each in REPLAYED if getattr(options, each)), None)
    if alone is not None:
        option = "--" + alone.replace("_", "-")
        raise ConfigError(f"{option} belongs to --from-log LOG, which is missing")
    url = options.ledger or settings.ledger
    if options.disagreements:
        _show_disagreements(url, options.limit or SHOWN, options.as_json)
    else:
        _show(_table(settings, url), settings, options.as_json)


def _log_options(log: Path, options: EvidenceOptions, settings: Config) -> LogOptions:
    reference = options.reference or settings.routing.reference
    return LogOptions(
        log=log,
        local=_needed(options.local, "--local URL"),
        local_model=options.local_model,
        local_key_env=options.local_key_env,
        reference=_needed(reference, "--reference URL or CLOUD/MODEL"),
        reference_model=options.reference_model,
        reference_key_env=options.reference_key_env,
        judges=options.judge,
        parallel=options.parallel,
        limit=options.limit,
        max_usd=options.max_usd,
    )


def _show(table: EvidenceTable, settings: Config, as_json: bool) -> None:
    if as_json:
        import msgspec

        echo_json(msgspec.json.encode(table))
    elif not table.classes:
        typer.echo(f"The ledger {table.ledger} holds no evidence yet: {_how_to_begin(settings)}")
    else:
        _print(table)


def _needed(value: str | None, what: str) -> str:
    if not value:
        raise ConfigError(f"--from-log needs {what} as well")
    return value


def _table(settings: Config, url: str) -> EvidenceTable:
    from spillway.evidence.record import QualityLimits
    from spillway.evidence.store import read_records
    from spillway.evidence.table import make_table
    from spillway.ledger.store import LedgerStore

    quality = settings.quality
    limits = QualityLimits(
        max_gap=quality.max_gap,
        confidence=quality.confidence,
        max_escalations=quality.max_escalations,
    )
    reference = settings.routing.reference
    cloud, _, model = (reference or "").partition("/")
    store = LedgerStore.open(url, must_exist=True)
    try:
        return make_table(
            read_records(store),
            limits,
            ledger=store.place,
            local_tasks=settings.routing.local_tasks,
            reference=(cloud, model) if reference else None,
        )
    finally:
        store.close()


def _how_to_begin(settings: Config) -> str:
    if settings.quality.shadow.share > 0:
        return "it grows with the requests that spillway up answers."
    return "gates and ratings add to it, and quality.shadow compares a sample with the reference."


def _print(table: EvidenceTable) -> None:
    from rich import box
    from rich.table import Table

    console = console_of(WIDTH)
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("class", "model", "state"):
        shown.add_column(name)
    for name in ("n", "estimate", "bound"):
        shown.add_column(name, justify="right")
    shown.add_column("why", ratio=1)
    for line in table.classes:
        shown.add_row(*_cells(line))
    console.print(shown)
    console.print(
        f"A gap of at most {table.max_gap:g} is allowed, known with {table.confidence:.0%} confidence "
        f"at any time. Counts start over when a standing changes or a model does.",
        style="dim",
    )


STYLE = {"trusted": "green", "demoted": "red", "trial": "yellow"}


def _cells(line: EvidenceLine) -> list[str | Text]:
    from rich.text import Text

    state = Text(line.state, style=STYLE.get(line.state, ""))
    name = line.model if line.identity == line.model else f"{line.model} ({line.identity[:12]})"
    estimate = "–" if line.estimate is None else f"{line.estimate:.3f}"
    bound = f"{line.lower_bound:.3f} … {line.upper_bound:.3f}"
    return [line.task, f"{line.upstream}/{name}", state, str(line.n), estimate, bound, line.why]


def _show_disagreements(url: str, limit: int, as_json: bool) -> None:
    from spillway.evidence.store import disagreements
    from spillway.ledger.store import LedgerStore

    store = LedgerStore.open(url, must_exist=True)
    try:
        place, found = store.place, disagreements(store, limit)
    finally:
        store.close()
    if as_json:
        import msgspec

        echo_json(msgspec.json.encode({"schema": DISAGREEMENTS_SCHEMA, "disagreements": found}))
        return
    if not found:
        typer.echo(f"The ledger {place} holds no comparison that a node lost.")
    for each in found:
        _print_disagreement(each)


def _print_disagreement(found: Disagreement) -> None:
    when = time.strftime("%Y-%m-%d %H:%M", time.gmtime(found.at_s))
    typer.echo(
        f"{when} UTC  {found.request_id}  {found.task}  {found.upstream}/{found.model}  "
        f"score {found.score:.2f} by {found.detail or 'comparison'}"
    )
    texts = (
        ("asked", found.prompt_text),
        (found.upstream, found.local_text),
        ("reference", found.reference_text),
    )
    if all(text is None for _, text in texts):
        typer.echo("  no texts: they are kept only with capture: true")
    for name, text in texts:
        if text is not None:
            typer.echo(f"  {name}: {_cut(text)}")


def _cut(text: str) -> str:
    plain = "".join(c if c.isprintable() or c == " " else " " for c in text)
    return plain if len(plain) <= SHOWN_CHARACTERS else plain[:SHOWN_CHARACTERS] + " …"
