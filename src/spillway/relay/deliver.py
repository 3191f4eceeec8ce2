"""Brings the answer of an attempt that has begun to the client: as it comes, or whole once it is complete."""

from __future__ import annotations

from typing import Any

import msgspec

from spillway.engines.failures import Failure, nonsense
from spillway.engines.usage import with_cost
from spillway.errors import GatewayStopping, RequestError, UpstreamCut
from spillway.relay.assemble import assemble, usage_json, without_logprobs
from spillway.relay.attempt import LiveAttempt
from spillway.relay.headers import cost_fields, response_headers, usd
from spillway.relay.run import Run, total_usd
from spillway.relay.seam import Seam, plus
from spillway.relay.step import AttemptFailed
from spillway.relay.verifier import Watch
from spillway.vocabulary import Attempt, Choice, Usage

__all__ = ["Held", "break_off", "give_up", "hold", "pass_on", "release", "stop"]

EVENT_STREAM = b"text/event-stream; charset=utf-8"
JSON = b"application/json"
DONE = b"data: [DONE]\n\n"


# as it comes


OPENING_S = 0.3
"""Longest time an answer's opening is kept back to be judged: what that finds is rare, and callers wait."""


async def pass_on(run: Run, live: LiveAttempt, watch: Watch | None = None) -> bool:
    """Passes events on as they come; the first ones wait until the answer has really begun.

    ``watch`` looks at the text on its way; what it turns down before the client has seen anything is asked
    of somebody else, and later on somebody else continues. False where the answer was whole before it had
    shown enough to pass: nothing of it was sent, so that all of it can be judged at no cost.
    """
    client, began_s, seen = run.client, run.elapsed_s(), 0
    client.wait_at_most(live.left_s)
    try:
        while True:
            if watch is not None:
                seen = _heed(watch, live, seen)
            may_begin = watch is None or watch.is_opening_judged or run.elapsed_s() - began_s > OPENING_S
            if live.tee.released_content and may_begin and not client.has_committed:
                await _commit(run, live)
            if live.is_at_end:
                break
            if client.has_committed and live.pending:
                await client.write(live.take())
            await live.pull()
        live.check_complete()
    except AttemptFailed as error:
        if client.has_committed:
            await _leave_seam(run, live, error.failure)
        raise
    if watch is not None and not client.has_committed:
        return False
    await _end(run, live)
    return True


def _heed(watch: Watch, live: LiveAttempt, seen: int) -> int:
    """Shows the watch the text since character ``seen``; AttemptFailed when it turns the answer down."""
    text = live.tee.text
    code = watch.feed(text[seen:]) if len(text) > seen else None
    if code is not None:
        raise AttemptFailed(
            Failure(code, "its answer failed a check", counts_against=False, status=200, is_verdict=True)
        )
    return len(text)


async def _commit(run: Run, live: LiveAttempt) -> None:
    if run.ttft_s is None:
        run.ttft_s = run.elapsed_s()
    headers = response_headers(run, live.choice, live.headers, EVENT_STREAM)
    headers.append((b"cache-control", b"no-cache"))
    await run.client.begin(200, headers)


async def _leave_seam(run: Run, live: LiveAttempt, failure: Failure) -> None:
    """Sends what had arrived before the break, and remembers where an alternate has to go on."""
    if live.pending:
        await run.client.write(live.take())
    before, seam = run.seam, None
    if live.asking.may_continue:
        usage = live.usage() or Usage()
        text = live.said if before is None else before.text + live.said
        identifier = live.tee.identifier if before is None else before.identifier
        usage = usage if before is None else plus(before.usage, usage)
        seam = Seam(text, identifier, usage, live.choice.upstream, failure.code)
    run.seam = seam


