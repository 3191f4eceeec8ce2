"""A plan on a terminal: the answer first, then what it rests on. Plain text where nobody looks at colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from spillway.planner.breakeven import Sensitivity
from spillway.planner.money import span_of
from spillway.planner.plan import Plan
from spillway.planner.report.words import (
    FLEET_NAMES,
    SPILL_WORDS,
    about,
    comparison,
    fleet_cells,
    headline,
    label_of,
    machine_cells,
    nodes_of,
    policy_cells,
    share,
    spread_of,
    suggestions,
    usd,
    verdict,
    whole_usd,
)
from spillway.tables import Rows, print_table

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["print_plan", "printed"]

WIDTH = 100
"""Columns where there is no terminal to ask."""
SPARE = ("TTFT p95", "of the bill", "kWh/month", "cloud $", "local $", "from", "to", "in time")
"""Columns that a narrow terminal leaves out, the first one first."""
ELSEWHERE = "--html or --json"
MOST_MACHINES = 5
MOST_SENSITIVITIES = 5
MOST_WARNINGS = 12


def printed(plan: Plan, width: int = WIDTH) -> str:
    """What ``print_plan`` prints, as plain text without trailing spaces."""
    from io import StringIO

    from rich.console import Console

    text = StringIO()
    print_plan(plan, Console(file=text, width=width, highlight=False, no_color=True))
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def print_plan(plan: Plan, console: Console) -> None:
    """The whole summary; nothing of it is wider than the console."""
    from rich.text import Text

    colour, life = "green" if plan.is_worth_it else "red", plan.inputs.life_months
    console.print(Text(verdict(plan), style=f"bold {colour}"))
    console.print(Text(headline(plan)))
    console.print(Text(about(plan), style="dim"))
    console.print()
    _print_table(
        console,
        ("", "usual calculation", "replayed, in time"),
        comparison(plan),
        title="What one node does",
        prose=3,
    )
    for sentence in suggestions(plan):
        console.print(Text(f"→ {sentence}"))
    console.print()
    _print_table(
        console,
        FLEET_NAMES,
        [fleet_cells(line) for line in plan.fleets],
        title=f"USD a month at the likeliest figures, mean over {span_of(life)}; months until paid back",
        spare=SPARE,
        marked=str(plan.shown_nodes),
    )
    _print_table(
        console,
        ("policy", "local", "in time", "regret", "kWh/month", "local and in time"),
        [policy_cells(line) for line in plan.policies],
        title=f"Who decides, on {nodes_of(plan.shown_nodes)}",
        spare=SPARE,
    )
    _print_machines(plan, console)
    _print_table(
        console,
        ("what moves the savings most", "from", "to", "saved then", "and then"),
        [_sensitivity_cells(plan, each) for each in plan.sensitivities[:MOST_SENSITIVITIES]],
        title=f"Over {span_of(life)}, {usd(plan.shown.outcome.saved_usd)} as planned",
        spare=SPARE,
    )
    _print_spills(plan, console)
    _print_warnings(plan, console)


def _print_machines(plan: Plan, console: Console) -> None:
    shown = plan.machines[:MOST_MACHINES]
    if shown:
        _print_table(
            console,
            ("one of each machine", "price", "local", "in time", "total", "paid back"),
            [machine_cells(line) for line in shown],
            title="What to buy first, with the same model, at the likeliest figures",
            spare=SPARE,
        )


def _print_spills(plan: Plan, console: Console) -> None:
    ran = plan.shown.ran
    spilled = sum(ran.spills.values())
    if not spilled:
        return
    parts = [
        f"{SPILL_WORDS.get(code, code)} {share(count / ran.requests)}"
        for code, count in sorted(ran.spills.items(), key=lambda item: -item[1])
    ]
    _say(console, f"Why requests go to the cloud: {', '.join(parts)} of all.")


def _print_warnings(plan: Plan, console: Console) -> None:
    for warning in plan.warnings[:MOST_WARNINGS]:
        _say(console, f"note: {warning}", "dim")
    if len(plan.warnings) > MOST_WARNINGS:
        _say(console, f"note: {len(plan.warnings) - MOST_WARNINGS} more in --json and --html", "dim")
    guesses = sum(a.grade == "guess" for a in plan.assumptions)
    _say(
        console,
        f"note: {guesses} of {len(plan.assumptions)} figures are guesses; --html and --json list each with "
        "its source",
        "dim",
    )


def _say(console: Console, sentence: str, style: str = "") -> None:
    from rich.text import Text

    console.print(Text(sentence, style=style))


def _sensitivity_cells(plan: Plan, each: Sensitivity) -> tuple[str, ...]:
    spread = plan.spreads[each.name]
    return (
        label_of(each.name),
        spread_of(each.name, spread.low),
        spread_of(each.name, spread.high),
        whole_usd(each.at_low_usd),
        whole_usd(each.at_high_usd),
    )


def _print_table(
    console: Console,
    names: Sequence[str],
    rows: Rows,
    *,
    title: str,
    prose: int = 1,
    spare: Sequence[str] = (),
    marked: str | None = None,
) -> None:
    _say(console, title, "bold")
    print_table(console, names, rows, prose=prose, spare=spare, marked=marked, elsewhere=ELSEWHERE)
