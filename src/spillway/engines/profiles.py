"""Facts about upstreams as a table; code exists only where behaviour differs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["CLOUDS", "ENGINES", "CloudProfile", "EngineProfile", "Prefill", "prefill_of"]

Prefill = Literal["plain", "switched", "marked", "none"]
"""How a server goes on from an answer's beginning that is sent as the last message: as it is, with two
switches beside it (vLLM), with ``"prefix": true`` on the message (Mistral), or not at all."""


@dataclass(frozen=True, slots=True)
class EngineProfile:
    """What one kind of local server does."""

    kind: str
    ports: tuple[int, ...]
    """Where it listens when nobody says otherwise."""
    reuses_after_stream: bool = True
    """Whether a connection can be used again after a stream (decision 0005)."""
    default_slots: int | None = None
    """Sequences it serves at once unless it reports otherwise; ``None`` when there is no such limit."""
    prefill: Prefill = "none"
    echoes_prefill: bool = False
    """Whether an unstreamed answer to a request that ends with the assistant's words repeats them."""
    pools_cache: bool = False
    """Whether all its sequences share one cache of prompts, rather than each slot keeping its last one."""
    cache_trust: tuple[float, float] = (0.5, 0.0)
    """Share of a prompt's known beginning that it is taken to have cached: of what fits into its slots or
    pool, and of what was in use before that (guess; its own reports soon count for more)."""


ENGINES: dict[str, EngineProfile] = {
    profile.kind: profile
    for profile in (
        EngineProfile("ollama", (11434,), default_slots=1, prefill="plain", cache_trust=(0.9, 0.0)),
        EngineProfile(
            "llamacpp",
            (8080, 8081),
            reuses_after_stream=False,
            prefill="plain",
            echoes_prefill=True,
            cache_trust=(0.9, 0.5),  # what leaves a slot is kept in main memory, 8 GiB unless told otherwise
        ),
        EngineProfile(
            "vllm",
            (8000,),
            prefill="switched",
            pools_cache=True,
            cache_trust=(0.9, 0.5),
        ),
        EngineProfile("lmstudio", (1234,), default_slots=4, cache_trust=(0.9, 0.0)),
        # may be a llama.cpp that was not recognised, or not up yet when it was asked
        EngineProfile("openai", (), reuses_after_stream=False),
    )
}


@dataclass(frozen=True, slots=True)
class CloudProfile:
    """Where one provider's OpenAI-compatible API is, and which variable usually holds its key."""

    name: str
    url: str
    key_variable: str
    default_models: tuple[str, ...]
    """Used when nothing is configured; a small general model of the provider, served in November 2026."""
    prefill: Prefill = "none"


CLOUDS: dict[str, CloudProfile] = {
    profile.name: profile
    for profile in (
        # shut down on 2027-01-14; its successor there reasons by default
        CloudProfile("openai", "https://api.openai.com/v1", "OPENAI_API_KEY", ("gpt-4o-mini",)),
        CloudProfile(
            "openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY", ("openai/gpt-4o-mini",)
        ),
        CloudProfile("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY", ("openai/gpt-oss-20b",)),
        CloudProfile(
            "mistral",
            "https://api.mistral.ai/v1",
            "MISTRAL_API_KEY",
            ("mistral-small-latest",),
            prefill="marked",
        ),
        CloudProfile("deepseek", "https://api.deepseek.com", "DEEPSEEK_API_KEY", ("deepseek-flash",)),
        CloudProfile("cerebras", "https://api.cerebras.ai/v1", "CEREBRAS_API_KEY", ("gpt-oss-120b",)),
        CloudProfile(
            "gemini",
            "https://generativelanguage.googleapis.com/v1beta/openai",
            "GEMINI_API_KEY",
            ("gemini-3.1-flash-lite",),
        ),
        CloudProfile("xai", "https://api.x.ai/v1", "XAI_API_KEY", ("grok-4.3",)),
        CloudProfile("together", "https://api.together.xyz/v1", "TOGETHER_API_KEY", ("openai/gpt-oss-120b",)),
        CloudProfile(
            "fireworks",
            "https://api.fireworks.ai/inference/v1",
            "FIREWORKS_API_KEY",
            ("accounts/fireworks/models/gpt-oss-20b",),
        ),
    )
}


def prefill_of(kind: str, name: str) -> Prefill:
    """How the upstream of that engine kind or, for a cloud, of that name goes on from a beginning."""
    if name in CLOUDS:
        return CLOUDS[name].prefill
    return ENGINES[kind].prefill if kind in ENGINES else "none"
