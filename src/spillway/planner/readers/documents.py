"""The items of JSON documents, read little by little: a list of any length takes the room of one item."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import IO, Any, cast

from spillway.planner.readers.nested import page_items
from spillway.planner.workload import WorkloadError

__all__ = ["json_items"]

MOST_CHARACTERS = 96 * 1024 * 1024
"""A document that wraps its list, like an item of a list, is held whole and may not be longer unpacked; that
takes up to 500 MB."""
STEP_CHARACTERS = 1024 * 1024
LIST_KEYS = ("data", "results", "observations", "generations", "requests", "items", "rows")
"""Keys under which exports wrap their list."""
SPACE = re.compile(r"[ \t\r\n]*")
LONGEST_WORD = len("-Infinity")
DECODER = json.JSONDecoder()


def json_items(text: IO[str], source: str) -> Iterator[Any]:
    """The items of each document in the text: those of a list, alone or wrapped, or the document itself.

    Pages that were saved one after another are documents one after another. ``WorkloadError``, naming
    ``source``, for what is no JSON and for a value longer than ``MOST_CHARACTERS``.
    """
    reader = _Reader(text, source)
    while first := reader.peek():
        yield from reader.listed() if first == "[" else _unwrap(reader.value())


def _unwrap(found: Any) -> Iterable[Any]:
    """The list inside a document that is none, under a usual key, or the document."""
    if isinstance(found, dict):
        for key in LIST_KEYS:
            items = found.get(key)
            # A list of texts is one of ids: what they belong to is the record.
            if isinstance(items, list) and not any(isinstance(item, str) for item in items):
                return page_items(found, items)
    return [found]


class _Reader:
    """Values out of a text, of which only the one that is being read is held."""

    def __init__(self, text: IO[str], source: str) -> None:
        self._text = text
        self._source = source
        self._held = ""
        self._at = 0
        self._line = 1

    def peek(self) -> str:
        """The next character that is no space, and reading goes on there; empty at the end."""
        while True:
            self._at = cast(re.Match[str], SPACE.match(self._held, self._at)).end()
            if self._at < len(self._held) or not self._reads_on():
                return self._held[self._at : self._at + 1]

    def listed(self) -> Iterator[Any]:
        """The items of the list that begins here."""
        self._at += 1
        if self.peek() == "]":
            self._at += 1
            return
        while True:
            self.peek()
            yield self.value()
            mark = self.peek()
            if mark not in ("]", ","):
                raise self._broken(json.JSONDecodeError("Expecting ',' delimiter", self._held, self._at))
            self._at += 1
            if mark == "]":
                return

    def value(self) -> Any:
        """The value that begins here."""
        while True:
            try:
                found, end = DECODER.raw_decode(self._held, self._at)
            except json.JSONDecodeError as fault:
                if not (self._may_be_cut(fault) and self._reads_on()):
                    raise self._broken(fault) from fault
            except RecursionError as fault:
                raise WorkloadError(
                    f"{self._source} is JSON nested too deeply to be read; export it again"
                ) from fault
            else:
                # Of a number more digits may follow.
                if end < len(self._held) or not self._reads_on():
                    self._at = end
                    return found

    def _may_be_cut(self, fault: json.JSONDecodeError) -> bool:
        """Whether nothing is wrong but that the rest has not been read."""
        return fault.msg.startswith("Unterminated") or fault.pos >= len(self._held) - LONGEST_WORD

    def _reads_on(self) -> bool:
        """Whether there was more to read; what is before the present place is let go."""
        rest = len(self._held) - self._at
        if rest > MOST_CHARACTERS:
            raise WorkloadError(
                f"{self._source} has one JSON value of more than {MOST_CHARACTERS:,} characters (line "
                f"{self._line}), which is too long to be read whole; export it as JSON lines or CSV instead"
            )
        # As much again as is held: however long a value is, it is decoded only a few times.
        more = self._text.read(min(max(rest, STEP_CHARACTERS), MOST_CHARACTERS + 1 - rest))
        if more:
            self._line += self._held.count("\n", 0, self._at)
            self._held = self._held[self._at :] + more
            self._at = 0
        return bool(more)

    def _broken(self, fault: json.JSONDecodeError) -> WorkloadError:
        line = self._line + fault.lineno - 1
        return WorkloadError(f"{self._source} is not valid JSON: {fault.msg} (line {line})")
