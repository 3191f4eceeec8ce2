"""The shape of answer a request spells out: numbers in it, steps, length and format."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

__all__ = ["Asked", "asked_of"]

_UNITS: Final = {
    "word": 1.0,
    "sentence": 18.0,
    "line": 10.0,
    "paragraph": 80.0,
    "page": 400.0,
    "bullet": 15.0,
    "point": 15.0,
    "character": 0.18,
    "token": 0.75,
}
_UNIT_WORDS: Final = frozenset(name + plural for name in _UNITS for plural in ("", "s"))
_COUNTS: Final = {
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
    "a": 1,
    "single": 1,
    "couple": 2,
    "few": 3,
    "dozen": 12,
}
_LENGTH: Final = re.compile(
    rf"\b(\d{{1,5}}|{'|'.join(_COUNTS)})(?:\s?(?:-|–|to|or)\s?(\d{{1,5}}|{'|'.join(_COUNTS)}))?[ -]"
    rf"(?:short |long |concise |brief |full |bullet |key )?({'|'.join(_UNITS)})s?\b"
)
_FORMATS: Final = {
    "json": "json",
    "csv": "csv",
    "yaml": "yaml",
    "xml": "xml",
    "html": "html",
    "markdown": "markdown",
    "table": "table",
    "bullets": "list",
    "bullet": "list",
    "bulleted": "list",
    "numbered": "list",
    "sql": "code",
    "regex": "code",
}
_FORMAT_WORDS: Final = frozenset(_FORMATS)
_ONLY_WORDS: Final = frozenset({"yes", "no", "true", "false"})
_SEQUENCE_WORDS: Final = frozenset({"then", "finally", "next", "afterwards", "lastly", "secondly", "thirdly"})
_LIST_LINE: Final = re.compile(r"^\s*(?:\d{1,2}[.)]|[-*•])\s+\S", re.MULTILINE)


class Asked(Struct, frozen=True):
    """What the text asks for; ``None`` where it does not say."""

    numbers: int
    steps: int
    words: int | None
    format: str | None


def asked_of(excerpt: str, words: list[str]) -> Asked:
    """What ``excerpt`` asks for; ``words`` are its words as ``words_of`` gives them."""
    seen = frozenset(words)
    numbers = sum([words.count(word) for word in seen if word[0] == "0"])
    steps = len(_LIST_LINE.findall(excerpt)) if "\n" in excerpt else 0
    if not seen.isdisjoint(_SEQUENCE_WORDS):
        steps += sum([word in _SEQUENCE_WORDS for word in words])
    wanted = None
    if not seen.isdisjoint(_UNIT_WORDS) and _has_counted_unit(words):
        wanted = _wanted_words(excerpt.lower())
    return Asked(numbers, steps, wanted, _format(seen))


def _has_counted_unit(words: list[str]) -> bool:
    """Whether a unit follows a count closely; spares most texts the pattern below."""
    for i, word in enumerate(words):
        if word in _UNIT_WORDS:
            for before in words[max(0, i - 4) : i]:
                if before in _COUNTS or before[0] == "0":
                    return True
    return False


def _wanted_words(lower: str) -> int | None:
    match = _LENGTH.search(lower)
    if match is None:
        return None
    count = match.group(2) or match.group(1)
    return max(1, round((_COUNTS.get(count) or int(count)) * _UNITS[match.group(3)]))


def _format(seen: frozenset[str]) -> str | None:
    named = seen & _FORMAT_WORDS
    if named:
        return _FORMATS[min(named)]
    return "yes_no" if len(seen & _ONLY_WORDS) >= 2 else None
