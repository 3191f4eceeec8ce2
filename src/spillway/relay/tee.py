"""Watches a stream go by: whole events pass untouched, and what they say about the answer is remembered."""

from __future__ import annotations

import msgspec

from spillway.engines.usage import Chunk, parse_chunk
from spillway.relay.template import TextTemplate, words_of
from spillway.vocabulary import Usage

__all__ = ["MAX_EVENT_BYTES", "StreamTee", "data_of", "split_events"]

MAX_EVENT_BYTES = 16 * 1024 * 1024
"""An event that grows beyond this without ending is no event."""
FOLD_PIECES = 512
"""Pieces of text after which they are joined, so that a long answer is not kept as thousands of strings."""


class StreamTee:
    """Feed it what arrives; it returns what may go on to the client at once.

    Only whole events are let through, so an error can always be told in-band after them. ``[DONE]`` and a
    usage chunk without choices are kept back: the ledger commits before the end is released, and the usage
    chunk gets the cost, or is dropped when the client did not ask for one. Events that are no JSON are
    dropped. An event is parsed unless it differs only in its text from one that was.
    """

    __slots__ = (
        "_carry",
        "_choices",
        "_finished",
        "_holds_calls",
        "_is_holding",
        "_joins_texts",
        "_seen",
        "_takes_usage",
        "_template",
        "_texts",
        "end_usage",
        "error",
        "finish_reason",
        "held",
        "held_usage",
        "identifier",
        "is_done",
        "malformed_events",
        "model",
        "released_content",
        "saw_content",
        "text_events",
        "usage",
    )

    def __init__(
        self,
        *,
        choices: int = 1,
        keeps_text: bool = False,
        holds_calls: bool = False,
        joins_texts: bool = False,
        takes_usage: bool = False,
    ) -> None:
        """``choices`` is how many answers were asked for; ``holds_calls`` keeps back everything from the
        first piece of a tool call on, so that a broken one can be made again; ``joins_texts`` makes one event
        of several pieces of text that arrived together, for answers that are put together anyway;
        ``takes_usage`` takes it out of events that end the answer, for clients that get a usage chunk."""
        self._joins_texts = joins_texts
        self._takes_usage = takes_usage
        self._template = TextTemplate()
        self._carry = b""
        self._choices = choices
        self._seen: set[int] = set()
        self._finished: set[int] = set()
        self._texts: list[str] | None = [] if keeps_text else None
        self._holds_calls = holds_calls
        self._is_holding = False
        self.held: list[bytes] = []
        """Events kept back because of a tool call, in order."""
        self.saw_content = False
        self.released_content = False
        self.finish_reason: str | None = None
        self.is_done = False
        self.identifier: str | None = None
        self.model: str | None = None
        self.usage: Usage | None = None
        self.held_usage: bytes | None = None
        """The ``data`` of the usage chunk that was kept back."""
        self.end_usage: bytes | None = None
        """The same, made of the usage that was taken out of an event which ends the answer."""
        self.error: bytes | None = None
        """The ``error`` object of an event in which the upstream reported its own failure."""
        self.malformed_events = 0
        self.text_events = 0
        """Events with content, a floor for the number of tokens when usage never comes."""

    @property
    def has_finished(self) -> bool:
        """Whether every answer that was asked for ended as answers do; nothing but usage can follow."""
        return len(self._finished) >= self._choices

    @property
    def is_complete(self) -> bool:
        """Of a stream that is over: whether every answer that began has ended as answers do."""
        return bool(self._finished) and self._finished >= self._seen

    @property
    def carries_too_much(self) -> bool:
        """Whether an event has grown beyond all reason."""
        return len(self._carry) > MAX_EVENT_BYTES

    @property
    def text(self) -> str:
        """The first choice's text that was let through; empty unless ``keeps_text``."""
        return "".join(self._texts or ())

    def feed(self, block: bytes) -> bytes:
        """The whole events in what has arrived, less those kept back."""
        data = self._carry + block if self._carry else block
        if data.startswith(b"data: {") and data.endswith(b"\n\n") and data.find(b"\n") == len(data) - 2:
            self._carry = b""  # one event, as most often
            if self._fits_template(data):
                return data
            return self._note(data[6:-2], data)
        end = _end_of_last_event(data)
        self._carry = data[end:]
        return self._examine(data[:end]) if end else b""

    def finish(self) -> bytes:
        """The last event when its blank line never came; to be called at the end of the stream."""
        rest, self._carry = self._carry, b""
        return self._examine(rest + b"\n\n") if rest.strip() else b""

    def _examine(self, data: bytes) -> bytes:
        """Whole events, less those kept back; texts in a row are one event where they may be joined."""
        separator, at = _separator(data), 0
        passed: list[bytes] = []
        while at < len(data):
            texts, end = self._texts_at(data, at)
            if texts:
                passed.append(self._template.event_of(texts) if self._joins_texts else data[at:end])
            else:
                stop = data.find(separator, at)
                end = stop + len(separator) if stop >= 0 else len(data)
                if stop != at:
                    passed.append(self._passed(data[at:end]))
            at = end
        return b"".join(passed)

    def _passed(self, event: bytes) -> bytes:
        """What of it may go on, after noting what it says; a comment keeps the connection alive."""
        payload = data_of(event)
        return event if payload is None else self._note(payload, event)

    def _fits_template(self, event: bytes) -> bool:
        """Notes an event that differs from one that was read in its text alone; else False."""
        text = None if self._is_holding else self._template.text_of(event)
        if text is None:
            return False
        self._note_texts(1, text)
        return True

    def _texts_at(self, data: bytes, at: int) -> tuple[list[bytes], int]:
        """Notes the events there that differ from one that was read in their text alone.

        Those texts, as they stand, and where the events end.
        """
        if self._is_holding:
            return [], at
        texts, end = self._template.texts_at(data, at)
        if texts:
            self._note_texts(len(texts), b"".join(texts))
        return texts, end

    def _note_texts(self, count: int, text: bytes) -> None:
        self.text_events += count
        if self._texts is not None:
            self._keep_text(words_of(text))

    def _note(self, payload: bytes, event: bytes) -> bytes:
        """Remembers what one event says; returns what of it goes on, nothing when it is kept back."""
        if payload == b"[DONE]":
            self.is_done = True
            return b""
        chunk = parse_chunk(payload)
        if chunk is None:
            self.malformed_events += payload != b"null"  # llama.cpp sends null before several answers
            return b""
        if self._is_more_text(chunk):
            self._template.learn(event)
            return event
        if chunk.error is not msgspec.UNSET and chunk.error is not None and bytes(chunk.error) != b"null":
            self.error = bytes(chunk.error)
            return b""
        if self.model is None:
            self.model = chunk.model
        if self.identifier is None:
            self.identifier = chunk.id if isinstance(chunk.id, str) else None
        self._note_choices(chunk)
        if chunk.usage is not None:
            self._note_usage(chunk, payload)
            if not chunk.choices:
                return b""
            if self._takes_usage and self.has_finished:
                event = self._without_usage(payload, event)
        return event if self._lets_through(chunk, event) else b""

    def _without_usage(self, payload: bytes, event: bytes) -> bytes:
        """The event less its usage, which is kept: some clients add up what they are told twice."""
        fields = msgspec.json.decode(payload, type=dict[str, msgspec.Raw])
        self.end_usage = msgspec.json.encode({**fields, "choices": []})
        blank_line = event[len(event.rstrip(b"\r\n")) :]
        return b"data: " + msgspec.json.encode({**fields, "usage": None}) + blank_line

    def _is_more_text(self, chunk: Chunk) -> bool:
        """Notes one more piece of the only answer's text, which is what nearly all chunks are."""
        choices = chunk.choices
        if not self._seen or self._is_holding or self._choices != 1 or choices is None or len(choices) != 1:
            return False
        choice = choices[0]
        delta = choice.delta
        if chunk.usage is not None or chunk.error is not msgspec.UNSET or choice.finish_reason:
            return False
        text = choice.text if delta is None else delta.content
        if not text or (delta is not None and delta.has_calls):
            return False
        self.saw_content = self.released_content = True
        self.text_events += 1
        if self._texts is not None and isinstance(text, str):
            self._keep_text(text)
        return True

    def _note_choices(self, chunk: Chunk) -> None:
        for choice in chunk.choices or ():
            self._seen.add(choice.index)
            if choice.finish_reason:
                self._finished.add(choice.index)
                self.finish_reason = self.finish_reason or choice.finish_reason

    def _note_usage(self, chunk: Chunk, payload: bytes) -> None:
        """The last one counts; llama.cpp sends one for each of several answers, and those are added up."""
        assert chunk.usage is not None
        usage = chunk.usage.to_usage()
        if self._choices > 1 and self.usage is not None and (not chunk.choices) == bool(self.held_usage):
            usage = _with_more_output(usage, self.usage)
        self.usage = usage
        if not chunk.choices:
            self.held_usage = payload

    def _lets_through(self, chunk: Chunk, event: bytes) -> bool:
        has_content = chunk.has_content
        if has_content:
            self.saw_content = True
            self.text_events += 1
        if self._holds_calls and not self._is_holding:
            self._is_holding = any(c.delta is not None and c.delta.has_calls for c in chunk.choices or ())
        if self._is_holding:
            self.held.append(event)
            return False
        if has_content:
            self.released_content = True
            if self._texts is not None:
                self._keep_text(chunk.text)
        return True

    def _keep_text(self, text: str) -> None:
        assert self._texts is not None
        self._texts.append(text)
        if len(self._texts) >= FOLD_PIECES:
            self._texts[:] = ["".join(self._texts)]


