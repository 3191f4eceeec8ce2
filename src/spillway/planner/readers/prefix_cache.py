"""Prefix-cache hits from block hashes, as in Mooncake's and Bailian's traces: equal ids are equal blocks."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["PrefixCache"]


class PrefixCache:
    """Remembers blocks of ``block_tokens`` seen before, the least recently used forgotten beyond
    ``capacity_blocks``.

    ``None`` remembers all: what an ideal cache could save, an upper bound for a real node.
    """

    def __init__(self, block_tokens: int, capacity_blocks: int | None = None) -> None:
        self.block_tokens = block_tokens
        self.capacity_blocks = capacity_blocks
        self._seen: dict[int, None] = {}

    def hit_tokens(self, hashes: Sequence[int], input_tokens: int) -> int:
        """Tokens at the start of the prompt whose blocks were seen before; then all its blocks are seen."""
        hits = 0
        for block in hashes:
            if block not in self._seen:
                break
            hits += 1
        for block in hashes:
            self._seen.pop(block, None)
            self._seen[block] = None
        if self.capacity_blocks is not None:
            while len(self._seen) > self.capacity_blocks:
                del self._seen[next(iter(self._seen))]
        return min(hits * self.block_tokens, input_tokens)
