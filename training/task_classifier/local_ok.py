"""P(local answer good enough): fitted on published outcomes of an 8B-class model, shown source by source.

"Local" is Llama-3.1-8B-Instruct where a table has it, else its nearest (Mixtral-8x7B for RouteLLM). Tables
without a stated licence are scored but never learned from. Classes that no table covers get a prior (a
guess), entered as softly labelled examples, so that the figure falls back to it instead of extrapolating.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from linear import fit_softmax, softmax
from matrix import Row, Vocabulary, featurise
from measures import Array, auroc, brier, calibration_error
from sources import read_rows, with_options

__all__ = [
    "PRIORS",
    "Outcome",
    "cross_validate",
    "fit_local_ok",
    "load_outcomes",
    "outcome_rows",
    "training_rows",
]

LOCAL_MODEL: Final = {
    "mmlu_pro": "Meta-Llama-3.1-8B-Instruct",
    "routellm_mmlu": "mixtral-8x7b-instruct-v0.1",
    "llmrouter": "llama-3.1-8b-instruct",
    "zeroeval_math_l5": "Meta-Llama-3.1-8B-Instruct",
    "zeroeval_crux": "Meta-Llama-3.1-8B-Instruct",
    "bfcl": "meta-llama_Meta-Llama-3-8B-Instruct",
    "routerbench": "mistralai/mistral-7b-chat",
}
MAY_TRAIN: Final = ("mmlu_pro", "routellm_mmlu", "llmrouter", "zeroeval_math_l5", "zeroeval_crux")

PRIORS: Final = {
    "extraction": 0.85,
    "classification": 0.85,
    "routing": 0.88,
    "summarization": 0.82,
    "rewriting": 0.85,
    "translation": 0.7,
    "closed_qa": 0.82,
    "generation": 0.78,
    "brainstorming": 0.8,
    "planning": 0.55,
    "tool_use": 0.62,
    "conversation": 0.85,
    "other": 0.5,
}
"""Grade guess: what an 8B model of 2024 manages where no table says; the owner's own evidence replaces it."""
PRIOR_WEIGHT: Final = 0.3
PENALTY: Final = 65.0
SMALL_SOURCE_WEIGHT: Final = 8.0


@dataclass(frozen=True)
class Outcome:
    """One question with the share of points the local model got."""

    body: dict[str, Any]
    source: str
    task: str
    score: float


def load_outcomes(data: Path, seed: int) -> list[Outcome]:
    """Every table's questions with the local model's score."""
    rng = random.Random(seed)
    out = []
    for source, model in LOCAL_MODEL.items():
        path = data / "routing_outcomes" / f"{source}.dev.jsonl.gz"
        for row in read_rows(path) if path.exists() else []:
            score = row["outcomes"].get(model, {}).get("score")
            if score is None:
                continue
            body: dict[str, Any] = {"messages": [{"role": "user", "content": with_options(row, rng)}]}
            if row.get("functions"):
                body["tools"] = [{"type": "function", "function": tool} for tool in row["functions"]]
            out.append(Outcome(body, source, row["task"], float(score)))
    return out


def fit_local_ok(vocabulary: Vocabulary, rows: list[Row], score: Array, weight: Array) -> tuple[Array, float]:
    """(coefficient per feature, intercept) of the log-odds."""
    W, b = fit_softmax(vocabulary.rows(rows), np.column_stack([1 - score, score]), weight, PENALTY)
    return W[:, 1] - W[:, 0], float(b[1] - b[0])


def _predict(vocabulary: Vocabulary, rows: list[Row], w: Array, b: float) -> Array:
    z = vocabulary.rows(rows) @ w + b
    return softmax(np.column_stack([np.zeros(len(z)), z]))[:, 1]


def cross_validate(
    outcomes: list[Outcome], rows: list[Row], prior_rows: list[Row], prior: Array, seed: int
) -> None:
    """Prints five-fold scores within each source that may train, then each source left out whole."""
    source = np.array([o.source for o in outcomes])
    score = np.array([o.score for o in outcomes])
    fold = np.random.default_rng(seed).integers(0, 5, len(outcomes))
    trainable = np.isin(source, MAY_TRAIN)
    p = np.zeros(len(outcomes))
    for k in range(5):
        _fill(p, trainable & (fold != k), trainable & (fold == k), outcomes, rows, prior_rows, prior)
    means = _task_means([o.task for o in outcomes], score, fold)
    print("\nP(local ok), five folds within the sources it trains on")
    lengths = np.array([len(str(o.body["messages"][-1]["content"])) for o in outcomes], dtype=float)
    for name in MAY_TRAIN:
        _line(name, source == name, p, score, -lengths, means)
    print("\nP(local ok), source left out (the last two never train)")
    left = np.zeros(len(outcomes))
    for name in LOCAL_MODEL:
        test = source == name
        if test.any():
            _fill(left, trainable & ~test, test, outcomes, rows, prior_rows, prior)
            _line(name, test, left, score, -lengths, means)


def _fill(
    p: Array,
    train: Array,
    test: Array,
    outcomes: list[Outcome],
    rows: list[Row],
    prior_rows: list[Row],
    prior: Array,
) -> None:
    chosen = np.flatnonzero(train)
    learn, target, weight = training_rows(
        [outcomes[i] for i in chosen], [rows[i] for i in chosen], prior_rows, prior
    )
    vocabulary = Vocabulary(learn, [str(i) for i in range(len(learn))])
    w, b = fit_local_ok(vocabulary, learn, target, weight)
    p[test] = _predict(vocabulary, [rows[i] for i in np.flatnonzero(test)], w, b)


def training_rows(
    outcomes: list[Outcome], rows: list[Row], prior_rows: list[Row], prior: Array
) -> tuple[list[Row], Array, Array]:
    """(feature rows, target shares, weights) of outcomes that may train, then of the priors."""
    keep = [i for i, o in enumerate(outcomes) if o.source in MAY_TRAIN]
    small = [SMALL_SOURCE_WEIGHT if outcomes[i].source.startswith("zeroeval") else 1.0 for i in keep]
    target = np.concatenate([[outcomes[i].score for i in keep], prior])
    weight = np.concatenate([small, np.full(len(prior), PRIOR_WEIGHT)])
    return [rows[i] for i in keep] + prior_rows, target, weight


def _task_means(tasks: list[str], score: Array, fold: Array) -> Array:
    """The mean score of a question's own sub-task in the other folds: what a table of means would say."""
    names = np.array(tasks)
    out = np.full(len(tasks), float(score.mean()))
    for name in sorted(set(tasks)):
        for k in range(5):
            train = (names == name) & (fold != k)
            if train.any():
                out[(names == name) & (fold == k)] = score[train].mean()
    return out


def _line(name: str, mask: Array, p: Array, score: Array, shortness: Array, means: Array) -> None:
    q, s = p[mask], score[mask]
    base = np.full(len(s), s.mean())
    best, short = auroc(q, s), auroc(shortness[mask], s)
    print(
        f"  {name:18s} n={mask.sum():5d}  mean {s.mean():.3f} predicted {q.mean():.3f}  "
        f"ECE {calibration_error(q, s, 10):.3f}  Brier {brier(q, s):.3f} (source mean {brier(base, s):.3f})  "
        f"AUROC {best or 0:.3f} (prompt length {max(short or 0, 1 - (short or 0)):.3f}, "
        f"mean of its sub-task {auroc(means[mask], s) or 0:.3f})"
    )


def outcome_rows(outcomes: list[Outcome]) -> list[Row]:
    """Feature rows of all outcomes."""
    return featurise([o.body for o in outcomes])
