"""One request in flight on one upstream: counted from here to its end, exactly once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spillway.fleet.record import Entry
from spillway.slo.lengths import OutputLengths
from spillway.vocabulary import Usage

if TYPE_CHECKING:
    from spillway.fleet.registry import Upstream

__all__ = ["Lease"]


class Lease:
    """Ends with ``succeed``, ``fail`` or ``release``; the first counts, the rest do nothing."""

    __slots__ = ("_entry", "_generation", "_is_excused", "_is_open", "_lengths", "_upstream", "in_flight")

    def __init__(self, upstream: Upstream, entry: Entry, now_s: float, lengths: OutputLengths) -> None:
        """The slot has already been counted by ``Upstream.take``."""
        self._upstream = upstream
        self._entry = entry
        self._lengths = lengths
        self.in_flight = upstream.in_flight
        """Requests on the upstream when this one was sent, itself included."""
        self._generation = upstream.breaker.admit(now_s)
        self._is_open = True
        self._is_excused = False
        if upstream.record is not None:
            upstream.record.send(entry, now_s)

    @property
    def upstream(self) -> Upstream:
        """Where it is in flight."""
        return self._upstream

    @property
    def output_tokens(self) -> int:
        """Tokens of the answer so far, as the relay has seen them."""
        return self._entry.output_tokens

    @output_tokens.setter
    def output_tokens(self, tokens: int) -> None:
        self._entry.output_tokens = tokens

    def first_token(self) -> None:
        """The first token of the answer came."""
        if not self._is_open or self._entry.first_s is not None:
            return
        now_s, record = self._upstream.now_s(), self._upstream.record
        self._upstream.breaker.succeed(self._generation, now_s)
        if record is not None:
            record.first_token(self._entry, now_s)
            self._upstream.fill()
        else:
            self._entry.first_s = now_s
            self._upstream.note_first_token(now_s - self._entry.came_s)

    def excuse(self) -> None:
        """How long it took was not up to the upstream: its end is no measure of it."""
        self._is_excused = True
        self._entry.objective = self._entry.total_s = None

    def succeed(self, output_tokens: int | None = None, usage: Usage | None = None) -> None:
        """The upstream answered, with so many tokens if that is known, and said so of it."""
        record, entry = self._upstream.record, self._entry
        if self._is_open:
            tokens = output_tokens if output_tokens is not None else entry.output_tokens
            if tokens:  # an embedding, or an answer that nobody counted, tells nothing
                self._lengths.learn(entry.prompt, tokens)
            if record is not None:
                timed_tokens = 0 if self._is_excused else tokens
                record.finish(entry, self._upstream.now_s(), timed_tokens, usage)
        if self._end():
            self._upstream.breaker.succeed(self._generation, self._upstream.now_s())

    def fail(self, now_s: float, is_lost: bool = False) -> None:
        """The upstream failed for a reason of its own; ``is_lost`` where another process may be there now."""
        if is_lost:
            self._upstream.forget_prefixes()
        if self._end():
            self._upstream.breaker.fail(self._generation, now_s)

    def release(self) -> None:
        """It ended in a way that tells nothing about the upstream."""
        if self._end():
            self._upstream.breaker.release(self._generation)

    def _end(self) -> bool:
        was_open, self._is_open = self._is_open, False
        if was_open:
            if self._upstream.record is not None:
                self._upstream.record.leave(self._entry, self._upstream.now_s())
            self._upstream.give_back()
        return was_open
