"""The ``spillway`` command: each subcommand is a module here with a ``command``, imported when used."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Annotated, NoReturn

import typer

from spillway import __version__
from spillway.errors import SpillwayError

__all__ = ["main"]

COMMANDS = {
    "up": "run the gateway",
    "demo": "watch a real local model and a simulated cloud share traffic",
    "plan": "whether local hardware pays for your traffic",
    "check": "validate the configuration and reach every upstream",
    "report": "what was spent, and what was saved",
    "pin": "write down what local nodes serve, and tell what changed since",
    "bench": "how fast a node is, or a machine should be",
    "classify": "which task class a request is",
    "evidence": "how far local answers are trusted, and why",
}

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130


def main() -> NoReturn:
    """Runs the command line; exits with 0 done, 1 failed, 2 wrong usage or settings, 3 problem found."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit code of one command line."""
    app = typer.Typer(
        name="spillway",
        help="Local-first LLM gateway: local while fast, good and cheaper; the rest spills to the cloud.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback(invoke_without_command=True)(_version)
    wanted = arguments[0] if arguments and arguments[0] in COMMANDS else None
    for name in [wanted] if wanted else COMMANDS:
        app.command(name)(import_module(f"spillway.cli.{name}").command)
    try:
        return int(app(args=arguments, standalone_mode=True) or 0)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else EXIT_FAILED
    except SpillwayError as error:
        print(f"spillway: {error.message}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _version(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True)
    ] = False,
) -> None:
    """Local-first LLM gateway: local while fast, good and cheaper; the rest spills to the cloud."""
    if version:
        typer.echo(f"spillway {__version__}")
        raise typer.Exit
