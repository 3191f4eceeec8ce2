"""What was read before: requests by their ids, and totals of the same periods in two files."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from hashlib import blake2b

from spillway.planner.readers.nested import look_up
from spillway.planner.readers.records import Record
from spillway.planner.readers.values import NO_VALUE
from spillway.planner.workload import Total, WorkloadError

__all__ = ["SeenIds", "compare_totals", "first_id", "request_id", "whole_row"]

FIRST_PLACES = 1024
Key = tuple[float, float, str]


class SeenIds:
    """A set of ids in at most 32 bytes each.

    Of ten million of them, two are taken for one with a chance of one in 300,000.
    """

    def __init__(self) -> None:
        self._places = array("Q", bytes(8 * FIRST_PLACES))
        self._count = 0

    def add(self, name: str) -> bool:
        """Whether the id is new; then it is no longer."""
        hashed = _hashed(name)
        place = self._place(hashed)
        if self._places[place] == hashed:
            return False
        self._places[place] = hashed
        self._count += 1
        if 2 * self._count > len(self._places):
            self._grow()
        return True

    def __contains__(self, name: str) -> bool:
        """Whether the id was added."""
        hashed = _hashed(name)
        return self._places[self._place(hashed)] == hashed

    def _place(self, hashed: int) -> int:
        """Where it is, or where it belongs: the first free place from its own on."""
        last = len(self._places) - 1
        place = hashed & last
        while self._places[place] not in (0, hashed):
            place = (place + 1) & last
        return place

    def _grow(self) -> None:
        before = self._places
        self._places = array("Q", bytes(16 * len(before)))
        for hashed in before:
            if hashed:
                self._places[self._place(hashed)] = hashed


def _hashed(name: str) -> int:
    return int.from_bytes(blake2b(name.encode("utf-8", "replace"), digest_size=8).digest()) or 1


def request_id(record: Record, columns: Sequence[Sequence[str]]) -> str | None:
    """What tells the request from all others, out of one of each set of columns; ``None`` without it.

    What holds no value, nothing but zeros or nothing but dashes tells none apart.
    """
    found = [first_id(record, names) for names in columns]
    return "\0".join(found) if found and all(found) else None


def whole_row(record: Record) -> str:
    """All that a record of totals says, in one text; what its page says of others is no part of it."""
    return repr(sorted((name, cell) for name, cell in record.items() if name != "has_more"))


def first_id(record: Record, names: Sequence[str]) -> str:
    """The first of these cells that tells something apart from others; empty without one."""
    for name in names:
        cell = record.get(name)
        if cell is None and "." in name:
            cell = look_up(record, name)
        text = "" if cell is None else str(cell).strip()
        if text.strip("0-") and text.lower() not in NO_VALUE:
            return text
    return ""


def compare_totals(files: Sequence[tuple[str, Sequence[Total]]]) -> Iterator[str]:
    """One sentence per two files with totals of the same periods and models; they may be two projects'.

    ``WorkloadError`` where at least half of what they have in common is the same to the last token: one
    export given twice, or two that overlap. Of an overlap the last period may have grown since.
    """
    read: list[tuple[str, dict[Key, list[Total]]]] = []
    for name, totals in files:
        mine = _by_period(totals)
        for other, theirs in read:
            common = sorted(mine.keys() & theirs.keys())
            if not common:
                continue
            equal = [key for key in common if _counts(mine[key]) == _counts(theirs[key])]
            if 2 * len(equal) >= len(common):
                raise WorkloadError(_same(other, len(theirs), name, len(mine), equal))
            yield (
                f"{other} and {name} both hold totals of {len(common)} periods and models "
                f"({_example(common[0])}, for one); they count twice unless they are of different projects"
            )
        read.append((name, mine))


def _same(other: str, theirs: int, name: str, mine: int, equal: Sequence[Key]) -> str:
    """What to do about two files with these equal totals, out of so many in each."""
    if len(equal) == theirs == mine:
        return (
            f"{other} and {name} hold the same totals ({_example(equal[0])}, for one), which would count "
            "twice; give only one of them"
        )
    if len(equal) in (theirs, mine):
        part, whole = (other, name) if len(equal) == theirs else (name, other)
        return (
            f"all totals of {part} are in {whole} too ({_example(equal[0])}, for one) and would count twice; "
            f"give only {whole}"
        )
    periods = len({key[:2] for key in equal})
    return (
        f"{other} and {name} overlap: they hold the same totals of {periods} period(s), the first "
        f"{_example(equal[0])}, which would count twice; export them so that they do not overlap"
    )


def _example(key: Key) -> str:
    start_s, _, model = key
    return f"{model or 'all models'} on {datetime.fromtimestamp(start_s, UTC).date()}"


def _by_period(totals: Sequence[Total]) -> dict[Key, list[Total]]:
    found: dict[Key, list[Total]] = {}
    for total in totals:
        if total.input_tokens + total.output_tokens:
            found.setdefault((total.start_s, total.length_s, total.model), []).append(total)
    return found


def _counts(totals: Sequence[Total]) -> tuple[int, int, int]:
    return (
        sum(total.requests for total in totals),
        sum(total.input_tokens for total in totals),
        sum(total.output_tokens for total in totals),
    )
