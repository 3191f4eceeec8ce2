"""What a line of an OpenAI bill charges for, out of its text: ``gpt-4o-mini-2024-07-18, cached input``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

__all__ = ["NO_LINE_ITEM", "Kind", "LineItem", "read_line_item"]

Kind = Literal["input", "cached input", "cache writes", "output"]

NO_LINE_ITEM = "no line item"

KINDS: tuple[tuple[Kind, frozenset[str]], ...] = (
    ("cached input", frozenset({"cached", "input"})),
    ("cache writes", frozenset({"cache", "writes"})),
    ("input", frozenset({"input"})),
    ("output", frozenset({"output"})),
)
"""Kinds of tokens and the words that say so; "cached input" is asked for before "input"."""
TERMS: tuple[tuple[str, frozenset[str]], ...] = (
    ("priority", frozenset({"priority"})),
    ("flex", frozenset({"flex"})),
    ("long context", frozenset({"long", "context"})),
)
"""Terms under which a model costs something else than its plain list price, and the words that say so."""
NO_TEXT = frozenset({"audio", "image", "images", "video", "training", "tuning", "search", "storage"})
"""Words of services that no text model gives."""
KNOWN = NO_TEXT.union({"batch", "api", "text", "tokens"}, *(said for _, said in (*KINDS, *TERMS)))
CHAT = re.compile(r"(ft[-:])?(gpt|chatgpt|codex|computer-use|davinci|babbage|o\d)(-|$)")
OTHER_MODELS = re.compile(r"audio|image|realtime|transcribe|tts|embedding|moderation")


@dataclass(frozen=True)
class LineItem:
    """Tokens of one kind of one chat model."""

    text: str
    """As the bill has it."""
    model: str
    """``openai/MODEL``, as the bill names it."""
    kind: Kind
    is_batch: bool = False
    terms: tuple[str, ...] = ()
    """What makes the price another than the plain one: ``priority``, ``flex``, ``long context``."""


def read_line_item(text: str) -> LineItem:
    """The line item that a text names; ``ValueError`` says why the text is none of a chat model's tokens.

    >>> read_line_item("priority | gpt-5.4, output, long context").terms
    ('priority', 'long context')
    """
    if not text:
        raise ValueError(NO_LINE_ITEM)
    before, _, rest = text.lower().rpartition("|")
    named, _, after = rest.partition(",")
    name, *beside = named.split() or [""]
    # A name for people has spaces: "GPT-4o mini" is gpt-4o-mini.
    model = "-".join([name, *(word for word in beside if word not in KNOWN)])
    words = {*re.findall("[a-z]+", f"{before} {after}"), *KNOWN.intersection(beside)}
    kind = next((kind for kind, said in KINDS if said <= words), None)
    is_other = bool(OTHER_MODELS.search(model) or words & NO_TEXT)
    if is_other or not CHAT.match(model):
        if kind is not None and not is_other:
            raise ValueError(f"{text!r} is of a model that nobody knows, so its price is unknown")
        raise ValueError(f"{text!r} is no tokens of a chat model")
    if kind is None:
        raise ValueError(f"{text!r} names a model but neither input nor output, and cannot be split")
    if not words <= KNOWN:
        raise ValueError(f"{text!r} is charged in a way that is not known")
    terms = tuple(term for term, said in TERMS if said <= words)
    return LineItem(text, f"openai/{model}", kind, "batch" in words, terms)
