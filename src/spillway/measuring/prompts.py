"""Prompts of about a wanted length whose beginnings no cache has seen, and some that continue another."""

from __future__ import annotations

import random
import secrets
from statistics import linear_regression

__all__ = ["Prompts"]

WORDS = (  # noqa: SIM905 - one word a line would be a hundred lines
    "about after again along always another around because before behind below between bring build call "
    "careful change clear close cold common country course different early earth enough every example "
    "family father follow garden ground group happen house idea important island kind large later learn "
    "letter light little live morning mother mountain move music nature night number often open order "
    "paper people picture place plant point question quick reach ready river round school season second "
    "sentence several simple small song sound start story street summer table thing think thought three "
    "travel under voice walk watch water weather which white window winter without word work world write year"
).split()


class Prompts:
    """Makes texts; learns from what the engine counts how many words make a token."""

    def __init__(self, seed: int | None = None) -> None:
        """Without a seed no two runs share a beginning, so an engine's cache of the last run is no help."""
        self._random = random.Random(secrets.randbits(64) if seed is None else seed)
        self._fixed_tokens = 0.0
        self._tokens_per_word = 1.5
        self._counted: list[tuple[int, int]] = []

    def learn(self, words: int, tokens: int) -> None:
        """A prompt of so many words was counted as so many tokens, those of the template included.

        Words differ in length, so the line through a few short prompts may miss a long one by a third.
        """
        self._counted.append((words, tokens))
        if len({words for words, _ in self._counted}) > 1:
            slope, fixed = linear_regression(*zip(*self._counted, strict=True))
            if slope > 0:
                self._tokens_per_word, self._fixed_tokens = slope, max(0.0, fixed)

    @property
    def shortest_tokens(self) -> int:
        """About the length of the shortest prompt worth sending: the template, a nonce and few words."""
        return round(self._fixed_tokens + 6 * self._tokens_per_word)

    def tokens_of(self, words: int) -> int:
        """About how many tokens a text of so many words is, template included."""
        return round(self._fixed_tokens + words * self._tokens_per_word)

    def of_words(self, count: int) -> str:
        """A fresh text of so many words, at least one; the first is a number nobody else has."""
        words = [self._random.choice(WORDS) for _ in range(max(count, 1) - 1)]
        return " ".join([f"{self._random.getrandbits(24):06x}", *words])

    def of_tokens(self, count: float) -> str:
        """A fresh text of about so many tokens, template included."""
        return self.of_words(round((count - self._fixed_tokens) / self._tokens_per_word))

    def continued(self, text: str, count: float) -> str:
        """The text with about so many tokens more at its end."""
        return f"{text} {self.of_words(round(count / self._tokens_per_word))}"
