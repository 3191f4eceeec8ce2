"""Plans: what goes over the wire for one answer, made from the healthy one by the fault's alteration."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from spillway.testing.answers import Answer, answer_for, error_body
from spillway.testing.bodies import embeddings_json, event, stream_events, whole_json
from spillway.testing.faults import Fault, Reply

__all__ = ["BEFORE_HEAD", "Ending", "Operation", "Plan", "plan_answer", "plan_json"]

Json = Mapping[str, Any]
Ending = Literal["complete", "fin", "reset", "stall"]
Operation = Literal["chat", "completion", "embedding"]

BEFORE_HEAD = -1
"""As ``stop_after``: stop before the status line."""
COMMENTS = 1000
"""How many comments come before a stream of nothing else falls silent."""
BODY_PARTS = 4
"""An unstreamed body is sent in so many parts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One answer as it goes over the wire."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    pieces: tuple[bytes, ...] = ()
    framing: Literal["chunked", "length", "close"] = "length"
    length_error_bytes: int = 0
    """Added to the content-length that is announced."""
    preamble: bytes = b""
    before_head_s: float = 0.0
    pauses_s: tuple[tuple[int, float], ...] = ()
    """Pairs of (piece index, seconds to wait before it)."""
    gap_s: float = 0.0
    gate_at: int | None = None
    """Piece before which to wait for a release."""
    stop_after: int | None = None
    """Pieces after which ``ending`` happens; ``None`` sends all of them."""
    stop_bytes: bytes = b""
    """Sent raw just before the ending."""
    ending: Ending = "complete"
    segment_bytes: int | None = None
    lies_about_keep_alive: bool = False
    drops_next: bool = False


def plan_answer(body: Json, operation: Operation, reply: Reply) -> Plan:
    """The plan for this request under that reply."""
    scene = _scene(body, operation, reply)
    plan = ALTERATIONS[reply.fault](scene)
    return replace(plan, headers=(*plan.headers, *reply.headers))


@dataclass(frozen=True, slots=True)
class _Scene:
    """What an alteration may look at: request, reply, the healthy answer and its plan."""

    body: Json
    reply: Reply
    answer: Answer | None
    plan: Plan

    @property
    def is_stream(self) -> bool:
        return self.plan.framing == "chunked"

    def stop(self, after: int, ending: Ending, last: bytes = b"") -> Plan:
        """Stops before the end whatever ``after`` says, so that no cut answer is complete by accident."""
        stop_after = min(after, len(self.plan.pieces) - 1)
        return replace(self.plan, stop_after=stop_after, ending=ending, stop_bytes=last)

    def streamed(self, usage: str = "asked") -> Plan:
        if self.answer is None or not self.is_stream:
            return self.plan
        return replace(self.plan, pieces=tuple(stream_events(self.answer, usage=usage)))


