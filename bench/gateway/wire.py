"""The traffic itself: the requests the load sends, and marks that prove an answer whole."""

from __future__ import annotations

import json

__all__ = [
    "ANSWER_MARK",
    "FLAT_MODEL",
    "LARGE_BODY_BYTES",
    "LARGE_MODEL",
    "MODELS",
    "PACED_MODEL",
    "PIECE_MARK",
    "PLAIN_MODEL",
    "http_request",
    "large_body",
    "plain_body",
    "stream_body",
]

PLAIN_MODEL = "bench-model"  # one answer; the same text as a stream for a gateway that asks for one
PACED_MODEL = "bench-paced"  # a paced stream
FLAT_MODEL = "bench-flat"  # a stream as fast as the socket takes it
LARGE_MODEL = "bench-large"  # one answer, refused unless the whole large body arrived
MODELS = (PLAIN_MODEL, PACED_MODEL, FLAT_MODEL, LARGE_MODEL)

# Found by byte search: in no field name a gateway may add, and nothing a JSON encoder escapes.
ANSWER_MARK = b"qzanswerzq"
PIECE_MARK = b"qzq"

LARGE_BODY_BYTES = 200_000
_FILLER = "The quick brown fox jumps over the lazy dog near the river bank. "


def plain_body() -> bytes:
    """A chat request of about 600 bytes that asks for one whole answer."""
    return _encode(
        {
            "model": PLAIN_MODEL,
            "messages": [
                {"role": "system", "content": "You are a terse assistant."},
                {"role": "user", "content": _FILLER * 7},
            ],
            "max_tokens": 64,
            "temperature": 0,
        }
    )


def large_body() -> bytes:
    """A chat request of at least ``LARGE_BODY_BYTES`` that asks for one whole answer."""
    text = _FILLER * (LARGE_BODY_BYTES // len(_FILLER) + 1)
    messages = [{"role": "user", "content": text}]
    return _encode({"model": LARGE_MODEL, "messages": messages, "max_tokens": 64, "temperature": 0})


def stream_body(model: str, pieces: int) -> bytes:
    """A chat request for a stream of that many content chunks, with usage at its end."""
    return _encode(
        {
            "model": model,
            "messages": [{"role": "user", "content": _FILLER}],
            "max_tokens": pieces,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    )


def http_request(body: bytes, port: int, headers: tuple[tuple[str, str], ...]) -> bytes:
    """The complete bytes of a keep-alive POST to ``/v1/chat/completions``."""
    lines = [
        "POST /v1/chat/completions HTTP/1.1",
        f"host: 127.0.0.1:{port}",
        "content-type: application/json",
        "accept: */*",
        f"content-length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def _encode(value: dict[str, object]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
