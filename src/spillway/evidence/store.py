"""Evidence in the ledger's database: a row for each key, a row for each event; for the ledger's thread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct

from spillway.evidence.events import Event, Key
from spillway.evidence.record import Record, Total
from spillway.ledger.rows import Value
from spillway.ledger.store import LedgerStore
from spillway.vocabulary import Side

__all__ = [
    "Disagreement",
    "Given",
    "disagreements",
    "event_row",
    "find_answer",
    "read_records",
    "record_row",
    "shadow_spend_usd",
    "write_evidence",
]

KEY_COLUMNS = ("task", "upstream", "model", "identity")
RECORD_COLUMNS = (
    *KEY_COLUMNS,
    *("side", "standing", "cause", "stage", "first_at", "last_at", "changed_at"),
    *("compared", "gap", "checked", "gate_failures", "rated", "bad_ratings", "record"),
)
EVENT_KEY = ("request_id", "kind", "upstream", "model")
EVENT_COLUMNS = (
    *EVENT_KEY,
    *("identity", "task", "side", "score", "at", "detail", "stage", "position"),
    *("local_text", "reference_text"),
)
DISAGREES_BELOW = 0.5
"""A comparison with a lower score is a disagreement worth reading."""


class Given(Struct, frozen=True):
    """The answer a feedback is about, and the feedback it got before, if any."""

    request_id: str
    at_s: float
    """When the request was accepted, wall time."""
    task: str | None
    upstream: str | None
    """``None`` when nothing answered."""
    model: str | None
    side: Side | None
    key_name: str | None
    """The key the request came with."""
    old_score: float | None = None
    old_identity: str | None = None
    stage: int = 0
    position: int = 0


class Disagreement(Struct, frozen=True):
    """One comparison in which the node was found clearly worse; texts only where ``capture`` was on."""

    request_id: str
    task: str
    upstream: str
    model: str
    identity: str
    score: float
    at_s: float
    detail: str
    prompt_text: str | None
    local_text: str | None
    reference_text: str | None


def record_row(key: Key, record: Record) -> tuple[Value, ...]:
    """A record as ``write_evidence`` stores it: figures for people who ask by SQL, all of it as JSON."""
    figures: list[Value] = []
    for channel in ("gap", "gate", "feedback"):
        total = record.totals.get(channel) or Total()
        figures += (total.n, total.mean)
    moments = (record.first_at_s, record.last_at_s, record.changed_at_s)
    standing = (record.side, record.standing, record.cause, record.stage)
    return (*key, *standing, *moments, *figures, msgspec.json.encode(record).decode())


def event_row(event: Event, stage: int, position: int) -> tuple[Value, ...]:
    """An event as ``write_evidence`` stores it; stage and position say where its record counted it."""
    key = event.key
    return (
        *(event.request_id, event.kind, key.upstream, key.model, key.identity, key.task, event.side),
        *(event.score, event.at_s, event.detail, stage, position),
        *(event.local_text, event.reference_text),
    )


def write_evidence(
    store: LedgerStore, records: Sequence[tuple[Value, ...]], events: Sequence[tuple[Value, ...]]
) -> None:
    """Stores both in one transaction; a row of the same key is replaced."""
    store.write([(PUT_RECORD, records), (PUT_EVENT, events)])


def read_records(store: LedgerStore) -> dict[Key, Record]:
    """All records; one that cannot be read back starts over."""
    found: dict[Key, Record] = {}
    for *key, text in store.query(f"SELECT {', '.join(KEY_COLUMNS)}, record FROM evidence"):
        try:
            found[Key(*map(str, key))] = msgspec.json.decode(str(text), type=Record)
        except msgspec.MsgspecError:
            continue
    return found


def find_answer(store: LedgerStore, request_id: str) -> Given | None:
    """The request of that id, ours or else the caller's own (its latest); ``None`` when there is none."""
    row = next(_rows(store, ANSWER + "request_id = ?", (request_id,)), None) or next(
        _rows(store, ANSWER + "client_request_id = ? ORDER BY accepted_at DESC LIMIT 1", (request_id,)), None
    )
    if row is None:
        return None
    before = next(_rows(store, FEEDBACK, (row[0],)), ())
    return Given(*row, *before)


def shadow_spend_usd(store: LedgerStore, since_s: float) -> Decimal:
    """What comparisons of requests accepted since then have cost, as far as it is known."""
    ((spent,),) = _rows(store, SHADOW_SPEND, (since_s,))
    return Decimal(str(spent or 0))


def disagreements(store: LedgerStore, limit: int) -> tuple[Disagreement, ...]:
    """The newest comparisons in which the node was found clearly worse."""
    return tuple(Disagreement(*row) for row in _rows(store, DISAGREEMENTS, (DISAGREES_BELOW, limit)))


def _rows(store: LedgerStore, sql: str, parameters: Sequence[Value]) -> Iterator[tuple[Any, ...]]:
    """Rows whose types the query itself makes sure of."""
    return iter(list(store.query(sql, parameters)))


def _put(table: str, columns: tuple[str, ...], key: tuple[str, ...]) -> str:
    changes = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in key)
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))}) "
        f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {changes}"
    )


PUT_RECORD = _put("evidence", RECORD_COLUMNS, KEY_COLUMNS)
PUT_EVENT = _put("evidence_events", EVENT_COLUMNS, EVENT_KEY)
ANSWER = "SELECT request_id, accepted_at, task, upstream, model, side, key_name FROM requests WHERE "
FEEDBACK = """SELECT score, identity, stage, position FROM evidence_events
    WHERE request_id = ? AND kind = 'feedback'"""
SHADOW_SPEND = """SELECT sum(attempts.price_usd) FROM attempts
    JOIN requests ON requests.request_id = attempts.request_id
    WHERE requests.accepted_at >= ? AND attempts.kind = 'shadow' AND attempts.side = 'cloud'"""
DISAGREEMENTS = """SELECT e.request_id, e.task, e.upstream, e.model, e.identity, e.score, e.at, e.detail,
    requests.prompt_text, e.local_text, e.reference_text
    FROM evidence_events e LEFT JOIN requests ON requests.request_id = e.request_id
    WHERE e.kind = 'shadow' AND e.score < ? ORDER BY e.at DESC LIMIT ?"""
