"""How well Dolly's eight kinds can be told from the instruction at all.

    python ceiling.py DATA

Trains on Dolly alone: plain words, our features, characters, naive Bayes, all of them together, with more
and more of the data, and, which no router can have, with the human's answer in hand. Our copy of Dolly lacks
the passages its annotators saw: "What is an isotherm?" is labelled summarization, "What is a Roth 401(k)?"
closed_qa and "What is Acyl-CoA?" open_qa.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from matrix import Vocabulary, featurise
from measures import Array
from scipy.sparse import hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.naive_bayes import MultinomialNB
from sources import read_rows

FOLDS: Final = StratifiedKFold(5, shuffle=True, random_state=0)


def held_out(X: Any, y: Array, model: Callable[[], Any], share: float = 1.0) -> Array:
    """Probabilities of every row from a model of the other folds, or of a share of them."""
    rng = np.random.default_rng(0)
    P = np.zeros((len(y), len(np.unique(y))))
    for train, test in FOLDS.split(y, y):
        chosen = rng.choice(train, int(len(train) * share), replace=False)
        P[test] = model().fit(X[chosen], y[chosen]).predict_proba(X[test])
    return P


def show(name: str, P: Array, y: Array) -> None:
    """Prints accuracy on eight kinds and on the seven classes they become."""
    labels = np.unique(y)
    guess = labels[P.argmax(axis=1)]
    seven = [np.where(a == "general_qa", "open_qa", a) for a in (guess, y)]
    print(f"{name:44s} {np.mean(guess == y):.3f}   {np.mean(seven[0] == seven[1]):.3f}", flush=True)


def main(data: str) -> None:
    """Prints one line for each way."""
    rows = read_rows(Path(data) / "task_types" / "dolly_6400.dev.jsonl.gz")
    texts = [row["text"] for row in rows]
    y = np.array([row["label"] for row in rows])
    print(f"{'five folds, Dolly alone':44s} eight   seven")

    words = TfidfVectorizer(sublinear_tf=True).fit_transform(texts).tocsr()
    features = featurise([{"prompt": text} for text in texts])
    ours = Vocabulary(features, [str(i) for i in range(len(rows))]).rows(features)
    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), min_df=2, sublinear_tf=True)
    characters = letters.fit_transform(texts).tocsr()
    replies = featurise([{"prompt": row["response"]} for row in rows])
    answers = Vocabulary(replies, [str(i) for i in range(len(rows))]).rows(replies)

    parts = {
        "plain bag of words": held_out(words, y, lambda: LogisticRegression(C=5, max_iter=200)),
        "our features": held_out(ours, y, lambda: LogisticRegression(C=0.5, max_iter=200)),
        "characters": held_out(characters, y, lambda: LogisticRegression(C=4, max_iter=200)),
        "naive Bayes on our features": held_out(ours, y, lambda: MultinomialNB(alpha=0.3)),
    }
    for name, P in parts.items():
        show(name, P, y)
    show("all four, averaged", sum(parts.values(), np.zeros(1)), y)
    for share in (0.25, 0.5, 0.75):
        P = held_out(ours, y, lambda: LogisticRegression(C=0.5, max_iter=200), share)
        show(f"our features, {share:.0%} of the training rows", P, y)
    both = hstack([ours, answers]).tocsr()
    show(
        "our features and the human's answer",
        held_out(both, y, lambda: LogisticRegression(C=0.5, max_iter=200)),
        y,
    )


if __name__ == "__main__":
    main(sys.argv[1])
