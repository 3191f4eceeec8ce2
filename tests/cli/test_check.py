"""``spillway check``: what it prints, for people and for scripts, and what it exits with."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from spillway.classify import OwnTasks, write_own_tasks
from spillway.cli import run
from spillway.config.schema import Config
from spillway.fleet.examine import Compare, Finding, examine
from spillway.ledger.store import LedgerStore
from spillway.pinning.lock import Lock
from spillway.pinning.lock_file import save_lock
from spillway.planner.profile import profile_to_json
from spillway.testing.fake_upstream import FakeUpstream
from tests.planner.test_profile import PROFILE

CLOUD = """
clouds:
  - name: fake
    url: {url}
    api_key: ${{FAKE_KEY}}
    models: [fake-model]
    provider: openai
prices:
  fake/fake-model: {{input_usd_per_mtok: 1, output_usd_per_mtok: 2}}
"""
NODE = """
nodes:
  - name: mini
    url: {url}
    slots: 2
    hardware: {{price_usd: 2000, idle_w: 8, active_w: 40}}
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    for name in [name for name in os.environ if name.endswith("_API_KEY")]:
        monkeypatch.delenv(name)  # no cloud may be discovered and reached
    monkeypatch.setenv("FAKE_KEY", "s3cret-key")


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    """A server that answers everything well."""
    async with FakeUpstream() as server:
        yield server


async def check(text: str, *options: str) -> int:
    """The exit code for one configuration; in a thread of its own, beside the fake upstream."""
    return await asyncio.to_thread(_check, text, *options)


def _check(text: str, *options: str) -> int:
    Path("spillway.yaml").write_text(text)
    return run(["check", *options])


async def test_all_is_well(upstream: FakeUpstream, capsys: pytest.CaptureFixture[str]) -> None:
    """A node, a cloud and a ledger that work give one line each and exit code 0, without a secret."""
    code = await check(NODE.format(url=upstream.origin) + CLOUD.format(url=upstream.url))
    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    assert [line.split(":")[0].split("  ")[-1].strip() for line in out.splitlines()] == [
        "configuration",
        "node mini",
        "cloud fake",
        "ledger",
        "all is well",
    ]
    assert "s3cret" not in out


async def test_only_metadata_is_asked_for(upstream: FakeUpstream) -> None:
    """Checking generates nothing, so it costs nothing."""
    await check(NODE.format(url=upstream.origin) + CLOUD.format(url=upstream.url))
    assert upstream.received == []
    assert {probe.request.method for probe in upstream.probes} == {"GET"}


async def test_json_has_the_same_findings(upstream: FakeUpstream, capsys: pytest.CaptureFixture[str]) -> None:
    """Scripts get one object with a schema, the number of problems, and each finding's level and subject."""
    upstream.respond("GET", "/v1/models", {"error": {"message": "no"}}, status=401)
    code = await check(CLOUD.format(url=upstream.url), "--json")
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert (code, err) == (3, "")
    assert (report["schema"], report["problems"]) == ("spillway.check/1", 1)
    wrong = [finding for finding in report["findings"] if finding["level"] == "problem"]
    assert wrong[0]["subject"] == "cloud fake"
    assert "check api_key" in wrong[0]["text"]
    assert "s3cret" not in out


async def test_a_wrong_configuration_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    """What is wrong with the file is said on stderr before anything is reached."""
    assert await check("nodes: [{name: mini, ulr: x}]", "--json") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "spillway.yaml:1: nodes[0].ulr: unknown key; did you mean url?" in err


async def test_unknown_hardware_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    """A hardware name that is not in the catalogue is named with the nearest that is."""
    text = "nodes: [{name: mini, url: 'http://127.0.0.1:9', hardware: mac-mini-m4-prp}]"
    assert await check(text) == 2
    assert "did you mean mac-mini-m4-pro?" in capsys.readouterr().err


def save_fields(profile: dict[str, Any]) -> None:
    """The file box.json holds them."""
    Path("box.json").write_text(json.dumps(profile))


