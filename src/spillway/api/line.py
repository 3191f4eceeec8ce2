"""A client's connection: what is written to it, how far behind it is, and why it ends."""

from __future__ import annotations

import asyncio
import sys

from uvicorn.protocols.http.flow_control import FlowControl

from spillway.relay.commit import TOO_SLOW

__all__ = ["ClientLine", "HeadJoiner"]

CHUNKED = b"transfer-encoding: chunked\r\n"
LAST_BYTES_S = 30.0
"""How long the client of a closed connection may take nothing of what it still has to get."""


class HeadJoiner:
    """A transport that sends a response head together with the first piece of its body.

    uvicorn writes them apart and the loop sends each write at once, which costs a system call and often a
    packet for every answer. It also frames answers to HTTP/1.0 in chunks, which are unknown there: with
    ``is_plain`` they are sent without, and end with the connection.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        self._is_unframing = False
        self.is_plain = False
        self.abort = transport.abort
        self.get_write_buffer_size = transport.get_write_buffer_size
        self.get_extra_info = transport.get_extra_info
        self.is_closing = transport.is_closing
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading
        self.set_protocol = transport.set_protocol

    def write(self, data: bytes) -> None:
        """Keeps a head (``HTTP/1.1 200 …``, not an interim ``100``) until the next write."""
        head, self._head = self._head, b""
        if not head and data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 1"):
            self._is_unframing = self.is_plain and CHUNKED in data
            self._head = data.replace(CHUNKED, b"", 1) if self._is_unframing else data
        else:
            self._transport.write(head + (_unframed(data) if self._is_unframing else data))

    def flush(self) -> None:
        """Sends a head that no body followed, as to ``HEAD``."""
        head, self._head = self._head, b""
        if head:
            self._transport.write(head)

    def close(self) -> None:
        """Sends what is kept and closes; a client that takes nothing of the rest does not keep it open."""
        self.flush()
        self._transport.close()
        self._watch(self.get_write_buffer_size())

    def _watch(self, unsent: int) -> None:
        if unsent:
            asyncio.get_running_loop().call_later(LAST_BYTES_S, self._look_again, unsent)

    def _look_again(self, before: int) -> None:
        unsent = self.get_write_buffer_size()
        if unsent >= before:
            self.abort()
        else:
            self._watch(unsent)


def _unframed(data: bytes) -> bytes:
    """The body in what uvicorn writes at once: a chunk, the end, or both."""
    size, _, rest = data.partition(b"\r\n")
    return rest[: int(size, 16)] if size else b""


class ClientLine:
    """One client's connection as the relay's ``Line``."""

    def __init__(self, transport: HeadJoiner, flow: FlowControl) -> None:
        self.end_code: str | None = None
        self._transport = transport
        self._flow = flow
        self._is_gone = False
        self._closing: asyncio.Future[None] | None = None

    @property
    def is_full(self) -> bool:
        """Whether the transport holds more than it should."""
        return self._flow.write_paused

    @property
    def unsent_bytes(self) -> int:
        """What transport and kernel hold for the client.

        The transport's part alone moves only by a third of the kernel's, which is megabytes.
        """
        return self._transport.get_write_buffer_size() + self._unacknowledged_bytes()

    async def drain(self) -> None:
        """Returns once the transport has room, or is gone."""
        await self._flow.drain()

    async def hang_up(self) -> None:
        """Closes at once, whatever is unsent; returns once that is done."""
        if self._is_gone:
            return
        self.end_code = self.end_code or TOO_SLOW
        self._closing = asyncio.get_running_loop().create_future()
        self._transport.abort()
        await self._closing

    def note_gone(self) -> None:
        """The connection is lost."""
        self._is_gone = True
        if self._closing is not None and not self._closing.done():
            self._closing.set_result(None)

    def _unacknowledged_bytes(self) -> int:
        """What the kernel holds; 0 on systems whose sockets take more whenever a little of it is gone."""
        if sys.platform != "linux":
            return 0
        import fcntl
        import termios

        try:
            descriptor = self._transport.get_extra_info("socket").fileno()
            return int.from_bytes(fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
        except OSError:  # closed meanwhile
            return 0
