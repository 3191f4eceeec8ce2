"""The bytes around the text in a stream's chunks, which are the same for nearly all of them."""

from __future__ import annotations

import re

import msgspec

__all__ = ["TextTemplate"]

MOST_VAIN = 3
"""Templates learnt in a row that fitted nothing, after which learning is given up: OpenAI pads every chunk
with other random letters."""
_CHUNK = msgspec.json.Decoder(dict[str, object])
_EVENT = re.compile(rb'data: (.*?"(?:content|text)": ?"((?:[^"\\]|\\.)*)".*)\n\n', re.DOTALL)
_plain = re.compile(rb'[^"\\\x00-\x1f]+').fullmatch
"""Text that stands in JSON as it is."""


class TextTemplate:
    """Learns from one event which holds nothing but a piece of text, and then tells which others are like it.

    Comparing bytes costs a fifth of parsing them, and pieces of text that are equal in everything around them
    can be joined as bytes.
    """

    __slots__ = ("_after", "_before", "_vain")

    def __init__(self) -> None:
        self._before = b""
        self._after = b""
        self._vain = 0

    def text_of(self, event: bytes) -> bytes | None:
        """The text of an event that is like the one learnt from, as it stands there; else ``None``."""
        before, after = self._before, self._after
        if not before or not event.startswith(before) or not event.endswith(after):
            return None
        text = event[len(before) : len(event) - len(after)]
        if _plain(text) is None:
            return None
        self._vain = 0
        return text

    def event_of(self, texts: list[bytes]) -> bytes:
        """One event that says what all of those say."""
        return self._before + b"".join(texts) + self._after

    def learn(self, event: bytes) -> None:
        """Takes an event as the pattern for those to come, if it has one choice with one text and no more."""
        if self._vain >= MOST_VAIN:
            return
        self._vain += 1
        self._before = b""
        found = _EVENT.fullmatch(event)
        if found is None:
            return
        choices = _CHUNK.decode(found[1]).get("choices")
        if not isinstance(choices, list) or len(choices) != 1:
            return
        given = {name: value for name, value in choices[0].items() if value is not None and name != "index"}
        if given.keys() == {"delta"}:
            given = {name: value for name, value in given["delta"].items() if value is not None}
        if len(given) == 1 and next(iter(given.values())) == msgspec.json.decode(b'"' + found[2] + b'"'):
            self._before, self._after = event[: found.start(2)], event[found.end(2) :]
