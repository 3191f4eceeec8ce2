"""Usage files as a stream of records with line numbers: CSV, JSON lines, JSON and SQLite, gzipped or not."""

from __future__ import annotations

import gzip
import io
import json
import sqlite3
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, Literal, cast

from spillway.planner.readers.documents import json_items
from spillway.planner.readers.nested import ATTRIBUTES, expand, flat
from spillway.planner.readers.table import Table
from spillway.planner.workload import WorkloadError

__all__ = ["Record", "Source", "open_source"]

Kind = Literal["csv", "jsonl", "json", "sqlite"]
Record = Mapping[str, Any]

ARCHIVES: Mapping[bytes, str] = {
    b"PK\x03\x04": "is a workbook or a zip archive; unpack it, or export it as CSV",
    b"PAR1": "is a Parquet file; export it as CSV or JSON lines",
    b"BZh": "is compressed with bzip2; unpack it or use gzip",
    b"\x28\xb5\x2f\xfd": "is compressed with Zstandard; unpack it or use gzip",
    b"\xfd7zXZ": "is compressed with xz; unpack it or use gzip",
}
"""What people give by mistake, by its first bytes."""
JSON_CELLS = frozenset({"usage_details", "usageDetails", "metadata", "usage", *ATTRIBUTES})
"""Columns in which exporters put JSON objects as text."""
LINES_TO_TELL = 20
"""Lines that tell JSON lines from other kinds, even where the first of them is broken."""
LEAST_HEAD, MOST_HEAD = 65_536, 8 * 1024 * 1024
"""Characters in which those lines are looked for; a batch of spans is a line of millions."""
FIRST_RECORDS, MORE_RECORDS = 100, 10_000
"""Records whose names are read: enough nearly always; further where they tell no format."""


@dataclass(frozen=True)
class Source:
    """One file, its kind and the names its first records have; nested names are joined by dots."""

    path: Path
    kind: Kind
    names: tuple[str, ...]
    repeated: frozenset[str] = frozenset()
    """Names that several columns have, so that nobody knows which is meant."""

    def records(self) -> Iterator[tuple[int, Record | str]]:
        """Pairs of (line, record); instead of a record the reason why a line is none.

        Lines count from 1 as an editor shows them; for JSON and SQLite they are positions in the list.
        """
        if self.kind == "csv":
            return _csv_records(self.path)
        if self.kind == "jsonl":
            return _json_lines(self.path)
        if self.kind == "json":
            return _json_list(self.path)
        return _sqlite_rows(self.path, self.names)

    @property
    def has_header(self) -> bool:
        """Whether every record has the same names; each cell of attributes brings its own."""
        return self.kind in ("csv", "sqlite") and ATTRIBUTES.isdisjoint(self.names)

    def wider(self) -> Source:
        """The same with the names of many more records: what comes first may be no model call."""
        found = () if self.has_header else _names(self.records(), MORE_RECORDS)
        return replace(self, names=found or self.names)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Faults of the file itself are said in one sentence."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as fault:
        raise WorkloadError(
            f"{path} is a gzip file that ends early or is damaged ({fault}); copy or export it again"
        ) from fault
    except OSError as fault:
        raise WorkloadError(f"{path} cannot be read: {fault.strerror or fault}") from fault


def open_source(path: Path) -> Source:
    """The file's kind and first names, told by its content; ``WorkloadError`` when it is none we read."""
    if path.is_dir():
        raise WorkloadError(f"{path} is a folder; give the files in it, as in {path}/*")
    if str(path) == "-" or (path.exists() and not path.is_file()):
        raise WorkloadError(f"{path} is no file, and usage is read more than once; save it to one first")
    if not path.is_file():
        raise WorkloadError(f"{path} does not exist")
    with _readable(path), path.open("rb") as raw:
        first = raw.read(16)
    if first == b"SQLite format 3\0":
        return Source(path, "sqlite", _sqlite_names(path))
    for start, what in ARCHIVES.items():
        if first.startswith(start):
            raise WorkloadError(f"{path} {what}")
    with _text(path) as lines:
        head = _head(lines)
    if not head:
        raise WorkloadError(f"{path} is empty: there is nothing to plan from")
    if "\0" in head or head.count("\ufffd") > len(head) / 50:
        raise WorkloadError(f"{path} is not text; give CSV, JSON, JSON lines (also gzipped) or a ledger")
    kind = _kind(head)
    found = _names(Source(path, kind, ()).records())
    if kind != "csv":
        return Source(path, kind, found)
    with _text(path) as lines:
        table = Table(lines, str(path))
    return Source(path, kind, tuple(dict.fromkeys((*table.names, *found))), table.repeated)


