"""Joins the stream of a continuation to what the client already has of the answer."""

from __future__ import annotations

from typing import Any

import msgspec

from spillway.engines.failures import Failure
from spillway.relay.seam import Seam
from spillway.relay.step import AttemptFailed, Method
from spillway.relay.tee import data_of, split_events

__all__ = ["MISMATCH", "Stitcher"]

MISMATCH = "continuation_mismatch"
REPEAT_FROM_CHARS = 20
"""An answer that repeats so much of the beginning is taken to begin anew; less may be coincidence (guess)."""
OVERLAP_CHARS = 8
"""The fewest characters at the seam that count as said twice (guess)."""
JUDGE_CHARS = 80
"""Characters to wait for before an overlap is looked for."""

Json = dict[str, Any]


class Stitcher:
    """Feed it events; it returns what of them the client does not have yet, under the first stream's id."""

    def __init__(self, seam: Seam, method: Method, upstream: str) -> None:
        self._seam = seam
        self._method = method
        self._upstream = upstream
        self._unjudged = ""
        """New text that may be a repetition of the beginning."""
        self._is_joined = method in ("prefill", "prompt") and len(seam.text) < REPEAT_FROM_CHARS
        """Whether it is settled where the new text begins."""
        self._is_marked = False
        self._texts: list[str] = []

    @property
    def text(self) -> str:
        """What it let through."""
        return "".join(self._texts)

    def feed(self, events: bytes) -> bytes:
        """The events to pass on; AttemptFailed when the answer is another than the one that was begun."""
        return b"".join([self._event(event) for event in split_events(events)]) if events else b""

    def _event(self, event: bytes) -> bytes:
        payload = data_of(event)
        if payload is None:
            return event
        chunk = msgspec.json.decode(payload)
        if not isinstance(chunk, dict) or not chunk.get("choices"):
            return event
        if not self._rewrite(chunk, chunk["choices"][0]):
            return b""
        if self._seam.identifier is not None:
            chunk["id"] = self._seam.identifier
        if not self._is_marked:
            self._is_marked = True
            chunk["spillway"] = {
                "continued": True,
                "upstream": self._upstream,
                "after": self._seam.upstream,
                "cause": self._seam.failure_code,
                "method": self._method,
            }
        return b"data: " + msgspec.json.encode(chunk) + b"\n\n"

    def _rewrite(self, chunk: Json, choice: Json) -> bool:
        """Cuts what the client has; False when nothing is left of the chunk."""
        is_last = bool(choice.get("finish_reason"))
        holder, name = (choice, "text") if "text" in choice else (choice.setdefault("delta", {}), "content")
        given = holder.get(name) or ""
        fresh = self._fresh(given, is_last=is_last) if isinstance(given, str) else given
        if fresh != given:
            choice["logprobs"] = None
        if fresh or name in holder:
            holder[name] = fresh
        if isinstance(fresh, str):
            self._texts.append(fresh)
        others = [key for key, value in holder.items() if value and key not in (name, "role")]
        holder.pop("role", None)
        return bool(fresh or is_last or (others and name == "content"))

    def _fresh(self, given: str, *, is_last: bool) -> str:
        """What of the new text the client does not have; empty while that is not known."""
        if self._is_joined:
            return given
        self._unjudged += given
        begun = self._seam.text
        if self._unjudged.startswith(begun):
            return self._join(self._unjudged[len(begun) :])
        if begun.startswith(self._unjudged) and not is_last:
            return ""
        if self._method == "restart":
            sentence = "its new answer is not the one that was begun"
            raise AttemptFailed(Failure(MISMATCH, sentence, counts_against=False))
        if self._method != "instruct":
            return self._join(self._unjudged)
        if len(self._unjudged) < JUDGE_CHARS and not is_last:
            return ""
        return self._join(_without_overlap(begun, self._unjudged))

    def _join(self, fresh: str) -> str:
        self._is_joined = True
        self._unjudged = ""
        return fresh


def _without_overlap(begun: str, new: str) -> str:
    """The new text less what it repeats of the end, with a blank between two words.

    >>> _without_overlap("the quick brown fox", "quick brown fox jumps")
    ' jumps'
    >>> _without_overlap("the quick", "brown fox")
    ' brown fox'
    """
    for size in range(min(len(begun), len(new)), OVERLAP_CHARS - 1, -1):
        if begun.endswith(new[:size]):
            return new[size:]
    if (
        begun
        and new
        and begun[-1].isascii()
        and begun[-1].isalnum()
        and new[0].isascii()
        and new[0].isalnum()
    ):
        return " " + new
    return new
