"""``spillway.lock`` on disk: written whole or not at all, read with every field checked."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from spillway.engines.told import sha256_of
from spillway.errors import LockError
from spillway.pinning.lock import Lock, LockedCanary, LockedModel, LockedNode
from spillway.pinning.lock_text import Location, LockText, rendered

__all__ = ["SCHEMA", "load_lock", "parse_lock", "save_lock"]

SCHEMA = "spillway.lock/1"
END = "spillway.lock"
"""The value of the last key: a file cut short lacks it."""
LARGEST_BYTES = 16 << 20
HEAD = (
    "# Written by spillway pin; meant for version control. What changed since: spillway pin --check\n"
    "# Accept a change on purpose: spillway pin --update\n"
)

PLAIN = {
    "int": "a whole number",
    "str": "text",
    "float": "a number",
    "array": "a list",
    "object": "a mapping",
}
_UNKNOWN = re.compile(r"Object contains unknown field `([^`]*)`")
_STEP = re.compile(r"\.([A-Za-z_]+)|\[([^]]*)\]")

Record = TypeVar("Record", LockedCanary, LockedModel, LockedNode)


def load_lock(path: Path) -> Lock:
    """The lock at ``path``; LockError says in one sentence what is wrong with it and what to do."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise LockError(f"there is no lock {path}: write one with spillway pin") from None
    except OSError as error:
        raise LockError(f"{path} cannot be read: {error.strerror}") from None
    if len(raw) > LARGEST_BYTES:
        raise LockError(f"{path} holds more than {LARGEST_BYTES >> 20} MiB: that is no lock of spillway")
    try:
        return parse_lock(raw.decode("utf-8"), path)
    except UnicodeDecodeError:
        raise LockError(f"{path} is not UTF-8 text") from None


def parse_lock(text: str, path: Path) -> Lock:
    """The lock in ``text``; ``path`` is for messages."""
    document = LockText.parse(text, path)
    values = document.values
    _check_schema(document, values.get("schema"))
    if values.get("end") != END:
        raise LockError(
            f"{path} does not end with its last line, end: {END}: it was cut short; restore it from version "
            "control, or remove it and run spillway pin"
        )
    known = ("schema", "nodes", "templates", "end")
    for key in values:
        if key not in known:
            raise document.error((key,), f"unknown key; known are {', '.join(known)}")
    nodes = document.mapping(("nodes",))
    return Lock(
        nodes={name: _node(document, ("nodes", name)) for name in nodes},
        templates=_templates(document),
    )


def save_lock(lock: Lock, path: Path) -> None:
    """Writes the lock beside ``path`` and moves it there: a reader sees the old one or the new one.

    LockError when the folder cannot be written; then the old one is untouched.
    """
    target = path.resolve()
    text = HEAD + rendered(SCHEMA, lock, END)
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")
    except OSError as error:
        raise LockError(f"{path} cannot be written: {error.strerror}") from None
    part = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.chmod(_mode(target))
        part.replace(target)
    except OSError as error:
        raise LockError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)


def _mode(target: Path) -> int:
    """The permissions the file had, or those any new file would get."""
    if target.exists():
        return target.stat().st_mode & 0o777
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


def _check_schema(document: LockText, schema: Any) -> None:
    if schema == SCHEMA:
        return
    found = re.fullmatch(r"spillway\.lock/(\d{1,9})", schema) if isinstance(schema, str) else None
    if found and int(found[1]) > int(SCHEMA.rpartition("/")[2]):
        raise LockError(
            f"{document.path} was written by a newer spillway ({schema}; this one reads {SCHEMA}): "
            "upgrade spillway, or remove it and run spillway pin"
        )
    raise document.error(("schema",), f"must be {SCHEMA}: is this a lock of spillway?")


def _node(document: LockText, at: Location) -> LockedNode:
    models = {name: _model(document, (*at, "models", name)) for name in document.mapping((*at, "models"))}
    node = _convert(document, at, document.mapping(at) | {"models": {}}, LockedNode)
    return replace(node, models=models)


def _model(document: LockText, at: Location) -> LockedModel:
    canaries = {
        name: _convert(document, (*at, "canaries", name), entry, LockedCanary)
        for name, entry in document.mapping((*at, "canaries")).items()
    }
    model = _convert(document, at, document.mapping(at) | {"canaries": {}}, LockedModel)
    if (model.weights is None) != (model.weights_grade is None):
        raise document.error(at, "weights and weights_grade must both be there, or neither")
    return replace(model, canaries=canaries)


def _templates(document: LockText) -> dict[str, str]:
    texts = dict(document.mapping(("templates",)))
    for digest, text in texts.items():
        at: Location = ("templates", digest)
        if not isinstance(text, str):
            raise document.error(at, "must be the text of a template")
        if sha256_of(text) != digest:
            raise document.error(at, "the text does not have this digest: it was edited; pin the node anew")
    return texts


def _convert(document: LockText, at: Location, values: Any, kind: type[Record]) -> Record:
    """The record; LockError names the line and the key of what does not fit."""
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        known = [field.name for field in msgspec.structs.fields(kind)]
        raise _complaint(document, at, str(error), known) from None


def _complaint(document: LockText, at: Location, text: str, known: list[str]) -> LockError:
    said, _, inner = text.partition(" - at `$")
    if unknown := _UNKNOWN.match(said):
        return document.error((*at, unknown[1]), f"unknown key; known are {', '.join(known)}")
    return document.error((*at, *_steps(inner)), _plainly(said))


def _steps(inner: str) -> Location:
    """``.sampling[0]`` as a location; msgspec shows no more of a mapping's key than ``[...]``."""
    steps: list[tuple[str, str]] = _STEP.findall(inner)
    return tuple(name or int(index) for name, index in steps if name or index.isdecimal())


def _plainly(said: str) -> str:
    """``Expected `int`, got `str``` in words a person would use."""
    words = said.replace("Expected", "must be").replace(" | null`", "`")
    words = re.sub(r"`str` matching regex .*", "a digest such as sha256: and 64 hexadecimal digits", words)
    for theirs, ours in PLAIN.items():
        words = words.replace(f"`{theirs}`", ours)
    if words.startswith("must be text, got a"):
        words += ": quote it"
    return words[:1].lower() + words[1:]
