"""``spillway pin``: what it writes, says, and ends with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from spillway.cli import run
from spillway.pinning.lock_file import load_lock
from spillway.testing.fake_upstream import FakeUpstream
from spillway.testing.faults import Fault
from tests.engine_fixtures import build_micro_gguf, needs_engine
from tests.pinning.models import vary

CONFIG = """
nodes:
  - name: mini
    model: m.gguf
    context_tokens: 256
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a configuration and the model it names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    build_micro_gguf(tmp_path / "m.gguf", context_tokens=512)
    (tmp_path / "spillway.yaml").write_text(CONFIG)
    return tmp_path


def pin(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    """Exit code and output of ``spillway pin``."""
    code = run(["pin", *options])
    captured = capsys.readouterr()
    return code, captured.out + captured.err


def as_json(capsys: pytest.CaptureFixture[str], *options: str) -> Any:
    """What ``spillway pin --json`` prints."""
    return json.loads(pin(capsys, "--json", *options)[1])


@pytest.mark.engine
@needs_engine
def test_pin_check_update(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A node is pinned, found equal, found changed with old and new, and accepted."""
    code, said = pin(capsys)
    assert code == 0, said
    assert "1 node, 1 model, 9 canaries" in said
    written = (site / "spillway.lock").read_bytes()
    assert pin(capsys) == (0, f"{site / 'spillway.lock'}: nothing changed\n")
    assert pin(capsys, "--check")[0] == 0
    assert (site / "spillway.lock").read_bytes() == written

    other = vary(site / "m.gguf", site / "other.gguf", template="{{ messages[0].content }}", temperature=0.2)
    other.replace(site / "m.gguf")
    code, said = pin(capsys, "--check")
    assert code == 3
    assert "mini/mini  template" in said
    assert "temperature 0.8 → temperature 0.2" in said
    assert "usually breaks: tool calls, system prompts and tool results may get lost" in said
    assert "+{{ messages[0].content }}" in said
    assert "user: turn marks differ" in said
    assert "other answers, as the changes above let expect" in said
    assert pin(capsys)[0] == 3
    assert (site / "spillway.lock").read_bytes() == written
    changed = as_json(capsys, "--check")
    assert changed["schema"] == "spillway.pin/1"
    assert {"template", "sampling", "weights", "canary"} == {
        change["field"] for change in changed["nodes"][0]["changes"]
    }

    assert pin(capsys, "--update")[0] == 0
    assert pin(capsys, "--check")[0] == 0


@pytest.mark.engine
@needs_engine
def test_an_unreachable_node_is_said(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A node that is away is named; the others are pinned, its own record stays as it was."""
    with (site / "spillway.yaml").open("a") as config:
        config.write("  - {name: away, url: 'http://127.0.0.1:9'}\n")
    code, said = pin(capsys, "--canaries", "none")
    assert code == 1
    assert "away: connection refused" in said
    lock = load_lock(site / "spillway.lock")
    assert list(lock.nodes) == ["mini"]
    assert lock.nodes["mini"].models["mini"].canaries == {}
    assert pin(capsys, "--check")[0] == 3
    assert pin(capsys, "--check", "--nodes", "mini")[0] == 0


@pytest.mark.engine
@needs_engine
def test_a_node_that_left_the_configuration(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A pinned node that is no longer configured is a difference until it is accepted."""
    pin(capsys, "--canaries", "none")
    (site / "spillway.yaml").write_text(CONFIG.replace("mini", "other"))
    code, said = pin(capsys, "--check")
    assert code == 3
    assert "mini: is pinned but not configured" in said
    assert "other/other: served, but not pinned" in said
    assert pin(capsys, "--update", "--canaries", "none")[0] == 0
    assert list(load_lock(site / "spillway.lock").nodes) == ["other"]


def names_in(folder: Path) -> list[str]:
    """The files in a folder."""
    return [entry.name for entry in folder.iterdir()]


async def _pin_fake(site: Path, upstream: FakeUpstream, *, update: bool) -> tuple[Any, Path]:
    """Pins a server of the test's own through the parts behind the command."""
    from spillway.pinning.canaries import default_canaries
    from spillway.pinning.command import run as pin_all
    from spillway.pinning.survey import Target
    from spillway.pinning.weights import WeightFiles

    path, files = site / "spillway.lock", WeightFiles()
    report = await pin_all(
        "update" if update else "pin",
        path,
        [Target("box", upstream.origin, "openai")],
        {},
        default_canaries(),
        "loaded",
        files,
        is_part=False,
    )
    await files.close()
    return report, path


async def test_a_node_that_stops_in_the_middle(tmp_path: Path) -> None:
    """A node that goes away between two canaries leaves the lock as it was, to the byte."""
    async with FakeUpstream(default=Fault.HEALTHY) as upstream:
        report, path = await _pin_fake(tmp_path, upstream, update=False)
        assert report.is_written
        before = path.read_bytes()
        upstream.script(*[Fault.HEALTHY] * 7, *[Fault.CUT] * 200)
        report, _ = await _pin_fake(tmp_path, upstream, update=True)
        assert [name for name, _ in report.unreachable] == ["box"]
        assert "stopped answering" in report.unreachable[0][1]
    assert path.read_bytes() == before
    assert names_in(tmp_path) == [path.name]


async def test_a_first_pin_that_fails_writes_nothing(tmp_path: Path) -> None:
    """When the only node stops answering there is no lock rather than an empty one."""
    async with FakeUpstream(default=Fault.CUT) as upstream:
        report, path = await _pin_fake(tmp_path, upstream, update=False)
    assert not report.is_written
    assert not path.exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--check", "--update"), "give one of them"),
        (("--canaries", "some"), "must be one of loaded, all, none"),
        (("--nodes", "nobody"), "no node is called 'nobody'; known are mini"),
        (("--check",), "there is no lock"),
        (("--config", "none.yaml"), "there is no configuration file"),
    ],
)
def test_wrong_usage(
    site: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], said: str
) -> None:
    """Wrong options, names and files are one sentence and exit code 2."""
    code, text = pin(capsys, *options)
    assert code == 2
    assert said in text
    assert text.count("\n") == 1


def test_a_broken_lock_is_never_written_over(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A lock that cannot be read is refused by every form of the command, and left as it is."""
    (site / "spillway.lock").write_text("schema: spillway.lock/9\n")
    for options in ((), ("--check",), ("--update",)):
        code, text = pin(capsys, *options)
        assert code == 2
        assert "newer spillway" in text
    assert (site / "spillway.lock").read_text() == "schema: spillway.lock/9\n"
