"""What differed from its pin, kept for reports: written as it begins and ends, read back over a period."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from spillway.ledger.period import Period, iso
from spillway.ledger.store import LedgerStore

__all__ = ["DriftLine", "DriftRow", "drift_lines", "drifted_requests", "record_drift"]

INSERT = """
    INSERT INTO drift_events (at, node, model, field, before, after, action) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT DO NOTHING
"""
"""Told again after a fault of the database, it is there once."""
LINES = """
    SELECT node, field, min(at), max(at) FROM drift_events
    WHERE {when} AND action <> 'restored' GROUP BY node, field ORDER BY node, min(at)
"""
REQUESTS = "SELECT count(*) FROM requests WHERE {when} AND ',' || reasons || ',' LIKE '%,node_drifted,%'"
LONGEST = 200
"""Characters kept of what there was before and after."""

DriftRow = tuple[float, str, str, str, str, str, str]
"""Wall time, node, model (``*``: all), field, before, after, action."""


class DriftLine(Struct, frozen=True):
    """One field in which a node differed from its pin; a gateway that starts finds it anew."""

    node: str
    field: str
    first: str
    """When that was noticed in the period, ISO 8601 in UTC; ``last`` likewise."""
    last: str


def record_drift(store: LedgerStore, rows: Sequence[DriftRow]) -> None:
    """The events are in the ledger."""
    store.write([(INSERT, [(*row[:4], row[4][:LONGEST], row[5][:LONGEST], row[6]) for row in rows])])


def drift_lines(store: LedgerStore, period: Period) -> tuple[DriftLine, ...]:
    """One line per node and field that began to differ in the period."""
    when, bounds = period.condition_on("at")
    return tuple(
        DriftLine(str(node), str(field), iso(float(first or 0)), iso(float(last or 0)))
        for node, field, first, last in store.query(LINES.format(when=when), bounds)
    )


def drifted_requests(store: LedgerStore, period: Period) -> int:
    """Requests that drift kept off some node."""
    when, bounds = period.condition
    ((count,),) = store.query(REQUESTS.format(when=when), bounds)
    return int(count or 0)
