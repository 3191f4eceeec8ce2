from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from spillway.errors import LedgerError
from spillway.ledger.database import RowsRefused
from spillway.ledger.migrations import LATEST, VERSION_TABLE
from spillway.ledger.postgres import PostgresDatabase
from spillway.ledger.rows import ATTEMPT_COLUMNS, REQUEST_COLUMNS
from spillway.ledger.store import LedgerStore
from spillway.ledger.writer import LedgerState, LedgerWriter

from .conftest import PostgresServer
from .samples import attempt_of, row

pytestmark = pytest.mark.postgres
SOON_S = 30.0


@pytest.fixture
def url(postgres: PostgresServer, request: pytest.FixtureRequest) -> str:
    """A new database for this test alone."""
    return postgres.fresh_url(request.node.name.split("[")[0][-60:])


def _columns(store: LedgerStore, table: str) -> tuple[object, ...]:
    sql = "SELECT column_name FROM information_schema.columns WHERE table_name = ? ORDER BY ordinal_position"
    return tuple(name for (name,) in store.query(sql, (table,)))


def _files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def test_tables_hold_every_column(url: str) -> None:
    """What rows are built of and what the tables offer is the same list, as in SQLite."""
    store = LedgerStore.open(url)
    assert _columns(store, "requests") == REQUEST_COLUMNS
    assert _columns(store, "attempts") == ATTEMPT_COLUMNS
    store.close()


def test_rows_come_back_once(url: str) -> None:
    """Appending again changes nothing, and money adds up without rounding."""
    store = LedgerStore.open(url)
    rows = [row(f"req_{number}", "0.1", attempts=[attempt_of(0), attempt_of(1)]) for number in range(3)]
    store.append(rows)
    store.append(rows)
    store.append([])
    assert list(store.query("SELECT count(*), sum(cost_usd)::text FROM requests")) == [(3, "0.600000000000")]
    assert list(store.query("SELECT count(*) FROM attempts")) == [(6,)]
    assert list(store.query(f"SELECT {store.day_sql}, 1 % 2 FROM requests LIMIT 1")) == [("2026-09-21", 1)]
    store.close()


def test_starting_at_once_makes_one_schema(url: str) -> None:
    """Eight connections that open the same empty database at once all succeed."""
    with ThreadPoolExecutor(8) as pool:
        stores = list(pool.map(lambda _: LedgerStore.open(url), range(8)))
    assert list(stores[0].query(f"SELECT version FROM {VERSION_TABLE}")) == [(LATEST,)]
    for store in stores:
        store.close()


def test_a_newer_ledger_is_left_alone(url: str) -> None:
    """A database of a later release is refused in a sentence that says what to do."""
    import psycopg

    LedgerStore.open(url).close()
    with psycopg.connect(url) as connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version = {LATEST + 1}".encode())
    with pytest.raises(LedgerError, match=r"newer spillway .*upgrade spillway"):
        LedgerStore.open(url)


def test_other_databases_are_left_alone(url: str) -> None:
    """A reader does not make tables in an empty database."""
    with pytest.raises(LedgerError, match="no spillway ledger"):
        LedgerStore.open(url, must_exist=True)


@pytest.mark.parametrize("change", [{"response_bytes": 2**70}, {"error_code": "a\0b"}])
def test_values_it_cannot_hold_are_refused(postgres: PostgresServer, change: dict[str, Any]) -> None:
    """A number beyond 64 bits or a NUL in a text is the row's fault, not the database's."""
    store = LedgerStore.open(postgres.fresh_url(f"refused_{next(iter(change))}"))
    with pytest.raises(RowsRefused):
        store.append([row("req_1"), row("req_2", **change)])
    assert list(store.query("SELECT count(*) FROM requests")) == [(0,)]
    store.close()


async def test_a_server_that_goes_away_is_caught_up(
    postgres: PostgresServer, url: str, tmp_path: Path
) -> None:
    """Requests go on while the server is down; once it is back every row arrives, in no file left behind."""
    changed = asyncio.Event()
    states: list[LedgerState] = []

    def note(state: LedgerState) -> None:
        states.append(state)
        changed.set()

    async def wait_for(is_it: Callable[[LedgerState], bool]) -> None:
        async with asyncio.timeout(SOON_S):
            while not states or not is_it(states[-1]):
                changed.clear()
                await changed.wait()

    writer = LedgerWriter.at(url, state_folder=tmp_path, on_state=note)
    await writer.start()
    await writer.record(row("req_1"))
    await asyncio.to_thread(postgres.stop)
    try:
        async with asyncio.timeout(SOON_S):
            await asyncio.gather(writer.record(row("req_2")), writer.record(row("req_3", error_code="a\0b")))
        await wait_for(lambda state: state.state == "degraded" and state.backlog_rows == 2)
        assert len(_files(tmp_path)) == 1
    finally:
        await asyncio.to_thread(postgres.start)
    await wait_for(lambda state: state.state == "ok")
    await writer.close()
    store = LedgerStore.open(url)
    found = list(store.query("SELECT request_id, error_code FROM requests ORDER BY request_id"))
    store.close()
    assert found == [("req_1", None), ("req_2", None), ("req_3", "a\ufffdb")]
    assert _files(tmp_path) == []


def test_nobody_there_is_one_sentence_without_the_password() -> None:
    """A server that cannot be reached is named by host and database."""
    with pytest.raises(LedgerError, match=r"cannot open the ledger x on 127\.0\.0\.1: ") as caught:
        LedgerStore.open("postgresql://me:secret@127.0.0.1:1/x")
    assert "secret" not in caught.value.message
    assert "\n" not in caught.value.message


def test_an_unreadable_url_is_one_sentence() -> None:
    """A URL that libpq cannot parse is answered with its form."""
    with pytest.raises(LedgerError, match="write postgresql://USER@HOST/DATABASE"):
        LedgerStore.open("postgresql://[broken")


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without psycopg the sentence says what to install."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(LedgerError, match=r"pip install 'spillway\[postgres\]'"):
        PostgresDatabase("postgresql://x/y", patience_s=1.0)
