"""How many tokens a text is likely to be, from counts of its bytes: about 7 % off, in microseconds.

A linear fit (``training/task_classifier/fit_tokens.py``) against the o200k_base tokenizer. It is one of three
grades: an engine's own count beats a tokenizer, a tokenizer beats this. Long texts are read in slices.
"""

from __future__ import annotations

from typing import Final

__all__ = ["COEFFICIENTS", "FEATURES", "byte_features", "estimate_tokens", "sample"]

SAMPLE_CHARS: Final = 2048
SLICES: Final = 8

FEATURES: Final = (
    "words",
    "letters beyond the sixth of a word",
    "capitals",
    "camel humps",
    "digit groups",
    "digits",
    "punctuation runs",
    "punctuation marks",
    "line ends",
    "double blanks",
    "accented Latin letters",
    "Greek, Cyrillic, Hebrew, Arabic letters",
    "Indic and South-East Asian letters",
    "typographic marks",
    "Chinese and Japanese characters",
    "Hangul syllables",
    "characters beyond the basic plane",
)
"""What is counted, in the order of ``COEFFICIENTS``."""

# grade: measured, fitted 2026-11 on English prose, code, JSON, tables and 40 languages
COEFFICIENTS: Final = (
    0.9643,
    0.1546,
    0.1283,
    0.2445,
    1.3233,
    0.2280,
    0.8436,
    0.0195,
    0.1240,
    0.1864,
    1.3518,
    0.4032,
    0.4921,
    0.9742,
    0.8882,
    0.8076,
    4.1875,
)


def _table(keep: bytes) -> bytes:
    """A translation that keeps the given bytes and blanks all others."""
    return bytes(byte if byte in keep else 0x20 for byte in range(256))


_UPPER: Final = bytes(range(0x41, 0x5B))
_LOWER: Final = bytes(range(0x61, 0x7B))
_DIGIT: Final = b"0123456789"
_PUNCT: Final = bytes(b for b in range(0x21, 0x7F) if b not in _UPPER + _LOWER + _DIGIT)
_WORD_BYTES: Final = _table(_UPPER + _LOWER)
_DIGIT_BYTES: Final = _table(_DIGIT)
_PUNCT_BYTES: Final = _table(_PUNCT)
_CASES: Final = bytes(0x41 if byte in _UPPER else 0x61 if byte in _LOWER else 0x20 for byte in range(256))
_LEADS: Final = (
    bytes(range(0xC2, 0xCD)),
    bytes(range(0xCD, 0xE0)),
    b"\xe0\xe1",
    b"\xe2",
    bytes(range(0xE3, 0xEA)),
    bytes(range(0xEA, 0xF0)),
    bytes(range(0xF0, 0xF5)),
)


def sample(text: str, chars: int = SAMPLE_CHARS) -> str:
    """The text itself, or evenly spread slices of it that together hold ``chars`` characters."""
    length = len(text)
    if length <= chars:
        return text
    width = chars // SLICES
    stride = (length - width) // (SLICES - 1)
    return "".join([text[start : start + width] for start in range(0, stride * SLICES, stride)])


def byte_features(text: str) -> list[int]:
    """The counts named by ``FEATURES``, of the whole text given."""
    raw = text.encode("utf-8", "replace")
    size = len(raw)
    words = raw.translate(_WORD_BYTES).split()
    digits = raw.translate(_DIGIT_BYTES).split()
    marks = raw.translate(_PUNCT_BYTES).split()
    counts = [
        len(words),
        sum([n - 6 for n in map(len, words) if n > 6]),
        size - len(raw.translate(None, _UPPER)),
        raw.translate(_CASES).count(b"aA"),
        len(digits),
        size - len(raw.translate(None, _DIGIT)),
        len(marks),
        size - len(raw.translate(None, _PUNCT)),
        raw.count(b"\n"),
        raw.count(b"  "),
    ]
    if size == len(text):
        return counts + [0] * len(_LEADS)
    return counts + [size - len(raw.translate(None, lead)) for lead in _LEADS]


def estimate_tokens(text: str, chars: int = SAMPLE_CHARS) -> int:
    """Tokens of ``text``, estimated from at most ``chars`` of its characters.

    >>> estimate_tokens("")
    0
    """
    if not text:
        return 0
    part = sample(text, chars)
    total = sum([n * c for n, c in zip(byte_features(part), COEFFICIENTS, strict=False)])
    return max(1, round(total * len(text) / len(part)))
