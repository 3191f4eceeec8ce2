"""Watches a streamed answer and says as soon as it cannot be kept, so that it can be broken off."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from spillway.verify.confidence import score_of
from spillway.verify.defaults import OPENING_GATES
from spillway.verify.gates import is_wrong_language
from spillway.verify.json_prefix import JsonPrefix
from spillway.verify.looping import WINDOW_CHARS, packs_too_small, repeats_at_end
from spillway.verify.refusals import OPENING_CHARS, opens_like_refusal
from spillway.verify.wish import Wish

__all__ = ["StreamWatch"]

LOOKED_EVERY_CHARS: Final = 120
PACKED_EVERY_CHARS: Final = 1_000
LANGUAGE_CHARS: Final = 240
"""Where the language is judged: some 40 words."""
TAIL_CHARS: Final = 16_000


class StreamWatch:
    """Fed the text of one choice piece by piece; ``failed`` is the first gate it can no longer pass.

    It judges ``refusal`` and ``language`` on the opening, ``looping`` all along, ``json`` as soon as nothing
    could repair it, and ``confidence`` at the first token below the threshold. What it lets pass may still
    fail a gate that needs the whole answer (``NEEDS_WHOLE``): call ``check`` at the end for those.
    Costs about a millisecond for 500 tokens, spread over them; keeps the last 16,000 characters.
    """

    def __init__(
        self,
        wish: Wish,
        gates: Iterable[str],
        *,
        language: str | None = None,
        threshold: float | None = None,
    ) -> None:
        self._wish, self._gates = wish, frozenset(gates)
        self._language, self._threshold = language, threshold
        self._json = JsonPrefix() if "json" in self._gates and wish.wants_json else None
        self._looks_for_loops = "looping" in self._gates and not wish.may_repeat
        self._text = ""
        self._seen_chars = 0
        self._next_look = LOOKED_EVERY_CHARS
        self._next_pack = PACKED_EVERY_CHARS
        self._has_judged_refusal = "refusal" not in self._gates
        self._has_judged_language = "language" not in self._gates or wish.wants_json
        self.failed: str | None = None
        """Code such as ``gate_refusal``; stays once set."""

    @property
    def is_opening_judged(self) -> bool:
        """Whether the gates that look at the opening are done: text held back for them may be released."""
        if OPENING_GATES.isdisjoint(self._gates):
            return True
        return self._seen_chars > 0 and self._has_judged_refusal and self._has_judged_language

    def feed(self, text: str) -> str | None:
        """Takes in the next piece of text and returns ``failed``."""
        if self.failed is not None or not text:
            return self.failed
        self._text += text
        self._seen_chars += len(text)
        if self._json is not None and not self._json.feed(text):
            return self._fail("json")
        if not self.is_opening_judged:
            self._judge_opening(is_whole=False)
        if self._looks_for_loops and self._seen_chars >= self._next_look:
            self._look_for_loops()
        if len(self._text) > 2 * TAIL_CHARS:
            self._text = self._text[-TAIL_CHARS:]
        return self.failed

    def feed_logprobs(self, logprobs: Iterable[float]) -> str | None:
        """Takes in the log-probabilities of the next tokens and returns ``failed``."""
        if self.failed is None and self._threshold is not None and "confidence" in self._gates:
            score = score_of(list(logprobs))
            if score is not None and score < self._threshold:
                return self._fail("confidence")
        return self.failed

    def end(self) -> str | None:
        """Judges what was left open because the text was too short, and returns ``failed``."""
        if self.failed is None and not self.is_opening_judged:
            self._judge_opening(is_whole=True)
        if self.failed is None and self._json is not None and not self._json.is_whole and self._seen_chars:
            self._fail("json")
        return self.failed

    def _fail(self, gate: str) -> str:
        self.failed = f"gate_{gate}"
        return self.failed

    def _judge_opening(self, *, is_whole: bool) -> None:
        opening = self._text.lstrip()
        if not self._has_judged_refusal and (is_whole or len(opening) >= OPENING_CHARS):
            self._has_judged_refusal = True
            if opens_like_refusal(opening):
                self._fail("refusal")
                return
        if not self._has_judged_language and (is_whole or len(opening) >= LANGUAGE_CHARS):
            self._has_judged_language = True
            if is_wrong_language(opening, self._wish, self._language):
                self._fail("language")

    def _look_for_loops(self) -> None:
        self._next_look = self._seen_chars + LOOKED_EVERY_CHARS
        if repeats_at_end(self._text):
            self._fail("looping")
        elif self._seen_chars >= self._next_pack:
            self._next_pack = self._seen_chars + PACKED_EVERY_CHARS
            if packs_too_small(self._text[-WINDOW_CHARS:], is_structured=self._wish.wants_json):
                self._fail("looping")
