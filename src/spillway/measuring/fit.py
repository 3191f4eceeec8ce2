"""Measured times become seven figures of a node; pure arithmetic.

Errors count relative to what was measured, so a short prompt weighs as much as a long one, and a point far
off the others (another process took the core) weighs little: Huber's weights, a few rounds of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from spillway.slo.pace import TAIL_TOKENS, LinearPace

__all__ = ["Read", "Step", "best_slots", "fit_pace", "non_negative_fit"]

Floats = NDArray[np.float64]

OUTLIER_RATIO = 0.08
"""Relative errors beyond this weigh less and less (guess: what runs of an undisturbed engine stay within)."""
ROUNDS = 12
WORTH_RATIO = 0.05
"""A further slot must raise the throughput by so much to be worth the longer steps (guess)."""


@dataclass(frozen=True)
class Read:
    """One prompt read while nothing else ran: seconds from sending to the first token."""

    prompt_tokens: float
    cached_tokens: float
    seconds: float


@dataclass(frozen=True)
class Step:
    """One decode step of ``batch`` sequences with that mean context, as a mean over many."""

    batch: int
    context_tokens: float
    seconds: float


def fit_pace(reads: Sequence[Read], steps: Sequence[Step]) -> LinearPace:
    """The figures that fit best, none negative; those without a sample stay 0."""
    read, step = [0.0] * 4, [0.0] * 3
    if reads:
        has_tails = any(_is_tail(r) for r in reads)
        read = non_negative_fit([_read_columns(r, has_tails) for r in reads], [r.seconds for r in reads])
        if not has_tails:
            read[3] = read[2]
    if steps:
        step = non_negative_fit([_step_columns(s) for s in steps], [s.seconds for s in steps])
    return LinearPace(read[0], read[1], read[2], step[0], step[1], step[2], tail_attention_s=read[3])


def best_slots(pace: LinearPace, limit: int, context_tokens: float) -> int:
    """The fewest sequences at once whose throughput is close to the best that ``limit`` slots reach."""
    speeds = [n / max(pace.decode_step_s(n, context_tokens), 1e-9) for n in range(1, limit + 1)]
    enough = max(speeds) * (1.0 - WORTH_RATIO)
    return next(n for n, speed in enumerate(speeds, 1) if speed >= enough)


def non_negative_fit(columns: Sequence[Sequence[float]], seconds: Sequence[float]) -> list[float]:
    """A coefficient per column, each at least 0, of least relative error."""
    y = np.asarray(seconds, dtype=np.float64)
    x = np.asarray(columns, dtype=np.float64) / y[:, None]
    weight = np.ones(len(y))
    found = np.zeros(x.shape[1])
    for _ in range(ROUNDS):
        found = _best_subset(x * weight[:, None], weight)
        error = np.abs(x @ found - 1.0)
        weight = np.sqrt(np.minimum(1.0, OUTLIER_RATIO / np.maximum(error, 1e-12)))
    return [float(value) for value in found]


def _best_subset(x: Floats, y: Floats) -> Floats:
    """Exact for a few columns: the best non-negative fit is the plain fit of some subset of them."""
    size = x.shape[1]
    best, least = np.zeros(size), float(y @ y)
    for count in range(1, size + 1):
        for chosen in combinations(range(size), count):
            part = x[:, chosen]
            scale = np.abs(part).max(axis=0)
            if not scale.all():
                continue
            found = np.linalg.lstsq(part / scale, y, rcond=None)[0] / scale
            rest = part @ found - y
            error = float(rest @ rest)
            if (found >= 0.0).all() and error < least * (1.0 - 1e-9):
                best, least = np.zeros(size), error
                best[list(chosen)] = found
    return best


def _is_tail(read: Read) -> bool:
    """Whether it was short behind a beginning at least as long that a cache held."""
    fresh = _fresh(read)
    return fresh < TAIL_TOKENS and read.prompt_tokens >= 2 * fresh


def _read_columns(read: Read, has_tails: bool) -> tuple[float, float, float, float]:
    """What base, token, pair and pair of a tail are counted with; without tails all pairs are alike."""
    fresh = _fresh(read)
    pairs = fresh * (read.prompt_tokens - fresh / 2)
    is_few = has_tails and fresh < TAIL_TOKENS
    return 1.0, fresh, 0.0 if is_few else pairs, pairs if is_few else 0.0


def _fresh(read: Read) -> float:
    return max(read.prompt_tokens - read.cached_tokens, 1.0)


def _step_columns(step: Step) -> tuple[float, float, float]:
    return 1.0, float(step.batch), step.batch * step.context_tokens
