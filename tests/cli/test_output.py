"""What every command prints: in whatever encoding, to whatever takes it, and word for word."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from spillway.cli.output import console_of

OPTIONS = (
    *("--cloud", "openai/gpt-4o-mini", "--hardware", "mac-mini-m4", "--nodes", "0-1", "--workers", "1"),
    *("--draws", "20", "--simulate-requests", "200"),
)
PLAN = ("plan", "--requests-per-month", "600", "--input-tokens", "300", "--output-tokens", "60", *OPTIONS)
USAGE = "time,input_tokens,output_tokens\n" + "".join(
    f"2026-11-{2 + number // 24:02d}T{number % 24:02d}:07:00Z,200,40\n" for number in range(100)
)
NOT_UTF_8 = (
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "cp1252"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
)


def printed(
    *arguments: str, environment: dict[str, str], folder: Path, stdout: int = subprocess.PIPE
) -> subprocess.CompletedProcess[bytes]:
    """The command as a process of its own, far from this machine's configuration."""
    home = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    return subprocess.run(
        [sys.executable, "-m", "spillway", *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        check=False,
        cwd=folder,
        env={**os.environ, **home, **environment},
    )


@pytest.mark.parametrize("environment", NOT_UTF_8, ids=lambda each: next(iter(each.values())))
@pytest.mark.parametrize(
    "arguments", [PLAN, ("--help",), ("plan", "--help")], ids=["plan", "help", "options"]
)
def test_what_an_encoding_lacks_is_replaced(
    arguments: tuple[str, ...], environment: dict[str, str], tmp_path: Path
) -> None:
    """A plan and the help print on a terminal that knows few letters, and a minus stays one."""
    done = printed(*arguments, environment=environment, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    if arguments is PLAN:
        assert b" -$" in done.stdout


def test_json_is_utf_8_in_every_encoding(tmp_path: Path) -> None:
    """A machine reads the same object, whatever the terminal's encoding."""
    usual, other = (
        printed(*PLAN, "--json", environment=environment, folder=tmp_path)
        for environment in ({"PYTHONIOENCODING": "utf-8"}, {"PYTHONIOENCODING": "ascii"})
    )
    assert json.loads(other.stdout)["schema"] == "spillway.plan/1"
    assert other.stdout == usual.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("buffered", ["", "1"])
@pytest.mark.parametrize("arguments", [PLAN, ("--version",)], ids=["plan", "version"])
def test_output_that_cannot_be_written_is_one_sentence(
    arguments: tuple[str, ...], buffered: str, tmp_path: Path
) -> None:
    """A full disk under standard output ends with code 2 and its reason."""
    with Path("/dev/full").open("wb") as full:
        done = printed(
            *arguments, environment={"PYTHONUNBUFFERED": buffered}, folder=tmp_path, stdout=full.fileno()
        )
    said = b"spillway: standard output cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (2, said)


def test_a_reader_who_has_enough_hears_nothing(tmp_path: Path) -> None:
    """A pipe that nobody reads any more is no fault to tell of."""
    reading, writing = os.pipe()
    os.close(reading)
    done = printed("--version", environment={}, folder=tmp_path, stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no file can have such a name")
def test_a_name_that_is_no_text_is_written_too(tmp_path: Path) -> None:
    """A usage file whose name is in an old encoding gives a page and a picture like any other."""
    pytest.importorskip("matplotlib")
    (tmp_path / "b\udce4r.csv").write_text(USAGE)
    files = ("--html", "b.html", "--png", "b.png")
    done = printed("plan", "b\udce4r.csv", *OPTIONS, *files, environment={}, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert "b?r.csv" in (tmp_path / "b.html").read_text()
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")


def test_brackets_and_colons_are_words(capsys: pytest.CaptureFixture[str]) -> None:
    """Names print as they are, whatever they would mean to whoever draws the tables."""
    console_of(60).print("a[bold]b[/x] :smile:")
    assert capsys.readouterr().out == "a[bold]b[/x] :smile:\n"
