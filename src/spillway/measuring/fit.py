"""Measured times become eight figures of a node; pure arithmetic.

Errors count relative to what was measured, so a short prompt weighs as much as a long one, and a point far
off the others (another process took the core) weighs little: Huber's weights, a few rounds of them.
"""

from __future__ import annotations

from collections import Counter
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
    gaps: int = 0
    """Between the slots that wrote, as far as they could be chosen."""


def fit_pace(reads: Sequence[Read], steps: Sequence[Step], slots: int | None = None) -> LinearPace:
    """The figures that fit best, none negative; those without a sample stay 0.

    ``slots`` are those that gaps may lie between.
    """
    base_s, token_s, attention_s, tail_s = _fit_reads(reads)
    step_s, sequence_s, context_s, gap_s = _fit_steps(steps)
    return LinearPace(
        base_s, token_s, attention_s, step_s, sequence_s, context_s,
        tail_attention_s=tail_s, step_gap_s=gap_s, slots=slots or 0 if gap_s else 0,
    )  # fmt: skip


def _fit_reads(reads: Sequence[Read]) -> list[float]:
    """Seconds of a prompt, a token, a pair and a pair of a tail."""
    if not reads:
        return [0.0] * 4
    has_tails = any(_is_tail(read) for read in reads)
    columns = [_read_columns(read, has_tails) for read in reads]
    found = non_negative_fit(columns, [read.seconds for read in reads])
    return found if has_tails else [*found[:3], found[2]]


def _fit_steps(steps: Sequence[Step]) -> list[float]:
    """Seconds of a step, a sequence, a token in a cache and a gap.

    Every batch size weighs as much as any other: requests alone are measured most often, but a node that is
    worth its price works with full batches.
    """
    if not steps:
        return [0.0] * 4
    sizes = Counter(step.batch for step in steps)
    weights = [1.0 / sizes[step.batch] for step in steps]
    columns = [_step_columns(step) for step in steps]
    return non_negative_fit(columns, [step.seconds for step in steps], weights)


def best_slots(pace: LinearPace, limit: int, context_tokens: float) -> int:
    """The fewest sequences at once whose throughput is close to the best that ``limit`` slots reach."""
    speeds = [n / max(pace.decode_step_s(n, context_tokens), 1e-9) for n in range(1, limit + 1)]
    enough = max(speeds) * (1.0 - WORTH_RATIO)
    return next(n for n, speed in enumerate(speeds, 1) if speed >= enough)


def non_negative_fit(
    columns: Sequence[Sequence[float]], seconds: Sequence[float], weights: Sequence[float] | None = None
) -> list[float]:
    """A coefficient per column, each at least 0, of least relative error; samples weigh alike if not told."""
    y = np.asarray(seconds, dtype=np.float64)
    x = np.asarray(columns, dtype=np.float64) / y[:, None]
    given = np.ones(len(y)) if weights is None else np.sqrt(np.asarray(weights, dtype=np.float64))
    weight, found = given, np.zeros(x.shape[1])
    for _ in range(ROUNDS):
        found = _best_subset(x * weight[:, None], weight)
        error = np.abs(x @ found - 1.0)
        weight = given * np.sqrt(np.minimum(1.0, OUTLIER_RATIO / np.maximum(error, 1e-12)))
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


def _step_columns(step: Step) -> tuple[float, float, float, float]:
    return 1.0, float(step.batch), step.batch * step.context_tokens, float(step.gaps)
