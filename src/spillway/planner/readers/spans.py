"""Spans around model calls, which repeat the usage of the calls in them."""

from __future__ import annotations

from collections.abc import Sequence

from spillway.planner.readers.formats import Format
from spillway.planner.readers.records import Record
from spillway.planner.readers.repeats import SeenIds, first_id

__all__ = ["SpansAround"]


class SpansAround:
    """The spans in which there is a model call, in at most 32 bytes each.

    Exporters write a span when it ends, so what is around it comes later: then a call is found however deep
    it is. Where the outer span comes first, only what is right around a call is left out.
    """

    def __init__(self, kind: Format) -> None:
        self._kind = kind
        self._found = SeenIds()

    def add(self, record: Record, is_call: bool) -> None:
        """Take down what is around a span, if that is a model call or there is one in it."""
        if is_call or record in self:
            around = self._name(record, self._kind.parent)
            if around:
                self._found.add(around)

    def __contains__(self, record: Record) -> bool:
        """Whether there is a model call in the span."""
        return self._name(record, self._kind.span) in self._found

    def _name(self, record: Record, names: Sequence[str]) -> str:
        found = first_id(record, names)
        return f"{first_id(record, self._kind.trace)}\0{found}" if found else ""
