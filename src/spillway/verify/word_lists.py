"""Word lists and patterns of many languages, read from package data when first needed."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

__all__ = ["languages_of", "lines_of"]

DATA: Final = Path(__file__).parent / "data"


def lines_of(name: str) -> list[str]:
    """The lines of a file in ``verify/data`` that are not comments."""
    text = (DATA / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@cache
def languages_of() -> dict[str, tuple[str, ...]]:
    """Word → languages (ISO 639-1) that it is a small word of."""
    found: dict[str, tuple[str, ...]] = {}
    for line in lines_of("small_words.txt"):
        language, *words = line.split()
        for word in words:
            found[word] = (*found.get(word, ()), language)
    return found
