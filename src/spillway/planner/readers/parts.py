"""Counts that go without others which belong to them, as whole ones.

Anthropic and Helicone count apart what is fresh of a prompt, what a cache held and what was written to one;
Helicone also what of an answer was thought (its ``packages/cost/usage/`` and ``HandlerContext.ts``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from spillway.planner.readers.nested import look_up
from spillway.planner.readers.records import Record
from spillway.planner.readers.values import MOST_PER_PERIOD, is_nothing, read_tokens

__all__ = ["HELICONE", "WithParts"]


@dataclass(frozen=True)
class WithParts:
    """Makes of a record one whose counts are whole."""

    parts: Mapping[str, tuple[str, ...]]
    """Column of a count → those of what it goes without."""

    def __call__(self, record: Record) -> Record:
        """The record with whole counts; ``ValueError`` for a part that is none."""
        whole = {}
        for name, others in self.parts.items():
            cells = {each: look_up(record, each) for each in (name, *others)}
            if not is_nothing(cells[name]):
                given = {each: cell for each, cell in cells.items() if not is_nothing(cell)}
                whole[name] = sum(
                    read_tokens(cell, _said(each), MOST_PER_PERIOD) for each, cell in given.items()
                )
        return {**record, **whole}


HELICONE = WithParts(
    {
        "prompt_tokens": ("prompt_cache_read_tokens", "prompt_cache_write_tokens"),
        "completion_tokens": ("reasoning_tokens",),
    }
)


def _said(name: str) -> str:
    """The column's name as words: ``prompt cache read tokens``."""
    return name.rpartition(".")[2].replace("_", " ")
