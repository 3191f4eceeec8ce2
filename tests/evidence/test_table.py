"""The table says for each key what is known, how surely, and what follows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from spillway.cli import run as run_here
from spillway.evidence import Event, EvidenceBook, Key, QualityLimits, key_of
from spillway.evidence.store import event_row, record_row, write_evidence
from spillway.evidence.table import EvidenceLine, make_table
from spillway.ledger.store import LedgerStore
from tests.ledger.samples import row

GOOD = key_of("extraction", "mini", "qwen3-4b", "9f2c4e81aa")
BAD = key_of("math", "mini", "qwen3-4b", None)
RATED = key_of("extraction", "openai", "gpt-4o-mini", None)


def filled() -> EvidenceBook:
    """A book with a trusted class, a demoted one, one on trial and a rated reference."""
    book = EvidenceBook(QualityLimits(), local_tasks=["extraction"])

    def see(key: Key, count: int, score: float, kind: Any = "shadow", side: Any = "local") -> None:
        for number in range(count):
            at_s = 1_790_000_000.0 + number
            book.take(Event(request_id=f"r{number}", key=key, kind=kind, score=score, at_s=at_s, side=side))

    see(GOOD, 150, 1.0)
    see(BAD, 30, 0.0)
    see(key_of("code", "mini", "qwen3-4b", None), 9, 1.0)
    see(key_of("routing", "mini", "qwen3-4b", None), 9, 1.0, "gate")
    see(RATED, 5, 1.0, "feedback", "cloud")
    return book


def lines(book: EvidenceBook) -> dict[tuple[str, str], EvidenceLine]:
    """The table's lines by class and upstream."""
    table = make_table(
        book.records,
        book.limits,
        ledger="x",
        local_tasks=["extraction", "routing"],
        reference=("openai", "gpt-4o-mini"),
    )
    return {(line.task, line.upstream): line for line in table.classes}


def test_states_and_reasons() -> None:
    """Each line names its state and the figures that led there."""
    found = lines(filled())
    assert {key: line.state for key, line in found.items()} == {
        ("code", "mini"): "trial",
        ("extraction", "mini"): "trusted",
        ("extraction", "openai"): "reference",
        ("math", "mini"): "demoted",
        ("routing", "mini"): "configured",
    }
    assert "was at most 0.0" in found["extraction", "mini"].why
    assert "at least" in found["math", "mini"].why
    assert "not in routing.local_tasks" in found["code", "mini"].why
    assert "gates turned away" in found["routing", "mini"].why


def test_figures_are_those_the_verdict_goes_by() -> None:
    """A trusted line's upper bound is within the limit, a demoted one starts over and remembers the total."""
    found = lines(filled())
    good, bad = found["extraction", "mini"], found["math", "mini"]
    assert (good.n, good.estimate) == (150, 0.0)
    assert good.upper_bound <= good.limit == 0.05
    assert (bad.seen_ever, bad.stage) == (30, 1)
    assert bad.n < 30


def test_nothing_compared_is_unknown_not_zero() -> None:
    """A channel without scores has no estimate and the widest bounds."""
    line = lines(filled())["routing", "mini"]
    assert (line.gap, line.gap_lower, line.gap_upper) == (None, -1.0, 1.0)
    assert (line.checked, line.gate_failures) == (9, 0.0)


def store_at(path: Path) -> str:
    """A ledger that holds all of it and one disagreement with texts; its URL."""
    url = f"sqlite:///{path}/ledger.db"
    store = LedgerStore.open(url)
    store.append([row("req_1", prompt_text="What is 2+2?")])
    lost = Event(
        request_id="req_1",
        key=BAD,
        kind="shadow",
        score=0.0,
        at_s=1_790_000_000.0,
        detail="number",
        local_text="5\x1b[31m",
        reference_text="4",
    )
    book = filled()
    write_evidence(store, [record_row(*item) for item in book.records.items()], [event_row(lost, 0, 0)])
    store.close()
    return url


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "spillway", "evidence", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=60,
        check=False,
    )


def test_command_prints_the_table(tmp_path: Path) -> None:
    """People see class, model, state, n, estimate, bound and why."""
    done = run("--ledger", store_at(tmp_path), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    for word in ("extraction", "trusted", "demoted", "trial", "reference", "0.05", "95%"):
        assert word in done.stdout


def test_command_prints_json(tmp_path: Path) -> None:
    """Programs get one object with a versioned schema."""
    done = run("--json", "--ledger", store_at(tmp_path), folder=tmp_path)
    found = json.loads(done.stdout)
    assert found["schema"] == "spillway.evidence/1"
    assert {line["task"] for line in found["classes"]} == {"extraction", "math", "code", "routing"}


def test_command_shows_what_a_node_lost(tmp_path: Path) -> None:
    """Disagreements come with their texts where they were kept, without anything a terminal obeys."""
    done = run("--disagreements", "--ledger", store_at(tmp_path), folder=tmp_path)
    assert "What is 2+2?" in done.stdout
    assert "reference: 4" in done.stdout
    assert "\x1b" not in done.stdout
    as_json = run("--disagreements", "--json", "--ledger", f"sqlite:///{tmp_path}/ledger.db", folder=tmp_path)
    (lost,) = json.loads(as_json.stdout)["disagreements"]
    assert (lost["local_text"], lost["reference_text"]) == ("5\x1b[31m", "4")


def test_command_says_when_there_is_nothing(tmp_path: Path) -> None:
    """An empty ledger says how evidence begins; a missing one is an error in one sentence."""
    LedgerStore.open(f"sqlite:///{tmp_path}/ledger.db").close()
    done = run("--ledger", f"sqlite:///{tmp_path}/ledger.db", folder=tmp_path)
    assert "no evidence yet" in done.stdout
    missing = run("--ledger", f"sqlite:///{tmp_path}/other.db", folder=tmp_path)
    assert missing.returncode == 2
    assert len(missing.stderr.strip().splitlines()) == 1


def test_command_names_a_ledger_without_its_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where no comparison was lost the sentence tells the place as a person calls it, not the URL."""
    store = LedgerStore.open("sqlite:///:memory:")
    monkeypatch.setattr(LedgerStore, "open", lambda url, must_exist: store)
    assert run_here(["evidence", "--disagreements", "--ledger", "postgresql://me:s3cret@db/x"]) == 0
    assert capsys.readouterr().out == "The ledger :memory: holds no comparison that a node lost.\n"


@pytest.mark.parametrize("arguments", [["--limit", "0", "--disagreements"], ["--nonsense"]])
def test_wrong_usage_is_refused(arguments: list[str], tmp_path: Path) -> None:
    """Values out of range end with code 2."""
    assert run(*arguments, folder=tmp_path).returncode == 2
