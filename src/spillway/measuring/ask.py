"""One streamed request to a node, with the moment each piece of its answer arrived."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from spillway.engines.connection import Exchange
from spillway.engines.failures import CONTEXT, from_status
from spillway.engines.http_client import HttpClient
from spillway.engines.usage import parse_chunk
from spillway.engines.wire import Headers
from spillway.errors import printable

__all__ = ["Answered", "NoStream", "Refused", "ask"]

MAX_EVENT_BYTES = 1_000_000
KEPT_CHARACTERS = 200


class Refused(Exception):
    """The server answered with an error; ``status`` is 0 when it came inside a stream."""

    def __init__(self, status: int, said: str, *, is_too_long: bool = False) -> None:
        super().__init__(said)
        self.status = status
        self.said = said
        self.is_too_long = is_too_long
        """Whether it was the prompt's length that it refused."""


class NoStream(Exception):
    """It answered in one piece although a stream was asked for, or ended without a word."""


class Timings(msgspec.Struct):
    cache_n: int | None = None
    prompt_n: int | None = None


class WithTimings(msgspec.Struct):
    timings: Timings | None = None


_TIMINGS = msgspec.json.Decoder(WithTimings, strict=False)


@dataclass(frozen=True)
class Answered:
    """What one request took. Times are monotonic seconds; counts are ``None`` where it reports none."""

    sent_s: float
    piece_s: tuple[float, ...]
    """When each piece of content arrived; never empty."""
    prompt_tokens: int | None
    cached_tokens: int | None
    output_tokens: int | None

    @property
    def ttft_s(self) -> float:
        """Seconds from sending to the first content."""
        return self.piece_s[0] - self.sent_s

    @property
    def total_s(self) -> float:
        """Seconds from sending to the last content."""
        return self.piece_s[-1] - self.sent_s

    @property
    def tokens(self) -> int:
        """Tokens of the answer: as reported, else one for each piece."""
        return self.output_tokens or len(self.piece_s)

    @property
    def itl_s(self) -> float | None:
        """Mean seconds between tokens; ``None`` below two."""
        return (self.piece_s[-1] - self.piece_s[0]) / (self.tokens - 1) if self.tokens > 1 else None


async def ask(
    client: HttpClient,
    path: str,
    headers: Headers,
    body: bytes,
    patience_s: float,
    on_head: Callable[[Exchange], None] = lambda exchange: None,
) -> Answered:
    """The answer once it is complete. Raises Refused, NoStream or a WireError; cancelling closes at once.

    ``patience_s`` bounds each silence. A server may send comments for ever: who waits bounds the whole.
    ``on_head`` may look at the headers of an answer that begins well.
    """
    sent_s = time.monotonic()
    exchange = await client.open("POST", path, headers, body, head_s=patience_s, may_reuse=False)
    try:
        if exchange.status != 200:
            said = await exchange.body(MAX_EVENT_BYTES, patience_s)
            is_too_long = from_status(exchange.status, said).code == CONTEXT
            raise Refused(exchange.status, _said(said), is_too_long=is_too_long)
        if b"event-stream" not in (exchange.header(b"content-type") or b""):
            raise NoStream
        on_head(exchange)
        reader = _Reader(sent_s)
        await reader.read(exchange, patience_s)
        return reader.answered()
    finally:
        exchange.abort()


class _Reader:
    """Takes in the events of one stream."""

    def __init__(self, sent_s: float) -> None:
        self._sent_s = sent_s
        self._pieces: list[float] = []
        self._is_finished = False
        self._prompt: int | None = None
        self._cached: int | None = None
        self._output: int | None = None

    async def read(self, exchange: Exchange, patience_s: float) -> None:
        """Returns at the end of the stream."""
        rest = b""
        while block := await exchange.read(patience_s):
            now_s = time.monotonic()
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                if line.startswith(b"data:"):
                    self._take(line[5:].strip(), now_s)
            if len(rest) > MAX_EVENT_BYTES:
                raise NoStream

    def answered(self) -> Answered:
        """What came; NoStream when that was nothing, Refused when it broke off."""
        if not self._pieces:
            raise NoStream
        if not self._is_finished:
            raise Refused(0, "its stream broke off")
        return Answered(self._sent_s, tuple(self._pieces), self._prompt, self._cached, self._output)

    def _take(self, data: bytes, now_s: float) -> None:
        self._is_finished |= data == b"[DONE]"
        chunk = parse_chunk(data) if data != b"[DONE]" else None
        if chunk is None:
            return
        self._is_finished |= any(choice.finish_reason for choice in chunk.choices or ())
        if chunk.error is not msgspec.UNSET and bytes(chunk.error) != b"null":
            raise Refused(0, _said(data))
        if chunk.has_content:
            self._pieces.append(now_s)
        if chunk.usage is not None:
            usage = chunk.usage.to_usage()
            self._prompt = (
                usage.input_tokens or None
            )  # no prompt is empty: some send 0 for what they do not count
            self._output = usage.output_tokens
            self._cached = usage.cache_read_tokens
        if b'"timings"' in data:
            self._take_timings(data)

    def _take_timings(self, data: bytes) -> None:
        """llama.cpp's own count of what it read and what its cache held."""
        try:
            timings = _TIMINGS.decode(data).timings
        except msgspec.MsgspecError:
            return
        if timings is not None and timings.cache_n is not None:
            self._cached = timings.cache_n
            if self._prompt is None and timings.prompt_n is not None:
                self._prompt = timings.cache_n + timings.prompt_n


def _said(raw: bytes) -> str:
    """The message of an error body, shortened to one line."""
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        found = raw.decode("utf-8", "replace")
    if isinstance(found, dict):
        found = found.get("error", found)
    if isinstance(found, dict):
        found = found.get("message", found)
    text = " ".join(str(found).split())
    return printable(text[:KEPT_CHARACTERS]) or "nothing"
