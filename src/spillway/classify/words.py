"""A short text as words and marks, in one canonical form that politeness and white space do not change."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["trim", "words_of"]

_ASCII: Final = re.compile(r"[a-z]+(?:'[a-z]+)?|0+|[^\sa-z0]")
_ANY: Final = re.compile(
    "[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0eff]|[^\\W\\d_]+(?:'[^\\W\\d_]+)?|0+|[^\\w\\s]"
)
_ASCII_TABLE: Final = str.maketrans(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ123456789", "abcdefghijklmnopqrstuvwxyz000000000"
)
_DIGITS: Final = str.maketrans("123456789’‘", "000000000''")

_OPENING: Final = re.compile(
    r"(?:(?:hi|hello|hey|dear|good (?:morning|afternoon|evening|day))"
    r"(?: there| all| everyone| assistant| team| again| ai)?[\s,!.:]+"
    r"|(?:i have|i've got) a (?:quick |small )?(?:question|request|favou?r)(?: for you)?[,.:!] *"
    r"|(?:(?:so )?sorry to bother you|excuse me|quick question)[\s,!.:]+(?:but )?"
    r"|if (?:it's not too much trouble|(?:you|u) don't mind|possible|it's ok"
    r"|you (?:could|can|would)(?: be so kind)?)[\s,]+"
    r"|(?:i was wondering|i wonder) if you (?:could|can|would) "
    r"|(?:i'd|i would) (?:really |greatly |very much )?(?:be (?:very )?grateful|appreciate it|be thankful)"
    r" if you (?:could|would|can) "
    r"|(?:i'd|i would) like you to |i (?:want|need) you to "
    r"|(?:could|can|would|will) you (?:be so kind (?:as to|and) |be kind enough to |mind )?"
    r"(?:help me (?:with (?:this|the following)[:,.]? |to )?)?"
    r"|do you think you could |(?:pretty )?please[\s,:!]+|kindly |pls |plz |thanks[\s,!.]+)+"
)
_CLOSING: Final = re.compile(
    r"(?:[\s,;]*\b"
    r"(?:(?:many )?thanks(?: (?:so much|very much|a lot|in advance|a million|again|a bunch))*"
    r"|thank you(?: (?:so much|very much|a lot|in advance|kindly|again))*|thx|cheers|please|pls"
    r"|(?:much|really|greatly) appreciated"
    r"|(?:i'd|i would|i) (?:really )?appreciate (?:it|that|your help|any help)"
    r"|(?:any|your) help (?:is|would be) (?:much |really |greatly )?appreciated"
    r"|if you (?:don't mind|can|could|would)"
    r"|you're the best|have a (?:nice|great|good) day|best regards|kind regards)"
    r"(?: for (?:your|the|any|all)(?: kind)? (?:help|time|work))?[\s,;.!:)]*)+$"
)
_CLOSING_CUES: Final = (
    "thank",
    "please",
    "pls",
    "thx",
    "cheers",
    "appreciat",
    "if you",
    "regards",
    " day",
    "the best",
)
_POLITE_WORDS: Final = frozenset({"please", "kindly", "pls", "plz"})
_LEADING_MARKS: Final = frozenset(",.!:;?-")
CLOSING_CHARS: Final = 120


def trim(text: str) -> str:
    """The text without white space and polite phrases at its ends; unchanged when nothing else is there.

    >>> trim("  Could you please add 2 and 3? Thanks!")
    'add 2 and 3?'
    """
    text = text.strip()
    lower = text.lower()
    if len(lower) != len(text):
        return text
    opening = _OPENING.match(lower)
    start = opening.end() if opening is not None else 0
    tail = lower[max(start, len(lower) - CLOSING_CHARS) :]
    end = len(text)
    if any([cue in tail for cue in _CLOSING_CUES]):  # noqa: C419 - faster than a generator
        closing = _CLOSING.search(tail)
        if closing is not None:
            end -= len(tail) - closing.start()
    kept = text[start:end].strip()
    return kept if any([c.isalnum() for c in kept[:40]]) else text  # noqa: C419


def words_of(text: str) -> list[str]:
    """Words, digit groups (as zeros) and marks in lower case, "please" left out unless all is that.

    >>> words_of("Please  add 12 and 3!")
    ['add', '00', 'and', '0', '!']
    """
    if text.isascii():
        words = _ASCII.findall(text.translate(_ASCII_TABLE))
    else:
        words = _ANY.findall(text.lower().translate(_DIGITS))
    kept = [word for word in words if word not in _POLITE_WORDS]
    return kept[1:] if len(kept) > 1 and kept[0] in _LEADING_MARKS else kept or words
