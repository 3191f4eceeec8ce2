from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from spillway.cli import run
from spillway.ledger.drift import record_drift
from spillway.ledger.store import LedgerStore

from .samples import ACCEPTED_S, attempt_of, row

CONFIG = """
nodes: [{name: mini, url: "http://127.0.0.1:9", hardware: mac-mini-m4-pro}]
electricity_usd_per_kwh: 0.27
ledger: sqlite:///own.db
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory without any configuration of this machine's owner."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def _fill(path: Path) -> None:
    store = LedgerStore.open(f"sqlite:///{path}")
    store.append([row("req_1"), row("req_2", None)])
    store.close()


def test_json_is_one_versioned_object(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Machines get the schema's name, the sums, the groups and the nodes."""
    _fill(folder / "a.db")
    assert run(["report", "--ledger", "sqlite:///a.db", "--json", "--by", "task"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["schema"] == "spillway.report/1"
    assert report["total"]["requests"] == 2
    assert report["total"]["cost_usd"] is None
    assert [line["group"] for line in report["groups"]] == ["unknown"]
    assert [node["node"] for node in report["nodes"]] == ["mini"]


def test_the_configuration_says_where_and_what(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ledger, machine and tariff come from spillway.yaml; the text names spend, savings and the node."""
    (folder / "spillway.yaml").write_text(CONFIG)
    _fill(folder / "own.db")
    assert run(["report"]) == 0
    text = capsys.readouterr().out
    for word in ("Spent", "Saved", "Local", "2026-09-21", "mini", "break-even"):
        assert word in text


def test_parts_of_an_unknown_sum_are_called_known(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Power of $0.00 beside a request of unknown cost is no figure of that one."""
    _fill(folder / "a.db")
    assert run(["report", "--ledger", "sqlite:///a.db"]) == 0
    assert " + 1 unknown (known: clouds " in " ".join(capsys.readouterr().out.split())


def test_a_node_without_figures_is_no_free_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is unused on one node beside another of unknown cost is told as the part that is known."""
    other = CONFIG.replace("}]", '}, {name: other, url: "http://127.0.0.1:8"}]')
    (folder / "spillway.yaml").write_text(other)
    _fill(folder / "own.db")
    assert run(["report"]) == 0
    assert " + 1 node unknown of the nodes' wear" in " ".join(capsys.readouterr().out.split())


def test_drift_is_a_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What differed from its pin, and how many requests that kept off; without drift nothing is said."""
    _fill(folder / "a.db")
    assert run(["report", "--ledger", "sqlite:///a.db"]) == 0
    assert "Drift" not in capsys.readouterr().out
    store = LedgerStore.open("sqlite:///a.db")
    store.append([row("req_3", reasons=("name_auto", "node_drifted"))])
    fields = ("template", "context")
    record_drift(store, [(ACCEPTED_S, "mini", "qwen", field, "a", "b", "warn") for field in fields])
    store.close()
    assert run(["report", "--ledger", "sqlite:///a.db"]) == 0
    line = "mini: context, template; 1 request kept off a node by it; see spillway pin --check"
    assert line in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--ledger", "sqlite:///missing.db"], 2, "there is no ledger missing.db"),
        (["--ledger", "mysql://x"], 2, "no kind spillway knows"),
        (["--ledger", "a.db"], 2, "no kind spillway knows"),
        (["--ledger", "sqlite:///text.db"], 2, "the file is not a SQLite database"),
        (["--ledger", "sqlite:///nowhere/a.db"], 2, "there is no ledger nowhere/a.db"),
        ([], 2, "there is no ledger"),
        (["--ledger", "sqlite:///other.db"], 2, "no spillway ledger"),
        (["--ledger", "sqlite:///a.db", "--since", "soon"], 2, "--since 'soon' is no time"),
        (["--ledger", "sqlite:///a.db", "--since", "1d", "--until", "2d"], 2, "not before"),
        (["--ledger", "sqlite:///a.db", "--by", "moon"], 2, "write day, task or upstream"),
    ],
)
def test_mistakes_get_one_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, says: str
) -> None:
    """What is wrong is said on standard error in one line, with the agreed exit code."""
    _fill(folder / "a.db")
    (folder / "text.db").write_text("hello " * 1000)
    with sqlite3.connect(folder / "other.db") as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.close()
    assert run(["report", *arguments]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert says in captured.err
    assert captured.err.count("\n") == 1


def test_a_period_that_is_not_over_ends_now(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A whole month asked for on its first day charges no node for the days to come."""
    (folder / "spillway.yaml").write_text(CONFIG)
    _fill(folder / "own.db")

    def wear(*options: str) -> float:
        assert run(["report", "--json", *options]) == 0
        return float(json.loads(capsys.readouterr().out)["nodes"][0]["amortisation_usd"])

    assert wear("--until", "2999-01-01") == pytest.approx(wear(), rel=1e-3)


@pytest.mark.parametrize("extra", [[], ["--since", "1h"]])
def test_an_empty_ledger_is_no_error(
    folder: Path, capsys: pytest.CaptureFixture[str], extra: list[str]
) -> None:
    """A ledger or period without requests is said in one sentence."""
    LedgerStore.open(f"sqlite:///{folder / 'a.db'}").close()
    assert run(["report", "--ledger", "sqlite:///a.db", *extra]) == 0
    text = capsys.readouterr().out
    assert "holds no requests" in text
    assert text.count("\n") == 1


@pytest.mark.parametrize("name", ["r[bold]", "r[x", "r:smile:"])
def test_names_are_no_markup(folder: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """A ledger and an upstream print with every bracket of their names."""
    (folder / name).mkdir()
    store = LedgerStore.open(f"sqlite:///{name}/[up].db")
    store.append([row("req_1", attempts=[attempt_of(upstream="[/red]mini")])])
    store.close()
    assert run(["report", "--ledger", f"sqlite:///{name}/[up].db", "--by", "upstream"]) == 0
    text = capsys.readouterr().out
    assert f"{name}/[up].db" in text
    assert "[/red]mini" in text


@pytest.mark.parametrize("columns", ["110", "80", "50"])
def test_figures_are_whole_at_every_width(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    """A narrow terminal loses columns, and is told which; the day and what was spent stay whole."""
    monkeypatch.setenv("COLUMNS", columns)
    _fill(folder / "a.db")
    assert run(["report", "--ledger", "sqlite:///a.db"]) == 0
    text = capsys.readouterr().out
    assert "2026-09-21" in text
    assert "$0.0001 + 1 unknown" in text
    assert "…" not in text
    assert ("No room for" in text) == (columns != "110")
