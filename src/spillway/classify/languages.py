"""Which language and scripts a short text is written in, from its commonest words and its code points."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

__all__ = ["language_of", "scripts_of"]

_SCRIPTS: Final = (
    ("Greek", re.compile("[\u0370-\u03ff]{2}")),
    ("Cyrillic", re.compile("[\u0400-\u052f]{2}")),
    ("Armenian", re.compile("[\u0530-\u058f]{2}")),
    ("Hebrew", re.compile("[\u0590-\u05ff]{2}")),
    ("Arabic", re.compile("[\u0600-\u06ff\u0750-\u077f]{2}")),
    ("Devanagari", re.compile("[\u0900-\u097f]{2}")),
    ("Bengali", re.compile("[\u0980-\u09ff]{2}")),
    ("Gurmukhi", re.compile("[\u0a00-\u0a7f]{2}")),
    ("Gujarati", re.compile("[\u0a80-\u0aff]{2}")),
    ("Tamil", re.compile("[\u0b80-\u0bff]{2}")),
    ("Telugu", re.compile("[\u0c00-\u0c7f]{2}")),
    ("Kannada", re.compile("[\u0c80-\u0cff]{2}")),
    ("Malayalam", re.compile("[\u0d00-\u0d7f]{2}")),
    ("Sinhala", re.compile("[\u0d80-\u0dff]{2}")),
    ("Thai", re.compile("[\u0e00-\u0e7f]{2}")),
    ("Lao", re.compile("[\u0e80-\u0eff]{2}")),
    ("Burmese", re.compile("[\u1000-\u109f]{2}")),
    ("Georgian", re.compile("[\u10a0-\u10ff]{2}")),
    ("Ethiopic", re.compile("[\u1200-\u137f]{2}")),
    ("Khmer", re.compile("[\u1780-\u17ff]{2}")),
    ("Kana", re.compile("[\u3040-\u30ff]{2}")),
    ("Hangul", re.compile("[\uac00-\ud7a3]{2}")),
    ("Han", re.compile("[\u3400-\u9fff]{2}")),
)

_SCRIPT_LANGUAGES: Final = {
    "Greek": "el",
    "Cyrillic": "ru",
    "Armenian": "hy",
    "Hebrew": "he",
    "Arabic": "ar",
    "Devanagari": "hi",
    "Bengali": "bn",
    "Gurmukhi": "pa",
    "Gujarati": "gu",
    "Tamil": "ta",
    "Telugu": "te",
    "Kannada": "kn",
    "Malayalam": "ml",
    "Sinhala": "si",
    "Thai": "th",
    "Lao": "lo",
    "Burmese": "my",
    "Georgian": "ka",
    "Ethiopic": "am",
    "Khmer": "km",
    "Kana": "ja",
    "Hangul": "ko",
    "Han": "zh",
}

_COMMON_WORDS: Final = {
    "en": (
        "the of and to is what in for you that are how with on this it be an as or which from my do write me"
    ),
    "de": (
        "der die das und ist nicht ein eine wie was für mit auf den dem von zu ich mir bitte welche "
        "sind kannst"
    ),
    "fr": (
        "le la les et est une un des du que qui pour dans pas ce je vous moi quel quelle sont avec "
        "sur comment"
    ),
    "es": (
        "el la los las y es una un de que en por para con qué cómo cuál son del se mi me está puedes escribe"
    ),
    "pt": "o os as e é uma um de que em por para com não qual como são do da meu você está escreva isso",
    "it": "il lo gli e è una un di che in per con non quale come sono del della mi questo puoi scrivi cosa",
    "nl": "de het een en is van wat niet voor met op ik je dat hoe zijn mij kun welke naar deze schrijf",
    "sv": "och är en ett det som på av för med inte jag du hur vad den kan mig vilka skriv att",
    "da": "og er en et det som på af for med ikke jeg du hvordan hvad den kan mig hvilke skriv at",
    "pl": "i w na jest nie się to co jak z do dla że czy mi jaki jakie napisz są proszę tego",
    "cs": "a je v na se co jak pro že to z do jsou mi jaký jaké napiš prosím není jako",
    "tr": "ve bir bu ne için ile mi nasıl nedir olarak bana var da de çok hangi yaz misin",
    "id": "dan yang di ini itu apa untuk dengan adalah saya bagaimana dari ke tidak bisa tolong buat tulis",
    "ro": "și este un o de ce în la cu pe nu care cum sunt pentru mi din scrie ai să",
    "hu": "a az és egy hogy nem mi van ez is milyen hogyan egyet nekem írj kérlek mit",
    "fi": "ja on ei se mitä miten että mikä ovat kuinka minulle kirjoita voisitko tämä mutta",
    "vi": "là của và có không một cho trong được này như thế nào tôi bạn hãy với những các",
}
_SETS: Final = {language: frozenset(words.split()) for language, words in _COMMON_WORDS.items()}
_ENGLISH: Final = _SETS["en"]
_OTHERS: Final = [(language, words) for language, words in _SETS.items() if language != "en"]
_MANY_ENGLISH_WORDS: Final = 3


def scripts_of(text: str) -> tuple[str, ...]:
    """The scripts besides Latin that two neighbouring characters are written in."""
    if text.isascii():
        return ()
    return tuple([name for name, pattern in _SCRIPTS if pattern.search(text)])


def language_of(words: Iterable[str], scripts: tuple[str, ...]) -> str | None:
    """The likeliest language (ISO 639-1), ``None`` when nothing tells. Words in lower case.

    >>> language_of("wie ist das wetter".split(), ())
    'de'
    """
    if scripts:
        return _SCRIPT_LANGUAGES[scripts[0]]
    seen = frozenset(words)
    english = len(seen & _ENGLISH)
    if english >= _MANY_ENGLISH_WORDS and len(seen) < english * 8:
        return "en"
    best, hits = "en", english
    for language, common in _OTHERS:
        count = len(seen & common)
        if count > hits:
            best, hits = language, count
    return best if hits >= 1 else None
