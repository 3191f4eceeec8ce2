"""Where tables are printed: as wide as the terminal, as ``COLUMNS`` says, or as they read best."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["console_of"]


def console_of(usual_width: int) -> Console:
    """Standard output; ``usual_width`` columns where neither a terminal nor ``COLUMNS`` tells a number."""
    from rich.console import Console

    console = Console(highlight=False)
    columns = os.environ.get("COLUMNS", "")
    if console.is_terminal or (columns.isdecimal() and int(columns) > 0):
        return console
    return Console(highlight=False, width=usual_width)
