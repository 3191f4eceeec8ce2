"""Loads to predict and to run: kinds of requests, and when they come. Seeded; pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["MIXES", "Mix", "Wanted", "draw", "mean_gap_s"]


@dataclass(frozen=True)
class Mix:
    """Ranges of lengths in tokens (uniform), and how arrivals come."""

    name: str
    prompt_tokens: tuple[int, int]
    output_tokens: tuple[int, int]
    long_share: float = 0.0
    """Share of requests with ``long_tokens`` of prompt instead."""
    long_tokens: tuple[int, int] = (0, 0)
    prefix_tokens: int = 0
    """Length of a beginning that all prompts share."""
    burstiness: float = 1.0
    """Squared coefficient of variation of the gaps: 1 is Poisson, more comes in bursts."""


MIXES = (
    Mix("short, Poisson", (30, 90), (12, 40)),
    Mix("long prompts, Poisson", (140, 320), (8, 24)),
    Mix("short and long, bursts", (30, 90), (8, 48), 0.25, (140, 320), burstiness=4.0),
    Mix("shared beginning, bursts", (20, 60), (12, 40), prefix_tokens=160, burstiness=4.0),
)


@dataclass(frozen=True)
class Wanted:
    """One request to send: when, and how long."""

    at_s: float
    prompt_tokens: int
    """Beside the shared beginning."""
    output_tokens: int


def draw(mix: Mix, count: int, gap_s: float, seed: int) -> list[Wanted]:
    """``count`` requests with that mean gap, the first at 0."""
    dice = np.random.default_rng(seed)
    shape = 1.0 / mix.burstiness
    gaps = dice.gamma(shape, gap_s / shape, count)
    times = np.cumsum(gaps) - gaps[0]
    is_long = dice.random(count) < mix.long_share
    short = dice.integers(*mix.prompt_tokens, size=count, endpoint=True)
    long = dice.integers(*mix.long_tokens, size=count, endpoint=True)
    outputs = dice.integers(*mix.output_tokens, size=count, endpoint=True)
    prompts = np.where(is_long, long, short)
    return [Wanted(float(t), int(p), int(o)) for t, p, o in zip(times, prompts, outputs, strict=True)]


def mean_gap_s(rate: float, capacity_rps: float) -> float:
    """Seconds between arrivals at a share ``rate`` of the capacity."""
    return 1.0 / (rate * capacity_rps)
