"""What the ledger asks of a database, and the faults both of them have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from spillway.errors import LedgerError
from spillway.ledger.rows import Value

__all__ = ["Database", "Insert", "RowsRefused", "Statement", "newer_ledger"]

Insert = tuple[str, tuple[str, ...], Sequence[tuple[Value, ...]]]
"""Table, its columns, and rows in that order."""


Statement = tuple[str, Sequence[tuple[Value, ...]]]
"""SQL, and the rows of parameters to carry it out with."""


class RowsRefused(LedgerError):
    """The database is well but will not take one of these rows: a value it cannot hold."""


class Database(Protocol):
    """One open connection. Every fault is a ``LedgerError`` whose sentence names the place."""

    place: str
    """What a person calls it: the file, or host and database without the password."""

    day_sql: str
    """An expression: the UTC day of ``requests.accepted_at`` as ``YYYY-MM-DD``."""

    def has_table(self, name: str) -> bool:
        """Whether there is such a table."""
        ...

    def migrate(self, steps: Sequence[Sequence[str]], version_table: str) -> None:
        """Takes the steps not yet taken, in one transaction and never beside another process."""
        ...

    def insert(self, inserts: Sequence[Insert]) -> None:
        """All rows are committed, or none; a row whose key is there already is left as it was."""
        ...

    def write(self, statements: Sequence[Statement]) -> None:
        """All statements are carried out for all their rows and committed, or none; ``?`` is a parameter."""
        ...

    def query(self, sql: str, parameters: Sequence[Value] = ()) -> Iterator[tuple[Value, ...]]:
        """Rows one after another, not all at once; ``?`` stands for a parameter."""
        ...

    def close(self) -> None:
        """The connection is closed; harmless when it was before."""
        ...


def newer_ledger(place: str, found: int, known: int) -> LedgerError:
    """The refusal to touch what a later release has written."""
    return LedgerError(
        f"the ledger {place} was written by a newer spillway (schema {found}, this one knows {known}): "
        "upgrade spillway or choose another ledger"
    )
