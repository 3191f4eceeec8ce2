"""Carries out ``spillway evidence --from-log`` and prints what it found."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from spillway.cli.evidence_log import LogOptions, replay_log
from spillway.cli.output import console_of, echo_json

if TYPE_CHECKING:
    from rich.text import Text

    from spillway.cli.evidence_safe import ClassLine, LogReport
    from spillway.config.schema import Config

__all__ = ["run_log"]

WIDTH = 120
STYLE = {"safe": "green", "partly": "green", "unsafe": "red", "undecided": "yellow"}


def run_log(options: LogOptions, settings: Config, as_json: bool) -> None:
    """The report is on standard output."""
    report = _with_progress(options, settings)
    if as_json:
        import msgspec

        echo_json(msgspec.json.encode(report))
    else:
        _print(report)


def _with_progress(options: LogOptions, settings: Config) -> LogReport:
    if not sys.stderr.isatty():
        return asyncio.run(replay_log(options, settings, lambda done, total: None))
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("asking both sides"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("prompts", total=None)
        return asyncio.run(
            replay_log(options, settings, lambda done, total: bar.update(task, completed=done, total=total))
        )


def _print(report: LogReport) -> None:
    from rich import box
    from rich.table import Table

    console = console_of(WIDTH)
    console.print(f"{report.log}: {report.local} against {report.reference}")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("class")
    for name in ("prompts", "agree", "gap at most", "gates", "keep"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    table.add_column("why", ratio=1)
    for line in report.classes:
        table.add_row(*_cells(line))
    console.print(table)
    console.print(f"Safe to keep local: {report.quality_limit_ratio:.1%} of these requests{_hope(report)}.")
    if notes := _notes(report):
        console.print(notes, style="dim")


def _cells(line: ClassLine) -> list[str | Text]:
    from rich.text import Text

    return [
        line.task,
        str(line.prompts),
        _percent(line.agreement),
        "unknown" if line.gap_upper is None else f"{line.gap_upper:.3f}",
        _percent(line.gate_failures),
        _percent(line.keep_ratio),
        Text(line.verdict, style=STYLE[line.verdict]),
        line.why,
    ]


def _hope(report: LogReport) -> str:
    hoped = report.quality_limit_if_decided_ratio
    return f", up to {hoped:.1%} if the undecided turn out safe" if hoped > report.quality_limit_ratio else ""


def _notes(report: LogReport) -> str:
    counts = (
        (report.unusable_lines, "unusable lines"),
        (report.local_failures, "without a local answer"),
        (report.reference_failures, "without a reference answer"),
        (report.not_asked, "not asked, since --max-usd was reached"),
    )
    said = [f"{count} {what}" for count, what in counts if count]
    if report.reference_cost_usd is not None:
        said.append(f"the reference cost ${report.reference_cost_usd:.4f}")
    return "; ".join(said)


def _percent(ratio: float | None) -> str:
    return "unknown" if ratio is None else f"{ratio:.1%}"
