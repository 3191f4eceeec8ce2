"""One attempt at one upstream: a whole answer or a stream that has begun, or the failure."""

from __future__ import annotations

from typing import Literal

from spillway.clock import Clock
from spillway.engines.connection import Exchange
from spillway.engines.failures import Failure, from_status, from_wire, nonsense
from spillway.engines.usage import Answer, parse_answer
from spillway.engines.wire import PeerTimeout, WireError
from spillway.fleet.registry import Lease
from spillway.relay.run import Job, Run
from spillway.relay.tee import StreamTee
from spillway.vocabulary import Attempt, Choice, Usage

__all__ = ["AttemptFailed", "LiveAttempt"]

MAX_ANSWER_BYTES = 256 * 1024 * 1024
MAX_ERROR_BYTES = 256 * 1024


class AttemptFailed(Exception):
    """The attempt ended without an answer; ``failure`` says how."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.sentence)
        self.failure = failure


class LiveAttempt:
    """An attempt while it runs. Ends with ``succeed``, ``fail`` or ``abandon``, each of which notes it."""

    def __init__(self, run: Run, choice: Choice, lease: Lease, clock: Clock) -> None:
        self.run = run
        self.choice = choice
        self.tee = StreamTee(keeps_text=run.keeps_text)
        self._lease = lease
        self._clock = clock
        self._exchange: Exchange | None = None
        self._started_s = run.elapsed_s()
        self._first_token_s: float | None = None
        self._was_taken = False
        self.is_over = False
        if run.first_sent_s is None:
            run.first_sent_s = self._started_s

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The upstream's response headers."""
        return self._exchange.headers if self._exchange else []

    async def open(self) -> None:
        """Sends the request; AttemptFailed unless the upstream answers 200."""
        job, choice = self.run.job, self.choice
        engine = self._lease.upstream.engine
        try:
            exchange = self._exchange = await engine.open(
                job.facts.operation,
                job.payload,
                choice.model,
                is_stream=job.facts.is_stream,
                deadlines=choice.deadlines,
            )
            if exchange.status != 200:
                body = await exchange.body(MAX_ERROR_BYTES, self.run.remaining_s(choice.deadlines.stall_s))
                raise AttemptFailed(from_status(exchange.status, body, exchange.header(b"retry-after")))
            self._was_taken = True
        except PeerTimeout as error:
            self._was_taken = True
            raise AttemptFailed(from_wire(error)) from error
        except WireError as error:
            raise AttemptFailed(from_wire(error)) from error

    async def whole(self) -> tuple[bytes, Answer]:
        """The complete body and what it says; AttemptFailed when it is no answer."""
        body = await self._read_all()
        answer = parse_answer(body)
        if answer is None or not answer.is_answer:
            raise AttemptFailed(nonsense("it answered 200 without an answer in it"))
        return body, answer

    async def _read_all(self) -> bytes:
        assert self._exchange is not None
        try:
            return await self._exchange.body(
                MAX_ANSWER_BYTES, self.run.remaining_s(self.choice.deadlines.total_s)
            )
        except WireError as error:
            raise AttemptFailed(from_wire(error)) from error

    async def read(self) -> bytes | None:
        """The next events to release, perhaps none yet (``b""``); ``None`` at the end of the stream."""
        assert self._exchange is not None
        deadlines, tee = self.choice.deadlines, self.tee
        patience_s = deadlines.stall_s if tee.saw_content else deadlines.first_token_s - self._waited_s()
        try:
            block = await self._exchange.read(self.run.remaining_s(patience_s))
        except WireError as error:
            raise AttemptFailed(from_wire(error)) from error
        if not block:
            return None
        released = tee.feed(block)
        if self._first_token_s is None and tee.saw_content:
            self._first_token_s = self.run.elapsed_s()
            self._lease.first_token()
        self._lease.output_tokens = tee.text_events
        if tee.carries_too_much:
            raise AttemptFailed(nonsense("it sent an event without an end"))
        return released

    def succeed(self, usage: Usage | None, model_reported: str | None, finish_reason: str | None) -> Attempt:
        """Notes a good end and frees the slot."""
        attempt = self._attempt(None, 200, usage, model_reported, finish_reason)
        self._lease.succeed(usage.output_tokens if usage else None)
        self._end()
        return attempt

    def fail(self, failure: Failure) -> Attempt:
        """Notes a failure; it is billed only for tokens the upstream is known to have produced."""
        attempt = self._attempt(failure.code, failure.status, self.seen_usage(), self.tee.model, None)
        if failure.counts_against:
            self._lease.fail(self._clock.monotonic_s())
        else:
            self._lease.release()
        self._end()
        return attempt

    def abandon(self) -> Attempt:
        """Notes that nobody wants the answer any more: closing its connection tells the upstream to stop."""
        attempt = self._attempt("client_closed", None, self.seen_usage(), self.tee.model, None)
        self._lease.release()
        self._end()
        return attempt

    async def drain(self) -> None:
        """Lets a finished stream end on the wire, so that its connection can be used again."""
        exchange = self._exchange
        if exchange is None or exchange.is_complete or not exchange.may_reuse:
            return
        try:
            while await exchange.read(0.05):
                pass
        except WireError:
            pass
        finally:
            exchange.abort()  # does nothing to a complete one

    def seen_usage(self) -> Usage | None:
        """Usage as reported, else estimated from what passed; ``None`` when the upstream did no work.

        An upstream that took the request and then fell silent has read the prompt, and will bill it.
        """
        tee, facts = self.tee, self.run.job.facts
        if tee.usage is not None:
            return tee.usage
        if tee.text_events == 0 and not self._was_taken:
            return None
        return Usage(facts.input_tokens, tee.text_events, grade="estimated")

    def _end(self) -> None:
        self.is_over = True
        if self._exchange is not None and not self._exchange.is_complete and not self.tee.is_done:
            self._exchange.abort()

    def _waited_s(self) -> float:
        return self.run.elapsed_s() - self._started_s

    def _attempt(
        self,
        error_code: str | None,
        status: int | None,
        usage: Usage | None,
        model_reported: str | None,
        finish_reason: str | None,
    ) -> Attempt:
        index = len(self.run.attempts)
        return Attempt(
            index=index,
            upstream=self.choice.upstream,
            side=self.choice.side,
            model=self.choice.model,
            model_reported=model_reported,
            started_s=self._started_s,
            first_token_s=self._first_token_s,
            ended_s=self.run.elapsed_s(),
            status=status,
            finish_reason=finish_reason,
            error_code=error_code,
            usage=usage,
            in_flight=self._lease.in_flight,
            kind=_kind(self.run.job, self.choice, index),
        )


def _kind(job: Job, choice: Choice, index: int) -> Literal["first", "failover"]:
    return "first" if index == 0 else "failover"