@pytest.mark.parametrize(
    ("change", "level", "said"),
    [
        (None, "problem", "there is no profile /"),
        ({"schema": "spillway.profile/0"}, "problem", "is not a spillway.profile/1 object"),
        ({"warnings": []}, "ok", "/box.json can be used"),
        ({"is_complete": False}, "note", "was cut short (a warning): measure the node again"),
        ({"model": "other"}, "note", "was measured with other, and it serves fake-model: measure it again"),
    ],
)
async def test_profiles_are_read_and_compared(
    upstream: FakeUpstream,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, Any] | None,
    level: str,
    said: str,
) -> None:
    """A profile that would stop the gateway is a problem, one that is doubtful or another's a note."""
    if change is not None:
        save_fields({**profile_to_json(PROFILE), "model": "fake-model", **change})
    code = await check(NODE.format(url=upstream.origin) + "    profile: box.json", "--json")
    found = json.loads(capsys.readouterr().out)["findings"]
    assert code == (3 if level == "problem" else 0)
    assert [each["level"] for each in found if said in each["text"]] == [level]
    assert {each["subject"] for each in found if said in each["text"]} == {"node mini"}


async def test_warnings_are_notes(upstream: FakeUpstream, capsys: pytest.CaptureFixture[str]) -> None:
    """What is odd about the file without being wrong is told, and is no problem."""
    text = CLOUD.format(url=upstream.url) + "routing: {reference: fake/fake-modell}\n"
    assert await check(text) == 0
    assert "did you mean fake-model?" in capsys.readouterr().out


async def test_an_unknown_price_is_a_note(upstream: FakeUpstream, capsys: pytest.CaptureFixture[str]) -> None:
    """A model nobody knows the price of works; its cost will be unknown, and how to set it is said."""
    text = CLOUD.format(url=upstream.url).partition("prices:")[0]
    assert await check(text) == 0
    assert "the price of fake-model is unknown" in capsys.readouterr().out


async def test_a_ledger_that_cannot_be_written_is_a_problem(
    upstream: FakeUpstream, capsys: pytest.CaptureFixture[str]
) -> None:
    """A ledger in a folder that is not there is a problem with exit code 3."""
    text = CLOUD.format(url=upstream.url) + "ledger: sqlite:////nowhere/at/all/x.db\n"
    assert await check(text) == 3
    out = capsys.readouterr().out
    assert "PROBLEM  ledger: " in out
    assert "1 problem found" in out


