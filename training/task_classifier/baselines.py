"""What the classifier has to beat: a list of keywords, and a plain bag of words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
from measures import Array
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

__all__ = ["bag_of_words", "keyword_guesses"]

KEYWORDS: Final = (
    ("translation", ("translate", "translation", " in french", " in spanish", " in german")),
    ("summarization", ("summar", "tl;dr", "tldr", "key points", "in a nutshell")),
    ("extraction", ("extract", "list all", "find all", "named entit")),
    ("routing", ("route ", "which department", "which agent", "which team")),
    ("rewriting", ("rewrite", "rephrase", "paraphrase", "proofread", "grammar")),
    (
        "classification",
        ("classify", "categorize", "sentiment", "label", "positive or negative", "identify which"),
    ),
    ("code", ("code", "python", "function", "javascript", "sql", "```", "script", "bug")),
    ("math", ("calculate", "how many", "solve", "equation", "how much", "compute")),
    ("planning", ("plan", "itinerary", "schedule", "roadmap")),
    ("closed_qa", ("passage", "paragraph", "context", "according to", "based on", "given a reference")),
    ("brainstorming", ("ideas", "brainstorm", "suggest", "give me a list", "what are some", "name ")),
    ("generation", ("write", "compose", "poem", "story", "email", "essay", "draft")),
    (
        "reasoning",
        ("if all", "puzzle", "riddle", "true or false", "valid or invalid", "step by step", "options:"),
    ),
    ("tool_use", ("book ", "search for", "set a reminder", "find me", "call ")),
    ("conversation", ("hello", "hi ", "thanks", "how are you", "my card", "i need", "can you")),
    ("open_qa", ("what", "who", "when", "where", "why", "how", "which")),
)


def keyword_guesses(texts: Iterable[str]) -> list[str]:
    """The first class one of whose keywords occurs, else ``other``."""
    out = []
    for text in texts:
        lower = text.lower()
        out.append(next((task for task, words in KEYWORDS if any(word in lower for word in words)), "other"))
    return out


def bag_of_words(texts: list[str], truth: Array, fold: Array) -> Array:
    """Held-out guesses of tf-idf words and logistic regression, the same folds as ours."""
    guess = np.zeros_like(truth)
    for k in sorted(set(fold.tolist())):
        vectoriser = TfidfVectorizer(sublinear_tf=True)
        train = [text for text, f in zip(texts, fold, strict=True) if f != k]
        test = [text for text, f in zip(texts, fold, strict=True) if f == k]
        model = LogisticRegression(C=5, max_iter=300).fit(vectoriser.fit_transform(train), truth[fold != k])
        guess[fold == k] = model.predict(vectoriser.transform(test))
    return guess
