"""How answers go out on a client's connection, and how long that is kept for the rest of one."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from spillway.api.line import HeadJoiner

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"


class Wire:
    """A transport that keeps what is written, of which some is unsent."""

    def __init__(self, unsent: int = 0) -> None:
        self.written: list[bytes] = []
        self.unsent = unsent
        self.is_aborted = False

    def write(self, data: bytes) -> None:
        """Keeps it."""
        self.written.append(data)

    def get_write_buffer_size(self) -> int:
        """What the test says."""
        return self.unsent

    def abort(self) -> None:
        """Closes at once."""
        self.is_aborted = True

    def __getattr__(self, name: str) -> Any:
        return None  # whatever else a transport can do is not used here


def joiner_of(wire: Wire) -> HeadJoiner:
    """What writes to it."""
    return HeadJoiner(cast(asyncio.Transport, wire))


def test_a_head_goes_out_with_the_first_piece_of_its_body() -> None:
    """An interim one does not wait: its client sends nothing before it has come."""
    wire = Wire()
    joiner = joiner_of(wire)
    joiner.write(INTERIM)
    assert wire.written == [INTERIM]
    for data in (HEAD, b"first", b"second"):
        joiner.write(data)
    assert wire.written == [INTERIM, HEAD + b"first", b"second"]


async def test_who_still_takes_something_gets_the_rest() -> None:
    """The connection is cut only once nothing more was taken between two looks."""
    wire = Wire(unsent=5)
    joiner = joiner_of(wire)
    wire.unsent = 4
    joiner._look_again(5)
    assert not wire.is_aborted
    joiner._look_again(4)
    assert wire.is_aborted
