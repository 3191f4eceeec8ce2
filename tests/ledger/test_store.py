from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from spillway.errors import LedgerError
from spillway.ledger.database import RowsRefused
from spillway.ledger.migrations import LATEST, VERSION_TABLE
from spillway.ledger.rows import ATTEMPT_COLUMNS, REQUEST_COLUMNS
from spillway.ledger.store import LedgerStore

from .samples import attempt_of, row


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the ledger of this test lies."""
    return tmp_path / "spillway.db"


@pytest.fixture
def store(path: Path) -> Iterator[LedgerStore]:
    """A fresh ledger there."""
    store = LedgerStore.open(f"sqlite:///{path}")
    yield store
    store.close()


def _columns(path: Path, table: str) -> list[str]:
    with sqlite3.connect(path) as connection:
        found = [name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")]
    connection.close()
    return found


def test_tables_hold_every_column(store: LedgerStore, path: Path) -> None:
    """What rows are built of and what the tables offer is the same list."""
    assert _columns(path, "requests") == list(REQUEST_COLUMNS)
    assert _columns(path, "attempts") == list(ATTEMPT_COLUMNS)


def test_rows_come_back(store: LedgerStore) -> None:
    """What was appended can be asked for, and money adds up in SQL."""
    store.append(
        [row(f"req_{number}", "0.1", attempts=[attempt_of(0), attempt_of(1)]) for number in range(3)]
    )
    (found,) = store.query("SELECT count(*), sum(cost_usd) FROM requests WHERE side = ?", ("local",))
    assert found[0] == 3
    assert found[1] == pytest.approx(0.6)
    assert list(store.query("SELECT count(*) FROM attempts")) == [(6,)]


@pytest.mark.parametrize("count", [0, 1, 7, 64, 65, 200])
def test_groups_of_any_size_are_whole(store: LedgerStore, count: int) -> None:
    """However rows fall into statements, each arrives once."""
    store.append([row(f"req_{number}") for number in range(count)])
    assert list(store.query("SELECT count(*), count(DISTINCT request_id) FROM requests")) == [(count, count)]


def test_appending_again_changes_nothing(store: LedgerStore) -> None:
    """The key is the request and the attempt, so rows may be handed over twice."""
    store.append([row("req_1", "0.1")])
    store.append([row("req_1", "0.9"), row("req_2", "0.2")])
    assert list(store.query("SELECT cost_usd FROM requests ORDER BY request_id")) == [(0.1,), (0.2,)]


def test_a_refused_row_leaves_nothing_behind(store: LedgerStore) -> None:
    """A value the database cannot hold is a refusal, and the whole group is undone."""
    with pytest.raises(RowsRefused, match="refused a row"):
        store.append([row("req_1"), row("req_2", response_bytes=2**70)])
    assert list(store.query("SELECT count(*) FROM requests")) == [(0,)]


def test_opening_twice_keeps_everything(path: Path) -> None:
    """Tables are made once; a second start finds them and their rows."""
    for name in ("req_1", "req_2"):
        store = LedgerStore.open(f"sqlite:///{path}")
        store.append([row(name)])
        store.close()
    store = LedgerStore.open(f"sqlite:///{path}", must_exist=True)
    assert list(store.query("SELECT count(*) FROM requests")) == [(2,)]
    store.close()


def test_a_newer_ledger_is_left_alone(path: Path) -> None:
    """A file of a later release is refused in a sentence that says what to do."""
    LedgerStore.open(f"sqlite:///{path}").close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version = {LATEST + 1}")
    connection.close()
    with pytest.raises(LedgerError, match=r"newer spillway .*upgrade spillway"):
        LedgerStore.open(f"sqlite:///{path}")


def test_processes_that_start_at_once_agree(path: Path) -> None:
    """Six processes open the same new file at the same moment; all succeed and the tables exist once."""
    program = (
        "import sys; from spillway.ledger.store import LedgerStore; sys.stdin.read();"
        f"LedgerStore.open('sqlite:///{path}').close()"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(6)
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.close()
        child.stdin = None
    errors = [child.communicate(timeout=60)[1] for child in children]
    assert [child.returncode for child in children] == [0] * 6, errors
    assert _columns(path, "requests") == list(REQUEST_COLUMNS)


def test_memory_ledger_works() -> None:
    """A ledger may live in memory alone."""
    store = LedgerStore.open("sqlite:///:memory:")
    store.append([row("req_1")])
    assert list(store.query("SELECT count(*) FROM requests")) == [(1,)]
    store.close()


def test_missing_file_is_not_made_by_a_reader(path: Path) -> None:
    """Asking a ledger that is not there says so and leaves no file."""
    with pytest.raises(LedgerError, match="there is no ledger"):
        LedgerStore.open(f"sqlite:///{path}", must_exist=True)
    assert not path.exists()


def test_other_databases_are_left_alone(path: Path) -> None:
    """A reader does not make tables in a file that is somebody else's."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.close()
    with pytest.raises(LedgerError, match="no spillway ledger"):
        LedgerStore.open(f"sqlite:///{path}", must_exist=True)
    assert _columns(path, "requests") == []


def test_a_file_that_is_no_database_is_named(path: Path) -> None:
    """A text file given as ledger is refused in one sentence."""
    path.write_text("hello " * 1000)
    with pytest.raises(LedgerError, match=r"spillway\.db: the file is not a SQLite database"):
        LedgerStore.open(f"sqlite:///{path}")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://root:secret@db/x", "no kind spillway knows"),
        ("spillway.db", "no kind spillway knows"),
        ("sqlite://spillway.db", "no kind spillway knows"),
        ("sqlite:///", "no kind spillway knows"),
        ("sqlite:////nowhere/at/all/x.db", "there is no folder /nowhere/at/all"),
        ("sqlite:////", "is a folder"),
    ],
)
def test_wrong_urls_are_explained(url: str, says: str) -> None:
    """Each wrong URL gets one sentence, without the password in it."""
    with pytest.raises(LedgerError, match=says) as caught:
        LedgerStore.open(url)
    assert "secret" not in caught.value.message
    assert "\n" not in caught.value.message