async def test_files_that_belong_to_it_are_read(
    upstream: FakeUpstream, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A lock or a file of task classes that up would refuse is a problem; good ones are named."""
    config = CLOUD.format(url=upstream.url) + "routing: {task_file: tasks.json}\n"
    (tmp_path / "spillway.lock").write_text("schema: spillway.lock/9\n")
    (tmp_path / "tasks.json").write_text("{}")
    assert await check(config) == 3
    out = capsys.readouterr().out
    assert "PROBLEM  lock: " in out
    assert "PROBLEM  task classes: " in out
    save_lock(Lock(nodes={}, templates={}), tmp_path / "spillway.lock")
    write_own_tasks(tmp_path / "tasks.json", OwnTasks([]))
    assert await check(config) == 0
    assert "spillway.lock can be used" in capsys.readouterr().out


async def test_one_that_never_ends_stops_no_other(
    upstream: FakeUpstream, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upstream whose answer never ends is given up, and the others are told as usual."""

    async def forever_for_nodes(config: Config, compare: Compare) -> list[Finding]:
        if config.nodes:
            await asyncio.Event().wait()
        return await examine(config, compare)

    monkeypatch.setattr("spillway.cli.check.PATIENCE_S", 0.3)
    monkeypatch.setattr("spillway.fleet.examine.examine", forever_for_nodes)
    code = await check(NODE.format(url=upstream.origin) + CLOUD.format(url=upstream.url))
    out = capsys.readouterr().out
    assert code == 3
    assert "PROBLEM  node mini: no complete answer within 0.3 s" in out
    assert "ok       cloud fake: " in out


def test_a_missing_model_file_is_a_problem(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A node whose model file is not there says so with its full path."""
    assert _check("nodes: [{name: own, model: no/such.gguf}]") == 3
    assert str(tmp_path / "no" / "such.gguf") in capsys.readouterr().out


def test_an_engine_that_cannot_be_imported_is_a_problem(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the embedded engine does not run, a node that needs it is a problem."""
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    assert _check("nodes: [{name: own, model: m.gguf}]") == 3
    assert "PROBLEM  node own: the embedded engine cannot run here" in capsys.readouterr().out


async def test_a_server_without_models_is_a_problem(
    upstream: FakeUpstream, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server that answers but has nothing loaded is told what to do."""
    upstream.respond("GET", "/v1/models", {"object": "list", "data": []})
    assert await check(NODE.format(url=upstream.origin)) == 3
    assert "offers no models: load or pull one" in capsys.readouterr().out


async def test_no_file_finds_what_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a file it says where it looked; what it finds then depends on the machine."""
    code = await asyncio.to_thread(run, ["check"])
    assert code in (0, 3)
    assert "looked on the usual ports" in capsys.readouterr().out


async def test_a_named_file_must_exist(capsys: pytest.CaptureFixture[str]) -> None:
    """A file named on the command line that is not there is exit code 2."""
    assert await asyncio.to_thread(run, ["check", "--config", "none.yaml"]) == 2
    assert "there is no configuration file none.yaml" in capsys.readouterr().err


async def test_names_of_a_server_do_not_break_lines(
    upstream: FakeUpstream, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each finding is one line, whatever a node or a profile calls its model."""
    model = "fa\x1b[31mke\nX"
    upstream.respond("GET", "/v1/models", {"data": [{"id": model, "object": "model"}]})
    save_fields({**profile_to_json(PROFILE), "model": "other\nname"})
    await check(NODE.format(url=upstream.origin) + "    profile: box.json")
    out = capsys.readouterr().out
    assert r"fa\x1b[31mke\nX" in out
    assert r"other\nname" in out
    assert "\x1b" not in out
    assert all(line.startswith(("ok  ", "note", "PROB", "1 pr", "all ")) for line in out.splitlines())


async def test_a_ledger_that_may_only_be_read_is_a_problem(
    upstream: FakeUpstream, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite opens such a file without a word, and the gateway's first commit would fail."""
    LedgerStore.open("sqlite:///old.db").close()
    monkeypatch.setattr(os, "access", lambda place, mode: str(place) != "old.db")
    assert await check(CLOUD.format(url=upstream.url) + "ledger: sqlite:///old.db\n") == 3
    assert "PROBLEM  ledger: the ledger old.db is read-only" in capsys.readouterr().out


@pytest.mark.parametrize("ledger", ["sqlite:///spillway.db", "sqlite:///:memory:"])
async def test_a_check_makes_no_ledger(
    upstream: FakeUpstream, capsys: pytest.CaptureFixture[str], tmp_path: Path, ledger: str
) -> None:
    """A ledger that is still to come is well, and is still to come afterwards."""
    assert await check(f"{CLOUD.format(url=upstream.url)}ledger: '{ledger}'\n") == 0
    assert "ok       ledger: " in capsys.readouterr().out
    assert not any(tmp_path.glob("*.db*"))  # noqa: ASYNC240 - nothing else runs in this test


async def test_a_folder_that_holds_no_ledger_of_ours_is_a_problem(
    upstream: FakeUpstream, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the ledger is to come but nothing can be written, the sentence names both."""
    monkeypatch.setattr("spillway.cli.check.os.access", lambda *_: False)
    assert await check(CLOUD.format(url=upstream.url) + "ledger: sqlite:///new.db\n") == 3
    out = capsys.readouterr().out
    assert "PROBLEM  ledger: cannot make the ledger " in out
    assert "cannot be written in" in out
