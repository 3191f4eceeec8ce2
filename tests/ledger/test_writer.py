from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from spillway.errors import LedgerError
from spillway.ledger.rows import LedgerRow, Value
from spillway.ledger.spill import Spill
from spillway.ledger.store import LedgerStore
from spillway.ledger.writer import LedgerState, LedgerWriter

from .samples import row

SOON_S = 20.0
"""Longest wait for what should happen within a second, on a busy machine."""


class States:
    """The states a writer reported, and a way to wait for one."""

    def __init__(self) -> None:
        self.seen: list[LedgerState] = []
        self._changed = asyncio.Event()

    def __call__(self, state: LedgerState) -> None:
        """What the writer calls."""
        self.seen.append(state)
        self._changed.set()

    async def wait_for(self, is_it: Callable[[LedgerState], bool]) -> LedgerState:
        """The newest state, once it is the wanted one."""
        async with asyncio.timeout(SOON_S):
            while not self.seen or not is_it(self.seen[-1]):
                self._changed.clear()
                await self._changed.wait()
        return self.seen[-1]


def _ids(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    found = [name for (name,) in connection.execute("SELECT request_id FROM requests ORDER BY request_id")]
    connection.close()
    return found


def _spills(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.name}.spill-*.jsonl"))


async def _acknowledged(writer: LedgerWriter, rows: Sequence[LedgerRow]) -> None:
    async with asyncio.timeout(SOON_S):
        await asyncio.gather(*[writer.record(row) for row in rows])


async def test_a_row_is_there_when_the_future_is_done(tmp_path: Path) -> None:
    """Another connection sees the row at the moment the writer says so."""
    path = tmp_path / "a.db"
    writer = LedgerWriter.at(f"sqlite:///{path}")
    await writer.start()
    await _acknowledged(writer, [row("req_1")])
    assert _ids(path) == ["req_1"]
    await writer.close()


async def test_many_callers_share_commits(tmp_path: Path) -> None:
    """Five hundred rows handed over at once are all acknowledged and all there."""
    path = tmp_path / "a.db"
    writer = LedgerWriter.at(f"sqlite:///{path}")
    await writer.start()
    names = [f"req_{number:04}" for number in range(500)]
    await _acknowledged(writer, [row(name) for name in names])
    assert _ids(path) == names
    assert writer.state == LedgerState()
    await writer.close()


async def test_closing_commits_what_nobody_waits_for(tmp_path: Path) -> None:
    """Rows of cancelled requests are in the ledger after a clean end."""
    path = tmp_path / "a.db"
    writer = LedgerWriter.at(f"sqlite:///{path}")
    await writer.start()
    for number in range(700):
        writer.record_nowait(row(f"req_{number:04}"))
    await writer.close()
    assert len(_ids(path)) == 700


async def test_a_cancelled_caller_disturbs_nobody(tmp_path: Path) -> None:
    """A caller that stops waiting neither loses its row nor anybody else's acknowledgement."""
    path = tmp_path / "a.db"
    writer = LedgerWriter.at(f"sqlite:///{path}")
    await writer.start()
    first, second = writer.record(row("req_1")), writer.record(row("req_2"))
    first.cancel()
    async with asyncio.timeout(SOON_S):
        await second
    await writer.close()
    assert _ids(path) == ["req_1", "req_2"]


async def test_an_unusable_place_is_an_error_at_the_start(tmp_path: Path) -> None:
    """A ledger that cannot be opened stops the gateway before it serves, with a sentence."""
    with pytest.raises(LedgerError, match="there is no folder"):
        await LedgerWriter.at(f"sqlite:///{tmp_path / 'no' / 'a.db'}").start()


async def test_locked_database_holds_nobody_up_and_is_caught_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """While another process holds the file, callers go on; when it lets go, every row arrives."""
    caplog.set_level(logging.WARNING)
    path = tmp_path / "a.db"
    states = States()
    writer = LedgerWriter.at(f"sqlite:///{path}", on_state=states)
    await writer.start()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    await _acknowledged(writer, [row("req_1")])
    await states.wait_for(lambda state: state.state == "degraded" and state.backlog_rows == 1)
    later = [writer.record(row(f"req_{number}")) for number in (2, 3)]
    assert all(future.done() for future in later)
    state = await states.wait_for(lambda state: state.backlog_rows == 3)
    assert state.last_error is not None
    assert "another process keeps it locked" in state.last_error
    assert len(_spills(path)) == 1
    other.execute("ROLLBACK")
    other.close()
    await states.wait_for(lambda state: state.state == "ok")
    assert _ids(path) == ["req_1", "req_2", "req_3"]
    assert _spills(path) == []
    await _acknowledged(writer, [row("req_4")])
    await writer.close()
    assert _ids(path)[-1] == "req_4"
    assert ["degraded" in text for text in caplog.messages] == [True, False]


async def test_a_removed_file_is_made_anew(tmp_path: Path) -> None:
    """When somebody deletes the file of a running gateway, later rows are in a new one and not in limbo."""
    path = tmp_path / "a.db"
    states = States()
    writer = LedgerWriter.at(f"sqlite:///{path}", on_state=states)
    await writer.start()
    await _acknowledged(writer, [row("req_1")])
    path.unlink()
    await _acknowledged(writer, [row("req_2")])
    state = await states.wait_for(lambda state: state.state == "ok")
    assert "removed or replaced" in (state.last_error or "")
    await _acknowledged(writer, [row("req_3")])
    assert _ids(path) == ["req_2", "req_3"]
    await writer.close()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


async def test_rows_set_aside_survive_a_restart(tmp_path: Path) -> None:
    """A gateway that ends while its database is locked leaves a file; the next one brings it in and once."""
    path = tmp_path / "a.db"
    states = States()
    writer = LedgerWriter.at(f"sqlite:///{path}", on_state=states)
    await writer.start()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    await _acknowledged(writer, [row("req_1"), row("req_2")])
    await writer.close()
    other.execute("ROLLBACK")
    other.close()
    assert _ids(path) == []
    (left,) = _spills(path)
    assert left.stat().st_mode & 0o077 == 0
    again = LedgerWriter.at(f"sqlite:///{path}")
    await again.start()
    await again.close()
    assert _ids(path) == ["req_1", "req_2"]
    assert _spills(path) == []


async def test_files_of_a_living_process_are_left_to_it(tmp_path: Path) -> None:
    """Two gateways on one ledger do not take each other's rows."""
    path = tmp_path / "a.db"
    theirs = Spill(path)
    theirs.append([row("req_1")])
    writer = LedgerWriter.at(f"sqlite:///{path}")
    await writer.start()
    await writer.close()
    assert _ids(path) == []
    assert len(_spills(path)) == 1
    theirs.close()


class HangingDatabase:
    """Stands in for a server that took a statement and never answers: nothing real hangs on demand."""

    place = "somewhere on a hanging host"
    day_sql = ""

    def __init__(self) -> None:
        self.may_go_on = threading.Event()
        self.rows = 0

    def has_table(self, name: str) -> bool:
        """Never asked."""
        return True

    def migrate(self, steps: Sequence[Sequence[str]], version_table: str) -> None:
        """Nothing to do."""

    def insert(self, inserts: Sequence[tuple[str, tuple[str, ...], Sequence[tuple[Value, ...]]]]) -> None:
        """Returns only when the test lets it."""
        self.may_go_on.wait()
        self.rows += len(inserts[0][2])

    def write(self, statements: Sequence[tuple[str, Sequence[tuple[Value, ...]]]]) -> None:
        """Nothing to do."""

    def query(self, sql: str, parameters: Sequence[Value] = ()) -> Iterator[tuple[Value, ...]]:
        """Nothing."""
        return iter(())

    def close(self) -> None:
        """Nothing to close."""


async def test_a_hanging_database_is_waited_for_once() -> None:
    """Callers are let go after the patience though the database never answered; later all rows are there."""
    database = HangingDatabase()
    states = States()
    writer = LedgerWriter(lambda: LedgerStore(database), on_state=states)
    await writer.start()
    await _acknowledged(writer, [row("req_1"), row("req_2")])
    assert (writer.state.state, writer.state.backlog_rows) == ("degraded", 2)
    assert "has not answered" in (writer.state.last_error or "")
    assert writer.record(row("req_3")).done()
    database.may_go_on.set()
    await states.wait_for(lambda state: state.state == "ok")
    await writer.close()
    assert database.rows == 3
    assert writer.state.lost_rows == 0


class BrokenDatabase(HangingDatabase):
    """Stands in for a server that is gone for good."""

    def insert(self, inserts: Sequence[tuple[str, tuple[str, ...], Sequence[tuple[Value, ...]]]]) -> None:
        """Fails."""
        raise LedgerError("gone")


async def test_rows_that_nothing_can_hold_are_counted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With neither database nor spill file nor room in memory, the loss is counted and said."""
    monkeypatch.setattr("spillway.ledger.committer.MAX_ROWS_IN_MEMORY", 10)
    states = States()
    nowhere = Spill(tmp_path / "no folder" / "a.db")
    writer = LedgerWriter(lambda: LedgerStore(BrokenDatabase()), spill=nowhere, on_state=states)
    await writer.start()
    await _acknowledged(writer, [row(f"req_{number}") for number in range(25)])
    state = await states.wait_for(lambda state: state.lost_rows == 15)
    assert state.backlog_rows == 10
    await writer.close()
    assert writer.state.lost_rows == 25
    assert any("15 request(s) are missing" in text for text in caplog.messages)


async def test_a_row_no_database_can_hold_does_not_block_the_others(tmp_path: Path) -> None:
    """An absurd number from an upstream becomes unknown, and its neighbours in the group are kept."""
    path = tmp_path / "a.db"
    writer = LedgerWriter.at(f"sqlite:///{path}")
    await writer.start()
    await _acknowledged(writer, [row("req_1"), row("req_2", response_bytes=2**80), row("req_3")])
    await writer.close()
    assert _ids(path) == ["req_1", "req_2", "req_3"]
    assert writer.state == LedgerState()


def test_a_batch_comes_again_until_it_is_confirmed(tmp_path: Path) -> None:
    """Reading back is repeated as often as the database fails, from the same place, and loses nothing."""
    spill = Spill(tmp_path / "a.db")
    rows = [row(f"req_{number}") for number in range(5)]
    spill.append(rows)
    assert spill.batch(2) == rows[:2]
    assert spill.batch(2) == rows[:2]
    spill.confirm()
    assert spill.batch(9) == rows[2:]
    spill.append([row("req_late")])
    assert spill.batch(9) == [*rows[2:], row("req_late")]
    spill.confirm()
    assert not spill.has_rows
    assert spill.lost_lines == 0
    assert _spills(tmp_path / "a.db") == []


async def test_half_a_line_loses_one_request_only(tmp_path: Path) -> None:
    """A file cut in the middle of its last line gives back the rest; the loss is counted, the file kept."""
    path = tmp_path / "a.db"
    spill = Spill(path)
    spill.append([row("req_1"), row("req_2")])
    spill.close()
    (left,) = _spills(path)
    left.write_bytes(left.read_bytes()[:-40])
    writer = LedgerWriter.at(f"sqlite:///{path}")
    await writer.start()
    await writer.close()
    assert _ids(path) == ["req_1"]
    assert writer.state.lost_rows == 1
    assert left.with_suffix(".unreadable").exists()