async def _end(run: Run, live: LiveAttempt) -> None:
    """Settles the request, then lets go of the end of the stream."""
    tail = live.take() + live.take_held()
    attempt = live.succeed()
    if run.seam is not None:
        run.note_event("continued")
    tail += usage_event(run, live, attempt) + DONE
    if not run.client.has_committed:
        await _commit(run, live)
    text = live.said if run.seam is None else run.seam.text + live.said
    kept = text if run.keeps_text else None
    await run.settle("ok", 200, answer_bytes=run.client.bytes_sent + len(tail), text=kept)
    await run.client.end(tail)
    await live.drain()


def usage_event(run: Run, live: LiveAttempt, attempt: Attempt) -> bytes:
    """The usage chunk with the cost in it; empty when the client did not ask for it."""
    if not run.job.facts.wants_usage:
        return b""
    usage = attempt.usage
    if run.seam is not None and usage is not None:
        usage = plus(run.seam.usage, usage)
    chunk = live.tee.held_usage or live.tee.end_usage or _bare_chunk(run, live)
    fields = msgspec.json.decode(chunk)
    fields["usage"] = {
        **(usage_json(fields.get("usage"), usage) or {}),
        **cost_fields(run, live.choice, usage),
    }
    if run.seam is not None and run.seam.identifier is not None:
        fields["id"] = run.seam.identifier
    return b"data: " + msgspec.json.encode(fields) + b"\n\n"


def _bare_chunk(run: Run, live: LiveAttempt) -> bytes:
    """A chunk for the usage of an upstream that sent none."""
    kind = "chat.completion.chunk" if run.job.facts.operation == "chat" else "text_completion"
    created_s = int(run.job.accepted_wall_s)
    identifier, model = live.tee.identifier or run.job.facts.request_id, live.tee.model or live.choice.model
    return msgspec.json.encode(
        {"id": identifier, "object": kind, "created": created_s, "model": model, "choices": []}
    )


# whole


class Held:
    """A complete answer that the client has not seen yet."""

    def __init__(self, run: Run, live: LiveAttempt) -> None:
        self.live = live
        self.choice = live.choice
        self._run = run
        self._events = live.take()
        self._whole: dict[str, Any] | None = None
        self.held_s = 0.0
        """How long the client waited for the rest after the first token had come."""

    @property
    def body(self) -> bytes:
        """The unstreamed answer, as the upstream would have sent it."""
        return self.live.body or msgspec.json.encode(self._assembled())

    def put_together(self) -> None:
        """AttemptFailed when the events make no answer, while others can still be asked."""
        if not self.live.body:
            self._assembled()

    def _assembled(self) -> dict[str, Any]:
        if self._whole is None:
            tee = self.live.tee
            try:
                whole = assemble(self._events, self._run.job.facts.operation, tee.held_usage)
            except (msgspec.MsgspecError, AttributeError, TypeError, KeyError) as error:
                raise AttemptFailed(nonsense("its events make no answer")) from error
            _put_usage(whole, self.live.usage(), self.live.prefill)
            self._whole = whole
        return self._whole

    def body_for_client(self, fields: dict[str, Any] | None) -> bytes:
        """The body less what only we had asked for, with the cost where the client wants it."""
        if self.live.body:
            return with_cost(self.live.body, fields) if fields else self.live.body
        whole = self._assembled()
        if self.live.asking.wants_logprobs:
            whole = without_logprobs(whole)
        if fields:
            whole = {**whole, "usage": {**(whole.get("usage") or {}), **fields}}
        return msgspec.json.encode(whole)

    def events_for_client(self) -> bytes:
        """The original events, less log-probabilities that only we had asked for."""
        if not self.live.asking.wants_logprobs:
            return self._events
        return _without_logprobs(self._events)


async def hold(run: Run, live: LiveAttempt, watch: Watch | None = None) -> Held:
    """The whole answer; AttemptFailed when it breaks or makes no sense, or ``watch`` turns it down."""
    first_s, seen = run.elapsed_s(), 0
    while watch is not None and live.streams and not live.is_at_end:
        await live.pull()
        seen = _heed(watch, live, seen)
    if live.streams:
        await live.finish()
    held = Held(run, live)
    held.held_s = run.elapsed_s() - first_s
    if not run.job.facts.is_stream:
        held.put_together()
    return held


