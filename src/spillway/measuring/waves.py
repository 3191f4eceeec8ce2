"""What a measurement sends: waves of a few requests, planned from what is known so far. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from spillway.slo.pace import LinearPace

__all__ = ["Ask", "Plan", "Purpose", "Wave", "work_s"]

Purpose = Literal["read", "cached", "batch", "probe"]

LONGEST_PROMPT_TOKENS = 8192
SHARE_OF_ONE_READ = 1 / 20
"""Of the whole time, what reading the longest prompt may take."""
SHARE_OF_ONE_WRITE = 1 / 30
FEWEST_TOKENS, MOST_TOKENS = 6, 48
"""Tokens of an answer: fewer give no step time, more only cost time."""
MOST_BATCH_TOKENS = 96
PROBES_A_ROUND = 2


@dataclass(frozen=True)
class Ask:
    """One request of a wave, sent ``delay_s`` after the wave began."""

    prompt_tokens: int
    output_tokens: int
    delay_s: float = 0.0
    continues: bool = False
    """Begins like the last prompt that was sent alone, so that a prefix cache can help."""
    slot: int | None = None
    """Who should answer, where the engine lets one choose."""


@dataclass(frozen=True)
class Wave:
    """Requests that belong together; nothing else of ours runs meanwhile."""

    purpose: Purpose
    asks: tuple[Ask, ...]

    @property
    def size(self) -> int:
        """Requests in it."""
        return len(self.asks)

    @property
    def gaps(self) -> int:
        """Gaps between the slots it asks for."""
        slots = sorted(ask.slot for ask in self.asks if ask.slot is not None)
        return sum(after - before > 1 for before, after in pairwise(slots))

    @property
    def tokens(self) -> int:
        """Tokens it will read and write."""
        return sum(ask.prompt_tokens + ask.output_tokens for ask in self.asks)


@dataclass(frozen=True)
class Plan:
    """How long prompts and answers may be on this node, given its provisional pace."""

    shortest_tokens: int
    longest_tokens: int
    output_tokens: int
    batch_output_tokens: int
    pace: LinearPace
    slots: int = 0
    """Slots that can be chosen by number; 0 where the engine chooses."""

    @classmethod
    def made_for(
        cls, pace: LinearPace, duration_s: float, context_tokens: int | None, shortest: int, most: int
    ) -> Plan:
        """Lengths such that no single request takes much of the time; ``most`` sequences at once."""
        step_s = max(pace.decode_step_s(1, shortest), 1e-6)
        output = _between(FEWEST_TOKENS, int(duration_s * SHARE_OF_ONE_WRITE / step_s), MOST_TOKENS)
        # while the rest of a wave is read, those read first write about one token for each prompt
        batch = min(output + most, MOST_BATCH_TOKENS)
        room = (context_tokens or LONGEST_PROMPT_TOKENS) - max(output, batch) - 16
        longest = shortest
        for tokens in (2**k for k in range(4, 14)):
            affordable = pace.prefill_s(tokens, 0) <= duration_s * SHARE_OF_ONE_READ
            if shortest < tokens <= min(room * 0.9, LONGEST_PROMPT_TOKENS) and affordable:
                longest = tokens
        if room * 0.9 > longest and pace.prefill_s(room * 0.9, 0) <= duration_s * SHARE_OF_ONE_READ:
            longest = int(min(room * 0.9, LONGEST_PROMPT_TOKENS))
        return cls(shortest, longest, output, min(batch, max(room - shortest, FEWEST_TOKENS)), pace)

    def alone(self, dice: random.Random) -> list[Wave]:
        """Single requests of up to five lengths, and some that go on where the one before them ended.

        Engines read tokens in blocks, so that for its size a prompt just above a block takes a tenth longer
        than one just below (measured): the same lengths each time could all be cheap ones. Most prompts in
        daily use are a little text behind much that is cached: a history, instructions.
        """
        waves = [Wave("read", (Ask(length, self.output_tokens),)) for length in self._lengths(dice)]
        for known, tail in self._continuations(dice):
            waves.append(Wave("read", (Ask(known, self.output_tokens),)))
            waves.append(Wave("cached", (Ask(tail, self.output_tokens, 0.0, True),)))
        return waves

    def _lengths(self, dice: random.Random) -> list[int]:
        """Up to five prompt lengths, one from around each quarter of the way from shortest to longest."""
        places = [min(max((k + dice.random() - 0.5) / 4, 0.0), 1.0) for k in range(5)]
        return sorted({self._length_at(place) for place in places})

    def _length_at(self, place: float) -> int:
        """The length at that part of the way from shortest (0) to longest (1), evenly by ratio."""
        ratio: float = (self.longest_tokens / self.shortest_tokens) ** place
        return round(self.shortest_tokens * ratio)

    def _continuations(self, dice: random.Random) -> list[tuple[int, int]]:
        """Pairs of (tokens that are cached, tokens behind them); none where prompts cannot differ enough."""
        whole, short = self.longest_tokens, self.shortest_tokens
        few, some = (round(short * (1.0 + dice.random())) for _ in range(2))
        pairs = [(whole // 2, whole - whole // 2), (whole - few, few), (whole // 2 - some, some)]
        return [(known, tail) for known, tail in pairs if known >= 2 * short]

    def batch(self, size: int, is_long: bool = False) -> Wave:
        """So many requests at once, with short prompts or middling ones, side by side."""
        prompt = self._length_at(0.5) if is_long else self.shortest_tokens
        return self._batch(prompt, range(size))

    def apart(self) -> list[Wave]:
        """Two requests at once with an idle slot between them, if there is one."""
        return [self._batch(self.shortest_tokens, (0, 2))] if self.slots > 2 else []

    def _batch(self, prompt_tokens: int, slots: Sequence[int]) -> Wave:
        ask = Ask(prompt_tokens, self.batch_output_tokens)
        can_choose = max(slots) < self.slots
        return Wave("batch", tuple(replace(ask, slot=slot if can_choose else None) for slot in slots))

    def probes(self, most: int, dice: random.Random) -> Iterator[Wave]:
        """Waves kept from the fit, unlike the others: odd lengths, one after another at odd moments."""
        for _ in range(PROBES_A_ROUND):
            asks = [self._odd(dice) for _ in range(dice.randint(1, most))]
            span_s = work_s(Wave("probe", tuple(asks)), self.pace) * 0.7
            moments = sorted(dice.uniform(0.0, span_s) for _ in asks)
            delays = [moment - moments[0] for moment in moments]
            yield Wave("probe", tuple(replace(a, delay_s=d) for a, d in zip(asks, delays, strict=True)))

    def _odd(self, dice: random.Random) -> Ask:
        prompt = self._length_at(dice.random())
        return Ask(prompt, dice.randint(FEWEST_TOKENS, max(self.output_tokens, FEWEST_TOKENS)))


def work_s(wave: Wave, pace: LinearPace) -> float:
    """About how long a wave takes."""
    read_s = sum(pace.prefill_s(ask.prompt_tokens, 0) for ask in wave.asks)
    outputs = [ask.output_tokens for ask in wave.asks]
    held = sum(ask.prompt_tokens + ask.output_tokens / 2 for ask in wave.asks) / wave.size
    together = sum(outputs) / max(outputs)
    write_s = sum(outputs) / together * pace.decode_step_s(together, held)
    return max(read_s + write_s, wave.asks[-1].delay_s)


def _between(least: int, value: int, most: int) -> int:
    return max(least, min(value, most))
