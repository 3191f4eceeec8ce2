"""How good a set of probabilities is: accuracy, expected calibration error, AUROC, confusion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

__all__ = ["Array", "auroc", "brier", "calibration_error", "confusion"]

Array: TypeAlias = np.ndarray


def calibration_error(confidence: Array, right: Array, bins: int = 15) -> float:
    """Mean gap between confidence and share of right ones over equally wide bins, weighted by their size."""
    edges = np.clip((confidence * bins).astype(int), 0, bins - 1)
    gaps = [abs(confidence[edges == b].sum() - right[edges == b].sum()) for b in range(bins)]
    return float(sum(gaps)) / max(1, len(confidence))


def brier(p: Array, target: Array) -> float:
    """Mean squared gap between probability and outcome."""
    return float(np.mean((p - target) ** 2))


def auroc(score: Array, target: Array) -> float | None:
    """Chance that a good one scores above a bad one, targets split at one half; ``None`` without both."""
    good = target >= 0.5
    positives, negatives = int(good.sum()), int((~good).sum())
    if not positives or not negatives:
        return None
    order = np.argsort(score, kind="mergesort")
    ordered = score[order]
    ranks = np.empty(len(score))
    start = 0
    while start < len(score):
        end = int(np.searchsorted(ordered, ordered[start], side="right"))
        ranks[order[start:end]] = (start + end + 1) / 2
        start = end
    return float((ranks[good].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def confusion(truth: Sequence[str], guess: Sequence[str], names: Sequence[str]) -> str:
    """A table of rows (truth) and columns (guess) in per cent of the row."""
    short = [name[:9] for name in names]
    lines = [" " * 15 + " ".join(f"{name:>9s}" for name in short)]
    for name in names:
        picks = [g for t, g in zip(truth, guess, strict=True) if t == name]
        if picks:
            cells = " ".join(f"{100 * picks.count(other) / len(picks):9.0f}" for other in names)
            lines.append(f"{name:15s}{cells}  n={len(picks)}")
    return "\n".join(lines)
