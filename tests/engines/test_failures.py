"""Foreign errors, mapped once."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from spillway.engines.failures import Failure, from_event, from_status, left_alone
from spillway.errors import UpstreamBusy, UpstreamResting


def refusal(status: int, **error: Any) -> Failure:
    """The failure of a JSON error body."""
    return from_status(status, json.dumps({"error": error}).encode())


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, {"code": "content_filter"}),
        (400, {"code": None, "innererror": {"code": "ResponsibleAIPolicyViolation"}}),
        (403, {"code": 403, "type": "moderation_error"}),
        (400, {"code": "content_policy_violation"}),
    ],
)
def test_refusals_of_content_are_not_shopped_around(status: int, error: dict[str, Any]) -> None:
    """However a provider says that it refuses the content, nobody else is asked and its words are kept."""
    failure = refusal(status, message="no", **error)
    assert not failure.may_fail_over
    assert not failure.counts_against
    assert failure.body is not None


@pytest.mark.parametrize(
    ("error", "tokens"),
    [
        ({"type": "exceed_context_size_error", "code": 400, "n_ctx": 512}, 512),
        ({"code": "context_length_exceeded", "message": "maximum context length is 4096 tokens"}, 4096),
        ({"code": "context_length_exceeded", "message": "too long"}, None),
    ],
)
def test_a_context_that_is_too_small_is_known(error: dict[str, Any], tokens: int | None) -> None:
    """The size that did not do is read from the error, so that no smaller one is tried."""
    failure = refusal(400, **error)
    assert (failure.code, failure.may_fail_over) == ("context_length_exceeded", True)
    assert failure.context_tokens == tokens


def test_a_quota_is_no_rate_limit() -> None:
    """An empty purse is told apart from a busy minute, and both are 429 for the caller."""
    assert refusal(429, code="insufficient_quota").code == "upstream_out_of_quota"
    assert refusal(429, code="rate_limit_exceeded").code == "upstream_rate_limited"
    assert isinstance(refusal(429, code="insufficient_quota").to_error("cloud"), UpstreamBusy)


def test_errors_inside_answers() -> None:
    """An error event with a status means the same as that status; others are the upstream's failures."""
    assert from_event(b'{"code":429,"message":"slow down"}').code == "upstream_rate_limited"
    assert from_event(b'{"code":"context_length_exceeded"}').code == "context_length_exceeded"
    filtered = from_event(b'{"code":"content_filter"}')
    assert (filtered.status, filtered.may_fail_over) == (400, False)
    assert from_event(b'"boom"').code == "upstream_failed"
    assert from_event(b'{"code":"server_error"}').counts_against


def test_what_was_left_alone_says_when_to_come_back() -> None:
    """A resting upstream is a 503 with advice."""
    error = left_alone(4.0).to_error("mini")
    assert isinstance(error, UpstreamResting)
    assert (error.status, error.retry_after_s) == (503, 4.0)


def test_advice_may_be_a_number_or_a_date() -> None:
    """``Retry-After`` comes in both forms; what is neither is no advice, what is past means now."""
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True).encode()
    given = [from_status(429, b"", value).retry_after_s for value in (b"7", later, b"soon", b"inf", b"nan")]
    assert given[0] == 7.0
    assert given[1] == pytest.approx(30, abs=3)
    assert given[2:] == [None, None, None]
    assert from_status(429, b"", b"Wed, 21 Oct 2015 07:28:00 GMT").retry_after_s == 0.0
