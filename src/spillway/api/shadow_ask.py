"""Asks one upstream beside the traffic: no retries, nobody waits, and everything it cost is noted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal

from msgspec import Struct

from spillway.clock import Clock
from spillway.engines.usage import Answer, parse_answer
from spillway.engines.wire import PeerTimeout, WireError
from spillway.fleet.registry import BreakerOpen, Fleet, Lease, QueueTimeout
from spillway.ledger.cost import price_of
from spillway.relay.run import Job
from spillway.vocabulary import Attempt, Bill, Choice, Rates, Side, Usage

__all__ = ["Asker", "Budget", "Target", "dearest_usd"]

CONNECT_S = 5.0
PATIENCE_S = 120.0
"""Nobody waits for it, but it holds a connection and perhaps a slot."""
MAX_ANSWER_BYTES = 4 * 1024 * 1024
SECONDS_PER_DAY = 86_400


class Target(Struct, frozen=True):
    """Whom to ask, for which model."""

    upstream: str
    side: Side
    model: str


class Budget:
    """What may be spent on clouds in one day (UTC); reserved before asking, so that it is never exceeded."""

    def __init__(self, usd_per_day: Decimal, clock: Clock) -> None:
        self._limit = usd_per_day
        self._clock = clock
        self._day = self._today()
        self._spent = self._reserved = Decimal(0)

    @property
    def day_began_s(self) -> float:
        """Wall time at which today began."""
        return float(self._today() * SECONDS_PER_DAY)

    @property
    def left_usd(self) -> Decimal:
        """What may still be spent today."""
        self._turn()
        return max(Decimal(0), self._limit - self._spent - self._reserved)

    def note_spent(self, usd: Decimal) -> None:
        """What an earlier run of the gateway has spent today."""
        self._spent += usd

    def reserve(self, usd: Decimal) -> bool:
        """Whether so much is left; if so it is set aside."""
        if usd > self.left_usd:
            return False
        self._reserved += usd
        return True

    def settle(self, reserved: Decimal, spent: Decimal | None) -> None:
        """What a reservation came to, today whenever it was made; unknown counts as all of it."""
        self._turn()
        self._reserved -= reserved
        self._spent += reserved if spent is None else spent

    def _turn(self) -> None:
        today = self._today()
        if today != self._day:
            self._day, self._spent = today, Decimal(0)

    def _today(self) -> int:
        return int(self._clock.wall_s() // SECONDS_PER_DAY)


class Asker:
    """Asks in the name of one request and collects the attempts with their bills."""

    def __init__(
        self,
        fleet: Fleet,
        clock: Clock,
        bill: Callable[[Attempt], Bill],
        job: Job,
        first_index: int,
    ) -> None:
        self._fleet = fleet
        self._clock = clock
        self._bill = bill
        self._job = job
        self._next_index = first_index
        self.attempts: list[tuple[Attempt, Bill]] = []
        self.lease: Lease | None = None
        """Of the attempt that runs now."""
        self._is_sent = False
        """Whether that one has reached its upstream."""

    async def ask(self, target: Target, body: bytes) -> bytes | None:
        """The whole answer; ``None`` when there is none. The attempt is noted however it ends."""
        choice = Choice(target.upstream, target.side, target.model)
        started_s = self._clock.monotonic_s()
        try:
            self.lease = await self._fleet.admit(self._job.facts, choice, must_fit=False)
        except (QueueTimeout, BreakerOpen):
            return None
        status: int | None = None
        self._is_sent = False
        answer, error_code = b"", "abandoned"
        try:
            async with asyncio.timeout(PATIENCE_S):
                exchange = await self.lease.upstream.engine.open(
                    "chat",
                    body,
                    is_stream=False,
                    connect_s=CONNECT_S,
                    head_s=PATIENCE_S,
                    on_sent=self._note_sent,
                )
                status = exchange.status
                try:
                    answer = await exchange.body(MAX_ANSWER_BYTES, PATIENCE_S)
                finally:
                    exchange.abort()  # does nothing to a complete one
            error_code = "" if status == 200 else "upstream_failed"
        except (TimeoutError, PeerTimeout):
            error_code = "upstream_timeout"
        except WireError:
            error_code = "upstream_closed" if self._is_sent else "upstream_unreachable"
        finally:
            found = None if error_code else parse_answer(answer)
            self._note(target, started_s, status, error_code or None, found)
        return answer if found is not None and found.is_answer else None

    def _note_sent(self) -> None:
        self._is_sent = True

    def _note(
        self, target: Target, started_s: float, status: int | None, code: str | None, answer: Answer | None
    ) -> None:
        assert self.lease is not None
        usage = answer.usage.to_usage() if answer is not None and answer.usage is not None else None
        attempt = Attempt(
            index=self._next_index,
            upstream=target.upstream,
            side=target.side,
            model=target.model,
            model_reported=answer.model if answer is not None else None,
            started_s=started_s - self._job.accepted_s,
            ended_s=self._clock.monotonic_s() - self._job.accepted_s,
            status=status,
            finish_reason=answer.finish_reason if answer is not None else None,
            error_code=code,
            usage=usage,
            in_flight=self.lease.in_flight,
            kind="shadow",
            is_sent=self._is_sent,
        )
        self._next_index += 1
        self.attempts.append((attempt, self._bill(attempt)))
        if code is None:
            self.lease.succeed(usage.output_tokens if usage is not None else None)
        else:
            self.lease.release()  # a failure here must not close a way for real requests
        self.lease = None


def dearest_usd(rates: Rates, input_tokens: int, output_tokens: int) -> Decimal | None:
    """The most that a request can cost which reads and writes so many tokens; ``None`` when unknown."""
    return price_of(Usage(input_tokens, output_tokens), rates)
