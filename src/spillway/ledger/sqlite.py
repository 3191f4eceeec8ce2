"""The ledger in a SQLite file: safe after a commit even when the process is killed."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path

from spillway.errors import LedgerError, NoLedger
from spillway.ledger.database import Insert, RowsRefused, Statement, newer_ledger
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
CHECKPOINT_ROWS = 2000
"""About every 4 MB of log. A checkpoint waits for the disk, so another thread does it beside the commits."""
LONG_LOG_PAGES = 4096
"""16 MB. A log starts anew only when a checkpoint reaches its end, which a steady stream of commits prevents:
beyond this length they are held up for the short rest of a second checkpoint."""
BACKSTOP_PAGES = 32768
"""128 MB of log, should that thread fall behind: then the next commit does the checkpoint itself."""
CHECKPOINT = "PRAGMA wal_checkpoint(PASSIVE)"
CACHE_KIB = 4096
UPGRADE_PATIENCE_S = 5.0
"""Longest wait for another process that is making the same tables."""
FULL_OR_BROKEN = {sqlite3.SQLITE_FULL: "its disk is full", sqlite3.SQLITE_IOERR: "its disk has a fault"}

log = logging.getLogger("spillway.ledger")


class SqliteDatabase:
    """One connection to one file; may be handed from thread to thread but not shared."""

    day_sql = "strftime('%Y-%m-%d', accepted_at, 'unixepoch')"

    def __init__(self, path: str, *, must_exist: bool, patience_s: float) -> None:
        """Opens or creates the file; ``patience_s`` is how long to wait while another process holds it."""
        self.place = path
        self._patience_s = patience_s
        self._statements: dict[tuple[str, int], str] = {}
        self._rows_since_checkpoint = 0
        self._commits = threading.Lock()
        self._checkpoints: _Checkpoints | None = None
        self._is_file = path != MEMORY
        if self._is_file:
            _check_place(Path(path), must_exist)
        with self._faults("open"):
            self._connection = sqlite3.connect(
                path, timeout=patience_s, isolation_level=None, check_same_thread=False
            )
            try:
                self._set_up()
            except BaseException:
                self._connection.close()
                raise
        self._identity = _identity(path) if self._is_file else None

    def _set_up(self) -> None:
        self._connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        if self._is_file:
            self._use_wal()
            self._connection.execute(f"PRAGMA wal_autocheckpoint = {BACKSTOP_PAGES}")
        self._connection.execute("PRAGMA synchronous = NORMAL")

    def _use_wal(self) -> None:
        """Turns write-ahead logging on; that needs the file alone, and SQLite does not wait for it."""
        deadline_s = time.monotonic() + UPGRADE_PATIENCE_S
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
            if self._version(version_table) == len(steps):
                return
            self._connection.execute(f"PRAGMA busy_timeout = {int(UPGRADE_PATIENCE_S * 1000)}")
            with self._transaction():
                self._upgrade(steps, version_table)
            self._connection.execute(f"PRAGMA busy_timeout = {int(self._patience_s * 1000)}")

    def _version(self, version_table: str) -> int:
        if not self.has_table(version_table):
            return 0
        row = self._connection.execute(f"SELECT version FROM {version_table}").fetchone()
        return int(row[0]) if row else 0

    def _upgrade(self, steps: Sequence[Sequence[str]], version_table: str) -> None:
        """Looks again, now that no other process can be doing the same."""
        version = self._version(version_table)
        if version > len(steps):
            raise newer_ledger(self.place, version, len(steps))
        self._connection.execute(f"CREATE TABLE IF NOT EXISTS {version_table} (version INTEGER NOT NULL)")
        for statement in chain.from_iterable(steps[version:]):
            self._connection.execute(statement.format(**TYPES))
        self._connection.execute(f"DELETE FROM {version_table}")
        self._connection.execute(f"INSERT INTO {version_table} VALUES (?)", (len(steps),))

    def insert(self, inserts: Sequence[Insert]) -> None:
        """All rows are committed, or none; a row whose key is there already is left as it was."""
        self._check_still_there()
        with self._commits, self._faults("write"), self._transaction():
            for table, columns, rows in inserts:
                self._insert(table, columns, rows)
        self._rows_since_checkpoint += sum(len(rows) for _, _, rows in inserts)
        if self._rows_since_checkpoint >= CHECKPOINT_ROWS and self._is_file:
            self._rows_since_checkpoint = 0
            self._checkpoints = self._checkpoints or _Checkpoints(self.place, self._commits)
            self._checkpoints.wanted.set()

    def write(self, statements: Sequence[Statement]) -> None:
        """All statements are carried out for all their rows and committed, or none; ``?`` is a parameter."""
        self._check_still_there()
        with self._commits, self._faults("write"), self._transaction():
            for sql, rows in statements:
                self._connection.executemany(sql, rows)

    def query(self, sql: str, parameters: Sequence[Value] = ()) -> Iterator[tuple[Value, ...]]:
        """Rows one after another, not all at once; ``?`` stands for a parameter."""
        with self._faults("read"):
            yield from self._connection.execute(sql, parameters)

    def close(self) -> None:
        """The connection is closed; harmless when it was before."""
        if self._checkpoints is not None:
            self._checkpoints.end()
            self._checkpoints = None
        self._connection.close()

    def _check_still_there(self) -> None:
        if self._is_file and _identity(self.place) != self._identity:
            raise LedgerError(f"the ledger {self.place} was removed or replaced while it was in use")

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
        head = f"INSERT INTO {table} ({','.join(columns)}) VALUES "
        sql = head + ",".join([row] * size) + " ON CONFLICT DO NOTHING"
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
            kind = NoLedger if _primary_code(error) == sqlite3.SQLITE_NOTADB else LedgerError
            raise kind(f"cannot {doing} the ledger {self.place}: {_cause(error)}") from error


class _Checkpoints:
    """A thread that moves the log into the file when told to, beside the commits.

    On a slow disk that takes long enough for callers to notice. A fault here is left to the commits to find.
    """

    def __init__(self, path: str, commits: threading.Lock) -> None:
        """``commits`` is held by whoever commits."""
        self._commits = commits
        self.wanted = threading.Event()
        self._is_ending = False
        self._path = path
        self._thread = threading.Thread(target=self._run, name="spillway-checkpoint", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """The thread has ended and its connection is closed."""
        self._is_ending = True
        self.wanted.set()
        self._thread.join()

    def _run(self) -> None:
        while self.wanted.wait() and not self._is_ending:
            self.wanted.clear()
            try:
                with closing(sqlite3.connect(self._path, timeout=0, isolation_level=None)) as connection:
                    _, log_pages, _ = connection.execute(CHECKPOINT).fetchone()
                    if log_pages > LONG_LOG_PAGES:
                        with self._commits:
                            connection.execute(CHECKPOINT)
            except sqlite3.Error as error:
                log.warning("cannot checkpoint the ledger %s: %s", self._path, error)


def _check_place(path: Path, must_exist: bool) -> None:
    if must_exist and not path.exists():
        raise NoLedger(f"there is no ledger {path}: name the right one, or let spillway up write it first")
    if path.is_dir():
        raise NoLedger(f"the ledger {path} is a folder: name a file in it")
    if not path.parent.exists():
        raise NoLedger(f"cannot open the ledger {path}: there is no folder {path.parent}")


def _identity(path: str) -> tuple[int, int] | None:
    """Which file that is: a removed one still takes rows, which nobody would ever find."""
    try:
        found = os.stat(path)  # noqa: PTH116 - on the request path, where building a Path costs more
    except OSError:
        return None
    return found.st_dev, found.st_ino


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
