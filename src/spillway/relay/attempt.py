"""One attempt at one upstream: begins when it is sent, and is noted exactly once however it ends."""

from __future__ import annotations

import asyncio
from itertools import chain, repeat
from types import TracebackType
from typing import Self

from msgspec import Struct

from spillway.clock import Clock
from spillway.engines.connection import Exchange
from spillway.engines.failures import LOADING, Failure, from_event, from_status, from_wire, nonsense
from spillway.engines.profiles import ENGINES
from spillway.engines.usage import Answer, parse_answer
from spillway.engines.wire import PeerTimeout, WireError
from spillway.fleet.registry import Lease
from spillway.relay.commit import TOO_SLOW, ClientTooSlow
from spillway.relay.request import changes_for, last_words, refused_field
from spillway.relay.run import Run
from spillway.relay.step import AttemptFailed, Step
from spillway.relay.stitch import Stitcher
from spillway.relay.tee import StreamTee
from spillway.vocabulary import Attempt, Usage

__all__ = ["Asking", "LiveAttempt"]

MAX_ANSWER_BYTES = 256 * 1024 * 1024
MAX_ERROR_BYTES = 256 * 1024
END_GRACE_S = 0.25
"""How long a finished answer waits for usage and ``[DONE]``: some servers send neither and do not hang up."""
LINGER_S = 0.05
"""How long the pieces of an answer that is held are gathered before they are looked at; its end is not waited
for."""
TICK_S = 0.005
"""Timers may be early by as much."""
LOST = frozenset({"upstream_unreachable", "upstream_closed", "upstream_cut"})
"""Failures after which another process may answer at that address."""
LOAD_POLLS_S = (0.1, 0.2, 0.4, 0.8, 1.0)
"""Pauses between questions to an upstream that loads its model; the last one repeats."""


class Asking(Struct):
    """How the upstream is asked in one attempt, beyond what the client wrote."""

    choices: int = 1
    """Answers that will come."""
    is_held: bool = False
    """Whether the client gets the answer only once it is complete."""
    is_gated: bool = False
    """Whether it is judged then."""
    may_continue: bool = False
    """Whether somebody else could go on if it breaks after the client has seen a part."""
    keeps_text: bool = False
    holds_calls: bool = False
    is_exact: bool = False
    """Whether a lost piece would make it another answer, and somebody else could give it whole."""
    wants_logprobs: bool = False
    more: dict[str, object] = {}
    """Request fields of a continuation."""
    stitcher: Stitcher | None = None
    """What joins a continuation's events to those the client has."""


