"""``spillway report``: what was spent, what that saved, who answered."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spillway.cli.hardware import with_known_hardware
from spillway.cli.output import console_of, echo_json
from spillway.errors import ConfigError
from spillway.tables import print_table

if TYPE_CHECKING:
    from spillway.config.schema import Config, NodeConfig
    from spillway.ledger.nodes import NodeHardware, NodeReport
    from spillway.ledger.promises import ForecastLine, ObjectiveLine
    from spillway.ledger.report import By, Line, Report, UpstreamSpend

__all__ = ["command"]

WIDTH = 110
"""Columns where there is no terminal to ask."""
FIRST_COLUMN = {"day": "day (UTC)", "task": "task", "upstream": "answered by"}


def command(
    ledger: Annotated[
        str | None, typer.Option(help="URL of the ledger; default: as in the configuration.")
    ] = None,
    since: Annotated[str | None, typer.Option(help="7d, 24h, or a date; default: everything.")] = None,
    until: Annotated[str | None, typer.Option(help="The same forms; default: now.")] = None,
    by: Annotated[str, typer.Option(help="One line per day, task or upstream.")] = "day",
    config: Annotated[
        Path | None, typer.Option(help="Configuration; default ./spillway.yaml if any.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what was spent, what that saved against the reference, and who answered.

    Example: spillway report --since 7d --by task
    """
    from spillway.config.load import load_config

    settings = with_known_hardware(load_config(config, os.environ, needs_variables=False).config)
    report = _make(settings, ledger or settings.ledger, since, until, by)
    if as_json:
        import msgspec

        echo_json(msgspec.json.encode(report))
    elif report.total.requests == 0:
        typer.echo(_nothing(report))
    else:
        _print(report)


def _make(settings: Config, url: str, since: str | None, until: str | None, by: str) -> Report:
    from spillway.ledger.period import Period, read_moment
    from spillway.ledger.report import make_report
    from spillway.ledger.store import LedgerStore

    now_s = time.time()
    until_s = now_s if until is None else read_moment(until, "--until", now_s)
    since_s = None if since is None else read_moment(since, "--since", now_s)
    if since_s is not None and since_s >= until_s:
        raise ConfigError(f"--since {since} is not before --until {until or 'now'}")
    hardware = {node.name: _hardware(node) for node in settings.nodes}
    tariff = settings.electricity_usd_per_kwh
    grouping = _grouping(by)
    store = LedgerStore.open(url, must_exist=True)
    try:
        # what is still to come has cost nothing yet: no wear and no idle power of it
        period = Period(since_s, max(min(until_s, now_s), since_s or 0.0))
        return make_report(store, period, grouping, hardware, None if tariff is None else float(tariff))
    finally:
        store.close()


def _grouping(by: str) -> By:
    match by:
        case "day" | "task" | "upstream":
            return by
    raise ConfigError(f"--by {by!r} is no grouping: write day, task or upstream")


def _hardware(node: NodeConfig) -> NodeHardware:
    """A node's machine; catalogue names were resolved before."""
    from spillway.ledger.nodes import NodeHardware

    given = node.hardware
    if given is None or isinstance(given, str):
        return NodeHardware()
    return NodeHardware(given.price_usd, given.life_months, given.idle_w, given.active_w)


def _nothing(report: Report) -> str:
    if report.since is None:
        return f"The ledger {report.ledger} holds no requests yet."
    return f"The ledger {report.ledger} holds no requests from {report.since} to {report.until}."


def _print(report: Report) -> None:
    from rich.text import Text

    console = console_of(WIDTH)
    console.print(Text(report.ledger, style="bold"), f" {report.since or 'beginning'} to {report.until}\n")
    for sentence in _sentences(report):
        console.print(sentence)
    for names, rows in (
        ((FIRST_COLUMN[report.by], *LINE_COLUMNS), map(_line_cells, report.groups)),
        (("upstream", *SPEND_COLUMNS), map(_spend_cells, report.upstreams)),
        (("node", *NODE_COLUMNS), map(_node_cells, report.nodes)),
        (("objective", *OBJECTIVE_COLUMNS), map(_objective_cells, report.objectives)),
        (("forecasts", *FORECAST_COLUMNS), map(_forecast_cells, report.forecasts)),
    ):
        if cells := list(rows):
            print_table(console, names, cells, spare=SPARE)
    if report.nodes:
        console.print(
            "Nodes are taken to be on all the time. Unused: wear and idle power no request carries. "
            "Paid back: the reference's charges avoided, less all power, since the ledger began.",
            style="dim",
        )


