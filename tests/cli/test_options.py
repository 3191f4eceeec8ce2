"""Commands whose options are the fields of a dataclass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from spillway.cli.options import taking


@dataclass(frozen=True)
class Wishes:
    """What may be asked for."""

    name: Annotated[str, typer.Argument(help="Whom to greet.")]
    times: Annotated[int, typer.Option(min=1)] = 1
    loud: Annotated[bool, typer.Option("--loud")] = False


def run(*arguments: str) -> tuple[int, str]:
    """Exit code and output of a command with those options."""
    app = typer.Typer()

    @app.command()
    @taking(Wishes)
    def greet(wishes: Wishes) -> None:
        """Say hello."""
        said = f"hello {wishes.name} " * wishes.times
        typer.echo(said.upper() if wishes.loud else said)

    found = CliRunner().invoke(app, list(arguments))
    return found.exit_code, found.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("ana",), "hello ana"), (("ana", "--times", "2", "--loud"), "HELLO ANA HELLO ANA")],
)
def test_fields_are_arguments_and_options(arguments: tuple[str, ...], said: str) -> None:
    """Fields without a default are required; the others keep their defaults."""
    code, output = run(*arguments)
    assert (code, output.strip()) == (0, said)


def test_what_typer_checks_is_checked() -> None:
    """Bounds, missing arguments and help work as for a command with its own parameters."""
    assert run("ana", "--times", "0")[0] == 2
    assert run()[0] == 2
    code, output = run("--help")
    assert code == 0
    assert "Say hello." in output
    assert "Whom to greet." in output
