"""Learns an owner's classes from a few examples each, told apart from the shipped model's own traffic."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from spillway.classify.facts import facts_of
from spillway.classify.features import features_of
from spillway.classify.model import WEIGHTS
from spillway.classify.owned import OwnTask, OwnTasks
from spillway.errors import ConfigError

__all__ = ["FEWEST_EXAMPLES", "Background", "learn_tasks", "read_background"]

FEWEST_EXAMPLES: Final = 5
MOST_WEIGHTS: Final = 400
LEAST_WEIGHT: Final = 0.5
RAREST: Final = 1.0 / 4000
SHRINKAGE: Final = 2.0


class Background(Struct):
    """Ordinary traffic: how often a feature occurs, and some hundred requests as feature sets."""

    frequency: dict[str, float]
    requests: list[frozenset[str]]


def read_background(path: Path = WEIGHTS) -> Background:
    """The background stored with the shipped weights."""
    import numpy as np

    with np.load(path, allow_pickle=False) as arrays:
        names = bytes(arrays["names"]).decode("utf-8").split("\n")
        frequency = dict(zip(names, arrays["frequency"].astype(float).tolist(), strict=True))
        flat, ends = arrays["background"].tolist(), arrays["background_ends"].tolist()
    starts = [0, *ends[:-1]]
    requests = [frozenset(names[i] for i in flat[a:b]) for a, b in zip(starts, ends, strict=True)]
    return Background(frequency, requests)


def learn_tasks(
    examples: Iterable[tuple[str, Mapping[str, object]]], known: OwnTasks | None = None
) -> OwnTasks:
    """The classes of (name, body) examples, added to those known; a name learned again replaces the old one.

    ConfigError when a class has fewer than ``FEWEST_EXAMPLES``: it could not be told from chance.
    """
    sets: dict[str, list[frozenset[str]]] = {}
    for name, body in examples:
        sets.setdefault(name, []).append(frozenset(features_of(facts_of(body))[0]))
    if not sets:
        raise ConfigError('there are no examples: give lines like {"prompt": "…", "task": "name"}')
    for name, rows in sets.items():
        if len(rows) < FEWEST_EXAMPLES:
            raise ConfigError(f"class {name!r} needs at least {FEWEST_EXAMPLES} examples and has {len(rows)}")
    background = read_background()
    kept = [task for task in (known.tasks if known else ()) if task.name not in sets]
    return OwnTasks([*kept, *[_learn(name, sets, background) for name in sets]])


def _learn(name: str, sets: Mapping[str, list[frozenset[str]]], background: Background) -> OwnTask:
    positives = sets[name]
    others = [row for other, rows in sets.items() if other != name for row in rows]
    elsewhere = Counter(feature for row in others for feature in row)
    usual = {
        feature: max(
            background.frequency.get(feature, 0.0), RAREST, elsewhere[feature] / (2 * max(1, len(others)))
        )
        for feature in {feature for row in positives for feature in row}
    }
    counts = Counter(feature for row in positives for feature in row)
    weights = _weights(counts, len(positives), usual)
    held_out = [_score(row, _weights(counts - Counter(row), len(positives) - 1, usual)) for row in positives]
    against = [_score(row, weights) for row in [*background.requests, *others]]
    slope, offset = _calibrate(held_out, against)
    return OwnTask(name, len(positives), round(slope, 4), round(offset, 4), weights)


def _weights(counts: Mapping[str, int], n: int, usual: Mapping[str, float]) -> dict[str, float]:
    """The log-odds of the most telling features, seen in at least two examples."""
    weights = {}
    for feature, count in counts.items():
        if count >= 2:
            share = (count + SHRINKAGE * usual[feature]) / (n + SHRINKAGE)
            weight = math.log(share / usual[feature])
            if weight >= LEAST_WEIGHT:
                weights[feature] = round(weight, 3)
    best = sorted(weights.items(), key=lambda pair: (-pair[1] * counts[pair[0]], pair[0]))
    return dict(best[:MOST_WEIGHTS])


def _score(row: frozenset[str], weights: Mapping[str, float]) -> float:
    return sum([weights.get(feature, 0.0) for feature in row]) / math.sqrt(max(1, len(row)))


def _calibrate(good: Sequence[float], bad: Sequence[float]) -> tuple[float, float]:
    """(slope, offset) of the log-odds of membership, both sides weighted alike, slope kept near one."""
    rows = [(x, 1.0, 1.0 / len(good)) for x in good] + [(x, 0.0, 1.0 / max(1, len(bad))) for x in bad]
    slope, offset = 1.0, -sum(good) / len(good) / 2
    for _ in range(400):
        gain_slope, gain_offset = 0.02 * (1.0 - slope), -0.002 * offset
        for x, target, weight in rows:
            miss = weight * (target - 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, slope * x + offset)))))
            gain_slope += miss * x
            gain_offset += miss
        slope, offset = max(0.1, slope + 0.2 * gain_slope), offset + 0.5 * gain_offset
    return slope, offset
