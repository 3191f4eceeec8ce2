"""Where a stream broke: what the client already has of the answer, and what that has cost."""

from __future__ import annotations

from msgspec import Struct

from spillway.vocabulary import Usage

__all__ = ["Seam", "plus"]


class Seam(Struct):
    """What whoever continues the answer must know."""

    text: str
    """All that the client has been given so far."""
    identifier: str | None
    """The id of the first stream's events; those of a continuation get the same."""
    usage: Usage
    """Tokens of the streams that broke, together."""
    upstream: str
    """Whose stream broke last."""
    failure_code: str


def plus(one: Usage, other: Usage) -> Usage:
    """Tokens of both; unknown where one is, and only as good as the worse of the two."""
    return Usage(
        _sum(one.input_tokens, other.input_tokens),
        _sum(one.output_tokens, other.output_tokens),
        _sum(one.cache_read_tokens, other.cache_read_tokens),
        _sum(one.cache_write_tokens, other.cache_write_tokens),
        _sum(one.reasoning_tokens, other.reasoning_tokens),
        "reported" if one.grade == other.grade == "reported" else "estimated",
    )


def _sum(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return None
    return one + other
