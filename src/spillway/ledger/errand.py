"""Other work for the thread that holds the ledger: what must not block the event loop either."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from msgspec import Struct

from spillway.errors import LedgerError
from spillway.ledger.database import RowsRefused
from spillway.ledger.store import LedgerStore

__all__ = ["Errand", "Errands"]

MAX_WAITING = 1000
"""Errands kept while the database takes none; the oldest are dropped beyond."""

log = logging.getLogger("spillway.ledger")


class Errand(Struct):
    """One thing to do with the open store."""

    run: Callable[[LedgerStore], object]
    fail: Callable[[LedgerError], object] | None = None
    """Called instead of waiting when the database takes nothing; without it the errand waits."""


class Errands:
    """Those not yet done; belongs to the ledger's thread."""

    def __init__(self) -> None:
        self._waiting: deque[Errand] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, errand: Errand) -> None:
        """One more, at the end."""
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft()
            log.error("the ledger's database takes nothing; some evidence will be missing in it")
        self._waiting.append(errand)

    def do(self, store: LedgerStore) -> None:
        """Does them in order; LedgerError from the first that the database does not take, which stays."""
        while self._waiting:
            errand = self._waiting[0]
            try:
                errand.run(store)
            except RowsRefused as error:
                _give_up(errand, error)
            except LedgerError as error:
                if errand.fail is not None:
                    self._waiting.popleft()
                    errand.fail(error)
                raise
            except Exception as error:
                log.exception("an errand of the ledger's thread failed")
                _give_up(errand, LedgerError(f"internal error: {error}"))
            self._waiting.popleft()

    def refuse(self, error: LedgerError) -> None:
        """Those that do not wait end with ``error``; the others go on waiting."""
        patient = [errand for errand in self._waiting if errand.fail is None]
        for errand in self._waiting:
            if errand.fail is not None:
                errand.fail(error)
        self._waiting = deque(patient)


def _give_up(errand: Errand, error: LedgerError) -> None:
    if errand.fail is not None:
        errand.fail(error)
    else:
        log.error("something is missing in the ledger: %s", error.message)
