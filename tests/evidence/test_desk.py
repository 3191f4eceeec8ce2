"""Evidence comes in, survives a restart, and can be asked by SQL."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from spillway.clock import SystemClock
from spillway.evidence import Event, EvidenceBook, Key, QualityLimits, key_of
from spillway.evidence.desk import EvidenceDesk
from spillway.evidence.identities import Identities
from spillway.evidence.record import Record
from spillway.evidence.store import (
    disagreements,
    find_answer,
    read_records,
    record_row,
    shadow_spend_usd,
    write_evidence,
)
from spillway.ledger.store import LedgerStore
from spillway.ledger.writer import LedgerWriter
from spillway.vocabulary import ModelFacts, RequestFacts
from tests.ledger.conftest import PostgresServer, postgres  # noqa: F401
from tests.ledger.samples import ACCEPTED_S, attempt_of, row

KEY = key_of("extraction", "mini", "qwen3-4b", "id-1")
FACTS = RequestFacts(request_id="req_1", operation="chat", model="auto", task="extraction")


async def desk_at(url: str, run: Callable[[EvidenceDesk], None] = lambda desk: None) -> EvidenceDesk:
    """A desk that started, was used and closed."""
    writer = LedgerWriter.at(url)
    await writer.start()
    desk = EvidenceDesk(EvidenceBook(QualityLimits(), local_tasks=["extraction"]), writer, SystemClock())
    await desk.start()
    run(desk)
    await desk.close()
    await writer.close()
    return desk


def shadow(number: int, score: float, key: Key = KEY) -> Event:
    """A comparison."""
    return Event(request_id=f"req_{number}", key=key, kind="shadow", score=score, at_s=100.0 + number)


async def test_evidence_survives_a_restart(tmp_path: Path) -> None:
    """What was counted and decided is there again, and counting goes on."""
    url = f"sqlite:///{tmp_path}/ledger.db"

    def disagree(desk: EvidenceDesk) -> None:
        for number in range(20):
            desk.take(shadow(number, 0.0))

    first = await desk_at(url, disagree)
    second = await desk_at(url)
    assert second.book.records == first.book.records
    assert second.book.allows_local("extraction", "mini", "qwen3-4b", "id-1") is False
    assert second.identities.now("mini", "qwen3-4b") == "id-1"


async def test_the_table_can_be_read_by_sql(tmp_path: Path) -> None:
    """Counts and means stand in columns of their own; passed gates leave counts but no rows."""
    url = f"sqlite:///{tmp_path}/ledger.db"

    def work(desk: EvidenceDesk) -> None:
        desk.note_models("mini", [ModelFacts("qwen3-4b", identity="id-1")])
        desk.take(shadow(1, 0.75))
        desk.note_gates(FACTS, "mini", "qwen3-4b", [])
        desk.note_gates(FACTS, "mini", "qwen3-4b", ["gate_json"], is_escalated=True)

    await desk_at(url, work)
    store = LedgerStore.open(url)
    columns = "standing, compared, gap, checked, gate_failures, rated, bad_ratings"
    assert list(store.query(f"SELECT {columns} FROM evidence")) == [("open", 1, 0.25, 2, 0.5, 0, None)]
    assert sorted(store.query("SELECT kind, detail FROM evidence_events")) == [
        ("escalation", "gate_json"),
        ("gate", "gate_json"),
        ("shadow", ""),
    ]
    store.close()


async def test_requests_without_a_class_teach_nothing(tmp_path: Path) -> None:
    """Evidence is kept by class; what has none is not counted anywhere."""
    plain = RequestFacts(request_id="r", operation="chat", model="auto")
    desk = await desk_at(
        f"sqlite:///{tmp_path}/l.db", lambda desk: desk.note_gates(plain, "mini", "m", ["gate_empty"])
    )
    assert desk.book.records == {}


async def test_a_closed_desk_takes_nothing(tmp_path: Path) -> None:
    """Work that ends after closing is dropped instead of lost halfway."""
    desk = await desk_at(f"sqlite:///{tmp_path}/l.db")
    assert desk.take(shadow(1, 0.0)) is False
    assert desk.book.records == {}


def check_store(store: LedgerStore) -> None:
    """Rows are replaced by newer ones, and questions find what they ask for, in either database."""
    record = Record()
    store.append([row("req_1", facts_client_request_id="mine", facts_task="extraction")])
    for score in (1.0, 0.2):
        record.take(shadow(1, score), QualityLimits())
        event = (*("req_1", "shadow", "mini", "qwen3-4b", "id-1", "extraction", "local"), score, 5.0)
        write_evidence(store, [record_row(KEY, record)], [(*event, "exact", 0, 0, "a", "b")])
    assert read_records(store) == {KEY: record}
    assert [(d.request_id, d.score, d.local_text) for d in disagreements(store, 10)] == [("req_1", 0.2, "a")]
    found = find_answer(store, "mine")
    assert found is not None
    assert (found.request_id, found.task, found.upstream) == ("req_1", "extraction", "mini")
    assert find_answer(store, "req_1") == found
    assert find_answer(store, "req_2") is None


def test_rows_in_sqlite() -> None:
    """Records, events, disagreements and answers in the embedded database."""
    store = LedgerStore.open("sqlite:///:memory:")
    check_store(store)
    store.close()


@pytest.mark.postgres
def test_rows_in_postgres(postgres: PostgresServer) -> None:  # noqa: F811
    """The same in the other database."""
    store = LedgerStore.open(postgres.fresh_url("evidence"))
    check_store(store)
    store.close()


def test_an_unreadable_record_starts_over() -> None:
    """A row damaged by hand costs its own evidence only."""
    store = LedgerStore.open("sqlite:///:memory:")
    write_evidence(
        store, [record_row(KEY, Record()), record_row(key_of("code", "a", "b", None), Record())], []
    )
    store.write([("UPDATE evidence SET record = '{' WHERE task = ?", [("code",)])])
    assert list(read_records(store)) == [KEY]
    store.close()


def test_what_comparisons_cost_today_is_known_after_a_restart() -> None:
    """The day's budget counts shadow calls to clouds, not answers and not the node's time."""
    store = LedgerStore.open("sqlite:///:memory:")
    attempts = [attempt_of(0), attempt_of(1, "cloud", kind="shadow"), attempt_of(2, "cloud")]
    store.append([row("req_1", attempts=attempts)])
    store.write([("UPDATE attempts SET price_usd = ?", [(0.25,)])])
    assert shadow_spend_usd(store, ACCEPTED_S - 1) == Decimal("0.25")
    assert shadow_spend_usd(store, ACCEPTED_S + 1) == 0
    store.close()


def test_identities_by_time() -> None:
    """A rating that comes late goes to the model that answered, not to the one served now."""
    seen = Identities()
    seen.load([(key_of("math", "mini", "m", "old"), Record(first_at_s=10.0))])
    seen.note("mini", [ModelFacts("m", identity="new")], 50.0)
    seen.note("mini", [ModelFacts("m", identity="new")], 70.0)
    assert [seen.at("mini", "m", at_s) for at_s in (5.0, 20.0, 60.0)] == ["old", "old", "new"]
    assert seen.now("mini", "m") == "new"
    assert seen.now("mini", "other") == seen.at("x", "other", 1.0) == "other"
