"""Follows a decision: tries its choices in order until one answers, and passes that answer on."""

from __future__ import annotations

import asyncio

import msgspec

from spillway.clock import Clock
from spillway.engines.failures import Failure, no_slot
from spillway.engines.usage import with_cost
from spillway.errors import UpstreamCut
from spillway.fleet.registry import Fleet, QueueTimeout
from spillway.relay.attempt import AttemptFailed, LiveAttempt
from spillway.relay.books import Books
from spillway.relay.commit import Client
from spillway.relay.headers import cost_fields, response_headers, usd
from spillway.relay.run import Job, Run, total_usd
from spillway.vocabulary import Choice

__all__ = ["Relay"]

EVENT_STREAM = b"text/event-stream; charset=utf-8"


class Relay:
    """Carries out decisions. It follows them and never chooses."""

    def __init__(self, fleet: Fleet, books: Books, clock: Clock) -> None:
        self._fleet = fleet
        self._books = books
        self._clock = clock

    async def carry_out(self, job: Job, client: Client) -> None:
        """Answers the client, from the first choice that can; UpstreamFailed when none could.

        A failure is passed over only while the client has seen nothing. When the client hangs up, the task is
        cancelled, the upstream's connection closed, and the request recorded as far as it went.
        """
        run = Run(job, client, self._books, self._clock)
        failure: Failure | None = None
        choice = job.decision.choices[0]
        for choice in job.decision.choices[: job.decision.max_attempts]:
            failure = await self._attempt(run, choice)
            if failure is None:
                return
            if not failure.may_fail_over or run.elapsed_s() >= job.decision.total_s:
                break
        assert failure is not None
        await _give_up(run, choice, failure)

    async def _attempt(self, run: Run, choice: Choice) -> Failure | None:
        """One try; ``None`` when the client was answered, well or with an in-band error."""
        try:
            lease = await self._fleet.admit(run.job.facts, choice)
        except QueueTimeout as full:
            return no_slot(full.retry_after_s)
        except asyncio.CancelledError:
            run.note_unfinished("cancelled", "client_closed", 499)
            raise
        live = LiveAttempt(run, choice, lease, self._clock)
        try:
            await live.open()
            if run.job.facts.is_stream:
                await _relay_stream(run, live)
            else:
                await _relay_whole(run, live)
        except AttemptFailed as error:
            run.note_attempt(live.fail(error.failure))
            if not run.client.has_committed:
                return error.failure
            await _break_off(run, choice, error.failure)
        except BaseException as error:
            if not live.is_over:
                run.note_attempt(live.abandon())
            if isinstance(error, asyncio.CancelledError):
                run.note_unfinished("cancelled", "client_closed", 499)
            else:
                run.note_unfinished("error", "internal_error", 500)
            raise
        return None


async def _relay_whole(run: Run, live: LiveAttempt) -> None:
    body, answer = await live.whole()
    usage = answer.usage.to_usage() if answer.usage else None
    bill = run.note_attempt(live.succeed(usage, answer.model, answer.finish_reason))
    if run.job.facts.wants_usage:
        body = with_cost(body, cost_fields(run, live.choice, bill))
    headers = response_headers(run, live.choice, live.headers, b"application/json")
    headers.append((b"content-length", b"%d" % len(body)))
    headers.append((b"x-spillway-attempts", b"%d" % len(run.attempts)))
    headers.append((b"x-spillway-cost-usd", usd(total_usd(run.bills))))
    text = body.decode("utf-8", "replace") if run.keeps_text else None
    await run.settle("ok", 200, answer_bytes=len(body), text=text)
    await run.client.begin(200, headers)
    await run.client.end(body)


async def _relay_stream(run: Run, live: LiveAttempt) -> None:
    """Passes events on as they come; the first ones wait until the answer has really begun."""
    tee, client = live.tee, run.client
    pending = b""
    while not tee.is_done:
        events = await live.read()
        has_ended = events is None
        pending += tee.finish() if events is None else events
        if not client.has_committed and (tee.saw_content or tee.is_complete) and tee.error is None:
            await _commit_stream(run, live)
        if client.has_committed and pending and not tee.is_done:
            await client.write(pending)
            pending = b""
        if tee.error is not None:
            raise AttemptFailed(Failure("upstream_failed", "it reported an error in its stream"))
        if has_ended:
            break
    await _end_stream(run, live, pending)


async def _commit_stream(run: Run, live: LiveAttempt) -> None:
    run.ttft_s = run.elapsed_s()
    headers = response_headers(run, live.choice, live.headers, EVENT_STREAM)
    headers.append((b"cache-control", b"no-cache"))
    headers.append((b"x-spillway-attempts", b"%d" % (len(run.attempts) + 1)))
    await run.client.begin(200, headers)


async def _end_stream(run: Run, live: LiveAttempt, pending: bytes) -> None:
    tee = live.tee
    if not tee.is_complete:
        raise AttemptFailed(Failure("upstream_cut", "its stream ended before the answer was finished"))
    bill = run.note_attempt(live.succeed(live.seen_usage(), tee.model, tee.finish_reason))
    tail = pending
    if tee.held_usage is not None and run.job.facts.wants_usage:
        tail += b"data: " + with_cost(tee.held_usage, cost_fields(run, live.choice, bill)) + b"\n\n"
    tail += b"data: [DONE]\n\n"
    text = None if tee.text is None else "".join(tee.text)
    await run.settle("ok", 200, answer_bytes=run.client.bytes_sent + len(tail), text=text)
    await run.client.end(tail)
    await live.drain()


async def _break_off(run: Run, choice: Choice, failure: Failure) -> None:
    """Ends a stream that cannot go on with an error in-band, never as if it were complete."""
    error = UpstreamCut(
        f"{choice.upstream}: {failure.sentence}; the answer above is incomplete",
        code=failure.code,
        upstream=choice.upstream,
    )
    await run.settle("cut", 200, error.code)
    await run.client.end(b"data: " + msgspec.json.encode(error.to_body()) + b"\n\n")


async def _give_up(run: Run, choice: Choice, failure: Failure) -> None:
    """Returns the upstream's own error when it is about the request, else raises ours."""
    if failure.body is not None and failure.status is not None:
        headers = response_headers(run, choice, [], b"application/json")
        headers.append((b"content-length", b"%d" % len(failure.body)))
        headers.append((b"x-spillway-attempts", b"%d" % len(run.attempts)))
        await run.settle("error", failure.status, failure.code)
        await run.client.begin(failure.status, headers)
        await run.client.end(failure.body)
        return
    error = failure.to_error(choice.upstream)
    await run.settle("error", error.status, error.code)
    raise error
