"""One request while it runs: its attempts, what they cost, and the record it leaves."""

from __future__ import annotations

from collections.abc import Awaitable
from decimal import Decimal
from typing import Literal

from msgspec import Struct

from spillway.clock import Clock
from spillway.engines.payload import Payload
from spillway.fleet.marks import Beginning
from spillway.relay.books import Books
from spillway.relay.commit import CLOSED, Client
from spillway.relay.seam import Seam
from spillway.vocabulary import Attempt, Bill, Decision, Outcome, RequestFacts, Side

__all__ = ["Job", "Run", "total_usd"]

Result = Literal["ok", "error", "cancelled", "cut"]


class Job(Struct, frozen=True):
    """One accepted request, ready to be carried out."""

    facts: RequestFacts
    payload: Payload
    decision: Decision
    accepted_s: float
    """Monotonic."""
    accepted_wall_s: float
    prompt_text: str | None = None
    """Only where the owner turned ``capture`` on."""
    beginning: Beginning | None = None
    """Of its prompt, to know what nodes hold of it; ``None`` where no node will read it."""
    arrived_s: float | None = None
    """Monotonic, when its body was there; ``None`` where that was when it was accepted."""


def total_usd(bills: list[Bill]) -> Decimal | None:
    """The sum over all attempts; unknown as soon as one is."""
    total = Decimal(0)
    for bill in bills:
        if bill.cost_usd is None:
            return None
        total += bill.cost_usd
    return total


class Run:
    """Collects attempts and settles the outcome exactly once."""

    def __init__(self, job: Job, client: Client, books: Books, clock: Clock) -> None:
        self.job = job
        self.client = client
        self.attempts: list[Attempt] = []
        """As they ended; the one whose bytes the client saw last is the last."""
        self.bills: list[Bill] = []
        self.started = 0
        """Attempts begun so far."""
        self.events: list[str] = []
        """Reason codes for what happened since the decision, such as ``continued``."""
        self.ttft_s: float | None = None
        self.first_sent_s: float | None = None
        self.waited_s = 0.0
        """Seconds spent waiting for slots so far, whatever came of it."""
        self.seam: Seam | None = None
        """Where a stream broke that somebody else can continue."""
        self.is_overtaken = False
        """Whether an attempt that is cancelled now was slower than another one."""
        self.outcome: Outcome | None = None
        """Set once the request is settled."""
        self._books = books
        self._clock = clock
        self._is_settled = False

    @property
    def keeps_text(self) -> bool:
        """Whether prompt and answer are stored: ``capture`` is on and the request is not private."""
        return self.job.prompt_text is not None

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the request went where it went: the decision's codes, then what happened."""
        return (*self.job.decision.reasons, *self.events) if self.events else self.job.decision.reasons

    def elapsed_s(self) -> float:
        """Seconds since the request was accepted."""
        return self._clock.monotonic_s() - self.job.accepted_s

    @property
    def since_arrival_s(self) -> float:
        """Seconds since the body was there: a slow upload is nobody's delay but the caller's."""
        arrived_s = self.job.arrived_s
        return self.elapsed_s() if arrived_s is None else self._clock.monotonic_s() - arrived_s

    @property
    def abandon_code(self) -> str:
        """What an attempt that is cancelled now ends with."""
        return "hedge_lost" if self.is_overtaken else self.client.line.end_code or CLOSED

    def remaining_s(self, limit_s: float) -> float:
        """``limit_s``, or what is left of the time for all attempts when that is less."""
        return max(0.001, min(limit_s, self.job.decision.total_s - self.elapsed_s()))

    def note_wait(self, waited_s: float) -> None:
        """It has waited for slots so long by now, earlier waits included; two may go on at a time."""
        self.waited_s = max(self.waited_s, waited_s)

    def begin_attempt(self) -> int:
        """The index of the attempt that begins now."""
        index, self.started = self.started, self.started + 1
        return index

    def note_event(self, code: str) -> None:
        """Something happened that the caller and the ledger are told of."""
        if code not in self.events:
            self.events.append(code)

    def note_attempt(self, attempt: Attempt) -> None:
        """Adds an attempt as it ended, and its bill."""
        self.attempts.append(attempt)
        self.bills.append(self._books.bill(attempt))

    def bills_of(self, side: Side) -> list[Bill]:
        """What the attempts there have cost so far."""
        pairs = zip(self.attempts, self.bills, strict=True)
        return [bill for attempt, bill in pairs if attempt.side == side]

    def answer_with(self, attempt: Attempt) -> None:
        """Makes an attempt that was noted earlier the one whose answer the client gets."""
        at = self.attempts.index(attempt)
        self.attempts.append(self.attempts.pop(at))
        self.bills.append(self.bills.pop(at))

    def settle(
        self,
        result: Result,
        status: int,
        error_code: str | None = None,
        *,
        answer_bytes: int | None = None,
        text: str | None = None,
    ) -> Awaitable[object]:
        """Records the request; await it before the end of the answer is released."""
        self._is_settled = True
        self.outcome = self._outcome(result, status, error_code, answer_bytes, text)
        return self._books.settle(self.outcome, self.bills)

    def note_unfinished(self, result: Result, error_code: str, status: int) -> None:
        """Records a request whose end nobody waits for, unless it had been settled already."""
        if self._is_settled:
            return
        self._is_settled = True
        self.outcome = self._outcome(result, self.client.status or status, error_code)
        self._books.note(self.outcome, self.bills)

    def _outcome(
        self,
        result: Result,
        status: int,
        error_code: str | None,
        answer_bytes: int | None = None,
        text: str | None = None,
    ) -> Outcome:
        return Outcome(
            facts=self.job.facts,
            accepted_wall_s=self.job.accepted_wall_s,
            total_s=self.elapsed_s(),
            ttft_s=self.ttft_s,
            overhead_s=self.first_sent_s,
            attempts=tuple(self.attempts),
            reasons=self.reasons,
            status=status,
            result=result,
            error_code=error_code,
            response_bytes=self.client.bytes_sent if answer_bytes is None else answer_bytes,
            prompt_text=self.job.prompt_text,
            completion_text=text,
        )
