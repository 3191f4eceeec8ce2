"""Where two requests stop being the same, told by digests of their beginnings; the text itself is not kept.

The digests are Python's keyed hashes of bytes: the key is drawn anew for each process, so that they mean
nothing outside of it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping

from msgspec import Raw

__all__ = ["LARGEST_BYTES", "POSITIONS", "Beginning", "beginning_of", "shared_marks"]

LARGEST_BYTES = 1024 * 1024
"""What follows is not looked at: hashing it would hold up the others for more than half a millisecond."""
FINEST_BYTES = 64
GRAIN = 12
"""Marks are a twelfth of their position apart, and at least ``FINEST_BYTES``."""
WHITE = b" \t\r\n"
HEAD = ("tools", "functions", "chat_template_kwargs", "reasoning_effort")
"""Fields that chat templates put before the messages, or that change what stands there."""


def _positions() -> tuple[int, ...]:
    found = [FINEST_BYTES]
    while found[-1] < LARGEST_BYTES:
        found.append(found[-1] + max(FINEST_BYTES, found[-1] // GRAIN))
    return tuple(found[:-1])


POSITIONS = _positions()
"""Bytes of the messages after which there is a mark, the same for every request; about 100."""


class Beginning:
    """One request's prompt as a sequence of digests, each of everything up to a position.

    It lives as long as its request. Only then can it be told whether an earlier, shorter one is its very
    beginning: what is remembered of a request holds no text.
    """

    __slots__ = ("_seed", "_text", "end", "head_bytes", "marks", "size_bytes", "tokens")

    def __init__(self, text: memoryview, seed: int, head_bytes: int, tokens: float) -> None:
        """``text`` is the raw JSON of the messages without what closes it; ``seed`` stands for what is
        rendered before them, of ``head_bytes``; ``tokens`` are those of the whole prompt, as estimated."""
        self._seed = seed
        self._text = text
        self.head_bytes = head_bytes
        self.size_bytes = len(text)
        self.tokens = tokens
        marks: list[int] = []
        digest, at = seed, 0
        for position in POSITIONS[: bisect_right(POSITIONS, len(text))]:
            digest = hash((digest, bytes(text[at:position])))
            marks.append(digest)
            at = position
        self.marks = tuple(marks)
        """One digest for each of ``POSITIONS`` that it reaches."""
        self.end: int | None = hash((digest, bytes(text[at:]))) if len(text) <= LARGEST_BYTES else None
        """Of the whole; ``None`` for one too long to be read to its end."""

    def begins_with(self, size_bytes: int, end: int | None) -> bool:
        """Whether its first bytes are, to the last one, another's whole with that digest."""
        if end is None or size_bytes > min(self.size_bytes, LARGEST_BYTES):
            return False
        if size_bytes == self.size_bytes:
            return end == self.end
        count = bisect_right(POSITIONS, size_bytes)
        digest, at = (self.marks[count - 1], POSITIONS[count - 1]) if count else (self._seed, 0)
        return hash((digest, bytes(self._text[at:size_bytes]))) == end


def beginning_of(fields: Mapping[str, Raw], model: str, tokens: float) -> Beginning | None:
    """The beginning of a request with these body fields; ``None`` where there are no messages or prompt."""
    part = fields.get("messages") or fields.get("prompt")
    if part is None:
        return None
    head = [bytes(fields[name]) for name in HEAD if name in fields]
    text = memoryview(part)
    size = len(text) - 1  # without the closing bracket or quote: where the next turn goes on
    while text[size - 1] in WHITE:
        size -= 1
    return Beginning(text[:size], hash((model, *head)), sum(map(len, head)), tokens)


def shared_marks(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """How many marks agree; each stands for all before it, so that halving finds the last."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high) // 2
        if one[middle] == other[middle]:
            low = middle + 1
        else:
            high = middle
    return low
