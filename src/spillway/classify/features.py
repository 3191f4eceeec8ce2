"""Facts as named features with values: words, neighbours, where they stand, and the shape of the request.

Three families, each scaled by the root of its own size, so that a long paste cannot drown a short
instruction: its opening (``<``) and closing (``>``) words, all words, and shape (``@``, ``#``). The names
are what the model's vocabulary holds, so a guess can be explained by the names that made it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from spillway.classify.facts import PayloadFacts
from spillway.classify.words import words_of

__all__ = ["features_of", "features_of_text"]

LEAD_WORDS: Final = 18
CLOSE_WORDS: Final = 14
LAST_LINE_CHARS: Final = 160
CAPITAL_WORDS: Final = 40
_LENGTHS: Final = (2, 4, 6, 8, 11, 15, 20, 27, 36, 48, 64, 90, 130)
_SIZES: Final = (100, 300, 1000, 3000, 10000)
_STOPS: Final = frozenset('.:?!"“。？：！')


def features_of(facts: PayloadFacts) -> tuple[list[str], list[float]]:
    """Names and values of the last user turn's features; a name may come twice."""
    shape = _shape(facts)
    return _joined(
        _edges(facts.words, facts.excerpt), _body(facts.words), shape + _marks(facts.words, facts.excerpt)
    )


def features_of_text(text: str) -> tuple[list[str], list[float]]:
    """Features of another text, a system prompt or an earlier turn, read as though it were the request."""
    words = words_of(text)
    return _joined(_edges(words, text), _body(words), ["@turns0", *_marks(words, text)])


def _joined(*families: list[str]) -> tuple[list[str], list[float]]:
    names: list[str] = []
    values: list[float] = []
    for family in families:
        if family:
            names += family
            values += [1.0 / math.sqrt(len(family))] * len(family)
    return names, values


def _edges(words: Sequence[str], excerpt: str) -> list[str]:
    """Words and pairs of where instructions stand: up to the first stop, and in the last line or sentence."""
    if not words:
        return ["<empty"]
    lead = _lead(words)
    features = ["<" + word for word in lead]
    features += ["<" + a + " " + b for a, b in pairwise(lead)]
    features += ["<^" + " ".join(words[:2]), "<^" + " ".join(words[:3]), f"<^{words[0]}"]
    close = _close(words, excerpt) if len(words) > len(lead) + 2 else []
    features += [">" + word for word in close]
    features += [">" + a + " " + b for a, b in pairwise(close)]
    features.append(f">${words[-1]}")
    return list(dict.fromkeys(features))


def _lead(words: Sequence[str]) -> Sequence[str]:
    for i, word in enumerate(words[:LEAD_WORDS]):
        if i >= 2 and word in _STOPS:
            return words[: i + 1]
    return words[:LEAD_WORDS]


def _close(words: Sequence[str], excerpt: str) -> Sequence[str]:
    last = excerpt[-LAST_LINE_CHARS:].rstrip()
    newline = last.rfind("\n")
    if newline >= 0:
        return words_of(last[newline + 1 :])[-CLOSE_WORDS:]
    tail = words[-CLOSE_WORDS:]
    for i in range(len(tail) - 3, 0, -1):
        if tail[i] in _STOPS:
            return tail[i + 1 :]
    return tail


def _body(words: Sequence[str]) -> list[str]:
    """All words and neighbouring pairs, once each."""
    return list(dict.fromkeys([*words, *[a + " " + b for a, b in pairwise(words)]]))


def _marks(words: Sequence[str], excerpt: str) -> list[str]:
    """Length, punctuation, lines and capitals."""
    head = excerpt.split(None, CAPITAL_WORDS)[1:CAPITAL_WORDS]
    capitals = sum([word[0].isupper() for word in head])
    return [
        f"#len{_step(len(words), _LENGTHS)}",
        f"#cap{min(capitals, 6)}",
        f"#capshare{capitals * 5 // max(1, len(head))}",
        f"#comma{min(excerpt.count(','), 6)}",
        f"#ask{min(excerpt.count('?'), 2)}",
        f"#colon{min(excerpt.count(':'), 3)}",
        f"#line{min(excerpt.count(chr(10)), 4)}",
        f"#quote{min(excerpt.count(chr(34)), 4)}",
        f"#stop{min(excerpt.count('. '), 4)}",
    ]


def _shape(facts: PayloadFacts) -> list[str]:
    """The request around the words: documents, code, tools, schema, turns."""
    features = [f"@turns{_step(facts.turns, (2, 4, 8))}", *_asked(facts)]
    if facts.documents:
        features += ["@document", f"@document{_step(facts.document_tokens, _SIZES)}"]
    if facts.code_blocks:
        features.append("@code")
    if facts.tools:
        features += ["@tools", f"@tools{_step(facts.tools, (2, 4, 10, 30))}"]
    if facts.has_tool_results:
        features.append("@results")
    if facts.schema != "none":
        features += ["@schema", f"@{facts.schema}{_step(facts.schema_fields, (1, 4, 10))}"]
    if facts.images:
        features.append("@image")
    return features


def _asked(facts: PayloadFacts) -> list[str]:
    """What the text spells out, and its language."""
    features = []
    if facts.numbers:
        features.append(f"@numbers{_step(facts.numbers, (2, 4, 8))}")
    if facts.steps:
        features.append(f"@steps{_step(facts.steps, (2, 4))}")
    if facts.wanted_words is not None:
        features.append(f"@wants{_step(facts.wanted_words, (2, 40, 150, 500))}")
    if facts.wanted_format is not None:
        features.append(f"@format {facts.wanted_format}")
    if facts.scripts:
        features.append(f"@script {facts.scripts[0]}")
    if facts.language not in {"en", None}:
        features += ["@foreign", f"@language {facts.language}"]
    return features


def _step(value: float, edges: tuple[int, ...]) -> int:
    """How many of the ascending edges ``value`` reaches."""
    level = 0
    for edge in edges:
        if value < edge:
            break
        level += 1
    return level
