"""Wrong command lines: one sentence on stderr and exit code 2, whatever is wrong with them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from spillway.cli import COMMANDS, run
from spillway.cli.output import console_of

FIGURES = ("bench", "--predict", "--tflops", "1", "--weights-gb", "1", "--bandwidth-gb-s")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense"], "spillway: no such command 'nonsense'"),
        (["--nonsense"], "spillway: no such option: --nonsense"),
        (["plan", "--nonsense"], "spillway plan: no such option: --nonsense"),
        (["plan", "--growth", "abc"], "spillway plan: --growth: 'abc' is not a number"),
        (["plan", "--usd-per-kwh", "-1"], "spillway plan: --usd-per-kwh: '-1' is negative"),
        (["plan", "--attainment", "95"], "--attainment: must be less than or equal to 0.999"),
        (["plan", "--slots", "many"], "--slots: must be a valid integer;"),
        (["plan", "--price-date", "2026"], "--price-date: '2026' does not match"),
        (["plan", "--price-date", "2999-01-01"], "--price-date 2999-01-01 is still to come"),
        (["plan", "--nodes"], "option '--nodes' requires an argument"),
        (["check", "extra"], "spillway check: got unexpected extra argument"),
        ([*FIGURES, "inf"], "spillway bench: --bandwidth-gb-s: must be less than or equal to"),
        (["plan", "--slo-total-ms", "inf"], "spillway plan: --slo-total-ms: inf is no number"),
        ([*FIGURES, "nan"], "spillway bench: --bandwidth-gb-s: nan is no number;"),
        (["bench", "http://127.0.0.1:1", "--duration", "NaN"], "--duration: nan is no number;"),
        (
            ["bench", "127.0.0.1:8080"],
            "neither a URL nor a model file; for a node that runs write http://127",
        ),
        (["bench", "http://127.0.0.1:1", "--api-key", "b\udce4d"], "(--api-key or SPILLWAY_NODE_KEY) holds"),
        (
            ["plan", "--preset", "article", "--nodes", "0-1000"],
            "--nodes '0-1000': sizes ascend and end at 64",
        ),
        (["bench", "http://127.0.0.1:1", "--predict"], "exclude each other"),
        ([*FIGURES, "1e300"], "--bandwidth-gb-s: must be less than or equal to"),
        (["plan", "--kv-bytes-per-token", "1e308"], "--kv-bytes-per-token: must be less than"),
        (["plan", "--hardware-usd", "1e400"], "write 0, or 0.000000001 to 1,000,000,000"),
        (["bench", "http://[::1"], "the URL is wrong: Invalid IPv6 URL"),
        (["bench", "http://127.0.0.1:99999"], "the URL is wrong: Port out of range"),
        (["demo", "--port", "99999"], "--port: must be less than or equal to 65535"),
        (["evidence", "--judge"], "--judge belongs to --from-log"),
        (["evidence", "--local-model", "x"], "--local-model belongs to --from-log"),
        (["report", "--by", "zebra"], "--by 'zebra'"),
        (["up", "--log-level", "loud"], "--log-level 'loud' is no level: write debug, info, warning, error"),
    ],
)
def test_wrong_usage_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    """The line names command and option and nothing else is printed."""
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.startswith("spillway")
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_help_stays_help(capsys: pytest.CaptureFixture[str], command: str) -> None:
    """Every command's help is whole and no failure."""
    assert run([command, "--help"]) == 0
    out, err = capsys.readouterr()
    assert f"Usage: spillway {command}" in out
    assert "─" in out
    assert err == ""


def test_nothing_asked_is_answered_with_help(capsys: pytest.CaptureFixture[str]) -> None:
    """No command is wrong usage, and the help says what there is."""
    assert run([]) == 2
    out, err = capsys.readouterr()
    assert all(command in out for command in COMMANDS)
    assert err == ""


def test_the_real_command_says_the_same() -> None:
    """As a process: one line on stderr, nothing on stdout, exit code 2."""
    done = subprocess.run(
        [sys.executable, "-m", "spillway", "plan", "--growth", "abc"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "40"},
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


@pytest.mark.parametrize(("columns", "width"), [("80", 80), ("", 100), ("0", 100), ("wide", 100)])
def test_columns_are_obeyed(monkeypatch: pytest.MonkeyPatch, columns: str, width: int) -> None:
    """Where no terminal tells its width ``COLUMNS`` does, and where that is no number the usual one holds."""
    monkeypatch.setenv("COLUMNS", columns)
    assert console_of(100).width == width