async def release(run: Run, held: Held, attempt: Attempt) -> None:
    """Settles the request and sends the answer in the form that was asked for."""
    live, facts = held.live, run.job.facts
    if facts.is_stream:
        data = held.events_for_client() + usage_event(run, live, attempt) + DONE
    else:
        fields = cost_fields(run, held.choice, attempt.usage) if facts.wants_usage else None
        data = held.body_for_client(fields)
    if facts.is_stream and run.ttft_s is None:
        run.ttft_s = run.elapsed_s()
    headers = response_headers(run, held.choice, live.headers, EVENT_STREAM if facts.is_stream else JSON)
    headers.append((b"x-spillway-cost-usd", usd(total_usd(run.bills))))
    if facts.is_stream:
        headers.append((b"cache-control", b"no-cache"))
        headers.append((b"x-spillway-held-ms", b"%.1f" % (1000 * held.held_s)))
    else:
        headers.append((b"content-length", b"%d" % len(data)))
    text = (live.tee.text if facts.is_stream else data.decode("utf-8", "replace")) if run.keeps_text else None
    await run.settle("ok", 200, answer_bytes=len(data), text=text)
    await run.client.begin(200, headers)
    await run.client.end(data)
    await live.drain()


def _put_usage(whole: dict[str, Any], usage: Usage | None, prefill: str) -> None:
    counted = usage_json(whole.get("usage"), usage)
    if counted is not None:
        whole["usage"] = counted
    if prefill and whole["choices"] and isinstance(whole["choices"][0].get("message"), dict):
        message = whole["choices"][0]["message"]
        message["content"] = prefill + (message.get("content") or "")


def _without_logprobs(events: bytes) -> bytes:
    kept = []
    for event in events.split(b"\n\n"):
        if event.startswith(b"data: ") and b'"logprobs"' in event:
            chunk = without_logprobs(msgspec.json.decode(event[6:]))
            event = b"data: " + msgspec.json.encode(chunk)
        kept.append(event)
    return b"\n\n".join(kept)


# not at all


async def break_off(run: Run, choice: Choice, failure: Failure) -> None:
    """Ends a stream that cannot go on with an error in-band, never as if it were complete."""
    error = UpstreamCut(
        f"{choice.upstream}: {failure.sentence}; the answer above is incomplete",
        code=failure.code,
        upstream=choice.upstream,
    )
    await run.settle("cut", 200, error.code)
    await run.client.end(_error_event(error))


async def stop(run: Run) -> None:
    """Ends a request that the gateway cannot wait for any longer; GatewayStopping where nothing was sent."""
    client = run.client
    error = GatewayStopping("the gateway is stopping and the answer is not complete: send the request again")
    run.note_unfinished("cut" if client.has_committed else "error", error.code, error.status)
    if not client.has_committed:
        raise error
    if client.line.is_full or not run.job.facts.is_stream:
        await client.line.hang_up()
    else:
        await client.end(_error_event(error))


def _error_event(error: RequestError) -> bytes:
    return b"data: " + msgspec.json.encode(error.to_body()) + b"\n\n"


async def give_up(run: Run, choice: Choice, failure: Failure) -> None:
    """Returns the upstream's own error when it is about the request, else raises ours."""
    if failure.body is not None and failure.status is not None:
        headers = response_headers(run, choice, [], JSON)
        headers.append((b"content-length", b"%d" % len(failure.body)))
        await run.settle("error", failure.status, failure.code)
        await run.client.begin(failure.status, headers)
        await run.client.end(failure.body)
        return
    error = failure.to_error(choice.upstream)
    error.attempts = run.started
    await run.settle("error", error.status, error.code)
    raise error
