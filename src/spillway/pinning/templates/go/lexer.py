"""Cuts a Go template into text and actions, and actions into words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from spillway.pinning.templates.failures import TemplateFailure

__all__ = ["Piece", "Word", "pieces", "words"]

_SPACE = " \t\r\n"
_COMMENT = re.compile(r"\{\{(-(?=\s))?\s*/\*.*?\*/\s*?((?<=\s)-)?\}\}", re.DOTALL)
_ACTION = re.compile(r"""\{\{(?:"(?:\\.|[^"\\\n])*"|`[^`]*`|'(?:\\.|[^'\\\n])+'|(?!\}\})[^"`'])*\}\}""")
_WORD = re.compile(
    r"""(?P<space>\s+)
      | (?P<text>"(?:\\.|[^"\\\n])*"|`[^`]*`)
      | (?P<character>'(?:\\.|[^'\\\n])+')
      | (?P<number>[+-]?(?:0[xX][0-9a-fA-F_]+|\d[\d_]*(?:\.\d*)?(?:[eE][+-]?\d+)?))
      | (?P<variable>\$\w*(?:\.[^\W\d]\w*)*)
      | (?P<field>(?:\.[^\W\d]\w*)+)
      | (?P<dot>\.)
      | (?P<name>[^\W\d]\w*)
      | (?P<sign>:=|=|\||\(|\)|,)""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Piece:
    """Text as it stands, or the inside of an action; ``line`` is where it begins."""

    text: str
    is_action: bool
    line: int


@dataclass(frozen=True, slots=True)
class Word:
    """One word of an action: its kind is the name of the alternative in ``_WORD``."""

    kind: str
    text: str
    after_space: bool


def pieces(template: str) -> Iterator[Piece]:
    """Text and actions in order; white space is trimmed where ``{{-`` and ``-}}`` say so."""
    place, trims = 0, False
    while True:
        start = template.find("{{", place)
        text = template[place:] if start < 0 else template[place:start]
        if trims:
            text = text.lstrip(_SPACE)
        if start < 0:
            yield Piece(text, False, _line(template, place))
            return
        inside, end, trims_before, trims = _action(template, start)
        yield Piece(text.rstrip(_SPACE) if trims_before else text, False, _line(template, place))
        if inside is not None:
            yield Piece(inside, True, _line(template, start))
        place = end


def words(action: str) -> list[Word]:
    """The words of an action; spaces are dropped but remembered, for they part arguments."""
    found: list[Word] = []
    place, after_space = 0, True
    while place < len(action):
        match = _WORD.match(action, place)
        if match is None or match.lastgroup is None:
            raise TemplateFailure("syntax", f"unexpected {action[place]!r} in an action")
        if match.lastgroup == "space":
            after_space = True
        else:
            found.append(Word(match.lastgroup, match.group(), after_space))
            after_space = False
        place = match.end()
    return found


def _action(template: str, start: int) -> tuple[str | None, int, bool, bool]:
    """Inside (``None`` for a comment), end, and whether the text before and after is trimmed."""
    comment = _COMMENT.match(template, start)
    if comment is not None:
        return None, comment.end(), comment.group(1) is not None, comment.group(2) is not None
    match = _ACTION.match(template, start)
    if match is None:
        raise TemplateFailure("syntax", f"line {_line(template, start)}: an action is not closed")
    inside = match.group()[2:-2]
    trims_before = len(inside) > 1 and inside[0] == "-" and inside[1] in _SPACE
    inside = inside[1:] if trims_before else inside
    trims_after = len(inside) > 1 and inside[-1] == "-" and inside[-2] in _SPACE
    return inside[:-1] if trims_after else inside, match.end(), trims_before, trims_after


def _line(template: str, place: int) -> int:
    return template.count("\n", 0, place) + 1
