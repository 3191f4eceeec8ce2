"""A stream's events put together to the whole answer, as the engine itself would have sent it.

Deltas are joined the way OpenAI's own clients join them, with every field kept, known to us or not: text
grows, tool calls and the like are joined by their index, lists of log-probabilities are concatenated.
"""

from __future__ import annotations

from typing import Any

import msgspec

from spillway.relay.tee import data_of, split_events
from spillway.vocabulary import Operation, Usage

__all__ = ["assemble", "usage_json", "without_logprobs"]

Json = dict[str, Any]

PADDING = frozenset({"obfuscation"})
"""Fields of a stream that mean nothing; OpenAI hides the lengths of tokens with it."""
KEPT_ONCE = frozenset({"id", "type", "role", "index", "name", "format", "signature"})
"""Strings that are sent once, or again and again, but never in pieces."""
_CHUNK = msgspec.json.Decoder(Json)


def assemble(events: bytes, operation: Operation, usage_chunk: bytes | None = None) -> Json:
    """The body of the unstreamed answer; ``usage_chunk`` is the one that was kept apart from the events."""
    chunks = _chunks(events)
    if usage_chunk is not None:
        chunks.append(_CHUNK.decode(usage_chunk))
    whole: Json = {}
    choices: dict[int, Json] = {}
    for chunk in chunks:
        for choice in chunk.pop("choices", None) or ():
            index = choice.get("index", 0)
            known = choices.get(index)
            if known is None:
                choices[index] = _opened(choice)
            else:
                _add_choice(known, choice)
        for name, value in chunk.items():
            if (value is not None or name not in whole) and name not in PADDING:
                whole[name] = value
    whole["choices"] = [_closed(choices[index]) for index in sorted(choices)]
    whole["object"] = "chat.completion" if operation == "chat" else "text_completion"
    return whole


def without_logprobs(answer: Json) -> Json:
    """The same without what only a gate had asked for."""
    kept = [{k: v for k, v in choice.items() if k != "logprobs"} for choice in answer.get("choices", ())]
    return {**answer, "choices": kept}


def usage_json(given: Json | None, usage: Usage | None) -> Json | None:
    """``usage`` of an answer, with the counts of ``usage`` where the upstream gave none or only a part."""
    if usage is None:
        return given
    if given is not None and given.get("completion_tokens") == usage.output_tokens:
        return given
    tokens = {"prompt_tokens": usage.input_tokens, "completion_tokens": usage.output_tokens}
    if usage.input_tokens is not None and usage.output_tokens is not None:
        tokens["total_tokens"] = usage.input_tokens + usage.output_tokens
    return {**(given or {}), **tokens}


def _chunks(events: bytes) -> list[Json]:
    payloads = [payload for event in split_events(events) if (payload := data_of(event)) is not None]
    return [_CHUNK.decode(payload) for payload in payloads]


def _opened(choice: Json) -> Json:
    """A choice of the whole answer with what its first chunk says."""
    opened: Json = {}
    for name, value in choice.items():
        if name == "delta":
            opened["message"] = dict(value or {})
        else:
            opened[name] = value
    return opened


def _add_choice(known: Json, choice: Json) -> None:
    for name, value in choice.items():
        if name == "delta":
            _add(known.setdefault("message", {}), value or {})
        elif name == "text":
            known["text"] = (known.get("text") or "") + (value or "")
        elif name == "logprobs" and isinstance(value, dict):
            known[name] = _more_logprobs(known.get(name), value)
        elif value is not None or name not in known:
            known[name] = value


def _more_logprobs(known: Json | None, more: Json) -> Json:
    """Every list concatenated."""
    if not known:
        return more
    for name, value in more.items():
        if isinstance(value, list) and isinstance(known.get(name), list):
            known[name].extend(value)
        elif value is not None or name not in known:
            known[name] = value
    return known


def _add(known: Json, more: Json) -> None:
    """Joins one delta to what the earlier ones gave."""
    for name, value in more.items():
        have = known.get(name)
        if have is None or (have == "" and value is not None):
            if value is not None or name not in known:
                known[name] = _indexed(value)
        elif value is None or (name in KEPT_ONCE and not _is_in_pieces(name, have, value)):
            continue
        elif isinstance(value, str) and isinstance(have, str):
            known[name] = have + value
        elif isinstance(value, dict) and isinstance(have, dict):
            _add(have, value)
        elif isinstance(value, list) and isinstance(have, list):
            _add_items(have, value)
        else:
            known[name] = value


def _is_in_pieces(name: str, have: object, value: object) -> bool:
    """Some servers send a function's name in pieces, others whole with every piece of its arguments."""
    return name == "name" and isinstance(have, str) and isinstance(value, str) and not have.endswith(value)


def _indexed(value: object) -> object:
    """A first list may already hold several pieces of the same item."""
    if not isinstance(value, list):
        return value
    items: list[Any] = []
    _add_items(items, value)
    return items


def _add_items(have: list[Any], more: list[Any]) -> None:
    for item in more:
        index = item.get("index") if isinstance(item, dict) else None
        known = next((i for i in have if isinstance(i, dict) and i.get("index") == index), None)
        if index is None or known is None:
            have.append(item)
        else:
            _add(known, item)


def _closed(choice: Json) -> Json:
    """What only streams have is taken out; a message without words has an empty text, as engines send it."""
    message = choice.get("message")
    if message is None:
        return choice
    for call in message.get("tool_calls") or ():
        if isinstance(call, dict):
            call.pop("index", None)
    if not message.get("tool_calls") and "tool_calls" in message:
        del message["tool_calls"]
    has_call = "tool_calls" in message or "function_call" in message
    if message.get("content") in (None, "") and "content" in message:
        message["content"] = None if has_call else ""
    return choice
