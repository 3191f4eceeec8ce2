"""Rows handed over on the event loop, committed by a thread, acknowledged once they would survive a crash.

One group of rows is with the thread at a time; what is recorded meanwhile goes into the next, so that the
cost of a commit, and of waking a thread, is shared by the requests in flight. A database that fails or hangs
never holds traffic up: callers wait a quarter of a second once, then not at all until it takes rows again.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Literal, TypeVar

from msgspec import Struct

from spillway.clock import Clock, SystemClock
from spillway.errors import LedgerError
from spillway.ledger.committer import MAX_ROWS_IN_MEMORY, Committer, Progress
from spillway.ledger.errand import Errand
from spillway.ledger.rows import LedgerRow
from spillway.ledger.spill import Spill
from spillway.ledger.store import LedgerStore, sqlite_path

__all__ = ["LedgerState", "LedgerWriter"]

PATIENCE_S = 0.25
"""How long a caller waits for a database that does not answer; about what a client notices."""
LOCK_PATIENCE_S = 0.2
"""A little less, so that a locked database is reported as locked and not as silent."""
DRAIN_S = 10.0
SILENT = f"the ledger's database has not answered for {PATIENCE_S} s"

T = TypeVar("T")

log = logging.getLogger("spillway.ledger")


class LedgerState(Struct, frozen=True):
    """How the ledger fares, for health and metrics."""

    state: Literal["ok", "degraded"] = "ok"
    since_s: float | None = None
    """Wall time of the last change; ``None`` before the first."""
    backlog_rows: int = 0
    """Requests not yet in the database, set aside in a file or in memory."""
    lost_rows: int = 0
    """Requests that will be missing: the database, the file and the memory bound all failed."""
    last_error: str | None = None


class LedgerWriter:
    """Takes rows on the event loop it was started on. ``start`` first, ``close`` last."""

    def __init__(
        self,
        open_store: Callable[[], LedgerStore],
        *,
        spill: Spill | None = None,
        on_state: Callable[[LedgerState], None] | None = None,
        clock: Clock | None = None,
    ) -> None:
        """``open_store`` is called in the thread, again after every fault of the database."""
        self.state = LedgerState()
        self._on_state = on_state
        self._clock = clock or SystemClock()
        self._queue: SimpleQueue[list[LedgerRow] | Errand | None] = SimpleQueue()
        self._committer = Committer(self._queue, open_store, spill, self._tell)
        self._fresh: list[LedgerRow] = []
        self._given = 0
        self._handed = 0
        self._taken = 0
        self._is_scheduled = False
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._is_trusted = True
        self._is_watching = False
        self._overflowed_rows = 0

    @classmethod
    def at(
        cls,
        url: str,
        *,
        state_folder: Path | None = None,
        on_state: Callable[[LedgerState], None] | None = None,
    ) -> LedgerWriter:
        """A writer for the ledger at ``url``; ``state_folder`` holds spill files when it is no local file."""
        path = sqlite_path(url)
        stem: Path | None = None
        if path is None:
            stem = state_folder / "ledger" if state_folder else None
        elif path != ":memory:":
            stem = Path(path)
        return cls(
            lambda: LedgerStore.open(url, patience_s=LOCK_PATIENCE_S),
            spill=Spill(stem) if stem else None,
            on_state=on_state,
        )

    async def start(self) -> None:
        """Opens the ledger and starts the thread; LedgerError when it cannot be opened."""
        self._loop = asyncio.get_running_loop()
        self._has_ended = asyncio.Event()
        await asyncio.to_thread(self._committer.open)
        threading.Thread(target=self._run, name="spillway-ledger", daemon=True).start()

    def record(self, row: LedgerRow) -> asyncio.Future[None]:
        """A future that is done once the row is committed, or once waiting for it would hold up traffic."""
        future = self._loop.create_future()
        if self._is_trusted:
            self._give(row)
            self._waiting.append((self._given, future))
            if not self._is_watching:
                self._is_watching = True
                self._loop.call_later(PATIENCE_S / 2, self._watch, 0, 0)
        else:
            self.record_nowait(row)
            future.set_result(None)
        return future

    def record_nowait(self, row: LedgerRow) -> None:
        """Records a row nobody waits for."""
        if not self._is_trusted and self._given - self._taken >= MAX_ROWS_IN_MEMORY:
            self._overflowed_rows += 1
            return
        self._give(row)

    def post(self, work: Callable[[LedgerStore], object]) -> None:
        """Has the thread do ``work`` with the store, after what was recorded before; retried after faults."""
        self._hand_over_now()
        self._queue.put(Errand(work))

    def ask(self, question: Callable[[LedgerStore], T]) -> asyncio.Future[T]:
        """What ``question`` finds in the store, asked by the thread; LedgerError when that cannot answer."""
        future: asyncio.Future[T] = self._loop.create_future()

        def run(store: LedgerStore) -> None:
            self._on_loop(_answer, future, question(store))

        def fail(error: LedgerError) -> None:
            self._on_loop(_refuse, future, error)

        self._hand_over_now()
        self._queue.put(Errand(run, fail))
        return future

    async def close(self) -> None:
        """Everything recorded is committed or set aside; waits ten seconds for that at most."""
        if self._fresh:
            self._queue.put(self._fresh)
        self._queue.put(None)
        try:
            await asyncio.wait_for(self._has_ended.wait(), DRAIN_S)
        except TimeoutError:
            log.error("the ledger did not finish within %.0f s; its last rows may be missing", DRAIN_S)
        self._release(self._given)

    def _give(self, row: LedgerRow) -> None:
        """Adds a row to the next group, which leaves at the end of this turn of the loop if none is out."""
        self._given += 1
        self._fresh.append(row)
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        if self._taken < self._handed:
            return  # the thread still has one; its progress calls again
        self._is_scheduled = False
        if self._fresh:
            group, self._fresh = self._fresh, []
            self._handed += len(group)
            self._is_scheduled = True
            self._queue.put(group)

    def _hand_over_now(self) -> None:
        """An errand may be about a row recorded just before: that row is to be there by then."""
        if self._fresh:
            group, self._fresh = self._fresh, []
            self._handed += len(group)
            self._queue.put(group)

    def _run(self) -> None:
        try:
            self._committer.run()
        except Exception:
            log.exception("the ledger's thread broke; nothing is recorded any more")
            broken = Progress(self._taken, "the ledger's thread broke", self._given - self._taken, 0)
            self._tell(broken)
        finally:
            self._on_loop(self._has_ended.set)

    def _tell(self, progress: Progress) -> None:
        self._on_loop(self._note, progress)

    def _on_loop(self, call: Callable[..., object], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(call, *arguments)
        except RuntimeError:
            pass  # the loop is gone, and with it everybody who would want to know

    def _note(self, progress: Progress) -> None:
        self._taken = progress.taken
        self._hand_over()
        self._is_trusted = progress.trouble is None
        self._release(progress.taken)
        lost = progress.lost_rows + self._overflowed_rows
        state = self.state
        if progress.trouble or progress.backlog_rows or state.state != "ok" or lost != state.lost_rows:
            self._change(progress.trouble, progress.backlog_rows, lost)

    def _release(self, upto: int) -> None:
        waiting = self._waiting
        while waiting and waiting[0][0] <= upto:
            future = waiting.popleft()[1]
            if not future.done():
                future.set_result(None)

    def _watch(self, head: int, ticks: int) -> None:
        """Runs while somebody waits, twice in every span of patience; the same head two times is a hang."""
        if not self._waiting:
            self._is_watching = False
            return
        now = self._waiting[0][0]
        ticks = ticks + 1 if now == head else 0
        if ticks >= 2:
            self._is_trusted = self._is_watching = False
            self._release(self._given)
            self._change(SILENT, self._given - self._taken, self.state.lost_rows)
            return
        self._loop.call_later(PATIENCE_S / 2, self._watch, now, ticks)

    def _change(self, trouble: str | None, backlog: int, lost: int) -> None:
        """The state is ``ok`` again only once nothing is left to bring in."""
        before = self.state
        name: Literal["ok", "degraded"] = "degraded" if trouble or backlog else "ok"
        since_s = before.since_s if name == before.state else self._clock.wall_s()
        self.state = LedgerState(name, since_s, backlog, lost, trouble or before.last_error)
        if name != before.state:
            if name == "degraded":
                log.warning("the ledger is degraded, requests go on and rows are set aside: %s", trouble)
            else:
                log.warning("the ledger is well again and nothing is left to bring in")
        if self._on_state is not None and self.state != before:
            self._on_state(self.state)


def _answer(future: asyncio.Future[T], value: T) -> None:
    if not future.done():
        future.set_result(value)


def _refuse(future: asyncio.Future[T], error: LedgerError) -> None:
    if not future.done():
        future.set_exception(error)
