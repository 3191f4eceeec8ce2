"""A chat body read once: what its user wrote, what came along, and what shape of answer is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Final, Literal

from msgspec import Struct

from spillway.classify.asked import asked_of
from spillway.classify.body import Turn, turns_of, walk_size
from spillway.classify.languages import language_of, scripts_of
from spillway.classify.segments import Parts, split_system, split_turn
from spillway.classify.tokens import estimate_tokens
from spillway.classify.words import trim, words_of
from spillway.vocabulary import TokenGrade

__all__ = ["PayloadFacts", "facts_of"]

Schema = Literal["none", "json_object", "json_schema"]

OWN_SAMPLE: Final = 640
OTHER_SAMPLE: Final = 384
FOREIGN_LATIN_RATIO: Final = 1.25
"""Latin-script text that is not English needs about a quarter more tokens than its bytes say (measured)."""


class PayloadFacts(Struct, frozen=True, kw_only=True):
    """What one request body holds. Carries prompt text in ``excerpt`` and ``system``: never log it."""

    excerpt: str = ""
    """What the user asks in the last turn: own words only, head and tail, at most about 500 characters."""
    system: str = ""
    """What the system prompt sets as the task, without persona and reminders; same bound."""
    before: str = ""
    """The user turn before the last, when the last one is too short to stand alone."""
    words: tuple[str, ...] = ()
    """Words and marks of ``excerpt`` in lower case, digits as zeros, without polite phrases."""
    input_tokens: int = 0
    input_grade: TokenGrade = "estimated"
    own_tokens: int = 0
    """Tokens the user wrote in the last turn, documents and reminders not counted."""
    system_tokens: int = 0
    reminder_tokens: int = 0
    document_tokens: int = 0
    """Pasted, fenced or tagged passages and code of the last turn, and tool results after it."""
    history_tokens: int = 0
    tool_tokens: int = 0
    turns: int = 0
    """User turns, the last included."""
    language: str | None = None
    scripts: tuple[str, ...] = ()
    code_blocks: int = 0
    documents: int = 0
    images: int = 0
    numbers: int = 0
    """Digit groups in ``excerpt``."""
    steps: int = 0
    """Steps asked for: numbered or bulleted lines and words like "then" and "finally"."""
    schema: Schema = "none"
    schema_depth: int = 0
    schema_fields: int = 0
    tools: int = 0
    tool_fields: int = 0
    has_tool_results: bool = False
    wanted_words: int | None = None
    """Length of answer asked for in the text; ``None`` when none is."""
    wanted_format: str | None = None
    max_output_tokens: int | None = None
    flags: tuple[str, ...] = ()
    """``empty``, ``images_only``, ``binary``, ``sampled``, ``steering``, ``foreign_language``."""


def facts_of(body: Mapping[str, object]) -> PayloadFacts:
    """The facts of a chat, completion, responses or messages body, or of ``{"prompt": …}``.

    Never raises on odd shapes: what cannot be read is left out. Time is bounded whatever the size.
    """
    turn = turns_of(body)
    parts = split_turn(turn.last)
    parts.excerpt = trim(parts.excerpt)
    words = words_of(parts.excerpt)
    scripts = scripts_of(parts.excerpt)
    language = language_of(words, scripts)
    asked = asked_of(parts.excerpt, words)
    schema, depth, fields = _schema(body.get("response_format") or body.get("text"))
    tool_chars, tool_fields = walk_size(turn.tools)
    tokens = _tokens(
        turn, parts, tool_chars, 1.0 if language in {"en", None} or scripts else FOREIGN_LATIN_RATIO
    )
    return PayloadFacts(
        excerpt=parts.excerpt,
        system=trim(split_system(turn.system)) if turn.system else "",
        before=trim(turn.before) if len(words) < 6 and turn.before else "",
        words=tuple(words),
        input_tokens=sum(tokens) + 4 * turn.messages,
        own_tokens=tokens[0],
        system_tokens=tokens[1],
        reminder_tokens=tokens[2],
        document_tokens=tokens[3],
        history_tokens=tokens[4],
        tool_tokens=tokens[5],
        turns=turn.user_turns,
        language=language,
        scripts=scripts,
        code_blocks=parts.code_blocks,
        documents=parts.documents + len(turn.results),
        images=turn.images,
        numbers=asked.numbers,
        steps=asked.steps,
        schema=schema,
        schema_depth=depth,
        schema_fields=fields,
        tools=turn.tool_count,
        tool_fields=tool_fields,
        has_tool_results=bool(turn.results),
        wanted_words=asked.words,
        wanted_format=asked.format,
        max_output_tokens=_limit(body),
        flags=_flags(turn, parts, language),
    )


def _tokens(turn: Turn, parts: Parts, tool_chars: int, ratio: float) -> tuple[int, int, int, int, int, int]:
    """Tokens of own words, system prompt, reminders, documents, history and tool definitions."""
    whole = estimate_tokens(turn.last, OWN_SAMPLE) * ratio
    size = max(1, len(turn.last))
    reminders = round(whole * min(1.0, parts.reminder_chars / size))
    documents = round(whole * min(1.0, (parts.document_chars + parts.code_chars) / size))
    results = estimate_tokens("\n".join(turn.results), OTHER_SAMPLE)
    return (
        max(0, round(whole) - reminders - documents),
        estimate_tokens(turn.system, OTHER_SAMPLE),
        reminders,
        documents + results,
        turn.history_tokens(OTHER_SAMPLE),
        round(tool_chars / 4.2),
    )


def _schema(response_format: object) -> tuple[Schema, int, int]:
    """Kind, depth and number of fields of the asked-for output schema."""
    outer = _mapping(response_format)
    outer = _mapping(outer.get("format")) or outer
    kind = outer.get("type")
    if kind == "json_schema":
        inner = _mapping(outer.get("json_schema")) or outer
        return "json_schema", *_depth(inner.get("schema"))
    return ("json_object", 0, 0) if kind == "json_object" else ("none", 0, 0)


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _depth(schema: object) -> tuple[int, int]:
    """Nesting of objects and arrays, and properties in all; looks at no more than 400 places."""
    depth = fields = seen = 0
    stack: list[tuple[object, int]] = [(schema, 1)]
    while stack and seen < 400:
        node, level = stack.pop()
        seen += 1
        if not isinstance(node, Mapping):
            continue
        depth = max(depth, level)
        properties = node.get("properties")
        if isinstance(properties, Mapping):
            fields += len(properties)
            stack.extend(
                [(child, level + 1) for child in islice(properties.values(), 100) if _is_nested(child)]
            )
        if isinstance(node.get("items"), Mapping):
            stack.append((node["items"], level + 1))
    return depth, fields


def _is_nested(child: object) -> bool:
    return isinstance(child, Mapping) and ("properties" in child or "items" in child)


def _limit(body: Mapping[str, object]) -> int | None:
    for key in ("max_completion_tokens", "max_tokens", "max_output_tokens"):
        value = body.get(key)
        if isinstance(value, int) and value > 0:
            return value
    return None


def _flags(turn: Turn, parts: Parts, language: str | None) -> tuple[str, ...]:
    flags = []
    if not parts.excerpt and not parts.document_chars and not parts.code_chars:
        flags.append("images_only" if turn.images else "empty")
    elif _is_binary(parts.excerpt or turn.last[:400]):
        flags.append("binary")
    if parts.is_sampled or turn.is_sampled:
        flags.append("sampled")
    if parts.is_steering:
        flags.append("steering")
    if language not in {"en", None}:
        flags.append("foreign_language")
    return tuple(flags)


def _is_binary(text: str) -> bool:
    """Whether the text is bytes, not writing: control or replacement characters, or one endless word."""
    head = text[:400]
    if not head.replace("\n", "").replace("\t", "").replace("\r", "").isprintable() or "\ufffd" in head:
        odd = sum([not (c.isprintable() or c in "\n\r\t") for c in head]) + head.count("\ufffd")
        if odd * 12 > len(head):
            return True
    return (
        len(head) >= 200
        and head.count(" ") < 3
        and head.isascii()
        and max(map(len, head.split()), default=0) > 180
    )
