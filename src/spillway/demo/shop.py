"""Seeded shop-inbox messages with their true answers: what the demo model was trained for and is judged by.

A message asks for one of ten things and may name an order, an item, a weekday and its urgency. The answer is
compact JSON with the copied fields, null where the message is silent. Phrases and item words of the trained
kind live in `data/shop_phrases.json`, phrasings and item words that training never sees in `shop_unseen.py`.
"""

import json
import random
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

from spillway.demo.shop_unseen import UNSEEN_ADJECTIVES, UNSEEN_CORES, UNSEEN_NOUNS

Kind = Literal["trained", "unseen_phrasings", "unseen_items"]
Answer = dict[str, str | bool | None]

INTENTS: tuple[str, ...] = tuple(UNSEEN_CORES)
DAYS: tuple[str, ...] = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
SYSTEM_PROMPT = "Answer with intent, order, item, day and urgent as JSON."
"""What the demo model may be given as its system message; it was trained with and without it."""

ANSWER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "intent": {"type": "string", "enum": list(INTENTS)},
        "order": {"type": ["string", "null"], "pattern": "^[0-9]{4,6}$"},
        "item": {"type": ["string", "null"]},
        "day": {"enum": [*DAYS, None]},
        "urgent": {"type": "boolean"},
    },
    "required": ["intent", "order", "item", "day", "urgent"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class ShopMessage:
    """One inbox message and the answer a perfect reader would give."""

    text: str
    answer: Answer


@dataclass(frozen=True)
class _Style:
    """Where words come from: cores by intent, and the share of item words that are invented (0-1)."""

    cores: dict[str, tuple[str, ...]]
    nouns: tuple[str, ...]
    adjectives: tuple[str, ...]
    invented_ratio: float


def messages(seed: int, count: int, kind: Kind = "trained") -> list[ShopMessage]:
    """`count` messages, the same for the same seed and kind.

    `trained`: phrases and item words of training in fresh combinations. `unseen_phrasings`: the sentence that
    carries the request was never used in training (greetings, urgency marks and item words were).
    `unseen_items`: trained phrases, item words never used in training.
    """
    rng = random.Random(f"{kind}-{seed}")
    style = _style(kind)
    return [_message(rng, style, kind) for _ in range(count)]


def training_messages(seed: int, count: int, invented_ratio: float = 0.5) -> list[ShopMessage]:
    """Messages of the trained kind in which a share of item words is made up, so that copying is learnt."""
    rng = random.Random(f"training-{seed}")
    style = _Style(phrases()["cores"], *trained_words(), invented_ratio)
    return [_message(rng, style, "trained") for _ in range(count)]


def answer_text(answer: Answer) -> str:
    """The answer as the compact JSON the model is trained to write."""
    return json.dumps(answer, separators=(",", ":"), ensure_ascii=False)


def is_exact(answer_text: str, truth: ShopMessage | Answer) -> bool:
    """Whether the text is a JSON object with exactly the true fields and values."""
    expected = truth.answer if isinstance(truth, ShopMessage) else truth
    try:
        parsed = json.loads(answer_text)
    except ValueError:
        return False
    return isinstance(parsed, dict) and parsed == expected and isinstance(parsed["urgent"], bool)


@cache
def phrases() -> dict[str, Any]:
    """The phrase grammar of the trained kind, read once from package data."""
    text = resources.files("spillway.demo").joinpath("data/shop_phrases.json").read_text(encoding="utf-8")
    grammar: dict[str, Any] = json.loads(text)
    return grammar


@cache
def trained_words() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Nouns and adjectives that training items are made of."""
    return tuple(phrases()["nouns"].split()), tuple(phrases()["adjectives"].split())


def expand(rng: random.Random, pattern: str) -> str:
    """The pattern with one alternative taken at every bracket, inner brackets first."""
    while "[" in pattern:
        pattern = _INNERMOST.sub(lambda found: rng.choice(found.group(1).split("|")), pattern)
    return pattern


_ABOUT_ORDERS = frozenset({"order_status", "cancel_order", "change_delivery"})
_INNERMOST = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{(order|item|day)\}")


def _style(kind: Kind) -> _Style:
    if kind == "unseen_phrasings":
        return _Style(UNSEEN_CORES, *trained_words(), 0.0)
    if kind == "unseen_items":
        return _Style(phrases()["cores"], UNSEEN_NOUNS, UNSEEN_ADJECTIVES, 0.0)
    return _Style(phrases()["cores"], *trained_words(), 0.0)


def _message(rng: random.Random, style: _Style, kind: Kind) -> ShopMessage:
    intent = rng.choice(INTENTS)
    core = _core(rng, style, intent, needs_item=kind == "unseen_items")
    body = _with_details(rng, core, intent)
    is_urgent, body = _with_urgency(rng, body)
    skeleton = _rough(rng, _with_courtesies(rng, body))
    values = {
        "order": _order_number(rng),
        "item": _item(rng, style),
        "day": rng.choice(DAYS),
    }
    named = set(_SLOT.findall(skeleton))
    spoken_day = values["day"] if skeleton.islower() and rng.random() < 0.8 else values["day"].capitalize()
    spoken = {**values, "day": spoken_day}
    text = _SLOT.sub(lambda found: spoken[found.group(1)], skeleton)
    fields = {name: values[name] if name in named else None for name in ("order", "item", "day")}
    return ShopMessage(text, {"intent": intent, **fields, "urgent": is_urgent})


def _order_number(rng: random.Random) -> str:
    digits = rng.choice((4, 5, 5, 6, 6))
    return str(rng.randrange(10 ** (digits - 1), 10**digits))


def _core(rng: random.Random, style: _Style, intent: str, needs_item: bool) -> str:
    while True:
        core = expand(rng, rng.choice(style.cores[intent]))
        if "{thing}" in core:
            weights = (3, 4, 4, 1) if intent in _ABOUT_ORDERS else (3, 6, 3, 1)
            weights = weights if "{item}" not in core else (0, 0, 1, 1)
            form = rng.choices(("both", "item", "order", "none"), weights)[0]
            core = core.replace("{thing}", expand(rng, rng.choice(phrases()["things"][form])))
        if "{item}" in core or not needs_item:
            return core


def _with_details(rng: random.Random, core: str, intent: str) -> list[str]:
    """The core sentence among sentences that add what it leaves out: order, weekday, what was bought."""
    grammar = phrases()
    sentences = [core]
    if "{day}" not in core and grammar["day_sentences"][intent] and rng.random() < 0.2:
        sentences.append(expand(rng, rng.choice(grammar["day_sentences"][intent])))
    if "{order}" not in core and intent != "stock" and rng.random() < 0.3:
        sentence = expand(rng, rng.choice(grammar["order_sentences"]))
        sentences.insert(rng.choice((0, len(sentences), len(sentences))), sentence)
    if "{item}" not in core and intent != "stock" and rng.random() < 0.25:
        has_day = "{day}" in "".join(sentences)
        usable = [p for p in grammar["context_sentences"] if "{day}" not in p or not has_day]
        sentences.insert(0, expand(rng, rng.choice(usable)))
    return sentences


def _with_urgency(rng: random.Random, sentences: list[str]) -> tuple[bool, list[str]]:
    grammar = phrases()
    draw = rng.random()
    if draw < 0.12:
        return True, [expand(rng, rng.choice(grammar["urgent"]["before"])), *sentences]
    if draw < 0.30:
        return True, [*sentences, expand(rng, rng.choice(grammar["urgent"]["after"]))]
    if draw < 0.36:
        return False, [*sentences, expand(rng, rng.choice(grammar["calm"]))]
    return False, sentences


def _with_courtesies(rng: random.Random, sentences: list[str]) -> str:
    grammar = phrases()
    finished = [_capitalised(sentence) for sentence in sentences]
    if rng.random() < 0.4:
        opener = _capitalised(expand(rng, rng.choice(grammar["openers"])))
        mark = rng.choice((",", ",", "!", ".", " -", ":"))
        if mark in {",", " -", ":"} and rng.random() < 0.5:
            finished[0] = sentences[0]
        finished.insert(0, opener + mark)
    if rng.random() < 0.4:
        closer = expand(rng, rng.choice(grammar["closers"]))
        finished.append(_capitalised(closer) + rng.choice(("", ".", "!", ".")))
    return " ".join(finished)


def _rough(rng: random.Random, text: str) -> str:
    """The skeleton as people type it: sometimes lower case, without end mark, with one slip of the finger."""
    if rng.random() < 0.15:
        text = text.lower()
    if rng.random() < 0.15:
        text = text.rstrip(".!?")
    if rng.random() < 0.08:
        text = text.replace(".", rng.choice(("!", "...", "!!")))
    if rng.random() < 0.08:
        text = text.replace("'", rng.choice(("", "’")))
    return _with_slip(rng, text) if rng.random() < 0.15 else text


def _with_slip(rng: random.Random, text: str) -> str:
    words = text.split(" ")
    able = [i for i, word in enumerate(words) if len(word) > 4 and word.isalpha()]
    if not able:
        return text
    place = rng.choice(able)
    word = words[place]
    at = rng.randrange(1, len(word) - 2)
    swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    words[place] = rng.choice((swapped, word[:at] + word[at + 1 :], word[:at] + word[at] + word[at:]))
    return " ".join(words)


def _item(rng: random.Random, style: _Style) -> str:
    noun = _word(rng, style.nouns, style.invented_ratio)
    draw = rng.random()
    if draw < 0.4:
        return noun
    first = _word(rng, style.adjectives, style.invented_ratio)
    if draw < 0.9:
        return f"{first} {noun}"
    return f"{first} {_word(rng, style.adjectives, style.invented_ratio)} {noun}"


def _word(rng: random.Random, known: tuple[str, ...], invented_ratio: float) -> str:
    return invented_word(rng) if rng.random() < invented_ratio else rng.choice(known)


def invented_word(rng: random.Random) -> str:
    """A made-up word of one to three syllables and an ending."""
    starts, ends = _invention()
    return "".join(rng.choice(starts) for _ in range(rng.choice((1, 1, 2, 2, 3)))) + rng.choice(ends)


@cache
def _invention() -> tuple[list[str], list[str]]:
    return phrases()["invented_starts"].split(), phrases()["invented_ends"].split()


def _capitalised(sentence: str) -> str:
    return sentence if sentence.startswith("{") else sentence[:1].upper() + sentence[1:]
