"""The files that ``spillway plan`` writes never replace those it reads, nor one another."""

from __future__ import annotations

from pathlib import Path

import pytest

from spillway.cli import run

GOOD = "time,input_tokens,output_tokens\n2026-11-02T12:00:00Z,200,40\n2026-11-02T12:01:00Z,300,40\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with usage, a profile, a configuration, and other names of the usage."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    for name, text in (("u.csv", GOOD), ("box.json", "{}"), ("spillway.yaml", ""), ("own.yaml", "")):
        Path(name).write_text(text)
    Path("hard.html").hardlink_to("u.csv")
    Path("soft.html").symlink_to("u.csv")
    return tmp_path


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--html", "u.csv"), "--html u.csv would replace the usage"),
        (("--png", "u.csv"), "--png u.csv would replace the usage"),
        (("--html", "./../{folder}/u.csv"), "would replace the usage"),
        (("--html", "hard.html"), "would replace the usage"),
        (("--html", "soft.html"), "would replace the usage"),
        (("sqlite:///u.csv", "--html", "u.csv"), "would replace the usage"),
        (("--profile", "box.json", "--html", "box.json"), "would replace the profile"),
        (("--html", "spillway.yaml"), "would replace the configuration"),
        (("--config", "own.yaml", "--png", "own.yaml"), "would replace the configuration"),
        (("--html", "new.html", "--png", "./new.html"), "--png new.html is the file of --html too"),
    ],
)
def test_what_is_read_is_not_replaced(
    options: tuple[str, ...], said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file by any of its names is refused before anything is done, and keeps what it holds."""
    before = {path: path.read_text() for path in folder.iterdir()}
    code = run(["plan", "u.csv", *(option.format(folder=folder.name) for option in options)])
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert {path: path.read_text() for path in folder.iterdir()} == before


def test_the_profile_of_the_configuration_is_read_too(capsys: pytest.CaptureFixture[str]) -> None:
    """What a configuration names as its node's profile is as safe as one named on the command line."""
    Path("spillway.yaml").write_text(
        'nodes: [{name: mini, url: "http://127.0.0.1:9", hardware: mac-mini-m4-pro, profile: box.json}]'
    )
    assert run(["plan", "u.csv", "--html", "box.json"]) == 2
    assert "--html box.json would replace the profile" in capsys.readouterr().err
    assert Path("box.json").read_text() == "{}"
