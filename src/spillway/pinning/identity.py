"""What one node really serves under one name, as a record that can be compared."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from typing import Literal

from msgspec import Struct, json, to_builtins

from spillway.engines.identify import Found
from spillway.engines.told import Setting, Told, base_name, sha256_of
from spillway.vocabulary import ModelFacts

__all__ = ["Identity", "WeightsGrade", "embedded_version", "identities_of", "templates_of"]

WeightsGrade = Literal["file_hash", "engine_digest", "derived"]
"""How the digest of the weights came about: from every byte of the file, by the engine's own word, or from
sizes and counts that other weights may share."""

FileDigests = Mapping[str, str | None]
"""Digest by path of every weights file that can be read here; ``None`` while it is still being read."""


class Identity(Struct, frozen=True, kw_only=True):
    """One model on one node. ``None`` is what the engine does not tell, or not yet."""

    engine: str
    engine_version: str | None = None
    model: str
    weights_digest: str | None = None
    weights_grade: WeightsGrade | None = None
    derived_digest: str | None = None
    """Of sizes and counts, compared where the better digest cannot be read."""
    quantization: str | None = None
    template_digest: str | None = None
    context_tokens: int | None = None
    """Of one slot, once the model is loaded: before, engines tell what it could hold or was asked to."""
    slots: int | None = None
    sampling: Mapping[str, Setting] | None = None
    """The engine's own defaults, used where a request sets nothing."""
    adapters: tuple[str, ...] | None = None
    capabilities: tuple[str, ...] | None = None
    remote_host: str | None = None
    """Set when somebody else's machine answers."""
    fingerprint: str | None = None

    @property
    def short(self) -> str | None:
        """Twelve hex digits over what decides how good answers are: evidence is kept by them.

        ``None`` until the weights are known: evidence gathered under half an identity would be lost.
        """
        if self.weights_digest is None:
            return None
        parts = (self.model, self.weights_digest, self.quantization, self.template_digest, self.adapters)
        return hashlib.sha256(json.encode(to_builtins(parts))).hexdigest()[:12]


def identities_of(
    found: Found, files: FileDigests | None = None, *, is_embedded: bool = False
) -> dict[str, Identity]:
    """The identity of every model of a node that answered, by name; pure, some microseconds each."""
    told = {one.name: one for one in found.told}
    engine_version = embedded_version() if is_embedded else found.version
    return {
        facts.name: _identity(found.kind, engine_version, facts, told.get(facts.name), files or {})
        for facts in found.models
    }


def templates_of(found: Found) -> dict[str, str]:
    """The texts of the node's templates by their digest."""
    return {sha256_of(one.template): one.template for one in found.told if one.template is not None}


def _identity(
    engine: str, engine_version: str | None, facts: ModelFacts, told: Told | None, files: FileDigests
) -> Identity:
    told = told or Told(facts.name)
    digest, grade = _weights(told, files)
    return Identity(
        engine=engine,
        engine_version=engine_version,
        model=facts.name,
        weights_digest=digest,
        weights_grade=grade,
        derived_digest=told.derived,
        quantization=told.quantization,
        template_digest=None if told.template is None else sha256_of(told.template),
        context_tokens=None if told.is_loaded is False else facts.context_tokens,
        slots=told.slots,
        sampling=told.sampling,
        adapters=None if told.adapters is None else tuple(_adapter(*one, files) for one in told.adapters),
        capabilities=None if facts.capabilities is None else tuple(sorted(facts.capabilities)),
        remote_host=facts.remote_host,
        fingerprint=told.fingerprint,
    )


def _weights(told: Told, files: FileDigests) -> tuple[str | None, WeightsGrade | None]:
    if told.path is not None and told.path in files:
        digest = files[told.path]
        return (digest, "file_hash") if digest else (None, None)
    if told.weights is not None:
        return told.weights, "engine_digest"
    return (told.derived, "derived") if told.derived else (None, None)


def _adapter(path: str, scale: str, files: FileDigests) -> str:
    """An adapter by its content where that can be read, by its name otherwise, with its scale."""
    name = path if path.startswith("sha256:") else base_name(path)
    digest = files.get(path)
    return f"{name} x{scale}" + (f" {digest}" if digest else "")


@cache
def embedded_version() -> str | None:
    """The version of the embedded engine, whose own word is always ``b0-unknown``."""
    from importlib.metadata import PackageNotFoundError, version  # 10 ms that other nodes need not wait for

    try:
        return f"xllamacpp {version('xllamacpp')}"
    except PackageNotFoundError:
        return None
