"""How far two prompts agree."""

from __future__ import annotations

__all__ = ["common_end", "common_start"]


def common_start(one: str, other: str) -> int:
    """The number of characters from the beginning that are the same.

    >>> common_start("[INST] a", "[INST] b")
    7
    """
    for place, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return place
    return min(len(one), len(other))


def common_end(one: str, other: str) -> int:
    """The number of characters up to the end that are the same."""
    return common_start(one[::-1], other[::-1])
