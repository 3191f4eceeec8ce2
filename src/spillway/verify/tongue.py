"""Which language a text is surely written in: by its script, or by its commonest small words."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Final

from spillway.verify.word_lists import languages_of, lines_of

__all__ = ["differ", "names_a_language", "tongue_of"]

SAMPLE_CHARS: Final = 2_400
LEAST_LETTERS: Final = 60
"""Shorter texts are not judged, except in a script that few languages share."""
LEAST_FOREIGN_LETTERS: Final = 12
LEAST_SHARE: Final = 0.08
"""Share of its words that must be small words of a language; one of n languages counts 1/n."""
LEAST_HITS: Final = 2.0
LEAST_KINDS: Final = 3
LEAST_LEAD: Final = 1.4
"""By which factor the likeliest language must be ahead of the next."""
SCRIPT_SHARE: Final = 0.6

_SCRIPTS: Final = {
    "el": "\u0370-\u03ff\u1f00-\u1fff",
    "cyrillic": "\u0400-\u052f",
    "hy": "\u0530-\u058f",
    "he": "\u0590-\u05ff",
    "arabic": "\u0600-\u06ff\u0750-\u077f",
    "devanagari": "\u0900-\u097f",
    "bn": "\u0980-\u09ff",
    "pa": "\u0a00-\u0a7f",
    "gu": "\u0a80-\u0aff",
    "ta": "\u0b80-\u0bff",
    "te": "\u0c00-\u0c7f",
    "kn": "\u0c80-\u0cff",
    "ml": "\u0d00-\u0d7f",
    "si": "\u0d80-\u0dff",
    "th": "\u0e00-\u0e7f",
    "lo": "\u0e80-\u0eff",
    "my": "\u1000-\u109f",
    "ka": "\u10a0-\u10ff",
    "am": "\u1200-\u137f",
    "km": "\u1780-\u17ff",
    "kana": "\u3040-\u30ff",
    "ko": "\u1100-\u11ff\uac00-\ud7a3",
    "han": "\u3400-\u9fff",
}
_SCRIPT_OF: Final = re.compile("|".join(f"([{span}])" for span in _SCRIPTS.values()))
_NAMES: Final = tuple(_SCRIPTS)
_FAMILIES: Final = (
    frozenset({"cyrillic", "ru", "uk", "bg", "sr", "mk", "be", "kk", "ky", "mn", "tg"}),
    frozenset({"arabic", "ar", "fa", "ur", "ps", "ckb"}),
    frozenset({"devanagari", "hi", "mr", "ne", "sa"}),
    frozenset({"kana", "ja"}),
    frozenset({"han", "zh"}),
    frozenset({"han", "ja"}),
    frozenset({"da", "no", "nb", "nn", "sv"}),
    frozenset({"es", "pt", "gl", "ca"}),
    frozenset({"cs", "sk"}),
    frozenset({"hr", "sr", "bs", "sl"}),
    frozenset({"id", "ms"}),
    frozenset({"nl", "af"}),
)
"""Languages that short texts do not tell apart: never called different."""

_FENCED: Final = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+", re.DOTALL)
_WORD: Final = re.compile(r"[^\W\d_]+")


def names_a_language(text: str) -> bool:
    """Whether a language or translating is mentioned, so that the answer may well be in another one.

    >>> names_a_language("Answer in German, please."), names_a_language("Wie spät ist es?")
    (True, False)
    """
    return _language_names().search(text) is not None


def tongue_of(text: str) -> str | None:
    """The language (ISO 639-1) or shared script a text is surely in; ``None`` when it is not sure.

    Reads at most its first ``SAMPLE_CHARS`` characters, without code and addresses.

    >>> tongue_of("Der Hund ist nicht mit dem Zug gefahren, denn er war krank und blieb bei mir zu Hause.")
    'de'
    """
    sample = _FENCED.sub(" ", text[: 2 * SAMPLE_CHARS])[:SAMPLE_CHARS]
    if not sample.isascii():
        sample = unicodedata.normalize("NFC", sample)
    words = _WORD.findall(sample.lower())
    letters = sum(map(len, words))
    if not sample.isascii():
        script = _script(sample, letters)
        if script is not None:
            return script
    if letters < LEAST_LETTERS:
        return None
    return _by_small_words(words)


def differ(one: str, other: str) -> bool:
    """Whether two results of ``tongue_of`` or ISO codes are surely different languages."""
    return one != other and not any(one in family and other in family for family in _FAMILIES)


def _script(sample: str, letters: int) -> str | None:
    """The script that most letters are in, as the one language that uses it where there is one."""
    counts = [0] * len(_NAMES)
    for match in _SCRIPT_OF.finditer(sample):
        counts[(match.lastindex or 1) - 1] += 1
    found = dict(zip(_NAMES, counts, strict=True))
    if found["kana"] * 8 > found["han"] > 0 or found["kana"] > found["han"]:
        found["kana"] += found.pop("han")
    name = max(found, key=found.__getitem__)
    if found[name] < max(LEAST_FOREIGN_LETTERS, SCRIPT_SHARE * letters):
        return None
    return {"kana": "ja", "han": "zh"}.get(name, name)


def _by_small_words(words: list[str]) -> str | None:
    """The language whose small words make up the largest share, if it is large and well ahead."""
    hits: dict[str, float] = {}
    seen: dict[str, set[str]] = {}
    table = languages_of()
    for word in words:
        languages = table.get(word, ())
        for language in languages:
            hits[language] = hits.get(language, 0.0) + 1.0 / len(languages)
            seen.setdefault(language, set()).add(word)
    if not hits:
        return None
    best = max(hits, key=hits.__getitem__)
    rivals = [count for language, count in hits.items() if differ(language, best)]
    is_ahead = hits[best] >= LEAST_LEAD * max(rivals, default=0)
    if len(seen[best]) < LEAST_KINDS:
        return None
    return best if is_ahead and hits[best] >= max(LEAST_HITS, LEAST_SHARE * len(words)) else None


@cache
def _language_names() -> re.Pattern[str]:
    whole, anywhere = (line.replace(" ", "|").replace("_", " ") for line in lines_of("language_names.txt"))
    return re.compile(rf"\b(?:{whole})\b|{anywhere}", re.IGNORECASE)
