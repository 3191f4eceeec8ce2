"""What engines tell of a model beyond what routing needs: the raw material of its identity.

Which engine tells what, and what none tells, is listed in ``docs/explanation/pinning.md``. Read as leniently
as ``metadata``: nothing in a body can raise.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import msgspec

from spillway.engines.metadata import count, entries, mapping, text

__all__ = [
    "Setting",
    "Told",
    "bare_template",
    "base_name",
    "cache_kind",
    "llamacpp_told",
    "lmstudio_told",
    "named_only",
    "ollama_kept",
    "ollama_told",
    "sha256_of",
    "vllm_told",
]

Setting = str | float | bool | tuple[str, ...]
"""One default of an engine, such as a temperature or its list of stop texts."""

SAMPLING = frozenset(
    {
        *("seed", "temperature", "dynatemp_range", "dynatemp_exponent", "top_k", "top_p", "min_p"),
        *("top_n_sigma", "xtc_probability", "xtc_threshold", "typical_p", "typ_p", "repeat_last_n"),
        *("repeat_penalty", "presence_penalty", "frequency_penalty", "dry_multiplier", "dry_base"),
        *("dry_allowed_length", "dry_penalty_last_n", "mirostat", "mirostat_tau", "mirostat_eta"),
        *("adaptive_target", "adaptive_decay", "max_tokens", "n_predict", "n_keep", "ignore_eos"),
        *("samplers", "grammar", "reasoning_format", "reasoning_budget", "stop"),
    }
)
"""Defaults of llama.cpp that change what it answers; its list also holds what changes with each request."""
LONGEST_SETTING = 200


@dataclass(frozen=True, slots=True)
class Told:
    """One model as its engine describes it; ``None`` where it says nothing."""

    name: str
    weights: str | None = None
    """The engine's own digest of the weights."""
    derived: str | None = None
    """Digest of size, parameter count and the like: equal for equal weights, and often for others too."""
    path: str | None = None
    """Where the engine read the weights, on its own machine."""
    quantization: str | None = None
    template: str | None = None
    """All that turns messages into a prompt: the template, and a system text or parser where there is one."""
    slots: int | None = None
    """Only where the engine tells them: a profile's usual number is no fact about this server."""
    sampling: Mapping[str, Setting] | None = None
    adapters: tuple[tuple[str, str], ...] | None = None
    """Path or name of each, with its scale."""
    fingerprint: str | None = None
    """What else the engine tells that must stay as it is, in its own words."""
    size_bytes: int | None = None
    """Of the weights, as the engine counts them."""
    is_loaded: bool | None = None
    """Whether it can answer without loading first; ``None`` where the engine does not tell."""


def sha256_of(content: str) -> str:
    """``sha256:`` and the digest of a text."""
    return "sha256:" + hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def base_name(path: str) -> str:
    """The last part of a path of whichever system the engine runs on."""
    return PureWindowsPath(path).name if "\\" in path else PurePosixPath(path).name


def named_only(names: Sequence[str]) -> tuple[Told, ...]:
    """Models of which nothing but the name is known."""
    return tuple(Told(name) for name in names)


_MORE = re.compile(r"\n# (?:chat_template_tool_use|system|renderer|parser)\n")


def bare_template(text: str) -> str:
    """The template alone, without what else was joined to it."""
    for head in ("# chat_template\n", "# template\n"):
        if text.startswith(head):
            return _MORE.split(text.removeprefix(head), maxsplit=1)[0]
    return text


# llama.cpp


