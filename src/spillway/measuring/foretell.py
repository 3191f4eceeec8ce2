"""What the planner's simulated node would have said of a wave, beside what the real one did. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from msgspec import structs

from spillway.planner.events import Fates, Node
from spillway.planner.profile import FitErrors
from spillway.slo.pace import LinearPace

__all__ = ["Sent", "fit_errors", "foretell", "with_mixed_steps"]


@dataclass(frozen=True)
class Sent:
    """One request as it went: when, how long, and what it took (``itl_s`` is ``None`` below two tokens)."""

    sent_s: float
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    ttft_s: float
    itl_s: float | None


LEAST_MIXED, MOST_MIXED, HALVINGS = 0.25, 8.0, 8
"""What a step beside a prompt may take over a plain one; beyond it something else was measured (guess)."""


def foretell(pace: LinearPace, slots: int, wave: Sequence[Sent]) -> list[tuple[float, float | None]]:
    """Pairs of (TTFT, ITL) in seconds, in the wave's order."""
    count = len(wave)
    fates = Fates.of(count)
    node = Node(pace, slots, fates)
    for i in sorted(range(count), key=lambda i: wave[i].sent_s):
        sent = wave[i]
        node.advance(sent.sent_s)
        node.submit(sent.sent_s, i, sent.prompt_tokens, sent.output_tokens, sent.cached_tokens)
    node.advance(1e300)
    return [
        (
            fates.first_s[i] - sent.sent_s,
            (fates.end_s[i] - fates.first_s[i]) / (sent.output_tokens - 1)
            if sent.output_tokens > 1
            else None,
        )
        for i, sent in enumerate(wave)
    ]


def with_mixed_steps(pace: LinearPace, slots: int, waves: Sequence[Sequence[Sent]]) -> LinearPace:
    """The pace with that price of a step beside a prompt which makes the simulator right about whole answers.

    Half of them took longer, half less; found by halving; 1 where no wave tells.
    """
    if not waves:
        return pace
    low, high = LEAST_MIXED, MOST_MIXED
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if _excess(structs.replace(pace, mixed_ratio=middle), slots, waves) > 0.0:
            high = middle
        else:
            low = middle
    return structs.replace(pace, mixed_ratio=round((low + high) / 2, 3))


def _excess(pace: LinearPace, slots: int, waves: Sequence[Sequence[Sent]]) -> float:
    """By how much the simulator's answers take longer than the real ones, as a median of logarithms."""
    off = []
    for wave in waves:
        for sent, (ttft_s, itl_s) in zip(wave, foretell(pace, slots, wave), strict=True):
            real_s = sent.ttft_s + (sent.itl_s or 0.0) * (sent.output_tokens - 1)
            off.append(math.log((ttft_s + (itl_s or 0.0) * (sent.output_tokens - 1)) / real_s))
    return median(off)


def fit_errors(pace: LinearPace, slots: int, waves: Sequence[Sequence[Sent]]) -> FitErrors:
    """Relative errors over all requests of the waves, which the fit must not have seen."""
    ttft: list[float] = []
    itl: list[float] = []
    for wave in waves:
        for sent, (ttft_s, itl_s) in zip(wave, foretell(pace, slots, wave), strict=True):
            ttft.append(abs(ttft_s - sent.ttft_s) / sent.ttft_s)
            if itl_s is not None and sent.itl_s:
                itl.append(abs(itl_s - sent.itl_s) / sent.itl_s)
    return FitErrors(
        len(ttft), _quantile(ttft, 0.5), _quantile(ttft, 0.9), _quantile(itl, 0.5), _quantile(itl, 0.9)
    )


def _quantile(values: Sequence[float], level: float) -> float | None:
    return round(float(np.quantile(values, level)), 4) if values else None
