"""The thread that commits: takes every row that waits, makes it one transaction, says how far it came.

While the database cannot take rows they are set aside (``spill``, or memory when that fails too) and brought
in later, batch by batch. Nothing here is on the event loop; ``tell`` is how the loop learns of it.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

from msgspec import Struct

from spillway.errors import LedgerError
from spillway.ledger.database import RowsRefused
from spillway.ledger.errand import Errand, Errands
from spillway.ledger.rows import LedgerRow, Value
from spillway.ledger.spill import Spill
from spillway.ledger.store import LedgerStore

__all__ = ["MAX_ROWS_IN_MEMORY", "Committer", "Progress"]

MAX_GROUP_ROWS = 512
CATCH_UP_ROWS = 256
MAX_ROWS_IN_MEMORY = 20_000
"""About 50 MB; the last resort when the database and the spill file both fail."""
FIRST_RETRY_S = 0.25
LAST_RETRY_S = 5.0
INT64 = range(-(2**63), 2**63)

log = logging.getLogger("spillway.ledger")


class Progress(Struct, frozen=True):
    """How far the thread has come."""

    taken: int
    """Rows dealt with since the start: committed, set aside or lost."""
    trouble: str | None
    """Why the database does not take rows, ``None`` when it does."""
    backlog_rows: int
    """Rows set aside by this process and not yet in the database."""
    lost_rows: int


class Committer:
    """The loop of the thread; ``run`` returns after ``None`` came through the queue."""

    def __init__(
        self,
        queue: SimpleQueue[list[LedgerRow] | Errand | None],
        open_store: Callable[[], LedgerStore],
        spill: Spill | None,
        tell: Callable[[Progress], None],
    ) -> None:
        self._queue = queue
        self._open_store = open_store
        self._store: LedgerStore | None = None
        self._spill = spill
        self._memory: list[LedgerRow] = []
        self._errands = Errands()
        self._tell = tell
        self._taken = 0
        self._backlog = 0
        self._lost = 0
        self._trouble: str | None = None
        self._retry_s = FIRST_RETRY_S
        self._retry_at_s = 0.0
        self._is_closing = False

    def open(self) -> None:
        """Opens the store and finds what dead processes left; LedgerError when it cannot be opened."""
        self._store = self._open_store()
        if self._spill is not None and (found := self._spill.adopt()):
            log.warning("bringing rows from %d spill file(s) into the ledger %s", found, self._store.place)

    def run(self) -> None:
        """Commits until told to stop, then once more, and closes everything."""
        while not self._is_closing:
            rows = self._take()
            if rows:
                self._settle(rows)
            if self._has_set_aside and time.monotonic() >= self._retry_at_s:
                self._catch_up()
            if self._errands:
                self._do_errands()
        self._finish()

    @property
    def _has_set_aside(self) -> bool:
        has_files = self._spill is not None and self._spill.has_rows
        return has_files or bool(self._memory) or self._trouble is not None

    def _take(self) -> list[LedgerRow]:
        """Everything that waits, up to a group; waits itself only as long as there is nothing to catch up."""
        wait_s = max(0.0, self._retry_at_s - time.monotonic()) if self._has_set_aside else None
        rows: list[LedgerRow] = []
        try:
            group = self._queue.get(timeout=wait_s)
            while group is not None:
                if isinstance(group, Errand):
                    self._errands.add(group)
                    return rows
                rows += group
                if len(rows) >= MAX_GROUP_ROWS:
                    return rows
                group = self._queue.get_nowait()
            self._is_closing = True
        except Empty:
            pass
        return rows

    def _settle(self, rows: list[LedgerRow]) -> None:
        if self._trouble is None:
            try:
                self._commit(rows)
            except LedgerError as error:
                self._stumble(error)
        if self._trouble is not None:
            self._set_aside(rows)
        self._taken += len(rows)
        self._report()

    def _commit(self, rows: list[LedgerRow]) -> None:
        """Rows are in the database; one it refuses is cleaned, and counted as lost if that does not help."""
        if self._store is None:
            self._store = self._open_store()
        try:
            self._store.append(rows)
        except RowsRefused:
            for row in rows:
                self._commit_one(self._store, row)

    def _commit_one(self, store: LedgerStore, row: LedgerRow) -> None:
        try:
            store.append([row])
        except RowsRefused:
            try:
                store.append([_cleaned(row)])
            except RowsRefused as error:
                self._lost += 1
                log.error("one request is missing in the ledger: %s", error.message)

    def _stumble(self, error: LedgerError) -> None:
        """The database is not to be used before the next retry; the connection is made anew then."""
        self._trouble = error.message
        self._retry_at_s = time.monotonic() + self._retry_s
        self._retry_s = min(self._retry_s * 2, LAST_RETRY_S)
        if self._store is not None:
            try:
                self._store.close()
            except LedgerError:
                pass
            self._store = None

    def _set_aside(self, rows: list[LedgerRow]) -> None:
        if self._spill is not None:
            try:
                self._spill.append([_cleaned(row) for row in rows])
                self._backlog += len(rows)
                return
            except OSError as error:
                log.error("cannot set rows aside in a file: %s", error)
        room = max(0, MAX_ROWS_IN_MEMORY - len(self._memory))
        self._memory += rows[:room]
        self._backlog += len(rows[:room])
        if dropped := len(rows) - len(rows[:room]):
            self._lost += dropped
            log.error("%d request(s) are missing in the ledger: nothing can hold them", dropped)

    def _do_errands(self) -> None:
        if self._trouble is not None:
            self._errands.refuse(LedgerError(self._trouble))
            return
        try:
            self._store = self._store or self._open_store()
            self._errands.do(self._store)
        except LedgerError as error:
            self._stumble(error)
            self._report()

    def _catch_up(self) -> None:
        """Brings one batch into the database; success means it takes rows again."""
        spill = self._spill if self._spill is not None and self._spill.has_rows else None
        try:
            rows = spill.batch(CATCH_UP_ROWS) if spill else self._memory[:CATCH_UP_ROWS]
            self._commit(rows)
        except LedgerError as error:
            self._stumble(error)
        except OSError as error:
            self._stumble(LedgerError(f"cannot read rows back: {error}"))
        else:
            if spill:
                spill.confirm()
            else:
                del self._memory[: len(rows)]
            self._backlog = max(0, self._backlog - len(rows))
            self._trouble = None
            self._retry_s = FIRST_RETRY_S
            self._retry_at_s = 0.0
        self._report()

    def _finish(self) -> None:
        while self._has_set_aside:
            before = self._trouble
            self._catch_up()
            if self._trouble is not None and self._trouble == before:
                break
        if self._errands:
            self._do_errands()
        if self._memory:
            self._lost += len(self._memory)
            log.error("%d request(s) are missing in the ledger: %s", len(self._memory), self._trouble)
        if self._spill is not None:
            self._spill.close()
        if self._store is not None:
            self._store.close()
        self._report()

    def _report(self) -> None:
        lost = self._lost + (self._spill.lost_lines if self._spill else 0)
        self._tell(Progress(self._taken, self._trouble, self._backlog, lost))


def _cleaned(row: LedgerRow) -> LedgerRow:
    """The same row without values that some database or JSON cannot hold."""
    return LedgerRow(
        tuple([_storable(value) for value in row.request]),
        tuple([tuple([_storable(value) for value in attempt]) for attempt in row.attempts]),
    )


def _storable(value: Value) -> Value:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or value in INT64 else None
