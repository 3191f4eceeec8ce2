"""Everything spillway can refuse or fail with.

::

    SpillwayError
    ├── ConfigError                 a setting is wrong: file, key and what to write instead     exit code 2
    ├── WorkloadError               usage that cannot be planned with, and what to do           exit code 2
    ├── EngineUnavailable           the embedded engine cannot run here, and why                 exit code 1
    ├── MeasureFailed               a live node cannot be measured, and what to do               exit code 1
    ├── LedgerError                 the ledger cannot be opened or read, and what to do          exit code 1
    │   └── NoLedger                what was named is no ledger, and what to name instead        exit code 2
    ├── LockError                   spillway.lock is wrong: file, line or key, and what to do    exit code 2
    └── RequestError                one request ends with an OpenAI-shaped error
        ├── InvalidRequest          400  the body or a header is wrong; names the field
        │   ├── ContextTooLong      400  no upstream holds prompt and answer
        │   └── CapabilityMissing   400  no upstream of that name can do what is asked
        ├── Unauthorized            401
        ├── NotFound                404  no such route
        ├── ModelNotFound           404  no upstream serves that name
        ├── MethodNotAllowed        405
        ├── BodyTimeout             408  the client stopped sending
        ├── BodyTooLarge            413
        ├── NoUpstream              503  everything that could answer is down
        ├── GatewayStopping         503  the gateway was told to stop before the answer was whole
        ├── PinUnsatisfiable        503  it had to stay local and could not; never sent to a cloud
        ├── UpstreamFailed          502  the fault of the upstream named in it
        │   ├── NodeBusy            429  no slot came free in time; says when one should
        │   ├── UpstreamUnfit       503  it changed before it was asked, and may not answer now
        │   ├── UpstreamTimeout     504
        │   └── UpstreamCut         502  an answer that began and never finished (always in-band)
        └── InternalError           500

A leaf knows its HTTP status, its OpenAI ``type`` and its stable ``code``; ``api.envelope`` makes the body.
Messages never hold prompt text or secrets.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "BodyTimeout",
    "BodyTooLarge",
    "CapabilityMissing",
    "ConfigError",
    "ContextTooLong",
    "EngineUnavailable",
    "GatewayStopping",
    "InternalError",
    "InvalidRequest",
    "LedgerError",
    "LockError",
    "MeasureFailed",
    "MethodNotAllowed",
    "ModelNotFound",
    "NoLedger",
    "NoUpstream",
    "NodeBusy",
    "NotFound",
    "PinUnsatisfiable",
    "RequestError",
    "SpillwayError",
    "Unauthorized",
    "UpstreamBusy",
    "UpstreamCut",
    "UpstreamFailed",
    "UpstreamLoading",
    "UpstreamResting",
    "UpstreamTimeout",
    "UpstreamUnfit",
    "WorkloadError",
    "printable",
]


def printable(text: str) -> str:
    """The text on one line, with control characters spelt out so that a terminal does not obey them."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


class SpillwayError(Exception):
    """One clear sentence for a person; ``exit_code`` is what a command ends with."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ConfigError(SpillwayError):
    """A setting is wrong; the sentence names file, line or key and what to write instead."""

    exit_code = 2


class WorkloadError(SpillwayError):
    """Usage cannot be planned with; the sentence names file, line or column and what to do."""

    exit_code = 2


class EngineUnavailable(SpillwayError):
    """The embedded engine cannot run on this machine; the sentence says why and what to do."""


class LedgerError(SpillwayError):
    """The ledger cannot be opened or read; the sentence says what to do."""


class NoLedger(LedgerError):
    """What was named is no ledger; the sentence says what to name instead."""

    exit_code = 2


class MeasureFailed(SpillwayError):
    """A live node cannot be measured; the sentence says why and what to do."""


class LockError(SpillwayError):
    """``spillway.lock`` cannot be read, written or understood; the sentence names file, line or key."""

    exit_code = 2


class RequestError(SpillwayError):
    """Ends one request. ``param`` names the field at fault, ``upstream`` the upstream at fault."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "api_error"
    default_code: ClassVar[str] = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        upstream: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.param = param
        self.code = code or self.default_code
        self.upstream = upstream
        self.retry_after_s = retry_after_s

    def to_body(self) -> dict[str, dict[str, str | None]]:
        """OpenAI's error object; ``upstream`` is there when the fault is not ours."""
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return {"error": error if self.upstream is None else {**error, "upstream": self.upstream}}


