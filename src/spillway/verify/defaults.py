"""Which gates an answer has to pass by default, per task class, and what waiting for them means."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

__all__ = [
    "BUFFERED_TASKS",
    "DEFAULT_GATES",
    "NEEDS_WHOLE",
    "OPENING_GATES",
    "RUNNING_GATES",
    "gates_for",
    "needs_whole",
]

OPENING_GATES: Final = frozenset({"empty", "refusal", "language"})
"""Judged on the beginning of a stream: holding back some 200 characters is enough."""
RUNNING_GATES: Final = frozenset({"looping"})
"""Can fail at any moment of a stream; passing costs no delay."""
NEEDS_WHOLE: Final = frozenset({"finish", "json", "schema", "tools", "confidence"})
"""Can be passed at the end only (``json`` and ``confidence`` may fail before)."""

_TEXT: Final = ("finish", "empty", "refusal", "looping", "json", "schema", "tools", "language")
_STRUCTURED: Final = ("finish", "empty", "refusal", "json", "schema", "tools", "looping", "confidence")

DEFAULT_GATES: Final[dict[str, tuple[str, ...]]] = {
    "extraction": _STRUCTURED,
    "classification": _STRUCTURED,
    "routing": _STRUCTURED,
    "tool_use": ("finish", "empty", "tools", "json", "schema", "looping", "confidence"),
    "closed_qa": (*_TEXT, "confidence"),
    "open_qa": (*_TEXT, "confidence"),
    "math": ("finish", "empty", "refusal", "looping", "json", "schema", "tools", "confidence"),
    "reasoning": ("finish", "empty", "refusal", "looping", "json", "schema", "tools", "confidence"),
    "code": ("finish", "empty", "refusal", "looping", "json", "schema", "tools"),
    "translation": ("finish", "empty", "refusal", "looping", "json", "schema", "tools"),
    "summarization": _TEXT,
    "rewriting": _TEXT,
    "generation": _TEXT,
    "short_generation": _TEXT,
    "brainstorming": _TEXT,
    "planning": _TEXT,
    "conversation": _TEXT,
    "other": ("finish", "empty", "refusal", "looping", "json", "schema", "tools"),
}
"""Task class → gates, cheapest first. ``tool_use`` has no refusal gate: "none of these tools can do that" is
often the right answer. ``translation`` and ``code`` have no language gate. ``confidence`` judges only where a
threshold has been calibrated; ``json``, ``schema`` and ``tools`` only where the request asks for them."""

BUFFERED_TASKS: Final = frozenset({"extraction", "classification", "routing", "tool_use"})
"""Classes whose streams are held back until all gates have passed: their readers are programs, their answers
short. Everything else streams and passes the opening and running gates only."""


def gates_for(task: str | None) -> tuple[str, ...]:
    """The default gates of a class; unknown ones (the owner's own) get those of ``other``."""
    return DEFAULT_GATES.get(task or "other", DEFAULT_GATES["other"])


def needs_whole(gates: Iterable[str]) -> bool:
    """Whether some gate can only be passed once the answer is whole."""
    return not NEEDS_WHOLE.isdisjoint(gates)
