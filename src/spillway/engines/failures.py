"""Everything that can go wrong at an upstream, mapped once: what to tell the caller, and whether to go on."""

from __future__ import annotations

import math
import re
import time
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec
from msgspec import Struct

from spillway.engines.wire import ConnectFailed, PeerClosed, PeerMalformed, PeerTimeout, WireError
from spillway.errors import (
    NodeBusy,
    UpstreamBusy,
    UpstreamFailed,
    UpstreamLoading,
    UpstreamResting,
    UpstreamTimeout,
    UpstreamUnfit,
)

__all__ = [
    "CONTEXT",
    "LOADING",
    "RATE_LIMITED",
    "Failure",
    "from_event",
    "from_status",
    "from_wire",
    "left_alone",
    "no_slot",
    "nonsense",
    "unfit",
]

CONTEXT = "context_length_exceeded"
LOADING = "upstream_loading"
RATE_LIMITED = "upstream_rate_limited"

LEAVES: dict[str, type[UpstreamFailed]] = {
    leaf.default_code: leaf
    for leaf in (NodeBusy, UpstreamTimeout, UpstreamBusy, UpstreamLoading, UpstreamResting, UpstreamUnfit)
}
"""Failures that the caller gets with a status of their own."""
LEAVES["upstream_out_of_quota"] = UpstreamBusy


UNKNOWN_WAIT_S = 5.0
"""When to come back to a node of which no times are known, or which has changed (guess)."""
LEAST_WAIT_S = 1.0
"""``Retry-After`` counts whole seconds."""


class Failure(Struct, frozen=True):
    """One failed attempt."""

    code: str
    """Stable, from the gateway's own list."""
    sentence: str
    """What happened, for a person; no prompt text."""
    may_fail_over: bool = True
    """Whether another upstream might do better; a bad request is bad everywhere."""
    counts_against: bool = True
    """Whether it tells something about the upstream's health."""
    retry_after_s: float | None = None
    status: int | None = None
    body: bytes | None = None
    """The upstream's own error body, kept when it is to be returned as it is."""
    context_tokens: int | None = None
    """The context that was too small, where the upstream says it."""
    is_verdict: bool = False
    """Whether it answered, and the answer failed a gate."""

    def to_error(self, upstream: str) -> UpstreamFailed:
        """The error the caller gets when nothing else is left to try."""
        leaf = LEAVES.get(self.code, UpstreamFailed)
        return leaf(
            f"{upstream}: {self.sentence}",
            code=self.code,
            upstream=upstream,
            retry_after_s=self.retry_after_s,
        )


def from_wire(error: WireError) -> Failure:
    """The failure behind an exchange that got no complete answer."""
    match error:
        case ConnectFailed():
            return Failure("upstream_unreachable", str(error))
        case PeerTimeout():
            return Failure("upstream_timeout", str(error))
        case PeerClosed():
            return Failure("upstream_closed", str(error))
        case PeerMalformed():
            return Failure("upstream_malformed", str(error))
        case _:
            return Failure("upstream_failed", str(error))


def nonsense(what: str) -> Failure:
    """The failure of a 200 that holds no answer."""
    return Failure("upstream_malformed", what)


def no_slot(retry_after_s: float | None) -> Failure:
    """The failure of a request for which no slot of the node came free; nothing was sent."""
    sentence = "all its slots are taken, and none came free in time"
    advice_s = UNKNOWN_WAIT_S if retry_after_s is None else max(retry_after_s, LEAST_WAIT_S)
    return Failure("node_busy", sentence, counts_against=False, retry_after_s=advice_s)


def left_alone(retry_after_s: float) -> Failure:
    """The failure of an upstream that was not asked, since its breaker is open."""
    sentence = "it failed repeatedly and is left alone for a moment"
    return Failure("upstream_resting", sentence, counts_against=False, retry_after_s=retry_after_s)


def unfit(sentence: str) -> Failure:
    """The failure of an upstream that was not asked, since it changed after it was chosen."""
    return Failure("upstream_unfit", sentence, counts_against=False, retry_after_s=UNKNOWN_WAIT_S)


