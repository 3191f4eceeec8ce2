"""Parses a Go template into nodes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn

from spillway.pinning.templates.failures import TemplateFailure
from spillway.pinning.templates.go.lexer import Piece, Word, pieces, words
from spillway.pinning.templates.go.nodes import (
    Action,
    Argument,
    Branch,
    Chain,
    Command,
    Field,
    Function,
    Invoke,
    Jump,
    Literal,
    Node,
    Pipe,
    Text,
    Variable,
)

__all__ = ["ParsedTemplate", "parse"]

_KEYWORDS = {"true": True, "false": False, "nil": None}
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)", re.DOTALL)
_PLAIN_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


@dataclass(frozen=True, slots=True)
class ParsedTemplate:
    """The main body and the bodies defined by name."""

    body: tuple[Node, ...]
    named: dict[str, tuple[Node, ...]]


def parse(template: str) -> ParsedTemplate:
    """The template's nodes; ``TemplateFailure`` of kind syntax names the line."""
    parser = _Parser(list(pieces(template)))
    body, ended = parser.nodes()
    if ended is not None:
        parser.refuse(f"{ended[0].text!r} without a beginning")
    return ParsedTemplate(body, parser.named)


@dataclass(slots=True)
class _Parser:
    pieces: list[Piece]
    place: int = 0
    named: dict[str, tuple[Node, ...]] = field(default_factory=dict)

    def nodes(self) -> tuple[tuple[Node, ...], list[Word] | None]:
        """Nodes up to ``else``, ``end`` or the end of the text, and the words that ended them."""
        found: list[Node] = []
        while self.place < len(self.pieces):
            piece = self.pieces[self.place]
            self.place += 1
            if not piece.is_action:
                if piece.text:
                    found.append(Text(piece.text))
                continue
            parts = words(piece.text)
            if parts and parts[0].kind == "name" and parts[0].text in ("else", "end"):
                return tuple(found), parts
            node = self._statement(parts)
            if node is not None:
                found.append(node)
        return tuple(found), None

    def refuse(self, problem: str) -> NoReturn:
        """Raises the failure that names the line."""
        line = self.pieces[min(self.place, len(self.pieces)) - 1].line
        raise TemplateFailure("syntax", f"line {line}: {problem}")

    def _statement(self, parts: list[Word]) -> Node | None:
        first = parts[0] if parts else None
        keyword = first.text if first is not None and first.kind == "name" else ""
        readers: dict[str, Callable[[list[Word]], Node | None]] = {
            "define": self._define,
            "block": self._block,
            "template": self._invoke,
        }
        if keyword in ("if", "with", "range"):
            return self._branch(keyword, parts[1:])
        if keyword in ("break", "continue"):
            return Jump(keyword)
        if keyword in readers:
            return readers[keyword](parts[1:])
        return Action(self._pipe(parts))

    def _branch(self, kind: str, condition: list[Word]) -> Branch:
        pipe = self._pipe(condition)
        body, ended = self.nodes()
        if ended is None:
            self.refuse(f"{kind!r} is not closed")
        if ended[0].text == "end":
            return Branch(kind, pipe, body, ())
        if len(ended) > 1 and ended[1].text in ("if", "with"):
            return Branch(kind, pipe, body, (self._branch(ended[1].text, ended[2:]),))
        otherwise, ended = self.nodes()
        if ended is None or ended[0].text != "end":
            self.refuse(f"'else' of {kind!r} is not closed")
        return Branch(kind, pipe, body, otherwise)

    def _define(self, parts: list[Word]) -> None:
        name = self._name(parts)
        body, ended = self.nodes()
        if ended is None or ended[0].text != "end":
            self.refuse(f"the definition of {name!r} is not closed")
        self.named[name] = body

    def _block(self, parts: list[Word]) -> Invoke:
        self._define(parts[:1])
        return self._invoke(parts)

    def _invoke(self, parts: list[Word]) -> Invoke:
        return Invoke(self._name(parts), self._pipe(parts[1:]) if len(parts) > 1 else None)

    def _name(self, parts: list[Word]) -> str:
        if not parts or parts[0].kind != "text":
            self.refuse("a template's name must be a quoted text")
        return _unquoted(parts[0].text)

    def _pipe(self, parts: list[Word]) -> Pipe:
        names: list[str] = []
        declares = False
        for place, word in enumerate(parts):
            if word.text in (":=", "=") and word.kind == "sign":
                names = [w.text for w in parts[:place] if w.kind == "variable"]
                declares = word.text == ":="
                parts = parts[place + 1 :]
                break
        reader = _Reader(parts)
        commands = reader.commands()
        if not commands or reader.place < len(parts):
            self.refuse("this action cannot be read")
        return Pipe(commands, tuple(names), declares)