class LiveAttempt:
    """An attempt while it runs: ``begin``, then ``pull`` and ``take`` until ``is_at_end``.

    As a context manager it notes whatever ends it early: a failure as such, anything else as given up.
    """

    def __init__(self, run: Run, step: Step, lease: Lease, clock: Clock, asking: Asking) -> None:
        self.run = run
        self.step = step
        self.choice = step.choice
        self.asking = asking
        self.index = run.begin_attempt()
        facts = run.job.facts
        self.streams = facts.operation != "embedding"
        self.tee = StreamTee(
            choices=asking.choices,
            keeps_text=asking.keeps_text,
            holds_calls=asking.holds_calls,
            joins_texts=not facts.is_stream,
            takes_usage=facts.is_stream and facts.wants_usage,
        )
        self.pending: list[bytes] = []
        """Events that may go to the client now."""
        self._pending_bytes = 0
        self.body = b""
        """The whole answer where it did not come as a stream."""
        self.answer: Answer | None = None
        self.is_at_end = False
        self.is_noted = False
        self._lease = lease
        self._clock = clock
        self._exchange: Exchange | None = None
        self._started_s = self._asked_s = self._progress_s = run.elapsed_s()
        self._ends_s = self._end_s()
        self._behind_s = run.client.behind_s
        self._first_token_s: float | None = None
        self._has_progressed = False
        """Whether the last bytes held something of the answer."""
        self._has_worked = False
        """Whether the upstream is known to have begun, and will bill it."""
        self._is_sent = False
        """Whether it reached the upstream at all."""
        self._is_refused = False
        """Whether its last word was not 200."""
        if run.first_sent_s is None:
            run.first_sent_s = self._started_s

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, AttemptFailed):
            error.step = self.step
        if error is None or self.is_noted:
            return
        if isinstance(error, AttemptFailed):
            self.fail(error.failure)
        else:
            self.abandon(TOO_SLOW if isinstance(error, ClientTooSlow) else self.run.abandon_code)

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The upstream's response headers."""
        return self._exchange.headers if self._exchange else []

    @property
    def prefill(self) -> str:
        """The assistant's words that end the request, where this upstream repeats them in a whole answer."""
        job, profile = self.run.job, ENGINES.get(self._lease.upstream.kind)
        if job.facts.is_stream or profile is None or not profile.echoes_prefill:
            return ""
        return last_words(job)

    @property
    def said(self) -> str:
        """The text that the client has been given by this attempt; needs ``keeps_text``."""
        stitcher = self.asking.stitcher
        return self.tee.text if stitcher is None else stitcher.text

    # sending

    async def begin(self) -> None:
        """Sends the request and waits for the first token, or for the whole answer if it comes whole."""
        try:
            exchange = self._exchange = await self._open()
            content_type = exchange.header(b"content-type") or b""
            if not self.streams or content_type.startswith(b"application/json"):
                await self._read_whole(exchange)
                return
        except WireError as error:
            raise AttemptFailed(self._broken(error)) from error
        while not self.is_at_end and not self.tee.saw_content:
            await self.pull()
        if not self.tee.saw_content:
            self.check_complete()

    async def _open(self) -> Exchange:
        """The exchange once the upstream has answered 200; asked again without what it refuses of ours."""
        engine = self._lease.upstream.engine
        dropped: set[str] = set()
        pauses_s = chain(LOAD_POLLS_S, repeat(LOAD_POLLS_S[-1]))
        while True:
            exchange, changes = await self._send(engine.refused | dropped)
            self._is_refused = exchange.status != 200
            if not self._is_refused:
                engine.refused |= dropped
                return exchange
            body = await exchange.body(MAX_ERROR_BYTES, self.run.remaining_s(self.choice.deadlines.stall_s))
            name = refused_field(exchange.status, body, changes)
            if name is not None and name not in dropped:
                dropped.add(name)
                continue
            failure = from_status(exchange.status, body, exchange.header(b"retry-after"))
            if not self._may_poll(failure):
                raise AttemptFailed(failure)
            await asyncio.sleep(next(pauses_s))

    async def _send(self, refused: set[str]) -> tuple[Exchange, dict[str, object]]:
        """Asks once; the exchange and what was changed in the client's request."""
        job, asking = self.run.job, self.asking
        is_embedding = job.facts.operation == "embedding"
        self.streams = not is_embedding and ("stream" not in refused or job.facts.is_stream)
        changes = changes_for(
            job, refused, streams=self.streams, wants_logprobs=asking.wants_logprobs, more=asking.more
        )
        self._asked_s = self.run.elapsed_s()
        self._ends_s = self._end_s()
        exchange = await self._lease.upstream.engine.open(
            job.facts.operation,
            job.payload.bytes_for(self.choice.model, changes),
            is_stream=self.streams,
            connect_s=self.run.remaining_s(self.choice.deadlines.connect_s),
            head_s=self._patience_s(),
            on_sent=self._note_sent,
        )
        return exchange, changes

    def _note_sent(self) -> None:
        self._is_sent = True

    def _end_s(self) -> float:
        """When its time is over, delivery included, in seconds since the request was accepted."""
        return min(self._asked_s + self.choice.deadlines.total_s, self.run.job.decision.total_s)

    @property
    def left_s(self) -> float:
        """What is left of its time."""
        return max(0.0, self._ends_s - self.run.elapsed_s())

    def _may_poll(self, failure: Failure) -> bool:
        """Whether to ask again soon, since the model is being loaded and nothing else is left to try."""
        waited_s = self.run.elapsed_s() - self._started_s
        limit_s = self.run.remaining_s(self.choice.deadlines.load_s - waited_s)
        return failure.code == LOADING and self.step.is_last and limit_s > LOAD_POLLS_S[0]

    # reading

    async def _read_whole(self, exchange: Exchange) -> None:
        limit_s = self.run.remaining_s(self.choice.deadlines.total_s - self._waited_s())
        body = await exchange.body(MAX_ANSWER_BYTES, limit_s)
        answer = parse_answer(body)
        self.streams, self.is_at_end = False, True
        if answer is not None and answer.error and bytes(answer.error) != b"null" and not answer.is_answer:
            raise AttemptFailed(from_event(bytes(answer.error)))
        if answer is None or not answer.is_answer:
            raise AttemptFailed(nonsense("it answered 200 without an answer in it"))
        self.body, self.answer = body, answer

    async def pull(self) -> None:
        """Reads on: ``pending`` may have grown, and ``is_at_end`` is set where the stream ends."""
        assert self._exchange is not None
        tee, exchange, patience_s = self.tee, self._exchange, self._patience_s()
        try:
            if self.asking.is_held and tee.saw_content and patience_s > LINGER_S and not tee.has_finished:
                await exchange.linger(LINGER_S)
                patience_s -= LINGER_S
            block = await exchange.read(patience_s)
        except WireError as error:
            if not tee.has_finished:
                raise AttemptFailed(self._broken(error)) from error
            block = b""  # the answer was there, only its end was not: that is told by nobody's fault
        before = tee.text_events
        released = tee.feed(block) if block else tee.finish()
        stitcher = self.asking.stitcher
        self._keep(released if stitcher is None else stitcher.feed(released))
        self.is_at_end = not block or tee.is_done
        self._has_progressed = tee.text_events > before
        if self._has_progressed:
            self._note_progress()
            if self._progress_s > self._ends_s and not tee.has_finished:
                self._run_out()
        if tee.error is not None:
            raise AttemptFailed(from_event(tee.error))
        if tee.carries_too_much or self._pending_bytes > MAX_ANSWER_BYTES:
            raise AttemptFailed(nonsense("it sent an event or an answer without an end"))

    def _broken(self, error: WireError) -> Failure:
        """The failure behind it; one that was only late has begun, and will be billed."""
        if not isinstance(error, PeerTimeout):
            return from_wire(error)
        self._has_worked = True
        now_s = self.run.elapsed_s()
        if now_s >= self._ends_s - TICK_S:
            return self._out_of_time()
        silent_s = now_s - max(self._asked_s, self._progress_s)
        return Failure("upstream_timeout", f"it sent nothing of an answer for {silent_s:.3g} s")

    def _out_of_time(self) -> Failure:
        asked_s = self.run.elapsed_s() - self._asked_s
        return Failure("upstream_timeout", f"its answer was not complete after {asked_s:.3g} s")

    def _run_out(self) -> None:
        """Its time is over while more keeps coming: the upstream's fault unless its client was waited for."""
        if self.run.client.behind_s > self._behind_s:
            raise ClientTooSlow("it had not taken its answer when the time was over")
        raise AttemptFailed(self._out_of_time())

    async def finish(self) -> None:
        """Reads to the end; ``pending`` then holds everything."""
        while not self.is_at_end:
            await self.pull()
        self.check_complete()
        self._keep(self.take_held())

    def take(self) -> bytes:
        """Events to send now."""
        pending, self.pending = self.pending, []
        self._pending_bytes = 0
        return pending[0] if len(pending) == 1 else b"".join(pending)

    def _keep(self, events: bytes) -> None:
        if events:
            self.pending.append(events)
            self._pending_bytes += len(events)

    def take_held(self) -> bytes:
        """Events of tool calls, once they are known to be complete."""
        held = b"".join(self.tee.held)
        self.tee.held.clear()
        return held if self.asking.stitcher is None else self.asking.stitcher.feed(held)

    def check_complete(self) -> None:
        """AttemptFailed unless the stream ended as answers do."""
        if not self.streams:
            return
        if not self.tee.is_complete and not self.tee.saw_content:
            raise AttemptFailed(nonsense("it answered 200 without an answer in it"))
        if not self.tee.is_complete:
            raise AttemptFailed(Failure("upstream_cut", "its stream ended before the answer was finished"))
        can_begin_anew = bool(self.tee.held) or not self.run.client.has_committed
        if self.tee.malformed_events and self.asking.is_exact and can_begin_anew:
            raise AttemptFailed(nonsense("a piece of its answer was no JSON"))

    def _note_progress(self) -> None:
        self._progress_s = self.run.elapsed_s()
        self._has_worked = True
        self._lease.output_tokens = self.tee.text_events
        if self._first_token_s is None:
            self._first_token_s = self._progress_s
            self._lease.first_token()

    def _patience_s(self) -> float:
        """How long the next bytes may take; comments that keep a connection alive are no progress."""
        deadlines = self.choice.deadlines
        if self.tee.has_finished:
            return END_GRACE_S
        if self._has_progressed:  # as nearly always, and a moment ago: no need to ask the clock again
            return min(deadlines.stall_s, max(0.001, self._ends_s - self._progress_s))
        now_s = self.run.elapsed_s()
        if not self.streams:
            limit_s = deadlines.total_s
        elif self.tee.saw_content:
            limit_s = deadlines.stall_s - (now_s - self._progress_s)
        else:
            load_s = deadlines.load_s if self._lease.upstream.is_loading else 0.0
            limit_s = deadlines.first_token_s + load_s - (now_s - self._asked_s)
        return self.run.remaining_s(min(limit_s, deadlines.total_s - (now_s - self._asked_s)))

    def _waited_s(self) -> float:
        return self.run.elapsed_s() - self._asked_s

    # endings

    def succeed(self, error_code: str | None = None) -> Attempt:
        """Notes an answer and frees the slot; ``error_code`` is that of a gate which the answer failed."""
        usage = self.usage()
        self._excuse()
        self._lease.succeed(usage.output_tokens if usage else None, usage)
        finish = self.answer.finish_reason if self.answer else self.tee.finish_reason
        return self._note(error_code, 200, usage, finish)

    def fail(self, failure: Failure) -> None:
        """Notes a failure; it is billed only for tokens the upstream is known to have produced."""
        if failure.counts_against:
            self._lease.fail(self._clock.monotonic_s(), is_lost=failure.code in LOST)
        else:
            self._lease.release()
        self._note(failure.code, failure.status, self.usage() if self._has_worked else None)

    def abandon(self, code: str) -> None:
        """Notes that nobody wants the answer any more: closing its connection tells the upstream to stop."""
        self._excuse()
        self._lease.release()
        has_cost = self._is_sent and not self._is_refused
        self._note(code, None, self.usage() if has_cost else None)

    def _excuse(self) -> None:
        """How long it took says nothing of the upstream where the client was waited for."""
        if self.run.client.behind_s > self._behind_s:
            self._lease.excuse()

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

    def usage(self) -> Usage | None:
        """Usage as reported, else estimated from what passed."""
        if self.answer is not None:
            return self.answer.usage.to_usage() if self.answer.usage else None
        if self.tee.usage is not None:
            return self.tee.usage
        return Usage(self.run.job.facts.input_tokens, self.tee.text_events, grade="estimated")

    def _note(
        self, error_code: str | None, status: int | None, usage: Usage | None, finish: str | None = None
    ) -> Attempt:
        self.is_noted = True
        exchange = self._exchange
        if exchange is not None and not exchange.is_complete and not self.tee.is_done:
            exchange.abort()
        attempt = Attempt(
            index=self.index,
            upstream=self.choice.upstream,
            side=self.choice.side,
            model=self.choice.model,
            model_reported=self.answer.model if self.answer else self.tee.model,
            started_s=self._started_s,
            first_token_s=self._first_token_s,
            ended_s=self.run.elapsed_s(),
            status=status,
            finish_reason=finish,
            error_code=error_code,
            usage=usage,
            forecast_ttft_s=self.choice.ttft_s,
            forecast_ttft_p95_s=self.choice.ttft_p95_s,
            forecast_total_p95_s=self.choice.total_p95_s,
            forecast_cached_tokens=self.choice.cached_tokens,
            in_flight=self._lease.in_flight,
            kind=self.step.kind,
            is_sent=self._is_sent,
        )
        self.run.note_attempt(attempt)
        return attempt
