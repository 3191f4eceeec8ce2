"""What ``spillway.lock`` holds: records, and the way between them and identities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from spillway.engines.told import Setting
from spillway.pinning.identity import Identity, WeightsGrade

__all__ = ["Lock", "LockedCanary", "LockedModel", "LockedNode", "Measured", "node_of"]

Digest = Annotated[str, Meta(pattern=r"^sha256:[0-9a-f]{64}$")]
AnyDigest = Annotated[str, Meta(pattern=r"^(sha256:[0-9a-f]{64}(\+[0-9a-f]{64})*|manifest:[0-9a-f]{1,64})$")]
"""A digest of ours or of an engine: Ollama's manifest, or several files of one model."""
Count = Annotated[int, Meta(ge=1)]


class LockedCanary(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What one small prompt was answered, and how far the node's own answers lay apart."""

    prompt: Digest
    """Of the whole request: a canary whose question changed is not compared."""
    kind: Literal["exact", "similar", "vector"]
    """``exact``: every run gave the same tokens. ``similar``: they differed. ``vector``: an embedding."""
    answer: str | None = None
    """Of the first run; what a person compares."""
    tokens: Digest | None = None
    """Of all tokens of an exact answer."""
    logprobs: tuple[float, ...] = ()
    """Of each token of an exact answer, where the engine tells them."""
    logprob_spread: float = 0.0
    """Largest difference between runs at one token."""
    answers: tuple[str, ...] = ()
    """The different answers of one that is not exact."""
    similarity_min: Annotated[float, Meta(ge=0, le=1)] | None = None
    """How alike the least alike two of them are, 0 to 1."""
    checks: tuple[str, ...] = ()
    """Those that every run passed."""
    sketch: tuple[float, ...] = ()
    """An embedding, projected to few numbers."""
    sketch_spread: float = 0.0
    """Largest distance between the sketches of two runs."""


class LockedModel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model of a node as it was pinned; what is missing was not told."""

    weights: AnyDigest | None = None
    weights_grade: WeightsGrade | None = None
    weights_derived: Digest | None = None
    quantization: str | None = None
    template: Digest | None = None
    context_tokens: Count | None = None
    adapters: tuple[str, ...] | None = None
    capabilities: tuple[str, ...] | None = None
    fingerprint: str | None = None
    answer_fingerprint: str | None = None
    """``system_fingerprint`` of its answers, where it says more than the engine's name or version."""
    sampling: dict[str, Setting] | None = None
    canaries: dict[str, LockedCanary] = {}


class LockedNode(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One node as it was pinned."""

    engine: str
    engine_version: str | None = None
    slots: Count | None = None
    models: dict[str, LockedModel] = {}

    def identity(self, name: str) -> Identity | None:
        """What was pinned under that model's name; ``None`` when it was not."""
        model = self.models.get(name)
        if model is None:
            return None
        return Identity(
            engine=self.engine,
            engine_version=self.engine_version,
            model=name,
            weights_digest=model.weights,
            weights_grade=model.weights_grade,
            derived_digest=model.weights_derived,
            quantization=model.quantization,
            template_digest=model.template,
            context_tokens=model.context_tokens,
            slots=self.slots,
            sampling=model.sampling,
            adapters=model.adapters,
            capabilities=model.capabilities,
            fingerprint=model.fingerprint,
        )


class Lock(Struct, frozen=True, kw_only=True):
    """A whole lock file. ``templates`` holds the text of each template by its digest."""

    nodes: dict[str, LockedNode] = {}
    templates: dict[str, str] = {}

    def with_node(self, name: str, node: LockedNode, templates: Mapping[str, str]) -> Lock:
        """This lock with one node new or anew, and only the templates that are still named."""
        nodes = {**self.nodes, name: node}
        return Lock(nodes=nodes, templates=_named({**self.templates, **templates}, nodes))

    def without(self, name: str) -> Lock:
        """This lock less one node."""
        nodes = {other: node for other, node in self.nodes.items() if other != name}
        return Lock(nodes=nodes, templates=_named(self.templates, nodes))


class Measured(Struct, frozen=True):
    """What asking a model showed."""

    canaries: dict[str, LockedCanary] = {}
    fingerprint: str | None = None


def node_of(identities: Mapping[str, Identity], measured: Mapping[str, Measured]) -> LockedNode:
    """The record of a node that serves those models, with what was measured of each; a model that somebody
    else's machine answers cannot be pinned and is left out."""
    first = next(iter(identities.values()))
    return LockedNode(
        engine=first.engine,
        engine_version=first.engine_version,
        slots=first.slots,
        models={
            name: _with(_model_of(one), measured.get(name, Measured()))
            for name, one in sorted(identities.items())
            if one.remote_host is None
        },
    )


def _with(model: LockedModel, measured: Measured) -> LockedModel:
    return replace(model, canaries=measured.canaries, answer_fingerprint=measured.fingerprint)


def _model_of(one: Identity) -> LockedModel:
    return LockedModel(
        weights=one.weights_digest,
        weights_grade=one.weights_grade,
        weights_derived=one.derived_digest,
        quantization=one.quantization,
        template=one.template_digest,
        context_tokens=one.context_tokens,
        adapters=one.adapters,
        capabilities=one.capabilities,
        fingerprint=one.fingerprint,
        sampling=None if one.sampling is None else dict(one.sampling),
    )


def _named(templates: Mapping[str, str], nodes: Mapping[str, LockedNode]) -> dict[str, str]:
    named = {model.template for node in nodes.values() for model in node.models.values()}
    return {digest: text for digest, text in sorted(templates.items()) if digest in named}