def _sentences(report: Report) -> Iterator[str]:
    total = report.total
    known = "known: " if total.cost_unknown_requests else ""
    parts = f"{known}clouds {_usd(total.price_usd)}, power {_usd(total.energy_usd)}"
    spent = _spent(total.cost_usd, total.known_cost_usd, total.cost_unknown_requests)
    yield f"Spent      {spent} ({parts}, hardware {_usd(total.amortisation_usd)})"
    reference = " and ".join(report.reference_models) or "a reference"
    if total.saved_usd is None:
        yield f"Saved      unknown: no request has both a known cost and a price at {reference}"
    else:
        word = "Saved     " if total.saved_usd >= 0 else "Lost      "
        yield (
            f"{word} {_usd(abs(total.saved_usd))}: {total.compared_requests} answers cost "
            f"{_usd(total.compared_cost_usd)}, at {reference} {_usd(total.reference_cost_usd)}"
        )
    if total.excluded_requests:
        yield f"           not compared: {_excluded(total)}"
    if (unused_usd := _unused_usd(report)) is not None:
        unknown = sum(node.unattributed_usd is None for node in report.nodes)
        more = f" + {unknown} node{'s' if unknown > 1 else ''} unknown" if unknown else ""
        known = f"{_usd(unused_usd)}{more}"
        yield f"Unused     {known} of the nodes' wear and idle power, which no request carries"
    yield f"Local      {_share(total.local_ratio)} of answers, {_share(total.local_tokens_ratio)} of tokens"
    yield (
        f"Requests   {total.requests}: {total.ok} answered, {total.errors} failed, {total.cut} cut, "
        f"{total.cancelled} cancelled"
    )
    if report.drift or report.drifted_requests:
        yield f"Drift      {_drift(report)}"
    yield f"First token of streams   p50 {_ms(total.ttft_p50_ms)}, p95 {_ms(total.ttft_p95_ms)}\n"


def _drift(report: Report) -> str:
    """What differed from its pin, by node, and what that meant."""
    fields: dict[str, list[str]] = {}
    for line in report.drift:
        fields.setdefault(line.node, []).append(line.field)
    nodes = "; ".join(f"{node}: {', '.join(names)}" for node, names in fields.items()) or "noticed before"
    many = report.drifted_requests
    return (
        f"{nodes}; {many} request{'' if many == 1 else 's'} kept off a node by it; see spillway pin --check"
    )


def _unused_usd(report: Report) -> float | None:
    known = [node.unattributed_usd for node in report.nodes if node.unattributed_usd is not None]
    return sum(known) if known else None


def _excluded(total: Line) -> str:
    reasons = (
        (total.excluded_unanswered, "not answered"),
        (total.excluded_no_reference, "without a reference price"),
        (total.excluded_unknown_cost, "of unknown cost"),
    )
    return ", ".join(f"{count} {why}" for count, why in reasons if count)


LINE_COLUMNS = ("requests", "local", "failed", "spent", "reference", "saved", "TTFT p50", "TTFT p95")
SPEND_COLUMNS = ("side", "attempts", "failed", "spent")
OBJECTIVE_COLUMNS = ("requests", "kept", "local", "local kept")
FORECAST_COLUMNS = ("first tokens", "before p95", "ends before p95", "mean error")
NODE_COLUMNS = ("busy", "wear", "power", "unused", "paid back", "of its price", "break-even")

SPARE = (
    *("reference", "TTFT p50", "TTFT p95", "failed", "attempts", "side"),
    *("wear", "power", "busy", "of its price", "unused", "ends before p95", "first tokens", "local kept"),
    *("local", "requests"),
)
"""Columns that a narrow terminal leaves out, the first one first."""


def _line_cells(line: Line) -> list[str]:
    return [
        line.group or "",
        str(line.requests),
        _share(line.local_ratio),
        str(line.errors + line.cut),
        _spent(line.cost_usd, line.known_cost_usd, line.cost_unknown_requests),
        _usd(line.reference_cost_usd),
        _usd(line.saved_usd),
        _ms(line.ttft_p50_ms),
        _ms(line.ttft_p95_ms),
    ]


def _spend_cells(spend: UpstreamSpend) -> list[str]:
    spent = _spent(spend.cost_usd, spend.known_cost_usd, spend.cost_unknown_attempts)
    return [spend.upstream, spend.side, str(spend.attempts), str(spend.failed), spent]


def _node_cells(node: NodeReport) -> list[str]:
    return [
        node.node,
        _share(node.busy_ratio),
        _usd(node.amortisation_usd),
        _usd(node.energy_usd),
        _usd(node.unattributed_usd),
        _usd(node.paid_back_usd),
        _share(node.paid_back_ratio),
        _break_even(node),
    ]


def _objective_cells(line: ObjectiveLine) -> list[str]:
    return [
        line.slo_class,
        str(line.requests),
        _share(line.attainment),
        str(line.local),
        _share(line.local_attainment),
    ]


def _forecast_cells(line: ForecastLine) -> list[str]:
    return [
        line.node,
        str(line.first_tokens),
        _share(line.ttft_held_ratio),
        _share(line.total_held_ratio),
        _ms(line.mean_ttft_error_ms),
    ]


def _break_even(node: NodeReport) -> str:
    if node.breaks_even is None:
        return "unknown"
    if not node.breaks_even:
        return "never at this pace"
    return "reached" if node.months_to_break_even is None else f"in {node.months_to_break_even:.1f} months"


def _spent(known_all: float | None, known: float, unknown_count: int) -> str:
    return _usd(known) if known_all is not None else f"{_usd(known)} + {unknown_count} unknown"


def _usd(amount: float | None) -> str:
    """Dollars with as many digits as small amounts need."""
    if amount is None:
        return "unknown"
    sign, size = ("-" if amount < 0 else ""), abs(amount)
    if size >= 1 or size == 0:
        return f"{sign}${size:,.2f}"
    return f"{sign}${size:.4f}" if size >= 0.01 else f"{sign}${size:.2g}"


def _share(ratio: float | None) -> str:
    return "unknown" if ratio is None else f"{ratio:.1%}"


def _ms(milliseconds: float | None) -> str:
    return "unknown" if milliseconds is None else f"{milliseconds:,.0f} ms"