def _scene(body: Json, operation: str, reply: Reply) -> _Scene:
    if operation == "embedding":
        return _Scene(body, reply, None, plan_json(200, embeddings_json(body)))
    text = "" if reply.fault is Fault.EMPTY_COMPLETION else reply.text
    if reply.fault is Fault.HUGE_EVENT:
        text = "x" * reply.huge_chars
    answer = answer_for(body, is_chat=operation == "chat", text=text)
    if not body.get("stream"):
        return _Scene(body, reply, answer, plan_json(200, whole_json(answer)))
    headers = (("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "no-cache"))
    plan = Plan(headers=headers, pieces=tuple(stream_events(answer)), framing="chunked")
    return _Scene(body, reply, answer, plan)


def plan_json(status: int, payload: object, headers: tuple[tuple[str, str], ...] = ()) -> Plan:
    """A complete answer with that JSON."""
    whole = json.dumps(payload, ensure_ascii=False).encode()
    step = max(1, -(-len(whole) // BODY_PARTS))
    pieces = tuple(whole[at : at + step] for at in range(0, len(whole), step))
    return Plan(status=status, headers=(("content-type", "application/json"), *headers), pieces=pieces)


def _stop_at(after: int, ending: Ending) -> Callable[[_Scene], Plan]:
    return lambda scene: replace(scene.plan, stop_after=after, ending=ending)


def _stop_later(ending: Ending, last: bytes = b"") -> Callable[[_Scene], Plan]:
    return lambda scene: scene.stop(scene.reply.after, ending, last)


def _refuse(status: int, payload: object) -> Callable[[_Scene], Plan]:
    return lambda scene: plan_json(status, payload)


def _html(status: int) -> Callable[[_Scene], Plan]:
    page = b"<!doctype html><html><head><title>Bad gateway</title></head><body><h1>nginx</h1></body></html>"
    return lambda scene: Plan(status=status, headers=(("content-type", "text/html"),), pieces=(page,))


def _pieces(alter: Callable[[_Scene], tuple[bytes, ...]]) -> Callable[[_Scene], Plan]:
    """Alters the events of a stream and leaves an unstreamed answer alone."""
    return lambda scene: replace(scene.plan, pieces=alter(scene)) if scene.is_stream else scene.plan


def _cut_clean(scene: _Scene) -> Plan:
    return replace(scene.plan, pieces=scene.plan.pieces[: min(scene.reply.after, len(scene.plan.pieces) - 1)])


def _malformed_event(scene: _Scene) -> Plan:
    pieces, after = scene.plan.pieces, scene.reply.after
    if not scene.is_stream:
        return replace(scene.plan, pieces=pieces[:-1])
    return replace(scene.plan, pieces=(*pieces[:after], b'data: {"id": "broken", "cho\n\n', *pieces[after:]))


def _without_usage(scene: _Scene) -> Plan:
    if scene.is_stream or scene.answer is None:
        return scene.streamed("none")
    return plan_json(200, {**whole_json(scene.answer), "usage": None})


def _without_finish(scene: _Scene) -> Plan:
    if scene.answer is None:
        return scene.plan
    unfinished = replace(scene.answer, finish_reason="")
    if not scene.is_stream:
        payload = whole_json(unfinished)
        choices = [{**choice, "finish_reason": None} for choice in payload["choices"]]
        return plan_json(200, {**payload, "choices": choices})
    kept = tuple(e for e in stream_events(unfinished) if b'"finish_reason":""' not in e)
    return replace(scene.plan, pieces=kept)


def _content_filter(scene: _Scene) -> Plan:
    if scene.answer is None:
        return scene.plan
    said = tuple(pieces[: max(0, scene.reply.after - 1)] for pieces in scene.answer.pieces)
    filtered = replace(scene.answer, pieces=said, finish_reason="content_filter")
    if scene.is_stream:
        return replace(scene.plan, pieces=tuple(stream_events(filtered)))
    return plan_json(200, whole_json(filtered))


def _prefill(scene: _Scene) -> Plan:
    messages = scene.body.get("messages") or [{}]
    if messages[-1].get("role") != "assistant":
        return scene.plan
    message = "Prefilling the assistant's message is not supported for this model."
    return plan_json(400, error_body(message, "invalid_request_error", "unsupported_value"))


def _field_rejected(scene: _Scene) -> Plan:
    name = scene.reply.field
    if scene.body.get(name) in (None, False):
        return scene.plan
    message = f"Unrecognized request argument supplied: {name}"
    return plan_json(400, error_body(message, "invalid_request_error", "unknown_parameter"))


def _only_comments(scene: _Scene) -> Plan:
    if not scene.is_stream:
        return replace(scene.plan, stop_after=0, ending="stall")
    return replace(
        scene.plan, pieces=(b": keep-alive\n\n",) * COMMENTS, gap_s=scene.reply.gap_s, ending="stall"
    )


def _never_ends(scene: _Scene) -> Plan:
    pieces = scene.plan.pieces
    if not scene.is_stream:
        return scene.plan
    last = max(at for at, piece in enumerate(pieces) if b'"finish_reason":"' in piece)
    return replace(scene.plan, stop_after=last + 1, ending="stall")


def _error_events(scene: _Scene, after: int) -> Plan:
    failure = error_body(
        "The server had an error while processing your request.", "server_error", "server_error"
    )
    if not scene.is_stream:
        return plan_json(200, failure)
    return replace(scene.plan, pieces=(*scene.plan.pieces[:after], event(failure)))


def _null_content(scene: _Scene) -> tuple[bytes, ...]:
    first, *others = scene.plan.pieces
    return (first.replace(b'"content":""', b'"content":null'), *others)


def _keep_alive_trap(scene: _Scene) -> Plan:
    headers = (*scene.plan.headers, ("connection", "keep-alive"), ("keep-alive", "timeout=5, max=100"))
    return replace(scene.plan, headers=headers, lies_about_keep_alive=scene.is_stream)


def _rate_limited(scene: _Scene) -> Plan:
    return plan_json(429, RATE_LIMIT, (("retry-after", scene.reply.retry_after),))


RATE_LIMIT = error_body("Rate limit reached, please slow down.", "requests", "rate_limit_exceeded")
QUOTA = error_body("You exceeded your current quota.", "insufficient_quota", "insufficient_quota")
SERVER_ERROR = error_body("The server had an error.", "server_error", "server_error")
OVERLOADED = error_body("The server is overloaded.", "service_unavailable_error", "server_is_overloaded")
BAD_KEY = error_body("Incorrect API key provided.", "invalid_request_error", "invalid_api_key")
NO_MODEL = error_body("The model does not exist.", "invalid_request_error", "model_not_found")
BAD_VALUE = error_body("temperature is too high.", "invalid_request_error", "invalid_value")
BAD_VALUE["error"]["param"] = "temperature"
LOADING = error_body("Loading model", "unavailable_error", 503)
CONTEXT_OPENAI = error_body(
    "This model's maximum context length is 4096 tokens. However, your messages resulted in 5000 tokens.",
    "invalid_request_error",
    "context_length_exceeded",
)
CONTEXT_LLAMACPP = error_body(
    "request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it",
    "exceed_context_size_error",
    400,
    n_prompt_tokens=5000,
    n_ctx=4096,
)
FILTERED = error_body("The prompt was filtered.", "invalid_request_error", "content_filter")

EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n"
BAD_FRAMING = b"zz\r\nnot a chunk\r\n"


def _with(**changes: Any) -> Callable[[_Scene], Plan]:
    return lambda scene: replace(scene.plan, **changes)


def _healthy(scene: _Scene) -> Plan:
    return scene.plan


ALTERATIONS: Mapping[Fault, Callable[[_Scene], Plan]] = {
    Fault.HEALTHY: _healthy,
    Fault.REFUSED: _stop_at(BEFORE_HEAD, "reset"),
    Fault.RESET_BEFORE_HEADERS: _stop_at(BEFORE_HEAD, "reset"),
    Fault.CLOSED_BEFORE_HEADERS: _stop_at(BEFORE_HEAD, "fin"),
    Fault.SILENT: _stop_at(BEFORE_HEAD, "stall"),
    Fault.SLOW_HEADERS: lambda scene: replace(scene.plan, before_head_s=scene.reply.delay_s),
    Fault.HEADERS_THEN_SILENT: _stop_at(0, "stall"),
    Fault.CLOSED_AFTER_HEADERS: _stop_at(0, "fin"),
    Fault.RESET_AFTER_HEADERS: _stop_at(0, "reset"),
    Fault.SLOW_FIRST_TOKEN: lambda scene: replace(scene.plan, pauses_s=((0, scene.reply.delay_s),)),
    Fault.ROLE_THEN_SLOW: lambda scene: replace(scene.plan, pauses_s=((1, scene.reply.delay_s),)),
    Fault.SLOW_TOKENS: lambda scene: replace(scene.plan, gap_s=scene.reply.gap_s),
    Fault.HELD: lambda scene: replace(scene.plan, gate_at=min(scene.reply.after, len(scene.plan.pieces) - 1)),
    Fault.CUT: _stop_later("fin"),
    Fault.CUT_CLEAN: _cut_clean,
    Fault.RESET_MID_STREAM: _stop_later("reset"),
    Fault.STALLED: _stop_later("stall"),
    Fault.ONLY_COMMENTS: _only_comments,
    Fault.MALFORMED_EVENT: _malformed_event,
    Fault.MALFORMED_FRAMING: _stop_later("fin", BAD_FRAMING),
    Fault.MISSING_DONE: _pieces(lambda scene: scene.plan.pieces[:-1]),
    Fault.NEVER_ENDS: _never_ends,
    Fault.MISSING_FINISH: _without_finish,
    Fault.MISSING_USAGE: _without_usage,
    Fault.USAGE_ON_LAST_CHUNK: lambda scene: scene.streamed("last"),
    Fault.NULL_FIRST_CONTENT: _pieces(_null_content),
    Fault.EMPTY_COMPLETION: _healthy,
    Fault.EMPTY_BODY: _with(pieces=(), framing="length"),
    Fault.HTML_200: _html(200),
    Fault.HTML_502: _html(502),
    Fault.RATE_LIMITED: _rate_limited,
    Fault.RATE_LIMITED_NO_ADVICE: _refuse(429, RATE_LIMIT),
    Fault.OUT_OF_QUOTA: _refuse(429, QUOTA),
    Fault.UNAUTHORIZED: _refuse(401, BAD_KEY),
    Fault.MODEL_MISSING: _refuse(404, NO_MODEL),
    Fault.BAD_REQUEST: _refuse(400, BAD_VALUE),
    Fault.ERROR_500: _refuse(500, SERVER_ERROR),
    Fault.ERROR_500_ONCE: _refuse(500, SERVER_ERROR),
    Fault.UNAVAILABLE_FOR_A_WHILE: _refuse(503, OVERLOADED),
    Fault.LOADING: _refuse(503, LOADING),
    Fault.CONTEXT_OPENAI: _refuse(400, CONTEXT_OPENAI),
    Fault.CONTEXT_LLAMACPP: _refuse(400, CONTEXT_LLAMACPP),
    Fault.CONTENT_FILTER: _content_filter,
    Fault.CONTENT_FILTER_400: _refuse(400, FILTERED),
    Fault.FIELD_REJECTED: _field_rejected,
    Fault.PREFILL_REJECTED: _prefill,
    Fault.ERROR_EVENT: lambda scene: _error_events(scene, scene.reply.after),
    Fault.ERROR_FIRST_EVENT: lambda scene: _error_events(scene, 0),
    Fault.KEEP_ALIVE_TRAP: _keep_alive_trap,
    Fault.KEEP_ALIVE_RACE: _with(drops_next=True),
    Fault.LENGTH_SHORT: _with(framing="length", length_error_bytes=-10, ending="fin"),
    Fault.LENGTH_LONG: _with(framing="length", length_error_bytes=10, ending="fin"),
    Fault.LENGTH_FRAMED: _with(framing="length"),
    Fault.CLOSE_DELIMITED: _with(framing="close"),
    Fault.CRLF: _pieces(lambda scene: tuple(p.replace(b"\n", b"\r\n") for p in scene.plan.pieces)),
    Fault.SPLIT_EVENTS: lambda scene: replace(scene.plan, segment_bytes=scene.reply.segment_bytes),
    Fault.COMMENTS: _pieces(lambda scene: tuple(b": keep-alive\n\n" + p for p in scene.plan.pieces)),
    Fault.HUGE_EVENT: _healthy,
    Fault.EARLY_HINTS: _with(preamble=EARLY_HINTS),
}
