"""A request body on its way upstream: untouched bytes unless a field of ours must change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

__all__ = ["Payload"]

_SPLIT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_OPTIONS = msgspec.json.Decoder(dict[str, object])
_ENCODE = msgspec.json.Encoder().encode

OURS = ("models", "usage")
"""Body fields that speak to the gateway and never reach an upstream."""
NO_CHANGES: Mapping[str, object] = {}


class Payload:
    """The body as the client sent it, and the few edits an attempt needs.

    Edits copy the raw bytes of every other field, so numbers, escapes and unknown fields survive exactly.
    """

    __slots__ = ("_fields", "has_ours", "include_usage", "model", "raw")

    def __init__(self, raw: bytes, model: str, *, include_usage: bool, has_ours: bool) -> None:
        self.raw = raw
        self.model = model
        self.include_usage = include_usage
        """Whether the upstream must be asked for usage although the client, who streams, did not."""
        self.has_ours = has_ours
        self._fields: dict[str, msgspec.Raw] | None = None

    def bytes_for(self, model: str, changes: Mapping[str, object] = NO_CHANGES) -> bytes:
        """The body that asks an upstream for ``model``; a change to ``None`` leaves that field out."""
        if model == self.model and not changes and not self.has_ours:
            return self.raw
        fields: dict[str, object] = {**self.fields, "model": model, **changes}
        if None in changes.values():
            fields = {name: value for name, value in fields.items() if value is not None}
        return _ENCODE(fields)

    @property
    def fields(self) -> Mapping[str, msgspec.Raw]:
        """Every field of the body but those of ours, each as its raw JSON."""
        if self._fields is None:
            self._fields = {name: raw for name, raw in _SPLIT.decode(self.raw).items() if name not in OURS}
        return self._fields

    def value(self, name: str) -> Any:
        """One field decoded; ``None`` when it is missing."""
        raw = self.fields.get(name)
        return None if raw is None else msgspec.json.decode(raw)

    def usage_options(self) -> dict[str, object]:
        """The client's ``stream_options`` with usage asked for."""
        given = self.fields.get("stream_options")
        options = (_OPTIONS.decode(given) if given and bytes(given) != b"null" else {}) or {}
        return {**options, "include_usage": True}
