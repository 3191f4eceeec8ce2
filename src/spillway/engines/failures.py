"""Everything that can go wrong at an upstream, mapped once: what to tell the caller, and whether to go on."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from spillway.engines.wire import ConnectFailed, PeerClosed, PeerMalformed, PeerTimeout, WireError
from spillway.errors import NodeBusy, UpstreamBusy, UpstreamFailed, UpstreamLoading, UpstreamTimeout

__all__ = ["Failure", "from_status", "from_wire", "no_slot", "nonsense"]


LEAVES: dict[str, type[UpstreamFailed]] = {
    leaf.default_code: leaf for leaf in (NodeBusy, UpstreamTimeout, UpstreamBusy, UpstreamLoading)
}
"""Failures that the caller gets with a status of their own."""


UNKNOWN_WAIT_S = 5.0
"""When to come back to a node of which no times are known (guess)."""
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


def from_status(status: int, body: bytes, retry_after: bytes | None) -> Failure:
    """The failure behind a complete answer whose status is not 200.

    Authentication and unknown models are faults of this upstream's configuration, so another may do; an
    overlong prompt may fit elsewhere; any other 4xx is the caller's own and is returned as it came.
    """
    code = _code_of(body)
    if code in _CONTEXT_CODES or (status == 400 and b"context" in body and b"length" in body):
        return _callers(
            "context_length_exceeded", "the prompt is too long for it", status, body, elsewhere=True
        )
    if status == 404:
        said = "it does not know the model or route (404)"
        return _callers("upstream_unknown_model", said, status, body, elsewhere=True)
    advice_s = _seconds(retry_after)
    if status == 429:
        return _passing("upstream_rate_limited", "it limits our rate (429)", status, advice_s)
    if status == 503 and b"oading" in body:
        return _passing("upstream_loading", "it is loading its model (503)", status, advice_s)
    if status in (401, 403):
        said = f"it refuses our key ({status}): check its api_key"
        return Failure("upstream_refused_key", said, status=status)
    if status >= 500 or status in (408, 409) or status < 400:
        return Failure("upstream_failed", f"it answered {status}", retry_after_s=advice_s, status=status)
    return _callers(code or "upstream_rejected", f"it rejects the request ({status})", status, body)


def _callers(code: str, sentence: str, status: int, body: bytes, *, elsewhere: bool = False) -> Failure:
    """The request's own fault: the upstream is well, and its answer says more than ours would."""
    return Failure(code, sentence, elsewhere, False, status=status, body=body)


def _passing(code: str, sentence: str, status: int, retry_after_s: float | None) -> Failure:
    """A state that passes by itself and tells nothing about the upstream's health."""
    return Failure(code, sentence, counts_against=False, retry_after_s=retry_after_s, status=status)


_CONTEXT_CODES = frozenset({"context_length_exceeded", "exceed_context_size_error"})


def _code_of(body: bytes) -> str | None:
    try:
        error: Any = msgspec.json.decode(body).get("error")
        code = error.get("code") if isinstance(error.get("code"), str) else error.get("type")
    except (msgspec.MsgspecError, AttributeError, RecursionError):
        return None
    return code if isinstance(code, str) else None


def _seconds(value: bytes | None) -> float | None:
    try:
        return max(0.0, float(value)) if value is not None else None
    except ValueError:
        return None  # an HTTP date: rare, and only advice
