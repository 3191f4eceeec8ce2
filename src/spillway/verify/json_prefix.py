"""A check of JSON while it arrives: says at once when no continuation can make it valid."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["JsonPrefix"]

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_PLAIN: Final = re.compile(r'[^"\\\x00-\x1f]*')
_SCALAR: Final = re.compile(r"[-+.0-9A-Za-z]*")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_NUMBER_START: Final = re.compile(r"-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?(?:(?<=[0-9])[eE][-+]?[0-9]*)?)?")
_ESCAPE: Final = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})')
_ESCAPE_START: Final = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?")
_LITERALS: Final = ("true", "false", "null")
LONGEST_SCALAR: Final = 400
DEEPEST: Final = 512


class JsonPrefix:
    """Fed pieces of a text; ``is_broken`` from the moment no ending could make it one JSON value.

    >>> prefix = JsonPrefix()
    >>> prefix.feed('{"a": [1, 2'), prefix.feed("], }")
    (True, False)
    """

    def __init__(self) -> None:
        self.is_broken = False
        self._open: list[str] = []
        self._expects = "value"
        self._string: str | None = None
        """What follows the string that is being read; ``None`` outside of strings."""
        self._carried = ""
        """The start of a number, a literal or an escape whose end has not arrived."""

    @property
    def is_whole(self) -> bool:
        """Whether what has come so far is one JSON value."""
        if self.is_broken or self._string is not None or self._open:
            return False
        if self._carried:
            return self._expects == "value" and _is_scalar(self._carried)
        return self._expects == "end"

    def feed(self, text: str) -> bool:
        """Takes in the next piece; returns whether the whole can still become JSON."""
        if self.is_broken or not text:
            return not self.is_broken
        text = self._carried + text
        self._carried = ""
        at = 0
        while at < len(text) and not self.is_broken:
            at = self._in_string(text, at) if self._string is not None else self._step(text, at)
        return not self.is_broken

    def _in_string(self, text: str, at: int) -> int:
        end = _match_end(_PLAIN, text, at)
        if end == len(text):
            return end
        if text[end] == '"':
            self._expects, self._string = self._string or "end", None
            return end + 1
        escape = _ESCAPE.match(text, end)
        if escape is not None:
            return escape.end()
        if text[end] == "\\" and _match_end(_ESCAPE_START, text, end) == len(text):
            self._carried = text[end:]
        else:
            self.is_broken = True
        return len(text)

    def _step(self, text: str, at: int) -> int:
        at = _match_end(_SPACE, text, at)
        if at == len(text):
            return at
        char = text[at]
        if self._expects in ("value", "value or end"):
            return self._value(text, at, char)
        if self._expects in ("key", "key or end"):
            self._key(char)
        elif self._expects == "colon":
            self._expect_only(char, ":", "value")
        elif self._expects == "comma":
            self._comma(char)
        else:
            self.is_broken = True
        return at + 1

    def _value(self, text: str, at: int, char: str) -> int:
        if char in "{[":
            self._open.append(char)
            self._expects = "key or end" if char == "{" else "value or end"
            self.is_broken = len(self._open) > DEEPEST
        elif char == '"':
            self._string = self._after_value()
        elif char == "]" and self._expects == "value or end":
            self._close("[")
        else:
            return self._scalar(text, at)
        return at + 1

    def _scalar(self, text: str, at: int) -> int:
        end = _match_end(_SCALAR, text, at)
        token = text[at:end]
        if not token or len(token) > LONGEST_SCALAR:
            self.is_broken = True
        elif end < len(text):
            self.is_broken = not _is_scalar(token)
            self._expects = self._after_value()
        elif _can_become_scalar(token):
            self._carried, self._expects = token, "value"
        else:
            self.is_broken = True
        return end

    def _key(self, char: str) -> None:
        if char == '"':
            self._string = "colon"
        elif char == "}" and self._expects == "key or end":
            self._close("{")
        else:
            self.is_broken = True

    def _comma(self, char: str) -> None:
        if char == ",":
            self._expects = "key" if self._open[-1] == "{" else "value"
        elif char in "}]":
            self._close("{" if char == "}" else "[")
        else:
            self.is_broken = True

    def _expect_only(self, char: str, wanted: str, then: str) -> None:
        self.is_broken = char != wanted
        self._expects = then

    def _close(self, opening: str) -> None:
        if self._open.pop() != opening:
            self.is_broken = True
        self._expects = self._after_value()

    def _after_value(self) -> str:
        return "comma" if self._open else "end"


def _match_end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return at if found is None else found.end()


def _is_scalar(token: str) -> bool:
    return token in _LITERALS or _NUMBER.fullmatch(token) is not None


def _can_become_scalar(token: str) -> bool:
    if token[0].isalpha():
        return any(literal.startswith(token) for literal in _LITERALS)
    return _NUMBER_START.fullmatch(token) is not None