def llamacpp_told(props: Any, listing: Any, adapters: Any, names: Sequence[str]) -> tuple[Told, ...]:
    """From ``/props``, ``/v1/models`` and ``/lora-adapters``; as a router it tells no more than names."""
    told = mapping(props)
    settings = mapping(told.get("default_generation_settings"))
    if not settings:
        return named_only(names)
    path = text(told.get("model_path"))
    meta = mapping(entries(listing, "data")[0].get("meta")) if entries(listing, "data") else {}
    one = Told(
        "",
        derived=_derived(
            file=base_name(path) if path else None,
            bos=told.get("bos_token"),
            eos=told.get("eos_token"),
            **{key: meta.get(key) for key in ("n_params", "size", "n_vocab", "vocab_type", "n_embd")},
            trained_tokens=meta.get("n_ctx_train"),
        ),
        path=path,
        quantization=text(told.get("model_ftype")) or text(meta.get("ftype")),
        template=_joined(told, ("chat_template", "chat_template_tool_use")),
        slots=count(told.get("total_slots")),
        sampling=_llamacpp_sampling(mapping(settings.get("params"))),
        adapters=_llamacpp_adapters(adapters),
        size_bytes=count(meta.get("size")),
        is_loaded=told.get("is_sleeping") is not True,
    )
    return tuple(replace(one, name=name) for name in names)


def _llamacpp_sampling(params: Mapping[str, Any]) -> Mapping[str, Setting] | None:
    """Build renames such as ``typ_p`` count as other keys: only keys told twice can be compared."""
    found = {key: _setting(params[key]) for key in sorted(SAMPLING & params.keys())}
    return {key: value for key, value in found.items() if value is not None} or None


def _llamacpp_adapters(body: Any) -> tuple[tuple[str, str], ...] | None:
    if not isinstance(body, list):
        return None
    loaded = [mapping(entry) for entry in body]
    return tuple((path, f"{_scale(one.get('scale')):g}") for one in loaded if (path := text(one.get("path"))))


