"""Tables on a terminal: every figure is whole at every width, and what is left out is named."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from spillway.tables import print_table

NAMES = ("day (UTC)", "requests", "spent", "reference", "saved")
ROWS = (
    ("2026-11-29", "300", "$1.6e-07", "$112.48", "$87.54 + 12 unknown"),
    ("2026-11-30", "12,300", "$24.94", "unknown", "−$84.00"),
)


def shown(width: int, names: tuple[str, ...] = NAMES, rows: tuple[tuple[str, ...], ...] = ROWS) -> list[str]:
    """The lines of a table from which the reference goes first, then the requests."""
    text = StringIO()
    console = Console(file=text, width=width, highlight=False)
    print_table(console, names, rows, spare=("reference", "requests", "absent"), elsewhere="--json")
    return text.getvalue().splitlines()


@pytest.mark.parametrize("width", [100, 80, 66, 60, 56, 50, 47])
def test_figures_are_whole_or_left_out(width: int) -> None:
    """Each row is one line with all the figures of the columns whose names are there, and fits."""
    lines = shown(width)
    assert max(map(len, lines)) <= width
    left_out = [name for name in NAMES if any(f"No room for {name}" in line for line in lines)]
    for row in ROWS:
        line = next(line for line in lines if row[0] in line)
        for name, cell in zip(NAMES, row, strict=True):
            assert cell in line or name in ("reference", "requests")
    assert bool(left_out) == (width < 64)


def test_the_first_named_goes_first() -> None:
    """Only as many columns are left out as it takes, in the order in which they are spare."""
    one, two = (" ".join(" ".join(shown(width)).split()) for width in (58, 46))
    assert "No room for reference; to see all, set COLUMNS=64 or use --json." in one
    assert "12,300" in one
    assert "No room for requests, reference;" in two
    assert "12,300" not in two


def test_that_many_columns_are_enough() -> None:
    """The width that the sentence names shows everything; one less does not."""
    assert not any("No room" in line for line in shown(64))
    assert any("No room" in line for line in shown(63))


def test_words_go_on_in_the_next_line_before_they_break() -> None:
    """The first column wraps between its words, and inside one only where nothing else is left."""
    names, rows = ("machine", "price"), (("AMD Ryzen Strix", "$1,999"),)
    assert [line.split() for line in shown(17, names, rows)[3:6]] == [["AMD", "$1,999"], ["Ryzen"], ["Strix"]]
    broken = [line.split() for line in shown(14, names, rows)]
    assert ["AMD", "$1,999"] in broken
    assert ["Ryze"] in broken
