"""A node's speed as eight numbers, from a saved profile, a physical estimate or its own traffic."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["CHUNK_TOKENS", "TAIL_TOKENS", "LinearPace", "chunks_of", "usual_gaps"]

CHUNK_TOKENS = 512
"""Prompt tokens one prefill pass takes; the default of llama.cpp's ``--ubatch-size``."""
TAIL_TOKENS = 64
"""Where fewer than so many tokens are read at once, llama.cpp on a processor attends with a routine that
takes three times as long for each pair (measured on 2,000 reads: 4.6 and 1.4 µs on the demo's slow twin)."""


def usual_gaps(batch: float, slots: int) -> float:
    """Gaps between ``batch`` busy slots of ``slots``, as a mean over all choices of them; 0 without slots.

    >>> usual_gaps(2, 4), usual_gaps(3, 4), usual_gaps(4, 4), usual_gaps(1, 4)
    (0.5, 0.5, 0.0, 0.0)
    """
    return max(0.0, (batch - 1.0) * (slots - batch) / slots) if slots else 0.0


class LinearPace(Struct, frozen=True):
    """Times that grow linearly: prefill with the tokens to read, a decode step with batch and context.

    All are seconds, none is negative. ``attention_s`` is per fresh token and token before it, cached or not.
    """

    prefill_base_s: float = 0.0
    prefill_token_s: float = 0.0
    attention_s: float = 0.0
    step_base_s: float = 0.0
    step_sequence_s: float = 0.0
    step_context_s: float = 0.0
    """What one more token in any cache adds to a step."""
    tail_attention_s: float = 0.0
    """As ``attention_s``, where fewer than ``TAIL_TOKENS`` are fresh: a question behind a cached history."""
    step_gap_s: float = 0.0
    """What a step takes longer for each gap between busy slots: where every slot has a cache of its own,
    llama.cpp makes one pass for each run of neighbours."""
    slots: int = 0
    """Slots that may leave gaps between them; 0 where gaps do not matter or are not known."""

    @property
    def pass_s(self) -> float:
        """Seconds of a pass whatever it carries; prompts that are read together share one."""
        return min(self.prefill_base_s, self.step_base_s)

    def decode_step_s(self, batch: float, context_tokens: float) -> float:
        """Seconds of a step that gives ``batch`` sequences one token each at that mean context."""
        sequences_s = batch * (self.step_sequence_s + self.step_context_s * context_tokens)
        return self.step_base_s + sequences_s + self.gaps_s(batch)

    def gaps_s(self, batch: float) -> float:
        """What gaps between so many busy slots add to a step, on average."""
        return self.step_gap_s * usual_gaps(batch, self.slots)

    def prefill_s(self, prompt_tokens: float, cached_tokens: float = 0.0) -> float:
        """Seconds to read a prompt when nothing else runs; one token at least is always computed."""
        fresh = max(prompt_tokens - cached_tokens, 1.0)
        cached = prompt_tokens - fresh
        return self.prefill_base_s + fresh * self.prefill_token_s + self.attention_to(fresh, cached)

    def attention_to(self, fresh_tokens: float, cached_tokens: float) -> float:
        """Seconds of a reading that grow with fresh tokens times those before each of them."""
        pair_s = self.tail_attention_s if fresh_tokens < TAIL_TOKENS else self.attention_s
        return pair_s * fresh_tokens * (cached_tokens + fresh_tokens / 2)

    def scaled(self, prefill: float, decode: float) -> LinearPace:
        """The same node running that many times slower."""
        return LinearPace(
            self.prefill_base_s * prefill,
            self.prefill_token_s * prefill,
            self.attention_s * prefill,
            self.step_base_s * decode,
            self.step_sequence_s * decode,
            self.step_context_s * decode,
            self.tail_attention_s * prefill,
            self.step_gap_s * decode,
            self.slots,
        )


def chunks_of(prompt_tokens: float, cached_tokens: float = 0.0) -> int:
    """Passes over the weights that reading a prompt takes."""
    fresh = max(prompt_tokens - cached_tokens, 1.0)
    return int(-(-fresh // CHUNK_TOKENS))
