"""The ledger's tables, opened by URL: append rows, ask questions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from spillway.errors import NoLedger
from spillway.ledger.database import Database, Statement
from spillway.ledger.migrations import STEPS, VERSION_TABLE
from spillway.ledger.rows import ATTEMPT_COLUMNS, REQUEST_COLUMNS, LedgerRow, Value
from spillway.ledger.sqlite import SqliteDatabase

__all__ = ["LedgerStore", "sqlite_path"]

SQLITE = "sqlite:///"
POSTGRES = ("postgresql://", "postgres://")
FORMS = "sqlite:///FILE or postgresql://USER@HOST/DATABASE"
PATIENCE_S = 5.0

ALL_OR_UNKNOWN = """(SELECT CASE WHEN count(*) = count({column}) THEN sum({column}) END
    FROM attempts WHERE request_id = ?{only})"""
ADD_UP = f"""UPDATE requests SET
    attempts = (SELECT count(*) FROM attempts WHERE request_id = ?),
    cost_usd = {ALL_OR_UNKNOWN.format(column="cost_usd", only="")},
    price_usd = {ALL_OR_UNKNOWN.format(column="price_usd", only=" AND side = 'cloud'")},
    energy_usd = {ALL_OR_UNKNOWN.format(column="energy_usd", only=" AND side = 'local'")},
    amortisation_usd = {ALL_OR_UNKNOWN.format(column="amortisation_usd", only=" AND side = 'local'")}
    WHERE request_id = ?"""
"""A request costs the sum over its attempts, and an unknown one makes the sum unknown."""


class LedgerStore:
    """One open ledger, its tables up to date."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def open(cls, url: str, *, must_exist: bool = False, patience_s: float = PATIENCE_S) -> LedgerStore:
        """Opens, creates or upgrades the ledger at ``url``; LedgerError says in a sentence why not.

        With ``must_exist`` nothing is created: neither a file nor tables in somebody else's database.
        ``patience_s`` bounds the wait for a lock that another process holds.
        """
        database = _connect(url, must_exist, patience_s)
        try:
            if must_exist and not database.has_table(VERSION_TABLE):
                raise NoLedger(f"{database.place} is no spillway ledger: it holds no table {VERSION_TABLE}")
            database.migrate(STEPS, VERSION_TABLE)
        except BaseException:
            database.close()
            raise
        return cls(database)

    @property
    def place(self) -> str:
        """What a person calls it: the file, or host and database without the password."""
        return self._database.place

    @property
    def day_sql(self) -> str:
        """An expression: the UTC day of ``requests.accepted_at`` as ``YYYY-MM-DD``."""
        return self._database.day_sql

    def append(self, rows: Sequence[LedgerRow]) -> None:
        """Commits all rows in one transaction, or raises LedgerError and commits none.

        Appending a row again changes nothing: keys are request and attempt.
        """
        self._database.insert(
            (
                ("requests", REQUEST_COLUMNS, [row.request for row in rows]),
                ("attempts", ATTEMPT_COLUMNS, [attempt for row in rows for attempt in row.attempts]),
            )
        )

    def write(self, statements: Sequence[Statement]) -> None:
        """Carries out statements for all their rows in one transaction; LedgerError means none was."""
        self._database.write(statements)

    def append_attempts(self, request_id: str, attempts: Sequence[tuple[Value, ...]]) -> None:
        """Adds attempts made after the request was recorded, and what they cost to what it cost.

        ``attempts`` are rows of ``ATTEMPT_COLUMNS`` with indices not used yet. A request that is not there
        (set aside, or never recorded) gets its attempts all the same.
        """
        places = ",".join("?" * len(ATTEMPT_COLUMNS))
        insert = (
            f"INSERT INTO attempts ({','.join(ATTEMPT_COLUMNS)}) VALUES ({places}) ON CONFLICT DO NOTHING"
        )
        self.write([(insert, attempts), (ADD_UP, [(request_id,) * 6])])

    def query(self, sql: str, parameters: Sequence[Value] = ()) -> Iterator[tuple[Value, ...]]:
        """Rows one after another, not all at once; ``?`` stands for a parameter in both databases."""
        return self._database.query(sql, parameters)

    def close(self) -> None:
        """The ledger is closed; harmless when it was before."""
        self._database.close()


def sqlite_path(url: str) -> str | None:
    """The file that a ``sqlite:///`` URL names, ``:memory:``, or ``None`` for another database."""
    return url[len(SQLITE) :] or None if url.startswith(SQLITE) else None


def _connect(url: str, must_exist: bool, patience_s: float) -> Database:
    path = sqlite_path(url)
    if path is not None:
        return SqliteDatabase(path, must_exist=must_exist, patience_s=patience_s)
    if url.startswith(POSTGRES):
        from spillway.ledger.postgres import PostgresDatabase

        return PostgresDatabase(url, patience_s=patience_s)
    raise NoLedger(f"the ledger URL {_masked(url)!r} is of no kind spillway knows: write {FORMS}")


def _masked(url: str) -> str:
    scheme, at, rest = url.rpartition("@")
    return f"{scheme.partition('://')[0]}://…@{rest}" if at else url
