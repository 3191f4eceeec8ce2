"""What engines' metadata bodies mean, read so leniently that nothing in them can raise.

Shapes: llama.cpp as seen on build 11549, Ollama's ``api/types.go`` of August 2026, vLLM's and LM Studio's
documentation. Fields come and go between releases, so any may be missing or of another type.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spillway.vocabulary import Capability, ModelFacts

__all__ = [
    "Shown",
    "count",
    "entries",
    "lists_models",
    "llamacpp_models",
    "lmstudio_v0",
    "lmstudio_v1",
    "mapping",
    "model_list",
    "ollama_model",
    "owners",
    "retirements",
    "shown",
    "text",
]

CHAT: frozenset[Capability] = frozenset({"chat", "completion", "schema"})
EMBEDDING: frozenset[Capability] = frozenset({"embedding"})
OLLAMA_CLOUD = "ollama.com"


def mapping(value: Any) -> Mapping[str, Any]:
    """``value`` when it is a JSON object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def text(value: Any) -> str | None:
    """``value`` when it is a text with something in it."""
    return value if isinstance(value, str) and value else None


def count(value: Any) -> int | None:
    """``value`` when it is a whole number above zero."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def entries(body: Any, key: str) -> list[Mapping[str, Any]]:
    """The objects of the list under ``key``; none when there is no such list."""
    listed = mapping(body).get(key)
    return [entry for entry in listed if isinstance(entry, Mapping)] if isinstance(listed, list) else []


# the common list of models


def lists_models(body: Any) -> bool:
    """Whether it is OpenAI's list, empty or not."""
    return isinstance(mapping(body).get("data"), list)


def owners(body: Any) -> set[str]:
    """Who owns the models of OpenAI's list: vLLM and llama.cpp put their own name there."""
    return {owner for entry in entries(body, "data") if (owner := text(entry.get("owned_by")))}


def model_list(body: Any) -> tuple[ModelFacts, ...]:
    """OpenAI's list, with vLLM's ``max_model_len`` or llama.cpp's ``meta.n_ctx`` where they are told."""
    return tuple(
        ModelFacts(name, count(entry.get("max_model_len")) or count(mapping(entry.get("meta")).get("n_ctx")))
        for entry in entries(body, "data")
        if (name := text(entry.get("id"))) is not None
    )


def retirements(body: Any) -> dict[str, str]:
    """Names of OpenAI's list with the day (YYYY-MM-DD) their provider shuts them down."""
    return {
        name: day
        for entry in entries(body, "data")
        if (name := text(entry.get("id"))) and (day := text(entry.get("shutdown_date")))
    }


# llama.cpp


def llamacpp_models(props: Any, listing: Any, *, embeds: bool | None) -> tuple[ModelFacts, ...]:
    """Its model with the context of one slot. A server that embeds is taken for one that does only that:
    encoders refuse to chat, and nothing tells them from generators that could do both."""
    context_tokens = count(mapping(mapping(props).get("default_generation_settings")).get("n_ctx"))
    names = [model.name for model in model_list(listing)]
    if not names and (name := text(mapping(props).get("model_alias"))):
        names = [name]
    able = EMBEDDING if embeds else _llamacpp_abilities(mapping(props))
    return tuple(ModelFacts(name, context_tokens, able) for name in names)


def _llamacpp_abilities(props: Mapping[str, Any]) -> frozenset[Capability]:
    able: set[Capability] = {*CHAT}
    if mapping(props.get("chat_template_caps")).get("supports_tools") is not False:  # old builds say nothing
        able.add("tools")
    if mapping(props.get("modalities")).get("vision") is True:
        able.add("images")
    return frozenset(able)


# Ollama


@dataclass(frozen=True, slots=True)
class Shown:
    """What ``/api/show`` says of one model: true for as long as its digest stays the same."""

    capabilities: frozenset[Capability] | None
    context_tokens: int | None
    """``num_ctx`` when the model file sets it; the server's own default is told nowhere."""
    remote_host: str | None


