"""Whether a text goes round in circles: its end repeats exactly, or a stretch of it packs suspiciously small.

Figures are from 6,312 published answers of small models (ZeroEval) and from texts that repeat for good
reasons (code, JSON, tables, prose); see ``docs/explanation/verification.md``.
"""

from __future__ import annotations

import zlib
from typing import Final

__all__ = ["WINDOW_CHARS", "is_looping", "packs_too_small", "repeats_at_end"]

WINDOW_CHARS: Final = 4_000
LEAST_WINDOW_CHARS: Final = 800
MOST_WINDOWS: Final = 48
PACKED_RATIO: Final = 8.0
"""Prose packs to 1/2, code and JSON to 1/2-1/5, a text that circles to 1/9-1/90 (zlib, level 1)."""
STRUCTURED_RATIO: Final = 14.0
"""The same for JSON, whose keys repeat by design."""
PROBE_CHARS: Final = 24
MOST_CANDIDATES: Final = 6
LEAST_REPEATS: Final = 4
LEAST_SPAN_CHARS: Final = 240
DRAWN_SPAN_CHARS: Final = 1_600
"""A rule or a table's border repeats one mark for long and is no loop."""
TAIL_CHARS: Final = 12_000


def is_looping(text: str, *, is_structured: bool = False) -> bool:
    """Whether any part of a whole text circles; bounded time whatever its length."""
    if repeats_at_end(text):
        return True
    step = WINDOW_CHARS // 2
    count = max(1, -(-(len(text) - WINDOW_CHARS) // step) + 1)
    if count > MOST_WINDOWS:
        step, count = (len(text) - WINDOW_CHARS) // (MOST_WINDOWS - 1), MOST_WINDOWS
    starts = range(0, count * step, step)
    return any(packs_too_small(text[i : i + WINDOW_CHARS], is_structured=is_structured) for i in starts)


def packs_too_small(window: str, *, is_structured: bool = False) -> bool:
    """Whether a stretch of text holds far less than its length; too short ones never do."""
    if len(window) < LEAST_WINDOW_CHARS:
        return False
    raw = window.encode("utf-8", "replace")
    limit = STRUCTURED_RATIO if is_structured else PACKED_RATIO
    return len(raw) > limit * len(zlib.compress(raw, 1))


def repeats_at_end(text: str) -> bool:
    """Whether the end of a text is one piece, four times or more in a row over 240 characters."""
    tail = text[-TAIL_CHARS:].rstrip()
    end = len(tail)
    if end < LEAST_SPAN_CHARS:
        return False
    probe, before = tail[-PROBE_CHARS:], end - 1
    for _ in range(MOST_CANDIDATES):
        at = tail.rfind(probe, 0, before)
        if at < 0:
            return False
        period = end - PROBE_CHARS - at
        span = _repeated_span(tail, period)
        if span >= max(LEAST_REPEATS * period, _least_span(tail[-period:])):
            return True
        before = at + PROBE_CHARS - 1
    return False


def _least_span(piece: str) -> int:
    return LEAST_SPAN_CHARS if any(c.isalnum() for c in piece) else DRAWN_SPAN_CHARS


def _repeated_span(tail: str, period: int) -> int:
    """How many characters at the end repeat with that period (binary search over comparisons of slices)."""
    end = len(tail)
    low, high = 0, end - period
    while low < high:
        middle = (low + high + 1) // 2
        if tail[end - period - middle : end - period] == tail[end - middle :]:
            low = middle
        else:
            high = middle - 1
    return low + period