@dataclass(slots=True)
class _Reader:
    """Reads pipelines out of the words of one action."""

    words: list[Word]
    place: int = 0

    def commands(self) -> tuple[Command, ...]:
        """Commands parted by ``|`` up to a closing parenthesis or the end; empty when unreadable."""
        found: list[Command] = []
        while True:
            arguments = self._arguments()
            if not arguments:
                return ()
            found.append(Command(arguments))
            if self._sign() != "|":
                return tuple(found)
            self.place += 1

    def _arguments(self) -> tuple[Argument, ...]:
        found: list[Argument] = []
        while self.place < len(self.words) and self._sign() not in ("|", ")"):
            found.append(self._argument())
        return tuple(found)

    def _argument(self) -> Argument:
        word = self.words[self.place]
        self.place += 1
        if word.text == "(" and word.kind == "sign":
            pipe = Pipe(self.commands())
            if self._sign() != ")":
                raise TemplateFailure("syntax", "a parenthesis is not closed")
            self.place += 1
            return Chain(pipe, self._names_that_follow())
        if word.kind == "name" and word.text not in _KEYWORDS:
            return Function(word.text)
        return _simple(word)

    def _names_that_follow(self) -> tuple[str, ...]:
        if self.place < len(self.words):
            word = self.words[self.place]
            if word.kind == "field" and not word.after_space:
                self.place += 1
                return tuple(word.text[1:].split("."))
        return ()

    def _sign(self) -> str:
        word = self.words[self.place] if self.place < len(self.words) else None
        return word.text if word is not None and word.kind == "sign" else ""


def _simple(word: Word) -> Argument:
    if word.kind == "dot":
        return Field(())
    if word.kind == "field":
        return Field(tuple(word.text[1:].split(".")))
    if word.kind == "variable":
        name, *names = word.text.split(".")
        return Variable(name, tuple(names))
    if word.kind == "text":
        return Literal(_unquoted(word.text))
    if word.kind == "character":
        return Literal(ord(_unquoted(word.text)))
    if word.kind == "number":
        return Literal(_number(word.text))
    if word.text in _KEYWORDS:
        return Literal(_KEYWORDS[word.text])
    raise TemplateFailure("syntax", f"unexpected {word.text!r} in an action")


def _number(text: str) -> int | float:
    plain = text.replace("_", "")
    try:
        return int(plain, 0) if re.fullmatch(r"[+-]?(0[xX][0-9a-fA-F]+|[1-9]\d*|0)", plain) else float(plain)
    except ValueError:
        raise TemplateFailure("syntax", f"{text!r} is no number") from None


def _unquoted(text: str) -> str:
    if text[0] == "`":
        return text[1:-1]
    return _ESCAPE.sub(_unescaped, text[1:-1])


def _unescaped(match: re.Match[str]) -> str:
    code = match.group(1)
    if code[0] in "xuU" and len(code) > 1:
        return chr(int(code[1:], 16))
    return chr(int(code, 8)) if len(code) == 3 else _PLAIN_ESCAPES.get(code, code)
