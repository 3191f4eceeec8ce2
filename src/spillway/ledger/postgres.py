"""The ledger in PostgreSQL, through the optional ``psycopg``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any

from spillway.errors import LedgerError, NoLedger
from spillway.ledger.database import Insert, RowsRefused, Statement, newer_ledger
from spillway.ledger.rows import Value

if TYPE_CHECKING:
    import psycopg

__all__ = ["PostgresDatabase"]

TYPES = {
    "real": "DOUBLE PRECISION",
    "integer": "BIGINT",
    "boolean": "BOOLEAN",
    "money": "NUMERIC(20, 12)",
    "keyed_storage": "",
}
UPGRADE_LOCK = 0x7370696C6C776179
"""Any number that nobody else locks by: the product's name in ASCII."""
LOCK_TIMEOUT = "SELECT set_config('lock_timeout', %s, false)"
HAS_TABLE = """SELECT 1 FROM pg_catalog.pg_tables
    WHERE tablename = %s AND schemaname = ANY (current_schemas(false))"""
"""Not ``to_regclass``: that may answer from a cache that does not know yet what others committed."""
CONNECT_TIMEOUT_S = 5
DEAD_PEER_MS = 10_000
"""How long sent data may stay unacknowledged before the connection counts as lost."""
FETCH_ROWS = 1000
UNREADABLE = "the ledger's PostgreSQL URL cannot be read: write postgresql://USER@HOST/DATABASE"


class PostgresDatabase:
    """One connection to one database."""

    day_sql = "to_char(to_timestamp(accepted_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD')"

    def __init__(self, url: str, *, patience_s: float) -> None:
        """Connects; ``patience_s`` is how long to wait for a lock that somebody else holds."""
        try:
            import psycopg
            from psycopg.types.numeric import FloatLoader
        except ImportError as error:
            raise LedgerError(
                "a ledger in PostgreSQL needs the psycopg package: pip install 'spillway[postgres]'"
            ) from error
        self._psycopg = psycopg
        self.place = _place(url)
        with self._faults("open"):
            self._connection = psycopg.connect(
                url,
                autocommit=True,
                connect_timeout=CONNECT_TIMEOUT_S,
                tcp_user_timeout=DEAD_PEER_MS,
                application_name="spillway",
            )
            self._connection.adapters.register_loader("numeric", FloatLoader)
            self._connection.execute(LOCK_TIMEOUT, (f"{int(patience_s * 1000)}ms",))

    def has_table(self, name: str) -> bool:
        """Whether there is such a table."""
        found = self._connection.execute(HAS_TABLE, (name,)).fetchone()
        return found is not None

    def migrate(self, steps: Sequence[Sequence[str]], version_table: str) -> None:
        """Takes the steps not yet taken, in one transaction and never beside another process."""
        with self._faults("prepare"):
            if self._version(version_table) == len(steps):
                return
            with self._connection.transaction():
                self._connection.execute("SET LOCAL lock_timeout = '5s'")
                self._connection.execute("SELECT pg_advisory_xact_lock(%s)", (UPGRADE_LOCK,))
                self._upgrade(steps, version_table)

    def insert(self, inserts: Sequence[Insert]) -> None:
        """All rows are committed, or none; a row whose key is there already is left as it was."""
        with self._faults("write"), self._connection.transaction(), self._connection.cursor() as cursor:
            for table, columns, rows in inserts:
                if rows:
                    places = ",".join(["%s"] * len(columns))
                    names = ",".join(columns)
                    sql = f"INSERT INTO {table} ({names}) VALUES ({places}) ON CONFLICT DO NOTHING"
                    cursor.executemany(sql.encode(), rows)

    def write(self, statements: Sequence[Statement]) -> None:
        """All statements are carried out for all their rows and committed, or none; ``?`` is a parameter."""
        with self._faults("write"), self._connection.transaction(), self._connection.cursor() as cursor:
            for sql, rows in statements:
                cursor.executemany(_in_own_words(sql), rows)

    def query(self, sql: str, parameters: Sequence[Value] = ()) -> Iterator[tuple[Value, ...]]:
        """Rows one after another, not all at once; ``?`` stands for a parameter."""
        with (
            self._faults("read"),
            self._connection.transaction(),
            self._connection.cursor(name="spillway") as cursor,
        ):
            cursor.itersize = FETCH_ROWS
            yield from cursor.execute(_in_own_words(sql), parameters)

    def close(self) -> None:
        """The connection is closed; harmless when it was before."""
        self._connection.close()

    def _version(self, version_table: str) -> int:
        if not self.has_table(version_table):
            return 0
        row = self._execute(f"SELECT version FROM {version_table}").fetchone()
        return int(row[0]) if row else 0

    def _upgrade(self, steps: Sequence[Sequence[str]], version_table: str) -> None:
        """Looks again, now that no other process can be doing the same."""
        version = self._version(version_table)
        if version > len(steps):
            raise newer_ledger(self.place, version, len(steps))
        self._execute(f"CREATE TABLE IF NOT EXISTS {version_table} (version INTEGER NOT NULL)")
        for statement in chain.from_iterable(steps[version:]):
            self._execute(statement.format(**TYPES))
        self._execute(f"DELETE FROM {version_table}")
        self._execute(f"INSERT INTO {version_table} VALUES ({len(steps)})")

    def _execute(self, sql: str) -> psycopg.Cursor[tuple[Any, ...]]:
        return self._connection.execute(sql.encode())

    @contextmanager
    def _faults(self, doing: str) -> Iterator[None]:
        errors = self._psycopg
        try:
            yield
        except (errors.DataError, errors.IntegrityError, UnicodeError) as error:
            raise RowsRefused(f"the ledger {self.place} refused a row: {_first_line(error)}") from error
        except errors.Error as error:
            raise LedgerError(f"cannot {doing} the ledger {self.place}: {_first_line(error)}") from error


def _in_own_words(sql: str) -> bytes:
    return sql.replace("%", "%%").replace("?", "%s").encode()


def _place(url: str) -> str:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        raise NoLedger(UNREADABLE) from error
    return f"{parts.get('dbname') or 'default database'} on {parts.get('host') or 'this machine'}"


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
