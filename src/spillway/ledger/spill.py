"""Rows set aside in files while the database cannot take them, and read back when it can.

One file for each process, beside the database: a line that names the columns, then one JSON line per request.
A process holds a lock on its own file; a file nobody holds was left by one that died, and is read back by
the next to start. Everything here blocks and belongs to the committer's thread.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
import sys
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import Struct

from spillway.ledger.rows import ATTEMPT_COLUMNS, REQUEST_COLUMNS, LedgerRow, Value

__all__ = ["Spill"]

SCHEMA = "spillway.spill/1"
OWNER_ONLY = 0o600
"""With ``capture`` on, rows hold what people wrote."""

log = logging.getLogger("spillway.ledger")


class Header(Struct):
    """The first line: what the values of the others mean."""

    schema: str
    request_columns: tuple[str, ...]
    attempt_columns: tuple[str, ...]


class Line(Struct, array_like=True):
    """One request and its attempts."""

    request: tuple[Value, ...]
    attempts: tuple[tuple[Value, ...], ...]


class Source:
    """One file: written at its end through a locked descriptor, read from its beginning through another.

    Writes are unbuffered, since a buffer that could not be flushed would be written again later.
    """

    def __init__(self, path: Path, lock: BinaryIO) -> None:
        self.path = path
        self.lock = lock
        self.reader = path.open("rb")
        self.read_to = 0
        """Bytes whose rows are known to be in the database."""
        self.header: Header | None = None
        self.unreadable_lines = 0
        """A file with such lines is put out of the way in the end, never removed."""

    @property
    def size_bytes(self) -> int:
        """How long the file is."""
        return os.fstat(self.lock.fileno()).st_size

    def append(self, data: bytes) -> None:
        """Writes at the end, whole or not at all; OSError when that fails."""
        end = self.size_bytes
        try:
            if os.pwrite(self.lock.fileno(), data, end) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        except OSError:
            os.ftruncate(self.lock.fileno(), end)
            raise

    def close(self) -> None:
        """Lets go of the file."""
        self.reader.close()
        self.lock.close()


class Spill:
    """The files beside one database. ``append`` writes to our own, ``batch`` reads the oldest first."""

    def __init__(self, stem: Path) -> None:
        """``stem`` is the database's path, or any path whose folder is to hold the files."""
        self._stem = stem
        self._own: Source | None = None
        self._sources: deque[Source] = deque()
        self._read_to = 0
        self._unreadable = 0
        self.lost_lines = 0

    def adopt(self) -> int:
        """Takes over the files that dead processes left; returns how many."""
        for path in sorted(self._stem.parent.glob(f"{self._stem.name}.spill-*.jsonl")):
            file = _open_locked(path)
            if file is not None:
                self._sources.append(Source(path, file))
        return len(self._sources)

    @property
    def has_rows(self) -> bool:
        """Whether something waits to be read back."""
        return bool(self._sources)

    def append(self, rows: Sequence[LedgerRow]) -> None:
        """Writes rows at the end of our own file, whole or not at all; OSError when that fails."""
        (self._own or self._begin_own()).append(_lines(rows))

    def batch(self, limit: int) -> list[LedgerRow]:
        """The next rows to bring into the database; ``confirm`` them, or they come again."""
        source = self._sources[0]
        file = source.reader
        file.seek(source.read_to)
        if source.read_to == 0:
            source.header = _header(file.readline())
            source.read_to = file.tell()
        rows: list[LedgerRow] = []
        self._unreadable = 0
        while len(rows) < limit and (line := file.readline()):
            row = _row(line, source.header)
            if row is None:
                self._unreadable += 1
            else:
                rows.append(row)
        self._read_to = file.tell()
        return rows

    def confirm(self) -> None:
        """The last batch is in the database; a file read to its end is removed."""
        source = self._sources[0]
        source.read_to = self._read_to
        source.unreadable_lines += self._unreadable
        self.lost_lines += self._unreadable
        if source.read_to < source.size_bytes:
            return
        self._sources.popleft()
        if source is self._own:
            self._own = None
        if source.unreadable_lines:
            kept = source.path.rename(source.path.with_suffix(".unreadable"))
            log.error("%d request(s) are missing in the ledger: %s is damaged", source.unreadable_lines, kept)
        else:
            source.path.unlink(missing_ok=True)
        source.close()

    def close(self) -> None:
        """Lets go of all files; what is in them waits for the next start."""
        for source in self._sources:
            source.close()
        self._sources.clear()
        self._own = None

    def _begin_own(self) -> Source:
        name = f"{self._stem.name}.spill-{os.getpid()}-{secrets.token_hex(4)}.jsonl"
        path = self._stem.with_name(name)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, OWNER_ONLY))
        lock = _open_locked(path)
        if lock is None:
            raise OSError(errno.EBUSY, "another process took it", str(path))
        own = Source(path, lock)
        header = Header(SCHEMA, REQUEST_COLUMNS, ATTEMPT_COLUMNS)
        try:
            own.append(msgspec.json.encode(header) + b"\n")
        except OSError:
            path.unlink(missing_ok=True)
            own.close()
            raise
        self._own = own
        self._sources.append(own)
        return own


def _lines(rows: Iterable[LedgerRow]) -> bytes:
    return b"".join([msgspec.json.encode((row.request, row.attempts)) + b"\n" for row in rows])


def _header(line: bytes) -> Header | None:
    try:
        return msgspec.json.decode(line, type=Header)
    except msgspec.MsgspecError:
        return None


def _row(line: bytes, header: Header | None) -> LedgerRow | None:
    """The row in today's columns, whichever release wrote it; ``None`` when it is not whole."""
    if header is None:
        return None
    try:
        found = msgspec.json.decode(line, type=Line)
    except msgspec.MsgspecError:
        return None
    return LedgerRow(
        _in_order(found.request, header.request_columns, REQUEST_COLUMNS),
        tuple(_in_order(row, header.attempt_columns, ATTEMPT_COLUMNS) for row in found.attempts),
    )


def _in_order(
    values: tuple[Value, ...], written: tuple[str, ...], wanted: tuple[str, ...]
) -> tuple[Value, ...]:
    if written == wanted:
        return values
    by_name = dict(zip(written, values, strict=False))
    return tuple(by_name.get(name) for name in wanted)


def _open_locked(path: Path) -> BinaryIO | None:
    """The file, held by us alone; ``None`` when another process holds it."""
    file = path.open("r+b", buffering=0)
    if sys.platform == "win32":
        return file
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file
