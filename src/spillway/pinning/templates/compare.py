"""Tells whether two templates make the same prompts, and where not, what the difference does. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

from spillway.pinning.templates.conversations import NEEDLES, Conversation, Part, by_name
from spillway.pinning.templates.prefix import common_start
from spillway.pinning.templates.rendered import Rendered, Renderings

__all__ = [
    "REFERENCE_VERSION",
    "Difference",
    "across_dialects",
    "differences",
    "exact_digest",
    "rendering_digest",
]

REFERENCE_VERSION = "r1"
"""Stands before every rendering digest; changes whenever the reference conversations do, since digests made
with others cannot be compared."""

EXCERPT_CHARACTERS = 80
BEFORE_CHARACTERS = 20

_PARTS: dict[Part, str] = {
    "system": "system prompt",
    "first_user": "earlier user turn",
    "user": "user's text",
    "answer": "earlier answer",
    "tools": "tool definitions",
    "arguments": "tool call",
    "second_arguments": "second tool call",
    "result": "tool result",
    "second_result": "second tool result",
    "reasoning": "reasoning",
    "draft": "answer to go on with",
}


@dataclass(frozen=True, slots=True)
class Difference:
    """One conversation that renders differently.

    ``what`` is a phrase ("system prompt dropped; turn marks differ"); ``old`` and ``new`` are up to 80
    characters of each prompt around the first difference, or why there is none.
    """

    conversation: str
    what: str
    old: str
    new: str


def exact_digest(text: str) -> str:
    """SHA-256 of the template's text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def rendering_digest(renderings: Renderings) -> str:
    """One digest of all prompts: equal for templates that differ in nothing a model sees."""
    plain = [(name, rendered.text) for name, rendered in sorted(renderings.items())]
    encoded = json.dumps(plain, ensure_ascii=True, separators=(",", ":")).encode()
    return f"{REFERENCE_VERSION}:{hashlib.sha256(encoded).hexdigest()}"


def differences(old: Renderings, new: Renderings) -> tuple[Difference, ...]:
    """The conversations that render differently, in their usual order; empty when none does."""
    return tuple(
        _difference(by_name(name), old[name], new[name])
        for name in old
        if name in new and old[name].text != new[name].text
    )


def across_dialects(renderings: Renderings, bos: str) -> Renderings:
    """What two templates of different languages can be compared by: an engine for Go templates puts the start
    token there itself, always asks for an answer, and evens out unusual requests before it renders."""
    return {
        name: replace(rendered, text=rendered.text and rendered.text.removeprefix(bos))
        for name, rendered in renderings.items()
        if by_name(name).add_generation_prompt and not by_name(name).is_evened_out
    }


def _difference(conversation: Conversation, old: Rendered, new: Rendered) -> Difference:
    if old.text is None or new.text is None:
        what = "cannot be rendered any more" if new.text is None else "can be rendered now"
        return Difference(conversation.name, what, _reason_or_start(old), _reason_or_start(new))
    start = max(0, common_start(old.text, new.text) - BEFORE_CHARACTERS)
    what = "; ".join(_effects(conversation, old.text, new.text))
    return Difference(conversation.name, what, _excerpt(old.text, start), _excerpt(new.text, start))


def _effects(conversation: Conversation, old: str, new: str) -> Iterator[str]:
    """What the difference does, the gravest first; at least one phrase."""
    moved = [(part, _has(old, part), _has(new, part)) for part in conversation.parts]
    yield from (f"{_PARTS[part]} dropped" for part, before, after in moved if before and not after)
    yield from (f"{_PARTS[part]} now shown" for part, before, after in moved if after and not before)
    if any(before != after for _, before, after in moved):
        return
    if "".join(old.split()) == "".join(new.split()):
        yield "only white space differs"
    elif _is_tail_only(old, new):
        yield "the end that starts the model's turn differs"
    elif old.endswith(new) or new.endswith(old):
        yield "the beginning differs"
    elif _prose(old) != _prose(new):
        yield "other words are added or left out"
    else:
        yield "turn marks differ"


def _has(text: str, part: Part) -> bool:
    return all(needle in text for needle in NEEDLES[part])


def _is_tail_only(old: str, new: str) -> bool:
    """Whether everything up to the last words of the conversation is the same."""
    common = common_start(old, new)
    last = max(
        (text.rfind(needles[-1]) + len(needles[-1]) for text in (old, new) for needles in NEEDLES.values()),
        default=0,
    )
    return common >= last


def _prose(text: str) -> tuple[str, ...]:
    """The runs of at least four words that stand in a prompt: what is said, without the marks around it."""
    words = text.replace("<", " <").replace(">", "> ").split()
    runs: list[list[str]] = [[]]
    for word in words:
        if word.strip(".,:;!?'\"").isalpha():
            runs[-1].append(word.strip(".,:;!?'\""))
        elif runs[-1]:
            runs.append([])
    return tuple(" ".join(run) for run in runs if len(run) >= 4)


def _reason_or_start(rendered: Rendered) -> str:
    if rendered.failure is not None:
        return rendered.failure.message
    return _excerpt(rendered.text or "", 0)


def _excerpt(text: str, start: int) -> str:
    end = start + EXCERPT_CHARACTERS
    return ("…" if start else "") + text[start:end] + ("…" if end < len(text) else "")
