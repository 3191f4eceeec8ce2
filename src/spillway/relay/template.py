"""The bytes around the text in a stream's chunks, which are the same for nearly all of them."""

from __future__ import annotations

import re

import msgspec

__all__ = ["WINDOW_BYTES", "TextTemplate", "words_of"]

MOST_VAIN = 3
"""Templates learnt in a row that fitted nothing, after which learning is given up: OpenAI pads every chunk
with other random letters."""
_CHUNK = msgspec.json.Decoder(dict[str, object])
_EVENT = re.compile(rb'data: (.*?"(?:content|text)": ?"((?:[^"\\]|\\.)*)".*)\n\n', re.DOTALL)
WINDOW_BYTES = 16_384
"""Bytes that are taken apart in one go (guess): where rows are short, the rest of them for nothing."""
_plain = re.compile(rb'[^"\\\x00-\x1f]+').fullmatch
"""Text that stands in JSON as it is."""
_escaped = re.compile(rb'(?:[^"\\\x00-\x1f]|\\["\\/bfnrt])+').fullmatch
"""Text in JSON without characters by number, of which one may be the half of a pair."""


def words_of(text: bytes) -> str:
    """The text that stands in JSON as those bytes do; they are ``_plain`` or ``_escaped``."""
    words = text.decode("utf-8", "replace")
    return str(msgspec.json.decode(f'"{words}"')) if "\\" in words else words


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
        if _plain(text) is None and _escaped(text) is None:
            return None
        self._vain = 0
        return text

    def texts_at(self, data: bytes, at: int) -> tuple[list[bytes], int]:
        """The texts of the events like the one learnt from that stand there in a row, and where those end.

        A row is taken apart at what stands between two texts, all at once, which costs half of looking at one
        event after another.
        """
        before, after = self._before, self._after
        if not before or not data.startswith(before, at):
            return [], at
        texts = data[at + len(before) : at + WINDOW_BYTES].split(after + before)
        last, end, _ = texts.pop().partition(after)
        if end:
            texts.append(last)
        texts = _whole_ones(texts)
        if texts:
            self._vain = 0
        return texts, at + sum(map(len, texts)) + len(texts) * (len(before) + len(after))

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


def _whole_ones(texts: list[bytes]) -> list[bytes]:
    """Those before the first which is empty or no text."""
    if all(texts) and _plain(b"".join(texts)):
        return texts
    return texts[: next((at for at, text in enumerate(texts) if not _escaped(text)), len(texts))]
