"""Chances that a local answer is good, out of fold: what a router knows of questions it never saw.

The shipped model has learned from most of these tables, so its figures on them flatter. This fits a small
logistic regression on the same features (hashed) to four fifths of a table and scores the last fifth.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from spillway.classify import facts_of, task_of
from spillway.classify.features import features_of

__all__ = ["Array", "auroc", "out_of_fold", "shipped"]

Array: TypeAlias = np.ndarray[Any, Any]
BUCKETS = 1 << 15
EPOCHS = 4
RATE = 0.15
PENALTY = 2e-5


def shipped(bodies: Sequence[dict[str, Any]]) -> Array:
    """``p_local_ok`` of the classifier as it is shipped; 0.5 where it does not say."""
    guesses = [task_of(facts_of(body)).p_local_ok for body in bodies]
    return np.array([0.5 if guess is None else guess for guess in guesses])


def out_of_fold(bodies: Sequence[dict[str, Any]], scores: Array, seed: int = 1, folds: int = 5) -> Array:
    """For each question the chance by a model that was fitted without its fold."""
    rows = [_hashed(body) for body in bodies]
    rng = np.random.default_rng(seed)
    fold = rng.integers(0, folds, len(rows))
    out = np.zeros(len(rows))
    for k in range(folds):
        weights, bias = _fit(rows, scores, np.flatnonzero(fold != k), rng)
        for i in np.flatnonzero(fold == k):
            out[i] = _chance(rows[i], weights, bias)
    return out


def _hashed(body: dict[str, Any]) -> tuple[Array, Array]:
    names, values = features_of(facts_of(body))
    places = [zlib.crc32(name.encode()) % BUCKETS for name in names]
    return np.array(places, dtype=np.int64), np.array(values)


def _fit(
    rows: list[tuple[Array, Array]], scores: Array, train: Array, rng: np.random.Generator
) -> tuple[Array, float]:
    """(weights, bias) by AdaGrad, one question at a time; soft targets are fine."""
    weights, sums = np.zeros(BUCKETS), np.full(BUCKETS, 1e-3)
    mean = float(np.clip(scores[train].mean(), 0.02, 0.98))
    bias = float(np.log(mean / (1 - mean)))
    for _ in range(EPOCHS):
        for i in rng.permutation(train):
            places, values = rows[i]
            gap = _chance(rows[i], weights, bias) - scores[i]
            gradient = gap * values + PENALTY * weights[places]
            sums[places] += gradient**2
            weights[places] -= RATE * gradient / np.sqrt(sums[places])
            bias -= 0.002 * gap
    return weights, bias


def _chance(row: tuple[Array, Array], weights: Array, bias: float) -> float:
    z = float(weights[row[0]] @ row[1]) + bias
    return float(1 / (1 + np.exp(-np.clip(z, -30, 30))))


def auroc(score: Array, target: Array) -> float:
    """Chance that a good one scores above a bad one, targets split at one half."""
    good, bad = np.sort(score[target >= 0.5]), np.sort(score[target < 0.5])
    if not len(good) or not len(bad):
        return float("nan")
    below = np.searchsorted(bad, good, side="left") + np.searchsorted(bad, good, side="right")
    return float(below.mean() / 2 / len(bad))