def _scale(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 1.0


# Ollama

_BLOB = re.compile(r"^(FROM|ADAPTER)\s+\S*sha256[:-]([0-9a-f]{64})\s*$", re.MULTILINE)
"""How ``/api/show`` names the files of a model inside ``modelfile``."""
_OWN_FIELDS = ("num_ctx",)
"""Parameters that have a field of their own in an identity."""


def ollama_told(entry: Mapping[str, Any], about: Any, *, is_loaded: bool | None = None) -> Told:
    """One entry of ``/api/tags`` with its ``/api/show``, whose ``modelfile`` names the digest of the weights
    alone; without it, the manifest's digest stands for weights, template and parameters together."""
    shown, details = mapping(about), mapping(entry.get("details"))
    manifest = text(entry.get("digest"))
    files = _BLOB.findall(text(shown.get("modelfile")) or "")
    weights = [digest for word, digest in files if word == "FROM"]
    adapters = tuple((f"sha256:{digest}", "1") for word, digest in files if word == "ADAPTER")
    return Told(
        text(entry.get("name")) or text(entry.get("model")) or "",
        weights=f"sha256:{'+'.join(weights)}" if weights else manifest and f"manifest:{_bare(manifest)}",
        quantization=text(details.get("quantization_level")),
        template=_joined(shown, ("template", "system", "renderer", "parser")),
        sampling=_ollama_parameters(shown.get("parameters")) if shown else None,
        adapters=adapters if shown else None,
        fingerprint=manifest and f"manifest:{_bare(manifest)}",
        size_bytes=count(entry.get("size")),
        is_loaded=is_loaded,
    )


def ollama_kept(about: Any) -> Mapping[str, Any]:
    """What is worth keeping of ``/api/show``: it may list every token and tensor of the model."""
    return {
        key: value
        for key, value in mapping(about).items()
        if key not in ("license", "tensors", "model_info", "projector_info")
    } | {
        "model_info": {
            key: value
            for key, value in mapping(mapping(about).get("model_info")).items()
            if isinstance(value, str | int | float)
        }
    }


def _bare(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _ollama_parameters(lines: Any) -> Mapping[str, Setting]:
    """Out of lines such as ``temperature    0.7``; a name that comes several times holds all its values."""
    found: dict[str, list[str]] = {}
    for line in lines.splitlines() if isinstance(lines, str) else ():
        name, _, value = line.strip().partition(" ")
        if name and name not in _OWN_FIELDS:
            found.setdefault(name, []).append(value.strip()[:LONGEST_SETTING])
    return {name: tuple(values) if len(values) > 1 else values[0] for name, values in sorted(found.items())}


# vLLM

_CACHE = re.compile(r'^vllm:cache_config_info\{[^}]*?\bcache_dtype="([^"]{1,40})"', re.MULTILINE)


def vllm_told(listing: Any, template: str | None, cache_dtype: str | None) -> tuple[Told, ...]:
    """From ``/v1/models``, whose ``root`` is where the weights came from and ``parent`` the model under an
    adapter, with the template of ``/tokenizer_info`` where that is open."""
    told: list[Told] = []
    for entry in entries(listing, "data"):
        name, root, parent = (text(entry.get(key)) for key in ("id", "root", "parent"))
        if name is not None:
            told.append(
                Told(
                    name,
                    derived=_derived(root=parent or root),
                    template=template,
                    adapters=((root or name, "1"),) if parent else (),
                    fingerprint=cache_dtype and f"cache_dtype={cache_dtype}",
                    is_loaded=True,
                )
            )
    return tuple(told)


def cache_kind(metrics: str) -> str | None:
    """How vLLM keeps its cache, out of its ``/metrics``: an fp8 cache answers otherwise than a full one."""
    found = _CACHE.search(metrics)
    return found[1] if found else None


# LM Studio


def lmstudio_told(body: Any) -> tuple[Told, ...]:
    """From ``/api/v1/models`` or the older ``/api/v0/models``."""
    listed = [(entry, "key") for entry in entries(body, "models")]
    listed += [(entry, "id") for entry in entries(body, "data")]
    return tuple(
        _lmstudio_one(entry, name) for entry, key in listed if (name := text(entry.get(key))) is not None
    )


def _lmstudio_one(entry: Mapping[str, Any], name: str) -> Told:
    quantization = entry.get("quantization")
    loaded = entries(entry, "loaded_instances")
    config = mapping(loaded[0].get("config")) if loaded else {}
    kept = sorted((key, _setting(value)) for key, value in config.items() if key != "context_length")
    return Told(
        name,
        derived=_derived(
            architecture=entry.get("architecture") or entry.get("arch"),
            publisher=entry.get("publisher"),
            size=entry.get("size_bytes"),
            params=entry.get("params_string"),
            format=entry.get("format") or entry.get("compatibility_type"),
            trained_tokens=entry.get("max_context_length"),
        ),
        quantization=text(quantization) or text(mapping(quantization).get("name")),
        slots=count(config.get("parallel")),
        fingerprint=", ".join(f"{key}={value}" for key, value in kept)[:LONGEST_SETTING] or None,
        size_bytes=count(entry.get("size_bytes")),
        is_loaded=bool(loaded) or entry.get("state") == "loaded",
    )


# all


def _derived(**facts: Any) -> str | None:
    """One digest over what is known of the weights; ``None`` when nothing is."""
    known = {key: value for key, value in facts.items() if isinstance(value, str | int) and value != ""}
    return sha256_of(msgspec.json.encode(known, order="sorted").decode()) if known else None


def _joined(told: Mapping[str, Any], keys: Sequence[str]) -> str | None:
    """The first text alone when it is alone, else each under its name."""
    first, *others = ((key, text(told.get(key))) for key in keys)
    more = [(key, value) for key, value in others if value is not None]
    if not more:
        return first[1]
    return "\n".join(f"# {key}\n{value}" for key, value in (first, *more) if value is not None)


def _setting(value: Any) -> Setting | None:
    """Rounded to what a person would have written: engines give single precision with its noise."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return round(float(value), 6)
    if isinstance(value, str):
        return value[:LONGEST_SETTING]
    if isinstance(value, list):
        return tuple(str(item)[:LONGEST_SETTING] for item in value[:50])
    return None
