"""In which order those who wait for a node are served, and when the next prompt is sent to it.

The functions take numbers and sequences of numbers only, so that the planner's compiled simulator runs these
very functions.
"""

from __future__ import annotations

from typing import Any

__all__ = ["MOST_COMPARED", "READ_AHEAD_S", "may_go", "next_up", "yields_s"]

Values = Any
"""Numbers: a list when interpreted, an array when compiled."""

READ_AHEAD_S = 0.25
"""Seconds of reading that a node may have before it when one more prompt is sent to it (tried on traces,
where 0.1 to 0.5 do as well: decision 0012). Nobody overtakes what the engine has; short prompts it reads in
one pass."""
CROWDING = 2.0
"""How many times the work of those before it one waits, since others come meanwhile (chosen on traces:
decision 0012)."""
MOST_COMPARED = 64
"""Of those who wait, so many of the first are compared (guess): it takes the square of their number."""


def yields_s(work_s: float, miss_weight: float) -> float:
    """For how much work in node seconds a request yields to smaller ones while it waits; 0 if it does not.

    It yields where a cloud can still answer it in time, should no slot come free. All others have nowhere
    else to go and are served first.

    >>> yields_s(3.0, 0.25), yields_s(3.0, 1.0), yields_s(3.0, 0.0)
    (3.0, 0.0, 0.0)
    """
    return work_s if 0.0 < miss_weight < 1.0 else 0.0


def next_up(now_s: float, yields_s: Values, leaves_s: Values, count: int, is_passed: Values) -> int:
    """The place of who is served next, of ``count`` that yield and are listed as they are due.

    The first, while all that wait can be served before they leave. Where one cannot, the largest up to it is
    passed over, and so on, so that few are lost (after Moore and Hodgson). ``is_passed`` is written over.

    >>> next_up(0.0, [3.0, 1.0, 1.0], [9.0, 9.0, 9.0], 3, [False] * 3)
    0
    >>> next_up(0.0, [3.0, 1.0, 1.0], [9.0, 9.0, 4.0], 3, [False] * 3)
    1
    """
    ahead_s = 0.0
    for k in range(count):
        is_passed[k] = False
        if now_s + CROWDING * ahead_s > leaves_s[k]:
            largest = k
            for j in range(k):
                if yields_s[j] > yields_s[largest] and not is_passed[j]:
                    largest = j
            is_passed[largest] = True
            ahead_s -= yields_s[largest]
        ahead_s += yields_s[k]
    for k in range(count):
        if not is_passed[k]:
            return k
    return 0


def may_go(yields_s: float, unread_s: float, prompt_s: float) -> bool:
    """Whether a request is sent to a node with a free slot that has ``unread_s`` seconds of prompts to read.

    One that yields waits until nothing is read, or nothing much with its own ``prompt_s``.

    >>> may_go(3.0, 0.0, 9.0), may_go(3.0, 0.2, 0.04), may_go(3.0, 0.2, 9.0), may_go(0.0, 0.2, 9.0)
    (True, True, False, True)
    """
    return yields_s <= 0.0 or unread_s <= 0.0 or unread_s + prompt_s <= READ_AHEAD_S