def _with_more_output(usage: Usage, earlier: Usage) -> Usage:
    if usage.output_tokens is None or earlier.output_tokens is None:
        return usage
    return msgspec.structs.replace(usage, output_tokens=usage.output_tokens + earlier.output_tokens)


def _end_of_last_event(data: bytes) -> int:
    """Where the last whole event ends; events end with a blank line in one of two spellings."""
    plain = data.rfind(b"\n\n")
    crlf = data.rfind(b"\r\n\r\n")
    return max(plain + 2 if plain >= 0 else 0, crlf + 4 if crlf >= 0 else 0)


def split_events(data: bytes) -> list[bytes]:
    """Single events with their blank lines."""
    separator = _separator(data)
    return [part + separator for part in data.split(separator) if part]


def _separator(data: bytes) -> bytes:
    return b"\r\n\r\n" if b"\r\n\r\n" in data else b"\n\n"


def data_of(event: bytes) -> bytes | None:
    """The payload of an event, its ``data:`` lines joined; ``None`` for a comment."""
    if event.startswith(b"data: ") and event.find(b"\n") == len(event) - 2:
        return event[6:-2]
    lines = [line[5:].lstrip() for line in event.splitlines() if line.startswith(b"data:")]
    return b"\n".join(lines).strip() if lines else None
