"""The pieces of a request body in any of the usual dialects; odd shapes are skipped, never raised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Final

from msgspec import Struct

from spillway.classify.tokens import estimate_tokens

__all__ = ["Turn", "turns_of", "walk_size"]

RECENT_MESSAGES: Final = 64
"""History is measured on its newest messages; older ones are taken to be like them."""
WALK_NODES: Final = 300
SYSTEM_ROLES: Final = frozenset({"system", "developer"})


class Turn(Struct):
    """The last user turn and what stands around it."""

    last: str = ""
    before: str = ""
    """The user turn before the last."""
    system: str = ""
    results: tuple[str, ...] = ()
    """Tool results after the last user turn."""
    history: tuple[str, ...] = ()
    history_ratio: float = 1.0
    """All history over the part in ``history``."""
    messages: int = 0
    user_turns: int = 0
    images: int = 0
    tools: object = None
    tool_count: int = 0
    is_sampled: bool = False

    def history_tokens(self, chars: int) -> int:
        """Estimated tokens of all earlier turns."""
        text = "\n".join(self.history)
        return round(estimate_tokens(text, chars) * self.history_ratio) if text else 0


def turns_of(body: Mapping[str, object]) -> Turn:
    """The turns of a body: ``messages``, ``input`` or ``prompt``, with ``system`` or ``instructions``."""
    turn = Turn()
    for key in ("system", "instructions"):
        turn.system, _ = _text(body.get(key))
        if turn.system:
            break
    tools = body.get("tools") or body.get("functions")
    if isinstance(tools, Sequence) and not isinstance(tools, str):
        turn.tools, turn.tool_count = tools, len(tools)
    messages = body.get("messages")
    if messages is None:
        messages = body.get("input")
    if isinstance(messages, Sequence) and not isinstance(messages, (str, bytes)):
        _read_messages(messages, turn)
    else:
        turn.last, turn.images = _text(messages if messages is not None else body.get("prompt"))
        turn.messages = turn.user_turns = 1 if turn.last or turn.images else 0
    return turn


def _read_messages(messages: Sequence[object], turn: Turn) -> None:
    """Reads system prompts at the head and the newest messages, newest first."""
    turn.messages = len(messages)
    systems = [_content(message)[0] for message in messages[:4] if _role(message) in SYSTEM_ROLES]
    turn.system = "\n".join([text for text in (turn.system, *systems) if text])
    history: list[str] = []
    results: list[str] = []
    has_user = False
    for message in reversed(messages[-RECENT_MESSAGES:]):
        role = _role(message)
        if role in SYSTEM_ROLES:
            continue
        text, images = _content(message)
        if role == "user" and not text and not images:
            results.append(_result_text(message))
        elif role == "user":
            turn.user_turns += 1
            if not has_user:
                turn.last, turn.images, has_user = text, images, True
            else:
                turn.before = turn.before or text[:600]
                history.append(text)
        else:
            (history if has_user or role == "assistant" else results).append(text)
    _close(turn, history, results, len(messages))


def _close(turn: Turn, history: list[str], results: list[str], count: int) -> None:
    turn.history, turn.results = tuple(history), tuple([text for text in results if text])
    if count > RECENT_MESSAGES:
        turn.is_sampled = True
        turn.history_ratio = count / RECENT_MESSAGES
        turn.user_turns = round(turn.user_turns * turn.history_ratio)


def _role(message: object) -> str:
    role = message.get("role") if isinstance(message, Mapping) else None
    return role if isinstance(role, str) else "user"


def _content(message: object) -> tuple[str, int]:
    return _text(message.get("content") if isinstance(message, Mapping) else message)


def _text(content: object) -> tuple[str, int]:
    """The text of a content value and the number of images in it."""
    if isinstance(content, str):
        return content, 0
    if not isinstance(content, Sequence) or isinstance(content, bytes):
        return "", 0
    texts, images = [], 0
    for part in content[:RECENT_MESSAGES]:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, Mapping):
            value = part.get("text")
            if isinstance(value, str):
                texts.append(value)
            elif "image" in str(part.get("type", ""))[:20]:
                images += 1
    return "\n\n".join(texts), images


def _result_text(message: object) -> str:
    """The text of tool results that one dialect sends in a user message."""
    content = message.get("content") if isinstance(message, Mapping) else None
    if not isinstance(content, Sequence):
        return ""
    inner = [part.get("content") for part in content[:RECENT_MESSAGES] if isinstance(part, Mapping)]
    return "\n".join([_text(value)[0] for value in inner])


def walk_size(value: object) -> tuple[int, int]:
    """(characters of keys and texts, properties) of a JSON value; a big one is scaled from its head."""
    if not value:
        return 0, 0
    items = value if isinstance(value, list) else [value]
    chars = fields = seen = done = 0
    for item in items:
        if seen >= WALK_NODES:
            break
        size, count, nodes = _walk(item, WALK_NODES)
        chars, fields, seen, done = chars + size, fields + count, seen + nodes, done + 1
    scale = len(items) / done
    return round(chars * scale), round(fields * scale)


def _walk(item: object, budget: int) -> tuple[int, int, int]:
    chars = fields = seen = 0
    stack = [item]
    while stack and seen < budget:
        node = stack.pop()
        seen += 1
        if isinstance(node, str):
            chars += len(node) + 4
        elif isinstance(node, Mapping):
            properties = node.get("properties")
            fields += len(properties) if isinstance(properties, Mapping) else 0
            keys = [len(key) + 6 for key in islice(node, budget) if isinstance(key, str)]
            chars += round(sum(keys) * len(node) / max(1, len(keys)))
            stack.extend(islice(node.values(), budget))
        elif isinstance(node, list):
            stack.extend(node[:budget])
            chars += 2 * len(node)
        else:
            chars += 6
    return chars, fields, seen
