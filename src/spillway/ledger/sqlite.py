"""The ledger in a SQLite file: safe after a commit even when the process is killed."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from spillway.errors import LedgerError
from spillway.ledger.database import Insert, RowsRefused, newer_ledger
from spillway.ledger.rows import Value

__all__ = ["SqliteDatabase"]

MEMORY = ":memory:"
TYPES = {
    "real": "REAL",
    "integer": "INTEGER",
    "boolean": "INTEGER",
    "money": "NUMERIC",
    "keyed_storage": " WITHOUT ROWID",
}
CHUNKS = (64, 8, 1)
"""Rows per statement. ``executemany`` gives up and takes back the interpreter lock for every row, and under
a busy event loop each taking back may wait for milliseconds; many rows in one statement do it once."""
CACHE_KIB = 4096
FULL_OR_BROKEN = {sqlite3.SQLITE_FULL: "its disk is full", sqlite3.SQLITE_IOERR: "its disk has a fault"}


class SqliteDatabase:
    """One connection to one file; may be handed from thread to thread but not shared."""

    day_sql = "strftime('%Y-%m-%d', accepted_at, 'unixepoch')"

    def __init__(self, path: str, *, must_exist: bool, patience_s: float) -> None:
        """Opens or creates the file; ``patience_s`` is how long to wait while another process holds it."""
        self.place = path
        self._patience_s = patience_s
        self._statements: dict[tuple[str, int], str] = {}
        is_file = path != MEMORY
        if is_file:
            _check_place(Path(path), must_exist)
        with self._faults("open"):
            self._connection = sqlite3.connect(
                path, timeout=patience_s, isolation_level=None, check_same_thread=False
            )
            self._connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            if is_file:
                self._use_wal()
            self._connection.execute("PRAGMA synchronous = NORMAL")

    def _use_wal(self) -> None:
        """Write-ahead logging; taking it up needs the file alone, and SQLite does not wait for that by itself."""
        deadline_s = time.monotonic() + max(self._patience_s, 5.0)
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if not _is_locked(error) or time.monotonic() > deadline_s:
                    raise
                time.sleep(0.01)

    def has_table(self, name: str) -> bool:
        """Whether there is such a table."""
        found = self.query("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (name,))
        return next(found, None) is not None

    def migrate(self, steps: Sequence[Sequence[str]], version_table: str) -> None:
        """Takes the steps not yet taken, in one transaction and never beside another process."""
        with self._faults("prepare"):
            self._connection.execute(f"PRAGMA busy_timeout = {int(max(self._patience_s, 5.0) * 1000)}")
        with self._faults("prepare"), self._transaction():
            self._connection.execute(f"CREATE TABLE IF NOT EXISTS {version_table} (version INTEGER NOT NULL)")
            row = self._connection.execute(f"SELECT version FROM {version_table}").fetchone()
            version = row[0] if row else 0
            if version > len(steps):
                raise newer_ledger(self.place, version, len(steps))
            for statement in chain.from_iterable(steps[version:]):
                self._connection.execute(statement.format(**TYPES))
            if version < len(steps):
                self._connection.execute(f"DELETE FROM {version_table}")
                self._connection.execute(f"INSERT INTO {version_table} VALUES (?)", (len(steps),))
        with self._faults("prepare"):
            self._connection.execute(f"PRAGMA busy_timeout = {int(self._patience_s * 1000)}")

    def insert(self, inserts: Sequence[Insert]) -> None:
        """All rows are committed, or none; a row whose key is there already is left as it was."""
        with self._faults("write"), self._transaction():
            for table, columns, rows in inserts:
                self._insert(table, columns, rows)

    def query(self, sql: str, parameters: Sequence[Value] = ()) -> Iterator[tuple[Value, ...]]:
        """Rows one after another, not all at once; ``?`` stands for a parameter."""
        with self._faults("read"):
            yield from self._connection.execute(sql, parameters)

    def close(self) -> None:
        """The connection is closed; harmless when it was before."""
        self._connection.close()

    def _insert(self, table: str, columns: tuple[str, ...], rows: Sequence[tuple[Value, ...]]) -> None:
        start = 0
        for size in CHUNKS:
            while len(rows) - start >= size:
                sql = self._statements.get((table, size)) or self._statement(table, columns, size)
                values = tuple(chain.from_iterable(rows[start : start + size]))
                self._connection.execute(sql, values)
                start += size

    def _statement(self, table: str, columns: tuple[str, ...], size: int) -> str:
        row = f"({','.join('?' * len(columns))})"
        sql = f"INSERT INTO {table} ({','.join(columns)}) VALUES {','.join([row] * size)} ON CONFLICT DO NOTHING"
        self._statements[table, size] = sql
        return sql

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _faults(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.DataError, sqlite3.IntegrityError, sqlite3.InterfaceError) as error:
            raise RowsRefused(f"the ledger {self.place} refused a row: {error}") from error
        except (OverflowError, UnicodeError) as error:
            raise RowsRefused(f"the ledger {self.place} refused a row: {error}") from error
        except sqlite3.ProgrammingError as error:
            if "binding" in str(error):
                raise RowsRefused(f"the ledger {self.place} refused a row: {error}") from error
            raise LedgerError(f"cannot {doing} the ledger {self.place}: {error}") from error
        except sqlite3.Error as error:
            raise LedgerError(f"cannot {doing} the ledger {self.place}: {_cause(error)}") from error


def _check_place(path: Path, must_exist: bool) -> None:
    if must_exist and not path.exists():
        raise LedgerError(f"there is no ledger {path}: name the right one, or let spillway up write it first")
    if path.is_dir():
        raise LedgerError(f"the ledger {path} is a folder: name a file in it")
    if not path.parent.exists():
        raise LedgerError(f"cannot open the ledger {path}: there is no folder {path.parent}")


def _is_locked(error: sqlite3.Error) -> bool:
    return _primary_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _primary_code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _cause(error: sqlite3.Error) -> str:
    if _is_locked(error):
        return "another process keeps it locked"
    if _primary_code(error) == sqlite3.SQLITE_NOTADB:
        return "the file is not a SQLite database"
    return FULL_OR_BROKEN.get(_primary_code(error), str(error))
