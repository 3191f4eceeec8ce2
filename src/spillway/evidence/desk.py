"""Where evidence comes in and is kept: the book in memory, its rows by way of the ledger's thread."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence

from spillway.clock import Clock
from spillway.errors import LedgerError
from spillway.evidence.book import EvidenceBook
from spillway.evidence.events import Event, Key
from spillway.evidence.record import CHANNEL_OF
from spillway.evidence.store import event_row, read_records, record_row, write_evidence
from spillway.ledger.rows import Value
from spillway.ledger.store import LedgerStore
from spillway.ledger.writer import LedgerWriter
from spillway.vocabulary import ModelFacts, Outcome, RequestFacts

__all__ = ["EvidenceDesk"]

FLUSH_S = 2.0
"""So much may be lost when the process is killed; changes of standing and ratings are written at once."""

GATE = "gate_"
"""How codes of failed gates begin."""

log = logging.getLogger("spillway.evidence")


class EvidenceDesk:
    """Takes events on the event loop. ``start`` after the ledger's writer, ``close`` before it."""

    def __init__(self, book: EvidenceBook, writer: LedgerWriter, clock: Clock) -> None:
        self.book = book
        self.on_event: Callable[[Event], None] = lambda event: None
        """Told of every event that is taken or corrected."""
        self.identities = book.identities
        self._writer = writer
        self._clock = clock
        self._rows: list[tuple[Value, ...]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    async def start(self) -> None:
        """What was known before is known again; a ledger that cannot be read leaves it at nothing."""
        try:
            records = await self._writer.ask(read_records)
        except LedgerError as error:
            log.warning("evidence starts empty: %s", error.message)
            return
        self.book.load(records)

    async def close(self) -> None:
        """Everything is with the ledger's writer; later events are not taken."""
        self._flush()
        self._is_closed = True

    def note_models(self, upstream: str, models: Iterable[ModelFacts]) -> None:
        """What an upstream serves now, by its last probe."""
        self.identities.note(upstream, models, self._clock.wall_s())

    def key_for(self, task: str, upstream: str, model: str) -> Key:
        """The key of an answer given now."""
        return Key(task, upstream, model, self.identities.now(upstream, model))

    def note_attempts(self, outcome: Outcome) -> None:
        """Local answers of a request with gates: those kept passed them, those with a gate's code did not.

        Attempts that failed in another way, or that went on with somebody else's answer, say nothing of it.
        """
        is_escalated = any(attempt.kind == "escalation" for attempt in outcome.attempts)
        for attempt in outcome.attempts:
            if attempt.side != "local" or attempt.kind in ("continuation", "shadow"):
                continue
            code = attempt.error_code
            if code is None:
                self.note_gates(outcome.facts, attempt.upstream, attempt.model, [])
            elif code.startswith(GATE):
                names = (outcome.facts, attempt.upstream, attempt.model)
                self.note_gates(*names, [code], is_escalated=is_escalated)

    def note_gates(
        self,
        facts: RequestFacts,
        upstream: str,
        model: str,
        failed: Sequence[str],
        *,
        is_escalated: bool = False,
    ) -> None:
        """A local answer passed its gates or failed those; ``is_escalated``: a cloud answered instead."""
        if facts.task is None:
            return
        event = Event(
            request_id=facts.request_id,
            key=self.key_for(facts.task, upstream, model),
            kind="gate",
            score=0.0 if failed else 1.0,
            at_s=self._clock.wall_s(),
            detail=",".join(failed),
        )
        self.take(event)
        if is_escalated:
            self.take(_escalation(event))

    def take(self, event: Event) -> bool:
        """Learns from an event and keeps it; returns whether a standing changed.

        A passed gate leaves no row of its own, only counts: that would double what a request writes.
        """
        if self._is_closed:
            return False
        stage, position = self._place(event)
        changed = self.book.take(event)
        self._say(event.key, changed)
        self.on_event(event)
        if event.kind != "gate" or event.score < 1.0:
            self._rows.append(event_row(event, stage, position))
        self._flush_soon(0.0 if changed or event.kind == "feedback" else FLUSH_S)
        return changed

    def correct(self, event: Event, old_score: float, stage: int, position: int) -> bool:
        """A feedback replaces the one given before for the same answer."""
        changed = self.book.correct(event, old_score, stage, position)
        self._say(event.key, changed)
        self._rows.append(event_row(event, stage, position))
        self._flush_soon(0.0)
        return changed

    def _say(self, key: Key, changed: bool) -> None:
        if changed and (record := self.book.records.get(key)) is not None:
            where = f"{key.upstream}/{key.model}"
            bound = -1.0 if record.verdict_bound is None else record.verdict_bound
            log.warning(
                "%s on %s is now %s: %s bound %.3f after %d; see spillway evidence",
                *(key.task, where, record.standing, record.cause or "gate", bound, record.verdict_n),
            )

    def _place(self, event: Event) -> tuple[int, int]:
        record, channel = self.book.records.get(event.key), CHANNEL_OF.get(event.kind)
        if record is None or channel is None:
            return 0, 0
        return record.stage, record.tally(channel).n

    def _flush_soon(self, delay_s: float) -> None:
        if delay_s == 0.0:
            self._flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._flush)

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        dirty, self.book.dirty = self.book.dirty, set()
        events, self._rows = self._rows, []
        if not dirty and not events:
            return
        records = [record_row(key, self.book.records[key]) for key in dirty]

        def write(store: LedgerStore) -> None:
            write_evidence(store, records, events)

        self._writer.post(write)


def _escalation(event: Event) -> Event:
    return Event(
        request_id=event.request_id,
        key=event.key,
        kind="escalation",
        score=event.score,
        at_s=event.at_s,
        detail=event.detail,
    )
