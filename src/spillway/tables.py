"""Tables on a terminal: figures stay whole, and columns for which there is no room are left out and named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["Rows", "print_table"]

EDGES = 2
"""Columns that a table takes beside its own: a blank on either side."""
GAPS = (3, 2)
"""Blanks between two columns, where there is room and where there is little."""
LEAST_PROSE = 4
"""Letters of a line of words, at least, where nothing else can go."""

Rows = Sequence[Sequence[str]]


def print_table(
    console: Console,
    names: Sequence[str],
    rows: Rows,
    *,
    prose: int = 1,
    spare: Sequence[str] = (),
    marked: str | None = None,
    elsewhere: str = "--json",
) -> None:
    """The table, as wide as it needs and the console is.

    The first ``prose`` columns hold words, which may go on in the next line; the others hold figures, which
    may not. ``spare`` names columns that are left out where there is no room, the first one first; a name of
    no column here is no fault. A sentence then says so, and that ``elsewhere`` has all. The row that begins
    with ``marked`` is bold.
    """
    from rich.text import Text

    least, most = _least(names, rows, prose), _most(names, rows)
    kept, gap = _that_fit(names, least, spare, console.width)
    room = console.width - EDGES - gap * (len(kept) - 1)
    widths = _shared([least[at] for at in kept], [most[at] for at in kept], room)
    table = _table([names[at] for at in kept], widths, gap)
    for row in rows:
        style = "bold" if marked is not None and row[0] == marked else ""
        table.add_row(*(Text(row[at], style=style) for at in kept))
    console.print(table)
    if len(kept) < len(names):
        missing = ", ".join(name for at, name in enumerate(names) if at not in kept)
        needed = f"COLUMNS={_width(least, GAPS[-1])}"
        console.print(
            Text(f"No room for {missing}; to see all, set {needed} or use {elsewhere}.\n", style="dim")
        )


def _that_fit(
    names: Sequence[str], least: Sequence[int], spare: Sequence[str], width: int
) -> tuple[list[int], int]:
    """Positions of the columns that are shown, and the gap between them."""
    kept = list(range(len(names)))
    for leaving in (None, *(name for name in spare if name in names)):
        if leaving is not None:
            kept.remove(names.index(leaving))
        for gap in GAPS:
            if _width([least[at] for at in kept], gap) <= width:
                return kept, gap
    return kept, GAPS[-1]


def _width(widths: Sequence[int], gap: int) -> int:
    return sum(widths) + gap * (len(widths) - 1) + EDGES


def _least(names: Sequence[str], rows: Rows, prose: int) -> list[int]:
    """How narrow each column can be: as its longest word, or its longest figure."""
    from rich.cells import cell_len

    found = []
    for at, name in enumerate(names):
        cells = [row[at] for row in rows]
        words = [word for cell in (name, *cells) for word in cell.split()]
        parts = words if at < prose else [*name.split(), *cells]
        found.append(max(map(cell_len, parts), default=0))
    return found


def _most(names: Sequence[str], rows: Rows) -> list[int]:
    """How wide each column is where nothing goes on in a next line."""
    from rich.cells import cell_len

    return [max(cell_len(row[at]) for row in (names, *rows)) for at in range(len(names))]


def _shared(least: Sequence[int], most: Sequence[int], room: int) -> list[int]:
    """A width for each column, ``room`` in all: whoever has the most to spare gives first."""
    widths = list(most)
    while sum(widths) > room:
        spare = [width - low for width, low in zip(widths, least, strict=True)]
        widest = spare.index(max(spare))
        if not spare[widest]:
            return [max(LEAST_PROSE, room - sum(widths[1:])), *widths[1:]]
        widths[widest] -= 1
    return widths


def _table(names: Sequence[str], widths: Sequence[int], gap: int) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    left = gap - 2  # the line between two columns and a blank behind each are the rest of it
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, left))
    for at, (name, width) in enumerate(zip(names, widths, strict=True)):
        justify = "left" if at == 0 else "right"
        table.add_column(Text(name), justify=justify, width=width, overflow="fold")  # type: ignore[arg-type]
    return table
