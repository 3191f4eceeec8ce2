"""Standard output: as wide as the terminal says, in whatever encoding, and a sentence where it is lost."""

from __future__ import annotations

import codecs
import io
import os
import sys
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["console_of", "echo_json", "give_up_output", "print_in_any_encoding"]

EXIT_UNREAD = 1
EXIT_UNWRITABLE = 2
"""As for any other file that cannot be written."""
PLAIN = {"−": "-", "–": "-", "→": ">", "…": ".", "·": "-", "×": "x", "≤": "<", "≥": ">"}
"""What is written where an encoding lacks a character, as wide as that; others become a question mark."""


def console_of(usual_width: int) -> Console:
    """Standard output; ``usual_width`` columns where neither a terminal nor ``COLUMNS`` tells a number.

    Words print as they are: no name out of somebody's file can be an order to change the colour.
    """
    from rich.console import Console

    columns = os.environ.get("COLUMNS", "")
    console = Console(highlight=False, markup=False, emoji=False)
    if console.is_terminal or (columns.isdecimal() and int(columns) > 0):
        return console
    return Console(highlight=False, markup=False, emoji=False, width=usual_width)


def echo_json(body: bytes) -> None:
    """One JSON object on a line, in UTF-8 whatever the terminal's encoding: machines read nothing else."""
    typer.echo(body)


def print_in_any_encoding() -> None:
    """From now on what standard output's encoding lacks is replaced, not a reason to fail."""
    codecs.register_error("spillway.plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="spillway.plain")


def _plain(fault: UnicodeError) -> tuple[str, int]:
    if not isinstance(fault, UnicodeEncodeError):
        raise fault
    return "".join(PLAIN.get(letter, "?") for letter in fault.object[fault.start : fault.end]), fault.end


def give_up_output(fault: OSError) -> int | None:
    """The exit code where standard output takes nothing any more; ``None`` where something else failed.

    It leads nowhere from now on. Standard error says so, unless whoever reads has simply read enough.
    """
    try:
        print(flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    else:
        return None
    if isinstance(fault, BrokenPipeError):
        return EXIT_UNREAD
    print(f"spillway: standard output cannot be written: {fault.strerror}", file=sys.stderr)
    return EXIT_UNWRITABLE
