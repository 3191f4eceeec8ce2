"""Finds out how a template wants requests written, by trying, as llama.cpp does when it loads a model."""

from __future__ import annotations

import re
from typing import get_args

from spillway.pinning.templates.conversations import NEEDLES, Conversation, ReasoningField, Shape, by_name
from spillway.pinning.templates.rendered import Rendered

__all__ = ["TRIALS", "shape_of"]

_FIELDS: tuple[ReasoningField, ...] = get_args(ReasoningField)
_CALL_SHAPES = (
    Shape(),
    Shape(arguments="text"),
    Shape(wordless="null"),
    Shape(arguments="text", wordless="null"),
)
_REASONED = (by_name("reasoning_history"), by_name("reasoning_tool_loop"))

TRIALS: tuple[tuple[Conversation, Shape], ...] = (
    (by_name("user"), Shape()),
    (by_name("user"), Shape(content="parts")),
    (by_name("user"), Shape(no_tools="absent")),
    *((by_name("tool_result"), shape) for shape in _CALL_SHAPES),
    *((conversation, Shape(reasoning=field)) for field in _FIELDS for conversation in _REASONED),
)
"""Conversations to render before the shape is known; ``shape_of`` wants their results in this order."""


def shape_of(trials: tuple[Rendered, ...]) -> Shape:
    """The plain shape, changed only where another one renders what the plain one loses."""
    plain, parts, absent, *rest = (result.text or "" for result in trials)
    called, reasoned = rest[: len(_CALL_SHAPES)], rest[len(_CALL_SHAPES) :]
    best = _CALL_SHAPES[max(range(len(called)), key=lambda i: (_arguments_rank(called[i]), -i))]
    shown = [any(map(_has_reasoning, reasoned[2 * i : 2 * i + 2])) for i in range(len(_FIELDS))]
    return Shape(
        arguments=best.arguments,
        wordless=best.wordless,
        reasoning=_FIELDS[shown.index(True)] if any(shown) else "reasoning_content",
        content="parts" if _has_user(parts) and not _has_user(plain) else "text",
        no_tools="absent" if _has_user(absent) and not _has_user(plain) else "null",
    )


def _has_reasoning(text: str) -> bool:
    """Whether it was taken as reasoning, and not printed with the brackets of the part it came in."""
    return NEEDLES["reasoning"][0] in text and re.search(r"""['"]type['"]: ?['"]thinking""", text) is None


def _has_user(text: str) -> bool:
    return all(needle in text for needle in NEEDLES["user"])


def _arguments_rank(text: str) -> int:
    """How well arguments arrived: 0 not at all, 1 as Python or as JSON inside a JSON text, 2 readably."""
    if NEEDLES["arguments"][0] not in text:
        return 0
    return 1 if "'anchorage'" in text or '\\"anchorage' in text else 2