def from_status(status: int, body: bytes, retry_after: bytes | None = None) -> Failure:
    """The failure behind a complete answer whose status is not 200.

    Authentication and unknown models are faults of this upstream's configuration, so another may do; an
    overlong prompt may fit elsewhere; a refusal on content grounds is not taken elsewhere, and any other 4xx
    is the caller's own: both are returned as they came.
    """
    error = _error_of(body)
    code = _code_of(error)
    if code in _CONTEXT_CODES or (status == 400 and b"context" in body and b"length" in body):
        said = "the prompt is too long for it"
        return _callers(CONTEXT, said, status, body, elsewhere=True, context_tokens=_context_of(error))
    if code in _POLICY_CODES or _POLICY_CODES & {str(error.get("type")), _inner_code(error)}:
        return _callers(code or "content_filter", f"it refuses the content ({status})", status, body)
    if status == 404:
        said = "it does not know the model or route (404)"
        return _callers("upstream_unknown_model", said, status, body, elsewhere=True)
    advice_s = _seconds(retry_after)
    if status == 429 and _QUOTA & {code, error.get("type")}:
        return _passing("upstream_out_of_quota", "our quota there is used up (429)", status, advice_s)
    if status == 429:
        return _passing(RATE_LIMITED, "it limits our rate (429)", status, advice_s)
    if status == 503 and b"oading" in body:
        return _passing(LOADING, "it is loading its model (503)", status, advice_s)
    if status in (401, 403):
        said = f"it refuses our key ({status}): check its api_key"
        return Failure("upstream_refused_key", said, status=status)
    if status >= 500 or status in (408, 409) or status < 400:
        return Failure("upstream_failed", f"it answered {status}", retry_after_s=advice_s, status=status)
    return _callers(code or "upstream_rejected", f"it rejects the request ({status})", status, body)


def from_event(error: bytes) -> Failure:
    """The failure behind an ``error`` object inside a 200, a stream's event or a whole body."""
    body = b'{"error":' + error + b"}"
    said = _error_of(body)
    code = said.get("code")
    status = code if isinstance(code, int) and 400 <= code < 600 else None
    if status is None and _code_of(said) in _CONTEXT_CODES | _POLICY_CODES:
        status = 400
    if status is not None:
        return from_status(status, body)
    return Failure("upstream_failed", "it reported an error inside its answer")


def _callers(
    code: str,
    sentence: str,
    status: int,
    body: bytes,
    *,
    elsewhere: bool = False,
    context_tokens: int | None = None,
) -> Failure:
    """The request's own fault: the upstream is well, and its answer says more than ours would."""
    return Failure(code, sentence, elsewhere, False, None, status, body, context_tokens)


def _passing(code: str, sentence: str, status: int, retry_after_s: float | None) -> Failure:
    """A state that passes by itself and tells nothing about the upstream's health."""
    return Failure(code, sentence, counts_against=False, retry_after_s=retry_after_s, status=status)


_CONTEXT_CODES = frozenset({CONTEXT, "exceed_context_size_error"})
_POLICY_CODES = frozenset(
    {
        *("content_filter", "content_policy_violation", "content_policy", "moderation_blocked"),
        *("ResponsibleAIPolicyViolation", "safety", "moderation_error"),
    }
)
_QUOTA = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
_MAXIMUM = re.compile(r"maximum context length (?:of|is) (\d+)")


def _error_of(body: bytes) -> dict[str, Any]:
    """The error object of a body; empty when there is none."""
    try:
        error = msgspec.json.decode(body).get("error")
    except (msgspec.MsgspecError, AttributeError, UnicodeDecodeError, RecursionError):
        return {}
    return error if isinstance(error, dict) else {}


def _code_of(error: dict[str, Any]) -> str | None:
    code = error.get("code") if isinstance(error.get("code"), str) else error.get("type")
    return code if isinstance(code, str) else None


def _inner_code(error: dict[str, Any]) -> str:
    """Azure's own code for a refusal."""
    inner = error.get("innererror")
    return str(inner.get("code")) if isinstance(inner, dict) else ""


def _context_of(error: dict[str, Any]) -> int | None:
    """llama.cpp says it in a field, OpenAI and vLLM in the sentence."""
    if isinstance(error.get("n_ctx"), int):
        return int(error["n_ctx"])
    found = _MAXIMUM.search(str(error.get("message")))
    return int(found[1]) if found else None


def _seconds(value: bytes | None) -> float | None:
    """``Retry-After`` as seconds from now: a number, or a date; ``None`` when it is neither."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        pass
    else:
        return max(0.0, seconds) if math.isfinite(seconds) else None
    try:
        moment = parsedate_to_datetime(value.decode("latin-1"))
    except ValueError:
        return None
    return max(0.0, moment.timestamp() - time.time())
