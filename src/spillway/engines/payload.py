"""A request body on its way upstream: untouched bytes unless a field of ours must change."""

from __future__ import annotations

import msgspec

__all__ = ["Payload"]

_SPLIT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_OPTIONS = msgspec.json.Decoder(dict[str, object])
_ENCODE = msgspec.json.Encoder().encode

OURS = ("models", "usage")
"""Body fields that speak to the gateway and never reach an upstream."""


class Payload:
    """The body as the client sent it, and the few edits an attempt needs.

    Edits copy the raw bytes of every other field, so numbers, escapes and unknown fields survive exactly.
    """

    __slots__ = ("_fields", "has_ours", "include_usage", "model", "raw")

    def __init__(self, raw: bytes, model: str, *, include_usage: bool, has_ours: bool) -> None:
        self.raw = raw
        self.model = model
        self.include_usage = include_usage
        """Whether the upstream must be asked for usage although the client did not."""
        self.has_ours = has_ours
        self._fields: dict[str, msgspec.Raw] | None = None

    def bytes_for(self, model: str) -> bytes:
        """The body that asks an upstream for ``model``."""
        if model == self.model and not self.include_usage and not self.has_ours:
            return self.raw
        if self._fields is None:
            self._fields = self._edited()
        return _ENCODE({**self._fields, "model": model})

    def _edited(self) -> dict[str, msgspec.Raw]:
        fields = _SPLIT.decode(self.raw)
        for name in OURS:
            fields.pop(name, None)
        if self.include_usage:
            given = fields.get("stream_options")
            options = (_OPTIONS.decode(given) if given and bytes(given) != b"null" else {}) or {}
            fields["stream_options"] = msgspec.Raw(_ENCODE({**options, "include_usage": True}))
        return fields
