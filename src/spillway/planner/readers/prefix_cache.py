"""Prefix-cache hits from block hashes, as in Mooncake's and Bailian's traces: equal ids are equal blocks."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["PrefixCache"]


class PrefixCache:
    """Remembers every block of ``block_tokens`` it has seen: what an ideal cache could save, an upper bound
    for a real node.
    """

    def __init__(self, block_tokens: int) -> None:
        self.block_tokens = block_tokens
        self._seen: set[int] = set()

    def hit_tokens(self, hashes: Sequence[int], input_tokens: int) -> int:
        """Tokens at the start of the prompt whose blocks were seen before; then all its blocks are seen."""
        hits = 0
        for block in hashes:
            if block not in self._seen:
                break
            hits += 1
        self._seen.update(hashes)
        return min(hits * self.block_tokens, input_tokens)
