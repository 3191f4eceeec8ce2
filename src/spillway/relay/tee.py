"""Watches a stream go by: whole events pass untouched, and what they say about the answer is remembered."""

from __future__ import annotations

import msgspec

from spillway.engines.usage import parse_chunk
from spillway.vocabulary import Usage

__all__ = ["MAX_EVENT_BYTES", "StreamTee"]

MAX_EVENT_BYTES = 16 * 1024 * 1024
"""An event that grows beyond this without ending is no event."""

_MARKERS = (b'"finish_reason":"', b'"finish_reason": "', b"[DONE]", b'"usage":{', b'"usage": {', b'"error"')
"""Inside a JSON string these would carry backslashes, so only a real field matches."""


class StreamTee:
    """Feed it what arrives; it returns what may go on to the client at once.

    Only whole events are let through, so an error can always be told in-band after them. ``[DONE]`` and a
    usage chunk without choices are kept back: the ledger commits before the end is released, and the usage
    chunk gets the cost, or is dropped when the client did not ask for one.
    """

    __slots__ = (
        "_carry",
        "error",
        "finish_reason",
        "held_usage",
        "is_done",
        "malformed_events",
        "model",
        "saw_content",
        "text",
        "text_events",
        "usage",
    )

    def __init__(self, *, keeps_text: bool = False) -> None:
        self._carry = b""
        self.text: list[str] | None = [] if keeps_text else None
        """The first choice's text so far, kept only where the owner turned ``capture`` on."""
        self.saw_content = False
        self.finish_reason: str | None = None
        self.is_done = False
        self.model: str | None = None
        self.usage: Usage | None = None
        self.held_usage: bytes | None = None
        """The ``data`` of the usage chunk that was kept back."""
        self.error: bytes | None = None
        """The ``error`` object of an event in which the upstream reported its own failure."""
        self.malformed_events = 0
        self.text_events = 0
        """Events let through, a floor for the number of tokens when usage never comes."""

    @property
    def is_complete(self) -> bool:
        """Whether the answer ended as answers do."""
        return self.finish_reason is not None

    @property
    def carries_too_much(self) -> bool:
        """Whether an event has grown beyond all reason."""
        return len(self._carry) > MAX_EVENT_BYTES

    def feed(self, block: bytes) -> bytes:
        """The whole events in what has arrived, less those kept back."""
        data = self._carry + block if self._carry else block
        end = _end_of_last_event(data)
        if end == len(data):
            self._carry = b""
        else:
            self._carry = data[end:]
            data = data[:end]
        if not data:
            return b""
        if self.saw_content and self.text is None and not any(marker in data for marker in _MARKERS):
            self.text_events += data.count(b"data:")
            return data
        return self._examine(data)

    def finish(self) -> bytes:
        """The last event when its blank line never came; to be called at the end of the stream."""
        rest, self._carry = self._carry, b""
        return self._examine(rest + b"\n\n") if rest.strip() else b""

    def _examine(self, data: bytes) -> bytes:
        return b"".join([event for event in _split(data) if self._note(event)])

    def _note(self, event: bytes) -> bool:
        """Remembers what one event says; False when it is kept back."""
        payload = _data_of(event)
        if payload is None:
            return True  # a comment or a blank line keeps the connection alive
        if payload == b"[DONE]":
            self.is_done = True
            return False
        chunk = parse_chunk(payload)
        if chunk is None:
            self.malformed_events += 1
            return False
        if chunk.error is not msgspec.UNSET and chunk.error is not None and bytes(chunk.error) != b"null":
            self.error = bytes(chunk.error)
            return False
        self.model = self.model or chunk.model
        self.saw_content = self.saw_content or chunk.has_content
        self.finish_reason = chunk.finish_reason or self.finish_reason
        self.text_events += 1
        if self.text is not None:
            self.text.append(chunk.text)
        if chunk.usage is not None:
            self.usage = chunk.usage.to_usage()
            if not chunk.choices:
                self.held_usage = payload
                return False
        return True


def _end_of_last_event(data: bytes) -> int:
    """Where the last whole event ends; events end with a blank line in one of two spellings."""
    plain = data.rfind(b"\n\n")
    crlf = data.rfind(b"\r\n\r\n")
    return max(plain + 2 if plain >= 0 else 0, crlf + 4 if crlf >= 0 else 0)


def _split(data: bytes) -> list[bytes]:
    """Single events with their blank lines."""
    separator = b"\r\n\r\n" if b"\r\n\r\n" in data else b"\n\n"
    return [part + separator for part in data.split(separator) if part]


def _data_of(event: bytes) -> bytes | None:
    """The payload of an event, its ``data:`` lines joined; ``None`` for a comment."""
    lines = [line[5:].lstrip() for line in event.splitlines() if line.startswith(b"data:")]
    return b"\n".join(lines).strip() if lines else None
