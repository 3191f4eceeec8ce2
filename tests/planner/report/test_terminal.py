"""The summary on a terminal: the answer first, nothing too wide, no colours where nobody looks."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from spillway.planner.report.terminal import print_plan, printed
from spillway.planner.report.words import fleet_cells
from tests.planner.plans import never, pays


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_nothing_is_wider_than_the_terminal(width: int) -> None:
    """At every usual width each line fits."""
    for plan in (pays(), never()):
        assert max(len(line) for line in printed(plan, width).splitlines()) <= width


def test_the_answer_stands_first() -> None:
    """The first line is the verdict, the next the sentence with the months or the reason."""
    yes, no = printed(pays()).splitlines(), printed(never()).splitlines()
    assert yes[0] == f"Buy {pays().recommended_nodes} node: it pays"
    assert "is paid back in" in yes[1]
    assert no[0] == "Do not buy Mac mini M4 Pro: it never pays"
    assert no[1].startswith("With 1 node, ")


def test_colours_only_on_a_terminal() -> None:
    """Piped output holds no escape sequences; a terminal gets some."""
    plain, coloured = StringIO(), StringIO()
    print_plan(pays(), Console(file=plain, width=100, highlight=False))
    print_plan(
        pays(),
        Console(file=coloured, width=100, highlight=False, force_terminal=True, color_system="standard"),
    )
    assert "\x1b" not in plain.getvalue()
    assert "\x1b[" in coloured.getvalue()


def test_words_from_files_are_no_markup() -> None:
    """Square brackets in a name print as they are."""
    from dataclasses import replace

    plan = never()
    plan = replace(plan, warnings=("[red]a.csv[/red]: odd [/nonsense]",))
    assert "[red]a.csv[/red]: odd [/nonsense]" in printed(plan)


@pytest.mark.parametrize("width", [40, 60, 80])
def test_figures_are_never_broken(width: int) -> None:
    """What a fleet costs stands whole in its line, however narrow, and what is left out is named."""
    plan = never()
    text = printed(plan, width)
    for line in plan.fleets:
        total = fleet_cells(line)[7]
        assert any(row.split()[:1] == [str(line.nodes)] and total in row for row in text.splitlines())
    assert ("No room for" in text) == (width < 80)
