"""One turn of text, cut into what its writer asks for and what only came along.

Harness reminders, fenced code, tagged or quoted documents and long pasted passages are not the request.
Everything is bounded: of a turn longer than ``WORK_CHARS`` only its head and its tail are read.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Final

from msgspec import Struct

__all__ = ["EXCERPT_CHARS", "Parts", "split_system", "split_turn"]

WORK_CHARS: Final = 6_144
SYSTEM_CHARS: Final = 1_200
HEAD_CHARS: Final = 300
TAIL_CHARS: Final = 200
LONG_TURN_CHARS: Final = 4_000
LONG_HEAD_CHARS: Final = 200
LONG_TAIL_CHARS: Final = 140
"""Of a long turn less is read: what asks stands in its first and last sentences."""
EXCERPT_CHARS: Final = HEAD_CHARS + TAIL_CHARS
PASSAGE_CHARS: Final = 320
TAGGED_CHARS: Final = 60

_REMINDER: Final = re.compile(
    r"<((?:system|user)[-_](?:reminder|info|instructions|rules|state)|environment[-_]\w+|env|ide[-_]\w+"
    r"|command-\w+|local-command-\w+|reminder|current[-_](?:date|time|datetime)|context[-_]window|budget[\w:]*"
    r"|additional[-_](?:data|instructions)|attached[-_]files|open[-_]files|git[-_]status|harness[\w-]*)\b[^<>]{0,200}>",
    re.IGNORECASE,
)
_REMINDER_LINE: Final = re.compile(
    r"^[ \t]*[\[(*#]{0,3}[ \t]*(?:system|automatic|automated|harness)[ -]?"
    r"(?:reminder|note|notice|message|info)\b[^\n]{0,2000}$",
    re.IGNORECASE | re.MULTILINE,
)
_REMINDER_CUES: Final = ("eminder", "ystem n", "ystem m", "EMINDER", "SYSTEM N")
REMINDER_LINE_CHARS: Final = 1_500
"""How far from either end of a turn a reminder without tags is looked for."""
_TAG: Final = re.compile(r"<([A-Za-z][\w-]{1,30})(?:\s[^<>]{0,200})?>")
_CODE_LINE: Final = re.compile(
    r"^(?:\s*(?:def |class |import |from \w+ import|#include|public |private |const |let |var |func |fn "
    r"|return\b|if ?\(|for ?\(|while ?\(|SELECT |@\w+|package |using |struct |\}|\{|//|/\*))|[;{}]\s*$",
    re.MULTILINE,
)
_CLASS_NAMES: Final = (
    r"(?:extraction|classification|routing|summari[sz]ation|rewriting|translation|closed[_ ]qa|open[_ ]qa"
    r"|generation|brainstorming|code|math|reasoning|planning|tool[_ ]use|conversation)"
)
_VERBS: Final = (
    r"(?:classif(?:y|ied)|routed?|label(?:led|ed)?|tag(?:ged)?|treat(?:ed)?|mark(?:ed)?"
    r"|register|count|handle)"
)
_ITEMS: Final = r"(?:request|prompt|message|query|task|input|one|text)"
_STEERING: Final = re.compile(
    rf"\b{_VERBS}\b[^.!?\n]{{0,20}}?\b(?:me|this|the|my|it)\b(?: {_ITEMS})?(?: (?:only|always|strictly))?"
    rf" (?:as|to|under|with)\b[^.!?\n]{{0,40}}?\b(?:{_CLASS_NAMES}|local|cloud)\b"
    rf"(?!\s*(?:/|,?\s*(?:or|and)\b|,\s*{_CLASS_NAMES}))"
    r"|x-spillway-task|p_local_ok|\brouter\b[^.!?\n]{0,60}?\b(?:class|task|local|cloud|difficulty)\b"
    rf"|\b(?:task|class|category)\s?[:=]\s?[\"']?{_CLASS_NAMES}\b",
    re.IGNORECASE,
)
"""Words to whoever routes the request; a list of classes to choose from is none."""
_REST: Final = re.compile(r"[^.!?\n]*[.!?\n]*")
MOST_STEERING: Final = 4
_STEERING_CUES: Final = (
    "classif",
    "rout",
    "label",
    "tag",
    "treat",
    "mark",
    "spillway",
    "p_local",
    "task",
    "class",
    "regist",
    "count",
    "handl",
    "category",
)
_STEERING_TARGETS: Final = (" as ", " to ", " under ", " with ", ":", "=", "router", "spillway", "p_local")
_PERSONA: Final = re.compile(
    r"(?:^|(?<=[.!?\n]))\s*(?:you(?:'re| are)\b|your name is|act as|always be"
    r"|be (?:helpful|concise|polite|honest|brief)|today is|(?:the )?current date|knowledge cutoff"
    r"|think step by step|answer (?:helpfully|truthfully))[^.!?\n]*[.!?]?",
    re.IGNORECASE,
)


class Parts(Struct):
    """One turn taken apart. Sizes are characters of the whole turn, also where only parts were read."""

    excerpt: str = ""
    """What asks: head and tail of the writer's own words, at most ``EXCERPT_CHARS`` and a little."""
    own_chars: int = 0
    reminder_chars: int = 0
    document_chars: int = 0
    code_chars: int = 0
    documents: int = 0
    code_blocks: int = 0
    is_sampled: bool = False
    is_steering: bool = False


