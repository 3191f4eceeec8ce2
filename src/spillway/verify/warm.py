"""Reads what gates need beforehand, so that no request waits for it."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from spillway.verify.answer import GivenAnswer
from spillway.verify.gates import GATES, check
from spillway.verify.wish import Wish

__all__ = ["warm_up"]

TEXT: Final = (
    "It is said to be fine all over the town, and to rain a little on the hills that are behind it. " * 2
)
WANTED: Final = {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}}


def warm_up() -> None:
    """Every gate has judged something: patterns are compiled, word lists and libraries loaded.

    Blocks for some 35 ms; harmless in a thread.
    """
    _judge({"messages": [{"role": "user", "content": TEXT}]}, TEXT)
    _judge({"messages": [], "response_format": WANTED}, "{}")


def _judge(asked: dict[str, Any], said: str) -> None:
    answer = {"choices": [{"finish_reason": "stop", "message": {"content": said}}]}
    given, wish = GivenAnswer.of(msgspec.json.encode(answer)), Wish.of(msgspec.json.encode(asked))
    check(given, wish, GATES, language="en", threshold=0.0)
