"""Other work for the ledger's thread: it comes after the rows before it, and never brings the thread down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from spillway.errors import LedgerError
from spillway.ledger.database import RowsRefused
from spillway.ledger.store import LedgerStore
from spillway.ledger.writer import LedgerWriter
from tests.ledger.samples import row

COUNT = "SELECT count(*) FROM requests"


@pytest.fixture
async def writer(tmp_path: Path) -> AsyncIterator[LedgerWriter]:
    """A running writer on a new file."""
    writer = LedgerWriter.at(f"sqlite:///{tmp_path}/ledger.db")
    await writer.start()
    yield writer
    await writer.close()


def count(store: LedgerStore) -> int:
    """How many requests there are."""
    ((found,),) = store.query(COUNT)
    return int(found or 0)


async def test_a_question_sees_what_was_recorded_before_it(writer: LedgerWriter) -> None:
    """Rows handed over in the same turn of the loop are there when the question is asked."""
    for number in range(3):
        writer.record_nowait(row(f"req_{number}"))
    assert await writer.ask(count) == 3


async def test_posted_work_is_done_before_the_end(tmp_path: Path) -> None:
    """What was posted just before closing is in the database."""
    writer = LedgerWriter.at(f"sqlite:///{tmp_path}/ledger.db")
    await writer.start()
    writer.post(lambda store: store.append([row("req_late")]))
    await writer.close()
    store = LedgerStore.open(f"sqlite:///{tmp_path}/ledger.db")
    assert count(store) == 1
    store.close()


async def test_a_broken_errand_harms_nobody_else(writer: LedgerWriter) -> None:
    """A fault of ours or a refused row ends that errand; the next and the rows go on."""

    def broken(store: LedgerStore) -> int:
        raise ValueError("a fault of ours")

    def refused(store: LedgerStore) -> int:
        raise RowsRefused("not that one")

    writer.post(broken)
    writer.post(refused)
    with pytest.raises(LedgerError, match="a fault of ours"):
        await writer.ask(broken)
    with pytest.raises(LedgerError, match="not that one"):
        await writer.ask(refused)
    await writer.record(row("req_1"))
    assert await writer.ask(count) == 1


async def test_work_waits_for_a_database_that_comes_back(tmp_path: Path) -> None:
    """While the database takes nothing questions are refused at once, and posted work is done later."""
    is_broken = True

    class Flaky(LedgerStore):
        def append(self, rows: object) -> None:
            if is_broken:
                raise LedgerError("the disk is full")
            super().append(rows)  # type: ignore[arg-type]

    def open_store() -> LedgerStore:
        return Flaky.open(f"sqlite:///{tmp_path}/ledger.db")

    writer = LedgerWriter(open_store)
    await writer.start()
    await writer.record(row("req_1"))
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    writer.post(lambda store: loop.call_soon_threadsafe(done.set))
    with pytest.raises(LedgerError, match="the disk is full"):
        await writer.ask(count)
    assert not done.is_set()
    is_broken = False
    await asyncio.wait_for(done.wait(), 5)
    assert await writer.ask(count) == 1
    await writer.close()


async def test_an_abandoned_question_is_no_error(writer: LedgerWriter) -> None:
    """A caller that stops waiting leaves nothing behind."""
    future = writer.ask(count)
    future.cancel()
    assert await writer.ask(count) == 0
