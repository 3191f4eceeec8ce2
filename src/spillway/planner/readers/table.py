"""CSV as a header and rows with line numbers, whatever its cells hold; nothing of it goes unread silently."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain

from spillway.errors import WorkloadError

__all__ = ["Table"]

MOST_CELL_CHARACTERS = 64 * 1024 * 1024
"""Far above any prompt; what is longer is most likely a quote that nobody closed."""
NAMED_DELIMITER = re.compile(r'"?sep=(.)"?\r?\n', re.IGNORECASE)
"""A first line by which Excel is told what stands between cells."""
QUOTED = re.compile(r'"[^"]*"')


class Table:
    """One CSV file while it is read; ``WorkloadError`` where its quotes do not pair."""

    def __init__(self, lines: Iterator[str], source: str) -> None:
        """Reads the header; ``source`` names the file in errors."""
        # The limit is the module's, for all readers; its usual 131,072 is less than a long prompt.
        csv.field_size_limit(MOST_CELL_CHARACTERS)
        self._source = source
        # The first line tells what stands between cells, and an empty one tells nothing.
        held = ((number, line) for number, line in enumerate(lines) if line.strip())
        self._lines_before, self._line = next(held, (0, ""))
        named = NAMED_DELIMITER.fullmatch(self._line)
        if named:
            self._line = next(lines, "")
        self._lines_before += 1 if named else 0
        unquoted = QUOTED.sub("", self._line)
        self._delimiter = named[1] if named else max(",;\t|", key=unquoted.count)
        kept = self._kept(chain([self._line], lines))
        self._reader = csv.reader(kept, delimiter=self._delimiter, strict=True)
        self.names = tuple(name.strip() for name in next(self.rows(), (1, [""]))[1])

    @property
    def repeated(self) -> frozenset[str]:
        """Names that more than one column has."""
        return frozenset(name for name, count in Counter(self.names).items() if count > 1 and name)

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Pairs of (line in which the row starts, cells), without empty lines."""
        while True:
            start = self._line_number + 1
            try:
                cells = next(self._reader)
            except StopIteration:
                return
            except csv.Error as fault:
                cells = self._lenient(start, fault)
            if cells:
                yield start, cells

    @property
    def _line_number(self) -> int:
        """The line that was read last."""
        return self._reader.line_num + self._lines_before

    def _kept(self, lines: Iterable[str]) -> Iterator[str]:
        for line in lines:
            self._line = line
            yield line

    def _lenient(self, start: int, fault: csv.Error) -> list[str]:
        """The cells of a row with stray quotes: its line says all of it where no quote stays open."""
        if "limit" in str(fault):
            raise WorkloadError(
                f"{self._source}: the row that starts in line {start} has a cell of more than "
                f"{MOST_CELL_CHARACTERS:,} characters, or a quote that is never closed; correct it, or leave "
                "that column out"
            ) from fault
        if self._line_number == start:
            # An open quote would take the empty line into its cell.
            rows = list(csv.reader([self._line, ""], delimiter=self._delimiter))
            if len(rows) == 2:
                return rows[0]
        raise WorkloadError(
            f"{self._source}: the row that starts in line {start} opens a quote that is not closed, which "
            'hides the rows after it; correct it (a quote inside a cell is written twice, "") or export the '
            "file again"
        ) from fault
