"""What the planner's simulated node would have said of a wave, beside what the real one did. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spillway.planner.events import Fates, Node
from spillway.planner.profile import FitErrors
from spillway.slo.pace import LinearPace

__all__ = ["Sent", "fit_errors", "foretell"]


@dataclass(frozen=True)
class Sent:
    """One request as it went: when, how long, and what it took (``itl_s`` is ``None`` below two tokens)."""

    sent_s: float
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    ttft_s: float
    itl_s: float | None


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
