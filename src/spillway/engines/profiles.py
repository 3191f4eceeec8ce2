"""Facts about upstreams as a table; code exists only where behaviour differs."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CLOUDS", "ENGINES", "CloudProfile", "EngineProfile"]


@dataclass(frozen=True, slots=True)
class EngineProfile:
    """What one kind of local server does."""

    kind: str
    title: str
    ports: tuple[int, ...]
    """Where it listens when nobody says otherwise."""
    reuses_after_stream: bool = True
    """Whether a connection can be used again after a stream (decision 0005)."""
    default_slots: int | None = None
    """Sequences it serves at once unless it reports otherwise; ``None`` when there is no such limit."""


ENGINES: dict[str, EngineProfile] = {
    profile.kind: profile
    for profile in (
        EngineProfile("ollama", "Ollama", (11434,), default_slots=1),
        EngineProfile("llamacpp", "llama.cpp", (8080, 8081), reuses_after_stream=False),
        EngineProfile("vllm", "vLLM", (8000,)),
        EngineProfile("lmstudio", "LM Studio", (1234,), default_slots=4),
        EngineProfile("openai", "OpenAI-compatible server", ()),
    )
}


@dataclass(frozen=True, slots=True)
class CloudProfile:
    """Where one provider's OpenAI-compatible API is, and which variable usually holds its key."""

    name: str
    url: str
    key_variable: str
    default_models: tuple[str, ...] = ()
    """Used when nothing is configured; a small general model of the provider."""


CLOUDS: dict[str, CloudProfile] = {
    profile.name: profile
    for profile in (
        CloudProfile("openai", "https://api.openai.com/v1", "OPENAI_API_KEY", ("gpt-4o-mini",)),
        CloudProfile(
            "openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY", ("openai/gpt-4o-mini",)
        ),
        CloudProfile("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY", ("llama-3.1-8b-instant",)),
        CloudProfile("mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY", ("mistral-small-latest",)),
        CloudProfile("deepseek", "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY", ("deepseek-chat",)),
        CloudProfile("xai", "https://api.x.ai/v1", "XAI_API_KEY", ()),
        CloudProfile("together", "https://api.together.xyz/v1", "TOGETHER_API_KEY", ()),
        CloudProfile("fireworks", "https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY", ()),
    )
}
