"""Answers as JSON bodies and as server-sent events, in the shapes OpenAI's API has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from spillway.testing.answers import (
    CREATED_S,
    EMBEDDING_DIMENSIONS,
    Answer,
    count_prompt_tokens,
    embedding_vector,
    encode_embedding,
    tokens_of,
)

__all__ = ["DONE", "embeddings_json", "event", "models_json", "stream_events", "whole_json"]

Json = dict[str, Any]

DONE = b"data: [DONE]\n\n"


def event(payload: object) -> bytes:
    """One server-sent event with that JSON."""
    return b"data: " + json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def whole_json(answer: Answer) -> Json:
    """The body of an unstreamed answer."""
    choices = [_whole_choice(answer, index, pieces) for index, pieces in enumerate(answer.pieces)]
    kind = "chat.completion" if answer.is_chat else "text_completion"
    return {**_frame(answer, kind), "choices": choices, "usage": answer.usage}


def stream_events(answer: Answer, *, usage: str = "asked") -> list[bytes]:
    """The events of a streamed answer, ``[DONE]`` included.

    ``usage``: ``asked`` sends OpenAI's extra chunk with empty ``choices`` if the request wants it, ``last``
    puts it on the chunk with the finish reason whether wanted or not, ``none`` leaves it out in any case.
    """
    kind = "chat.completion.chunk" if answer.is_chat else "text_completion"
    options = answer.body.get("stream_options")
    is_wanted = usage == "asked" and isinstance(options, dict) and options.get("include_usage") is True
    # OpenAI puts ``"usage": null`` on every other chunk when usage was asked for.
    frame = {**_frame(answer, kind), **({"usage": None} if is_wanted else {})}
    chunks = [{**frame, "choices": [choice]} for choice in _deltas(answer)]
    if usage == "last":
        chunks[-1]["usage"] = answer.usage
    if is_wanted:
        chunks.append({**frame, "choices": [], "usage": answer.usage})
    return [*(event(chunk) for chunk in chunks), DONE]


def embeddings_json(body: Mapping[str, Any]) -> Json:
    """The body of an embeddings answer, one vector for each input."""
    given = body.get("input", "")
    is_one = isinstance(given, str) or (isinstance(given, list) and given and isinstance(given[0], int))
    inputs = [given] if is_one else list(given)
    dimensions = int(body.get("dimensions") or EMBEDDING_DIMENSIONS)
    texts = [item if isinstance(item, str) else json.dumps(item) for item in inputs]
    vectors = [encode_embedding(embedding_vector(t, dimensions), body.get("encoding_format")) for t in texts]
    data = [{"object": "embedding", "index": index, "embedding": v} for index, v in enumerate(vectors)]
    tokens = count_prompt_tokens(body)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": body.get("model", "fake-model"), "usage": usage}


def models_json(models: tuple[str, ...], owned_by: str = "fake") -> Json:
    """The body of the list of models."""
    data = [{"id": m, "object": "model", "created": CREATED_S, "owned_by": owned_by} for m in models]
    return {"object": "list", "data": data}


def _frame(answer: Answer, kind: str) -> Json:
    return {
        "id": answer.identifier,
        "object": kind,
        "created": answer.created_s,
        "model": answer.model,
        "system_fingerprint": answer.fingerprint,
    }


def _whole_choice(answer: Answer, index: int, pieces: tuple[str, ...]) -> Json:
    text = "".join(pieces)
    logprobs = _logprobs(answer, pieces)
    if not answer.is_chat:
        return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": answer.finish_reason}
    message: Json = {"role": "assistant", "content": text, "refusal": None}
    if answer.tool is not None:
        name, arguments = answer.tool
        call = {"id": _call_id(answer, index), "type": "function"}
        message["content"] = None
        message["tool_calls"] = [{**call, "function": {"name": name, "arguments": arguments}}]
    return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": answer.finish_reason}


def _deltas(answer: Answer) -> list[Json]:
    """Choices of the chunks in order: roles, tokens of all choices in turns, finish reasons."""
    chat = answer.is_chat
    count = len(answer.pieces)
    opening = [_delta(answer, i, {"role": "assistant", "content": ""}) for i in range(count)] if chat else []
    if answer.tool is not None:
        middle = [delta for i in range(count) for delta in _tool_deltas(answer, i)]
    else:
        longest = max(len(pieces) for pieces in answer.pieces)
        middle = [
            _delta(
                answer, i, {"content": pieces[turn]} if chat else {}, before=pieces[:turn], piece=pieces[turn]
            )
            for turn in range(longest)
            for i, pieces in enumerate(answer.pieces)
            if turn < len(pieces)
        ]
    closing = [_delta(answer, i, {}, finish=answer.finish_reason) for i in range(count)]
    return [*opening, *middle, *closing]


def _delta(
    answer: Answer,
    index: int,
    delta: Json,
    *,
    before: tuple[str, ...] = (),
    piece: str = "",
    finish: str | None = None,
) -> Json:
    logprobs = _logprobs(answer, (piece,), len("".join(before))) if piece else None
    said: Json = {"delta": delta} if answer.is_chat else {"text": piece}
    return {"index": index, **said, "logprobs": logprobs, "finish_reason": finish}


def _tool_deltas(answer: Answer, index: int) -> list[Json]:
    name, arguments = answer.tool or ("", "")
    head = {"index": 0, "id": _call_id(answer, index), "type": "function"}
    deltas = [{**head, "function": {"name": name, "arguments": ""}}]
    deltas += [{"index": 0, "function": {"arguments": piece}} for piece in tokens_of(arguments)]
    return [_delta(answer, index, {"tool_calls": [delta]}) for delta in deltas]


def _call_id(answer: Answer, index: int) -> str:
    return f"call_{answer.identifier[-12:]}_{index}"


def _logprobs(answer: Answer, pieces: tuple[str, ...], offset_chars: int = 0) -> Json | None:
    """Log probabilities made up from the token's length; ``None`` unless the request wants them."""
    wanted = answer.body.get("logprobs")
    if wanted is None or wanted is False:
        return None
    values = [-0.125 * len(piece) for piece in pieces]
    if not answer.is_chat:
        top = [{piece: value} for piece, value in zip(pieces, values, strict=True)]
        offsets = [offset_chars + sum(len(p) for p in pieces[:i]) for i in range(len(pieces))]
        return {"tokens": list(pieces), "token_logprobs": values, "top_logprobs": top, "text_offset": offsets}
    alternatives = int(answer.body.get("top_logprobs") or 0)
    content = [
        {**_token(p, v), "top_logprobs": [_token(p + "~" * i, v - i) for i in range(alternatives)]}
        for p, v in zip(pieces, values, strict=True)
    ]
    return {"content": content, "refusal": None}


def _token(text: str, logprob: float) -> Json:
    return {"token": text, "logprob": logprob, "bytes": list(text.encode())}
