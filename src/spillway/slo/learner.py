"""What a node takes, learned from its own answers: slowly in shape, within seconds in speed.

Two layers. The **shape** (how times grow with prompt, batch and context) comes from a profile or a regression
over some hundred answers. The **drift** is one factor each for reading and writing that follows the last few
answers, so that a node which gets twice as slow is believed within a handful of them; without answers it
fades, so that a node which was slow once is tried again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from spillway.slo.pace import LinearPace
from spillway.slo.regression import Regression

__all__ = ["PaceLearner"]

PROFILE_STRENGTH = 50.0
"""Answers that a saved profile is worth (guess)."""
GUESS_STRENGTH = 1.0
PREFILL_SHARES = (0.1, 0.9)
"""How the first reading time splits into a fixed part and one per token (guess)."""
DECODE_SHARES = (0.5, 0.4, 0.1)
"""How the first step time splits into fixed, per sequence, per cached token (guess: between CPU and GPU)."""
DRIFT_RATE = 0.25
DRIFT_FADES_S = 60.0
MOST_DRIFT = math.log(50.0)


class _Drift:
    """A factor that follows the last few ratios of observed to expected times and fades without them."""

    def __init__(self) -> None:
        self._log = 0.0
        self._seen_s = 0.0

    def at(self, now_s: float) -> float:
        """The factor now."""
        return math.exp(self._log * math.exp(-max(0.0, now_s - self._seen_s) / DRIFT_FADES_S))

    def learn(self, ratio: float, now_s: float) -> None:
        """One more ratio."""
        log = math.log(self.at(now_s))
        log += DRIFT_RATE * (math.log(max(ratio, 1e-3)) - log)
        self._log = min(max(log, -MOST_DRIFT), MOST_DRIFT)
        self._seen_s = now_s


class PaceLearner:
    """Times of one node. All seconds are monotonic or durations; nothing here reads a clock."""

    def __init__(self, profile: LinearPace | None = None) -> None:
        prefill = decode = None
        self._profile = profile or LinearPace()
        if profile is not None:
            prefill = (profile.prefill_base_s, profile.prefill_token_s)
            decode = (profile.step_base_s, profile.step_sequence_s, profile.step_context_s)
        strength = GUESS_STRENGTH if profile is None else PROFILE_STRENGTH
        self._prefill = Regression(prefill, PREFILL_SHARES, strength)
        self._decode = Regression(decode, DECODE_SHARES, strength)
        self._prefill_drift, self._decode_drift = _Drift(), _Drift()

    def pace(self, now_s: float) -> LinearPace | None:
        """What the next request would take; ``None`` until reading has been seen or a profile given."""
        shape = self._shape()
        if shape is None:
            return None
        return shape.scaled(self._prefill_drift.at(now_s), self._decode_drift.at(now_s))

    def note_prefill(self, now_s: float, seconds: float, prompts: Sequence[tuple[float, float]]) -> None:
        """Prompts were read in that time together, nobody else's work counted in.

        Each is a pair of its tokens and of those among them that were cached.
        """
        known = self._prefill.coefficients
        y = max(seconds, 1e-5)
        fresh_tokens = known_s = 0.0
        for tokens, held in prompts:
            fresh = max(tokens - held, 1.0)
            cached = max(tokens - fresh, 0.0)
            fresh_tokens += fresh
            known_s += self._profile.attention_to(fresh, cached)
        x = (float(len(prompts)), fresh_tokens)
        if known is not None:
            expected = known[0] * x[0] + known[1] * x[1] + known_s
            if expected > 0.0:
                self._prefill_drift.learn(y / expected, now_s)
        self._prefill.learn(x, max(y - known_s, y * 0.1))

    def note_decode(self, now_s: float, step_s: float, batch: float, context_tokens: float) -> None:
        """A step took that long with so many sequences of that mean context."""
        known = self._decode.coefficients
        gaps_s = self._profile.gaps_s(batch)
        y = max(step_s, 1e-6)
        x = (1.0, batch, batch * context_tokens)
        if known is not None:
            expected = sum(c * value for c, value in zip(known, x, strict=True)) + gaps_s
            if expected > 0.0:
                self._decode_drift.learn(y / expected, now_s)
        self._decode.learn(x, max(y - gaps_s, y * 0.1))

    def _shape(self) -> LinearPace | None:
        prefill, decode = self._prefill.coefficients, self._decode.coefficients
        if prefill is None:
            return None
        step = decode or [0.0, 0.0, 0.0]
        return LinearPace(
            prefill[0],
            prefill[1],
            self._profile.attention_s,
            step[0],
            step[1],
            step[2],
            self._profile.tail_attention_s,
            self._profile.step_gap_s,
            self._profile.slots,
        )