def _head(lines: IO[str]) -> str:
    """The file's beginning: so many lines that they tell its kind, unless those are too long."""
    head = lines.read(LEAST_HEAD).lstrip()
    while head.count("\n") < LINES_TO_TELL and len(head) < MOST_HEAD:
        more = lines.read(max(len(head), LEAST_HEAD))
        if not more:
            break
        head += more
    return head


def _kind(head: str) -> Kind:
    lines = [line for line in head.split("\n")[:LINES_TO_TELL] if line.strip()]
    is_whole = [isinstance(_object(line), dict) for line in lines]
    # Two objects on lines of their own, without a comma between, are no single document whatever precedes.
    if (is_whole[0] and len(lines) > 1) or any(a and b for a, b in pairwise(is_whole)):
        return "jsonl"
    return "json" if head[0] in "{[" else "csv"


def _names(records: Iterator[tuple[int, Record | str]], most: int = FIRST_RECORDS) -> tuple[str, ...]:
    """Every name in the first records: rows of JSON may leave some out."""
    found: dict[str, None] = {}
    for _, (_, record) in zip(range(most), records, strict=False):
        if not isinstance(record, str):
            found.update(dict.fromkeys(_flat_names(record)))
    return tuple(found)


def _flat_names(record: Record, prefix: str = "") -> Iterator[str]:
    for name, value in record.items():
        yield prefix + name
        if isinstance(value, Mapping) and prefix.count(".") < 3:
            yield from _flat_names(cast(Record, value), f"{prefix}{name}.")


@contextmanager
def _text(path: Path) -> Iterator[IO[str]]:
    """The file as text, unpacked; spreadsheets write UTF-16 and say so in the first two bytes."""
    with _readable(path):
        with path.open("rb") as raw:
            is_gzip = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path) if is_gzip else path.open("rb") as packed:
            is_wide = packed.read(2) in (b"\xff\xfe", b"\xfe\xff")
            packed.seek(0)
            encoding = "utf-16" if is_wide else "utf-8-sig"
            with io.TextIOWrapper(packed, encoding=encoding, errors="replace", newline="") as lines:
                yield lines


def _csv_records(path: Path) -> Iterator[tuple[int, Record | str]]:
    with _text(path) as lines:
        table = Table(lines, str(path))
        names, width = table.names, len(table.names)
        nested = [name for name in names if name in JSON_CELLS]
        for line, cells in table.rows():
            if len(cells) == width:
                record: dict[str, Any] = dict(zip(names, cells, strict=True))
                for name in nested:
                    record[name] = _nested(record[name])
                yield line, flat(record) if nested else record
            else:
                yield line, f"{len(cells)} cells where the header has {width}"


def _nested(cell: Any) -> Any:
    """The object inside a cell that holds JSON, or the cell."""
    if not isinstance(cell, str) or not cell.startswith("{"):
        return cell
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return cell


def _json_lines(path: Path) -> Iterator[tuple[int, Record | str]]:
    with _text(path) as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                found = _object(line)
                if isinstance(found, str):
                    yield number, found
                else:
                    for record in expand(_unpacked(found)):
                        yield number, record


def _object(line: str) -> Record | str:
    try:
        found = json.loads(line)
    except ValueError:
        return "not JSON"
    except RecursionError:
        return "nested too deeply to be read"
    return found if isinstance(found, dict) else "not a JSON object"


def _json_list(path: Path) -> Iterator[tuple[int, Record | str]]:
    with _text(path) as text:
        for number, item in enumerate(json_items(text, str(path)), 1):
            for record in expand(_unpacked(item)):
                yield number, record


def _unpacked(record: Any) -> Any:
    """The record with the objects that are written as text inside it."""
    if not isinstance(record, dict) or JSON_CELLS.isdisjoint(record):
        return record
    return {name: _nested(value) if name in JSON_CELLS else value for name, value in record.items()}


@contextmanager
def _database(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
        try:
            yield database
        except sqlite3.Error as fault:
            raise WorkloadError(f"{path} is no spillway ledger: {fault}") from fault


def _sqlite_names(path: Path) -> tuple[str, ...]:
    """The columns of the table of requests that a plan may read."""
    with _database(path) as database:
        known = [str(row[1]) for row in database.execute("PRAGMA table_info(requests)")]
    if not known:
        raise WorkloadError(f"{path} is no spillway ledger: it has no table of requests")
    # Captured texts stay where they are: a plan needs none and they may be long and private.
    return tuple(name for name in known if not name.endswith("_text"))


def _sqlite_rows(path: Path, names: tuple[str, ...]) -> Iterator[tuple[int, Record | str]]:
    quoted = ", ".join('"' + name.replace('"', '""') + '"' for name in names)
    # The database has rows by id; a plan reads them as they came in.
    order = ' ORDER BY "accepted_at"' if "accepted_at" in names else ""
    with _database(path) as database:
        for number, row in enumerate(database.execute(f"SELECT {quoted} FROM requests{order}"), 1):
            yield number, dict(zip(names, row, strict=True))