class InvalidRequest(RequestError):
    """The body or a header is wrong."""

    status = 400
    type = "invalid_request_error"
    default_code = "invalid_value"


class ContextTooLong(InvalidRequest):
    """No upstream holds prompt and answer together."""

    default_code = "context_length_exceeded"


class CapabilityMissing(InvalidRequest):
    """No upstream that serves this name can do what the request asks for."""

    default_code = "capability_missing"


class Unauthorized(RequestError):
    """The gateway key is missing or unknown."""

    status = 401
    type = "authentication_error"
    default_code = "invalid_api_key"


class NotFound(RequestError):
    """No such route."""

    status = 404
    type = "invalid_request_error"
    default_code = "unknown_route"


class ModelNotFound(RequestError):
    """No upstream serves that name."""

    status = 404
    type = "invalid_request_error"
    default_code = "model_not_found"


class MethodNotAllowed(RequestError):
    """The route exists, the method does not."""

    status = 405
    type = "invalid_request_error"
    default_code = "method_not_allowed"

    def __init__(self, message: str, *, allow: str) -> None:
        super().__init__(message)
        self.allow = allow


class BodyTimeout(RequestError):
    """The client stopped sending in the middle of its body."""

    status = 408
    type = "invalid_request_error"
    default_code = "body_timeout"


class BodyTooLarge(RequestError):
    """The body is larger than ``server.max_body_bytes``."""

    status = 413
    type = "invalid_request_error"
    default_code = "body_too_large"


class NoUpstream(RequestError):
    """Everything that could answer is down or excluded."""

    status = 503
    type = "service_unavailable_error"
    default_code = "no_upstream"


class GatewayStopping(RequestError):
    """The gateway was told to stop, and the answer was not complete when its grace was over."""

    status = 503
    type = "service_unavailable_error"
    default_code = "gateway_stopping"


class PinUnsatisfiable(RequestError):
    """The request had to stay local and no local node could take it; it was not sent anywhere."""

    status = 503
    type = "service_unavailable_error"
    default_code = "pin_unsatisfiable"


class UpstreamFailed(RequestError):
    """The upstream named in it refused, broke or answered nonsense."""

    attempts = 0
    """Tries that were made until then."""
    status = 502
    type = "upstream_error"
    default_code = "upstream_failed"


class UpstreamTimeout(UpstreamFailed):
    """The upstream named in it did not answer in time."""

    status = 504
    default_code = "upstream_timeout"


class UpstreamBusy(UpstreamFailed):
    """The upstream named in it limits our rate, and nothing else could answer."""

    status = 429
    type = "rate_limit_error"
    default_code = "upstream_rate_limited"


class NodeBusy(UpstreamFailed):
    """No slot of the node named in it came free before the request's deadline; it was never sent."""

    status = 429
    type = "rate_limit_error"
    default_code = "node_busy"


class UpstreamLoading(UpstreamFailed):
    """The upstream named in it is loading its model, and nothing else could answer."""

    status = 503
    default_code = "upstream_loading"


class UpstreamResting(UpstreamFailed):
    """The upstream named in it failed repeatedly and is left alone; nothing else could answer."""

    status = 503
    default_code = "upstream_resting"


class UpstreamUnfit(UpstreamFailed):
    """The upstream named in it changed before it was asked and may not answer now; nothing else could."""

    status = 503
    default_code = "upstream_unfit"


class UpstreamCut(UpstreamFailed):
    """An answer that began and never finished."""

    default_code = "upstream_cut"


class InternalError(RequestError):
    """A fault of ours."""
