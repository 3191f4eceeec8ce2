"""The ``spillway`` command: each subcommand is a module here with a ``command``, imported when used."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from typing import Annotated, NoReturn

import typer

from spillway import __version__
from spillway.cli.output import give_up_output, print_in_any_encoding
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
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


def main() -> NoReturn:
    """Runs the command line; exits with 0 done, 1 failed, 2 wrong usage or settings, 3 problem found."""
    print_in_any_encoding()
    try:
        code = run(sys.argv[1:])
        print(end="", flush=True)
    except OSError as fault:
        lost = give_up_output(fault)
        if lost is None:
            raise
        code = lost
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """The exit code of one command line."""
    app = typer.Typer(
        name="spillway",
        help="Local-first LLM gateway: local while fast, good and cheaper; the rest spills to the cloud.",
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback(invoke_without_command=True)(_version)
    wanted = arguments[0] if arguments and arguments[0] in COMMANDS else None
    for name in [wanted] if wanted else COMMANDS:
        app.command(name)(import_module(f"spillway.cli.{name}").command)
    try:
        # Not standalone: typer would draw a box of several lines around what is wrong with an option.
        code = app(args=arguments or ["--help"], prog_name="spillway", standalone_mode=False) or 0
        return int(code) if arguments else EXIT_USAGE
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else EXIT_FAILED
    except typer.TyperException as fault:
        print(_sentence(fault, f"spillway {wanted}" if wanted else "spillway"), file=sys.stderr)
        return fault.exit_code
    except typer.Abort:  # what typer makes of an EOFError
        print("spillway: the input ended early", file=sys.stderr)
        return EXIT_FAILED
    except SpillwayError as error:
        print(f"spillway: {error.message}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _sentence(fault: typer.TyperException, command: str) -> str:
    """One line that names what is wrong with the command line, and where to look."""
    said = fault.format_message()
    said = said[:1].lower() + said[1:]
    if isinstance(fault, typer.BadParameter) and fault.message:
        option = fault.param_hint or (fault.param.opts[0] if fault.param is not None else None)
        wrong = "nan is no number" if _is_nan(fault) else _plain(fault.message)
        said = f"{option}: {wrong}" if option else said
    return f"{command}: {' '.join(said.split()).rstrip('.')}; {command} --help says what there is"


def _is_nan(fault: typer.BadParameter) -> bool:
    """Whether bounds were checked on what is no number, of which pydantic only says that it keeps none."""
    errors: list[dict[str, object]] = getattr(fault.__cause__, "errors", list)()
    return any(str(each["input"]).strip(" +-").lower() == "nan" for each in errors)


def _plain(message: str) -> str:
    """What is wrong with a value, in fewer words than the library that checks types has for it."""
    bound = re.fullmatch(r"Input should be (.*?)(, unable to .*)?", message, re.DOTALL)
    return f"must be {bound[1]}" if bound else message.removeprefix("Value error, ")


def _version(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True)
    ] = False,
) -> None:
    """Local-first LLM gateway: local while fast, good and cheaper; the rest spills to the cloud."""
    if version:
        typer.echo(f"spillway {__version__}")
        raise typer.Exit