def split_turn(text: str) -> Parts:
    """The parts of one user turn."""
    parts = Parts(own_chars=len(text))
    if len(text) > WORK_CHARS:
        parts.is_sampled = True
        parts.documents += 1
        parts.document_chars += len(text) - WORK_CHARS
        text = text[: WORK_CHARS // 2] + "\n\n" + text[-WORK_CHARS // 2 :]
    text = _without_reminders(text, parts)
    if "`" in text and "```" in text:
        text = _without_pairs(text, "```", parts, is_code=True)
    if '"' in text and '"""' in text:
        text = _without_pairs(text, '"""', parts, is_code=False)
    if "<" in text and "</" in text:
        text = _without_tagged(text, parts)
    if ">" in text and ("\n>" in text or text.startswith(">")):
        text = _without_quoted_lines(text, parts)
    text = text.strip()
    parts.excerpt = _without_steering(_asking(text, parts), parts) if text else ""
    parts.own_chars = max(0, parts.own_chars - parts.reminder_chars - parts.document_chars - parts.code_chars)
    return parts


def split_system(text: str) -> str:
    """The part of a system prompt that sets a task: head and tail, without reminders and "You are …"."""
    parts = Parts()
    text = _without_reminders(text[:SYSTEM_CHARS], parts)
    if "```" in text:
        text = _without_pairs(text, "```", parts, is_code=True)
    if "</" in text:
        text = _without_tagged(text, parts)
    text = _PERSONA.sub(" ", text).strip()
    return text if len(text) <= EXCERPT_CHARS else text[:HEAD_CHARS]


def _without_reminders(text: str, parts: Parts) -> str:
    """The text without what a harness put in; an opening tag that is never closed hides nothing."""
    if "<" in text:
        kept, position = [], 0
        for match in _REMINDER.finditer(text):
            if match.start() < position:
                continue
            close = text.find(f"</{match.group(1)}>", match.end())
            end = match.end() if close < 0 else close + len(match.group(1)) + 3
            kept.append(text[position : match.start()])
            parts.reminder_chars += end - match.start()
            position = end
        if position:
            text = "\n\n".join([*kept, text[position:]])
    ends = (
        text
        if len(text) < 2 * REMINDER_LINE_CHARS
        else text[:REMINDER_LINE_CHARS] + text[-REMINDER_LINE_CHARS:]
    )
    if any([cue in ends for cue in _REMINDER_CUES]):  # noqa: C419 - a list is faster than a generator here
        bare = _REMINDER_LINE.sub("", text)
        parts.reminder_chars += len(text) - len(bare)
        text = bare
    return text


def _without_pairs(text: str, mark: str, parts: Parts, *, is_code: bool) -> str:
    """The text without what stands between pairs of a mark; an unpaired mark stays."""
    pieces = text.split(mark)
    if len(pieces) < 3:
        return text
    if len(pieces) % 2 == 0:
        pieces[-2:] = [pieces[-2] + mark + pieces[-1]]
    for inside in pieces[1::2]:
        if is_code and _is_code(inside):
            parts.code_blocks += 1
            parts.code_chars += len(inside)
        else:
            parts.documents += 1
            parts.document_chars += len(inside)
    return "\n\n".join(pieces[::2])


def _is_code(block: str) -> bool:
    """Whether a fenced block is code rather than quoted text: a language tag or lines that look so."""
    first = block[:40].split("\n", 1)[0].strip()
    if first and first.replace("+", "").replace("#", "").replace("-", "").isalnum():
        return first.lower() not in {"text", "txt", "md", "markdown", "csv", "log"}
    return _CODE_LINE.search(block[:1500]) is not None


def _without_tagged(text: str, parts: Parts) -> str:
    """The text without ``<name>…</name>`` passages of some length."""
    kept, position = [], 0
    for count, match in enumerate(_TAG.finditer(text)):
        if count >= 64:
            break
        if match.start() < position:
            continue
        close = text.find(f"</{match.group(1)}>", match.end())
        if close - match.end() < TAGGED_CHARS:
            continue
        kept.append(text[position : match.start()])
        position = close + len(match.group(1)) + 3
        parts.documents += 1
        parts.document_chars += position - match.start()
    return "\n\n".join([*kept, text[position:]]) if position else text


def _without_quoted_lines(text: str, parts: Parts) -> str:
    """The text without lines quoted as in mail, when there are at least three."""
    lines = text.split("\n")
    quoted = [line for line in lines if line.startswith(">")]
    if len(quoted) < 3:
        return text
    parts.documents += 1
    parts.document_chars += sum(map(len, quoted))
    return "\n".join([line for line in lines if not line.startswith(">")])


def _asking(text: str, parts: Parts) -> str:
    """Head and tail of what is left; long passages beside a short request are documents."""
    if len(text) <= PASSAGE_CHARS:
        return text
    blocks = text.split("\n\n") if "\n\n" in text else text.split("\n")
    blocks = [block for block in blocks if block and not block.isspace()]
    if len(blocks) > 1:
        text = _without_passages(text, blocks, parts)
    if len(text) <= (PASSAGE_CHARS if parts.own_chars > LONG_TURN_CHARS else EXCERPT_CHARS):
        return text
    is_long = parts.own_chars > LONG_TURN_CHARS
    head = text[: LONG_HEAD_CHARS if is_long else HEAD_CHARS]
    tail = text[-(LONG_TAIL_CHARS if is_long else TAIL_CHARS) :]
    return (head.rpartition(" ")[0] or head) + "\n" + (tail.partition(" ")[2] or tail)


def _without_passages(text: str, blocks: list[str], parts: Parts) -> str:
    """The first and last block and what short ones stand between, if the rest is passage; else the text."""
    short = [block for block in (blocks[0], blocks[-1]) if len(block) <= PASSAGE_CHARS]
    if not short:
        return text
    passages = [block for block in blocks if len(block) > PASSAGE_CHARS]
    if not passages:
        return text
    size = sum(map(len, passages))
    parts.documents += 1
    if _looks_like_code(passages):
        parts.code_blocks += 1
        parts.code_chars += size
    else:
        parts.document_chars += size
    return "\n\n".join([block for block in blocks if len(block) <= PASSAGE_CHARS])


def _looks_like_code(passages: list[str]) -> bool:
    lines = passages[0][:1200]
    if not (";" in lines or "{" in lines or "def " in lines or "import" in lines):
        return False
    return len(_CODE_LINE.findall(lines)) >= 3


def _without_steering(excerpt: str, parts: Parts) -> str:
    """The excerpt without sentences that address the router instead of the model."""
    lower = excerpt.lower()
    if not any([cue in lower for cue in _STEERING_CUES]):  # noqa: C419 - faster than a generator
        return excerpt
    if not any([word in lower for word in _STEERING_TARGETS]):  # noqa: C419
        return excerpt
    found = list(islice(_STEERING.finditer(excerpt), MOST_STEERING))
    for match in reversed(found):
        start = max(excerpt.rfind(mark, 0, match.start()) for mark in ".!?\n") + 1
        rest = _REST.match(excerpt, match.end())
        excerpt = excerpt[:start] + excerpt[rest.end() if rest else match.end() :]
    parts.is_steering = bool(found)
    return excerpt.strip() if found else excerpt
