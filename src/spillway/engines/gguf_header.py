"""The first facts of a GGUF file: enough to say what it is without loading it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

__all__ = ["GgufFacts", "GgufProblem", "read_gguf"]

MAGIC = b"GGUF"
LONGEST_TEXT_BYTES = 1 << 24
MOST_ENTRIES = 100_000
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""Number of a type in the file to its ``struct`` format."""
TEXT, ARRAY = 8, 9
EMBEDDING_ARCHITECTURES = ("bert", "nomic-bert", "jina-bert", "modern-bert", "gemma-embedding", "t5encoder")
"""Beginnings of the names of architectures that embed and never generate."""

Value = int | float | bool | str


class GgufProblem(ValueError):
    """The file is no GGUF this engine could read; the message says why, for a person."""


@dataclass(frozen=True, slots=True)
class GgufFacts:
    """What a model file says of itself; ``None`` where it says nothing."""

    architecture: str | None = None
    name: str | None = None
    context_tokens: int | None = None
    """What the model was trained for."""
    has_pooling: bool = False

    @property
    def is_embedding(self) -> bool:
        """Whether it turns texts into vectors rather than answers."""
        return self.has_pooling or (self.architecture or "").startswith(EMBEDDING_ARCHITECTURES)


def read_gguf(path: Path) -> GgufFacts:
    """The facts of the file at ``path``, from its first kilobytes; GgufProblem when it is no model file."""
    try:
        with path.open("rb") as file:
            found = dict(_leading_entries(file))
    except FileNotFoundError:
        raise GgufProblem("there is no such file") from None
    except OSError as error:
        raise GgufProblem(f"it cannot be read: {error.strerror}") from None
    except (struct.error, UnicodeDecodeError):
        raise GgufProblem("it is cut short or damaged") from None
    architecture = _text(found.get("general.architecture"))
    context = found.get(f"{architecture}.context_length")
    pooling = found.get(f"{architecture}.pooling_type")
    return GgufFacts(
        architecture,
        _text(found.get("general.name")),
        context if isinstance(context, int) else None,
        isinstance(pooling, int) and pooling > 0,
    )


def _leading_entries(file: BufferedReader) -> Iterator[tuple[str, Value]]:
    """Keys and plain values up to the tokenizer, whose lists are long and say nothing we need."""
    if file.read(4) != MAGIC:
        raise GgufProblem("it is not a GGUF file")
    version, _, entries = struct.unpack("<IQQ", file.read(20))
    if not 2 <= version <= 3 or entries > MOST_ENTRIES:
        raise GgufProblem(f"its GGUF version {version} is unknown: big-endian, too new, or damaged")
    for _ in range(entries):
        key = _string(file)
        if key.startswith("tokenizer."):
            return
        value = _value(file, _number(file, "I"))
        if value is not None:
            yield key, value


def _value(file: BufferedReader, kind: int) -> Value | None:
    """The value, or ``None`` for a list, which is passed over."""
    if kind == TEXT:
        return _string(file)
    if kind == ARRAY:
        inner, length = struct.unpack("<IQ", file.read(12))
        if inner in SCALARS:
            file.seek(length * struct.calcsize("<" + SCALARS[inner]), 1)
        elif inner == ARRAY or length > MOST_ENTRIES:
            raise GgufProblem("it is cut short or damaged")
        else:
            for _ in range(length):
                _value(file, inner)
        return None
    if kind not in SCALARS:
        raise GgufProblem("it is cut short or damaged")
    return _number(file, SCALARS[kind])


def _number(file: BufferedReader, form: str) -> int:
    size = struct.calcsize("<" + form)
    number: int = struct.unpack("<" + form, file.read(size))[0]
    return number


def _string(file: BufferedReader) -> str:
    length = _number(file, "Q")
    if length > LONGEST_TEXT_BYTES:
        raise GgufProblem("it is cut short or damaged")
    raw = file.read(length)
    if len(raw) < length:
        raise GgufProblem("it is cut short or damaged")
    return raw.decode("utf-8")


def _text(value: Value | None) -> str | None:
    return value if isinstance(value, str) and value else None
