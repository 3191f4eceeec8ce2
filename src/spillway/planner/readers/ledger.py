"""The gateway's own ledger by its URL, as records like those of any usage file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from spillway.errors import LedgerError, WorkloadError
from spillway.ledger.store import LedgerStore, sqlite_path
from spillway.planner.readers.records import Record, Source, open_source

__all__ = ["open_ledger"]

COLUMNS = (
    "request_id", "accepted_at", "operation", "model", "model_reported", "result", "input_tokens",
    "output_tokens", "cache_read_tokens", "reference_cost_usd", "reference_model",
)  # fmt: skip
"""All that a plan asks of a request; never its texts."""


@dataclass(frozen=True)
class _DatabaseSource(Source):
    """A ledger on a database server; ``path`` is only its name for people, without the password."""

    url: str = ""

    def records(self) -> Iterator[tuple[int, Record | str]]:
        """Pairs of (position, record), as they came in."""
        with closing(_open(self.url)) as store:
            rows = store.query(f"SELECT {', '.join(COLUMNS)} FROM requests ORDER BY accepted_at")
            for number, row in enumerate(rows, 1):
                yield number, dict(zip(COLUMNS, row, strict=True))


def open_ledger(url: str) -> Source:
    """The ledger at a URL; ``WorkloadError`` when there is none."""
    path = sqlite_path(url)
    if path is not None:
        return open_source(Path(path))
    with closing(_open(url)) as store:
        place = store.place
    return _DatabaseSource(Path(place), "sqlite", COLUMNS, url=url)


def _open(url: str) -> LedgerStore:
    try:
        return LedgerStore.open(url, must_exist=True)
    except LedgerError as fault:
        raise WorkloadError(fault.message) from fault