def shown(body: Any) -> Shown:
    """An answer of ``/api/show``."""
    told = mapping(body)
    trained = [count(value) for key, value in mapping(told.get("model_info")).items() if _is_context(key)]
    set_tokens = _num_ctx(told.get("parameters"))
    limits = [tokens for tokens in (set_tokens, *trained) if tokens is not None]
    return Shown(
        _ollama_abilities(told.get("capabilities")),
        min(limits) if set_tokens is not None else None,
        text(told.get("remote_host")) or text(told.get("remote_model")),
    )


def ollama_model(
    entry: Mapping[str, Any], about: Shown | None, loaded_tokens: int | None
) -> ModelFacts | None:
    """One entry of ``/api/tags``; ``loaded_tokens`` is the context it was last loaded with."""
    name = text(entry.get("name")) or text(entry.get("model"))
    if name is None:
        return None
    remote_host = text(entry.get("remote_host")) or text(entry.get("remote_model"))
    if remote_host is None and about is not None:
        remote_host = about.remote_host
    if remote_host is None and name.endswith(("-cloud", ":cloud")):
        remote_host = OLLAMA_CLOUD  # how Ollama names models that it passes on
    able = _ollama_abilities(entry.get("capabilities"))
    if able is None and about is not None:
        able = about.capabilities
    return ModelFacts(
        name, loaded_tokens or (about.context_tokens if about else None), able, remote_host=remote_host
    )


def _is_context(key: Any) -> bool:
    return isinstance(key, str) and key.endswith(".context_length")


def _num_ctx(parameters: Any) -> int | None:
    """Out of lines such as ``num_ctx    8192``."""
    for line in parameters.splitlines() if isinstance(parameters, str) else ():
        name, _, value = line.strip().partition(" ")
        if name == "num_ctx" and value.strip().isdecimal():
            return count(int(value))
    return None


def _ollama_abilities(names: Any) -> frozenset[Capability] | None:
    if not isinstance(names, list):
        return None
    able: set[Capability] = set()
    for name, meant in OLLAMA_ABILITIES.items():
        if name in names:
            able |= meant
    return frozenset(able)


OLLAMA_ABILITIES: dict[str, frozenset[Capability]] = {
    "completion": CHAT,
    "tools": frozenset({"tools"}),
    "vision": frozenset({"images"}),
    "embedding": EMBEDDING,
}

# LM Studio


def lmstudio_v1(body: Any) -> tuple[ModelFacts, ...] | None:
    """The models of ``/api/v1/models``; ``None`` when that is no such list."""
    if not isinstance(mapping(body).get("models"), list):
        return None
    return _lmstudio_models(entries(body, "models"), "key")


def lmstudio_v0(body: Any) -> tuple[ModelFacts, ...] | None:
    """The models of older releases' ``/api/v0/models``; ``None`` when that is no such list.

    Other servers may answer that path with OpenAI's list, which has no ``state``.
    """
    listed = entries(body, "data")
    if not listed or any("state" not in entry for entry in listed):
        return None
    return _lmstudio_models(listed, "id")


def _lmstudio_models(listed: Sequence[Mapping[str, Any]], key: str) -> tuple[ModelFacts, ...]:
    return tuple(
        ModelFacts(name, _lmstudio_context(entry), _lmstudio_abilities(entry))
        for entry in listed
        if (name := text(entry.get(key))) is not None
    )


def _lmstudio_context(entry: Mapping[str, Any]) -> int | None:
    """What the loaded instance holds, else what the model could hold at most."""
    loaded = entries(entry, "loaded_instances")
    told = mapping(loaded[0].get("config")).get("context_length") if loaded else None
    return count(told) or count(entry.get("loaded_context_length")) or count(entry.get("max_context_length"))


def _lmstudio_abilities(entry: Mapping[str, Any]) -> frozenset[Capability]:
    kind, told = entry.get("type"), entry.get("capabilities")
    if kind in ("embedding", "embeddings"):
        return EMBEDDING
    able: set[Capability] = {*CHAT}
    if mapping(told).get("trained_for_tool_use") or "tool_use" in _texts(told):
        able.add("tools")
    if mapping(told).get("vision") or kind == "vlm":
        able.add("images")
    return frozenset(able)


def _texts(value: Any) -> Sequence[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
