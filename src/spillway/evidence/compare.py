"""How far a node's answer agrees with the reference's to the same request, judged by what kind of answer it
is.

In this order: tool calls and JSON field by field, code by whether it parses, short answers by their words and
numbers. Free text cannot be compared like that, nor can short answers of classes where many are right:
``None`` says that it takes a judge, also where both say the same. If only agreement could be seen, every
class would look good. Pure, and bounded in time.
"""

from __future__ import annotations

import re
import unicodedata

from msgspec import Struct

from spillway.evidence.compare_code import compare_code
from spillway.evidence.compare_json import compare_calls, compare_json, json_in

__all__ = ["Comparison", "Reply", "compare", "number_in", "plain_words"]

SHORT_WORDS = 12
"""An answer of more words is a text."""
SHORT_CHARACTERS = 1000
LONGEST_CHARACTERS = 200_000
NUMBER_TOLERANCE = 1e-6
WORD = re.compile(r"(?:[\w'+\-./%$€£]|,(?=\d))*[\w%]")
"""Commas belong to a word only inside numbers."""
NUMERIC_TASKS = frozenset({"math"})
FREE_TASKS = frozenset(
    {
        *("generation", "short_generation", "brainstorming", "summarization", "rewriting"),
        *("translation", "planning", "conversation"),
    }
)
"""Many answers are right: other words are no disagreement, so the same words are no score either."""
MARKS = "$€£%"
DENIALS = frozenset(
    {
        *("not", "no", "never", "neither", "nor", "cannot", "without", "or"),
        *("nicht", "kein", "keine", "keinen", "nie", "oder", "niet", "geen", "nooit"),
        *("ne", "pas", "non", "jamais", "aucun", "aucune", "ou", "nunca", "ni", "não", "nem"),
    }
)
"""What turns a sentence around, or leaves it open, in the languages short answers mostly come in; English
ones that end in n't as well."""


class Reply(Struct, frozen=True):
    """What a model answered, as far as it is compared."""

    text: str
    calls: tuple[tuple[str, str], ...] = ()
    """Tool calls: name, and arguments as JSON text."""


class Comparison(Struct, frozen=True):
    """How good the node's answer is beside the reference's."""

    score: float
    """1 as good, 0 bad; up to 2 when a judge found it better."""
    how: str
    """The comparison used: ``calls``, ``fields``, ``syntax``, ``runs``, ``short``, ``number``, ``judge``."""


def compare(
    local: Reply, reference: Reply, task: str | None, *, wants_json: bool = False
) -> Comparison | None:
    """The agreement of two answers; ``None`` when only a judge could tell.

    ``wants_json`` is whether the request asked for JSON, so that an answer that is none is bad.
    """
    if reference.calls or local.calls:
        return Comparison(compare_calls(local.calls, reference.calls), "calls")
    if max(len(local.text), len(reference.text)) > LONGEST_CHARACTERS:
        return None
    ours, theirs = json_in(local.text), json_in(reference.text)
    if theirs is not None and (ours is not None or wants_json):
        score = 0.0 if ours is None else compare_json(ours[0], theirs[0])
        return None if score is None else Comparison(score, "fields")
    if task == "code":
        code_score = compare_code(local.text, reference.text)
        return None if code_score is None else Comparison(code_score, "syntax")
    return _compare_words(local.text, reference.text, task)


def _compare_words(local: str, reference: str, task: str | None) -> Comparison | None:
    if task in NUMERIC_TASKS:
        ours, theirs = final_number(local), final_number(reference)
        if theirs is not None:
            return Comparison(float(ours is not None and _same_number(ours, theirs)), "number")
    if max(len(local), len(reference)) > SHORT_CHARACTERS:
        return None
    a, b = plain_words(local), plain_words(reference)
    if not b or task in FREE_TASKS:
        return None
    ours, theirs = number_in(local), number_in(reference)
    if ours is not None and theirs is not None:
        return Comparison(float(_same_number(ours, theirs) and _fit(a, b)), "number")
    if max(len(a), len(b)) > SHORT_WORDS:
        return None
    return Comparison(float(a == b or _holds(a, b) or _holds(b, a)), "short")


def plain_words(text: str) -> list[str]:
    """The words without case, accents' spelling, markup and punctuation, articles and "the answer is".

    >>> plain_words('**The answer is:** "Paris".')
    ['paris']
    """
    folded = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    folded = re.sub(
        r"^\W*(?:the )?(?:final )?(?:answer|label|category|result)(?: is)?\s*:?", "", folded.strip()
    )
    return [word for word in WORD.findall(folded) if word not in ("a", "an", "the")]


def _holds(longer: list[str], shorter: list[str]) -> bool:
    """Whether a sentence says the short answer, and neither denies it nor offers another one."""
    size = len(shorter)
    if not 0 < size < len(longer):
        return False
    if any(word in DENIALS or word.endswith("n't") for word in set(longer) - set(shorter)):
        return False
    return any(longer[start : start + size] == shorter for start in range(len(longer) - size + 1))


def number_in(text: str) -> float | None:
    """The one number that the whole answer is, with unit or currency; ``None`` when it is something else.

    >>> number_in("$1,200.50"), number_in("about 12 %"), number_in("two or 3")
    (1200.5, 12.0, None)
    """
    words = plain_words(text)
    found = [_number(word) for word in words]
    numbers = [number for number in found if number is not None]
    return numbers[0] if len(numbers) == 1 and len(words) <= 3 and not _is_open(words) else None


def _fit(one: list[str], other: list[str]) -> bool:
    """Whether what stands beside the numbers of two answers may mean the same: one may leave it out.

    >>> _fit(["$12"], ["12", "dollars"]), _fit(["2", "months"], ["2", "years"]), _fit(["$5"], ["€5"])
    (True, False, False)
    """
    parts = [
        {word.strip(MARKS).rstrip("s") for word in words if _number(word) is None} - {""}
        for words in (one, other)
    ]
    marks = [{letter for word in words for letter in word if letter in MARKS} for words in (one, other)]
    return all(a <= b or b <= a for a, b in (parts, marks))


def _is_open(words: list[str]) -> bool:
    """Whether several values are offered, or one is denied; "No. 5" denies nothing."""
    return any(word == "and" or (word in DENIALS and word != "no") for word in words)


def final_number(text: str) -> float | None:
    r"""The number a worked solution ends with: ``\boxed{…}``, ``#### …``, or the last one there is."""
    boxed = re.findall(r"\\boxed\{([^{}]*)\}", text) or re.findall(r"####\s*([^\n]+)", text)
    found = re.findall(r"-?[\d][\d,]*\.?\d*", (boxed[-1] if boxed else text)[-4000:])
    return _number(found[-1].rstrip(".,")) if found else None


def _number(word: str) -> float | None:
    bare = word.strip(f"{MARKS}.")
    if not re.fullmatch(r"[+-]?\d{1,3}(?:,\d{3})*(?:\.\d+)?|[+-]?\d{1,300}(?:\.\d{1,300})?", bare):
        return None
    return float(bare.replace(",", ""))


def _same_number(a: float, b: float) -> bool:
    return abs(a - b) <= NUMBER_TOLERANCE * max(1.0, abs(a), abs(b))
