"""Facts as a list of named features: words, neighbours, where they stand, and the shape of the request.

The names are what the model's vocabulary holds, so a guess can be explained by the names that made it.
"""

from __future__ import annotations

from typing import Final

from spillway.classify.facts import PayloadFacts
from spillway.classify.words import words_of

__all__ = ["features_of", "shape_of", "word_features"]

_LENGTHS: Final = (2, 4, 6, 8, 11, 15, 20, 27, 36, 48, 64, 90, 130)
_SIZES: Final = (100, 300, 1000, 3000, 10000)
CAPITAL_WORDS: Final = 60


def _step(value: float, edges: tuple[int, ...]) -> int:
    """How many of the ascending edges ``value`` reaches."""
    level = 0
    for edge in edges:
        if value < edge:
            break
        level += 1
    return level


def word_features(words: tuple[str, ...] | list[str], excerpt: str) -> list[str]:
    """Features of one text: words, pairs, its opening and closing words, length, marks and capitals."""
    if not words:
        return ["^empty"]
    features = list(words)
    features += [f"{a} {b}" for a, b in zip(words, words[1:], strict=False)]
    features += [f"^{i}{word}" for i, word in enumerate(words[:4])]
    opening = words[:3]
    features.append("^ " + " ".join(opening[:2]))
    features.append("^ " + " ".join(opening))
    features.append("$" + " ".join(words[-2:]))
    features.append("$" + words[-1])
    features.append(f"#len{_step(len(words), _LENGTHS)}")
    features += _marks(excerpt)
    return list(set(features))


def _marks(excerpt: str) -> list[str]:
    """Features of punctuation, lines and capitals."""
    head = excerpt.split(None, CAPITAL_WORDS)[1:CAPITAL_WORDS]
    capitals = sum([word[0].isupper() for word in head])
    share = capitals * 5 // max(1, len(head))
    return [
        f"#cap{min(capitals, 6)}",
        f"#capshare{share}",
        f"#comma{min(excerpt.count(','), 6)}",
        f"#ask{min(excerpt.count('?'), 2)}",
        f"#colon{min(excerpt.count(':'), 3)}",
        f"#line{min(excerpt.count(chr(10)), 4)}",
        f"#quote{min(excerpt.count(chr(34)), 4)}",
        f"#stop{min(excerpt.count('. '), 4)}",
    ]


def shape_of(facts: PayloadFacts) -> list[str]:
    """Features of the request around the words: documents, code, tools, schema, turns, format."""
    features = [f"@turns{_step(facts.turns, (2, 4, 8))}"]
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


def features_of(facts: PayloadFacts) -> list[str]:
    """All features of the last user turn."""
    return word_features(facts.words, facts.excerpt) + shape_of(facts)


def features_of_text(text: str) -> list[str]:
    """Features of another text, a system prompt or an earlier turn, read as though it were the request."""
    return [*word_features(words_of(text), text), "@turns0"]
