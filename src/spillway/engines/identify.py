"""Which engine listens somewhere, and what its models can do: read from metadata, never by generating."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from spillway.engines.http_client import Headers, HttpClient, WireError, fetch_json
from spillway.engines.profiles import ENGINES
from spillway.vocabulary import Capability, ModelFacts

__all__ = ["Found", "identify"]

State = Literal["ready", "loading", "down", "refused"]
EVERYTHING: frozenset[Capability] = frozenset({"chat", "completion"})


@dataclass(frozen=True, slots=True)
class Found:
    """What an upstream says of itself."""

    state: State
    kind: str
    models: tuple[ModelFacts, ...] = ()
    slots: int | None = None
    version: str | None = None
    why: str | None = None
    """For a person, when it is not ready."""


async def identify(
    client: HttpClient, kind: str = "auto", api_key: str | None = None, timeout_s: float = 2.0
) -> Found:
    """What listens there; never raises for anything the other side does."""
    headers = [(b"authorization", b"Bearer " + api_key.encode())] if api_key else []
    probe = Probe(client, headers, timeout_s)
    try:
        return await probe.run(kind)
    except WireError as error:
        return Found("down", kind, why=str(error))


class Probe:
    """A few GET requests to one server."""

    def __init__(self, client: HttpClient, headers: Headers, timeout_s: float) -> None:
        self._client = client
        self._headers = headers
        self._timeout_s = timeout_s
        self._root = client.origin.base_path.endswith("/v1")

    async def run(self, kind: str) -> Found:
        """Asks the engines' own questions first, the common one last."""
        if kind in ("auto", "llamacpp") and (found := await self._llamacpp()):
            return found
        if kind in ("auto", "ollama") and (found := await self._ollama()):
            return found
        if kind in ("auto", "lmstudio") and (found := await self._lmstudio()):
            return found
        return await self._openai("openai" if kind == "auto" else kind)

    async def _get(self, path: str, *, method: str = "GET", body: bytes = b"") -> tuple[int, Any]:
        return await fetch_json(
            self._client, path, self._headers, method=method, body=body, timeout_s=self._timeout_s
        )

    async def _llamacpp(self) -> Found | None:
        status, props = await self._get("/props")
        if status == 503 and "oading" in str(props):
            return Found("loading", "llamacpp", why="it is loading its model")
        settings = _mapping(props).get("default_generation_settings")
        if status != 200 or not isinstance(settings, Mapping):
            return None
        _, listing = await self._get("/v1/models")
        context_tokens = _count(_mapping(settings).get("n_ctx"))
        tools = _mapping(_mapping(props).get("chat_template_caps")).get("supports_tools")
        able = _able(
            tools=tools is True, images=_mapping(_mapping(props).get("modalities")).get("vision") is True
        )
        models = tuple(
            ModelFacts(name, context_tokens, able) for name in _names(_mapping(listing).get("data"), "id")
        )
        slots = _count(_mapping(props).get("total_slots"))
        return Found("ready", "llamacpp", models, slots, _text(_mapping(props).get("build_info")))

    async def _ollama(self) -> Found | None:
        status, tags = await self._get("/api/tags")
        entries = _mapping(tags).get("models")
        if status != 200 or not isinstance(entries, list):
            return None
        _, version = await self._get("/api/version")
        models = [await self._ollama_model(_mapping(entry)) for entry in entries]
        return Found(
            "ready",
            "ollama",
            tuple(model for model in models if model is not None),
            ENGINES["ollama"].default_slots,
            _text(_mapping(version).get("version")),
        )

    async def _ollama_model(self, entry: Mapping[str, Any]) -> ModelFacts | None:
        name = _text(entry.get("name")) or _text(entry.get("model"))
        if name is None:
            return None
        abilities = entry.get("capabilities")
        return ModelFacts(
            name,
            None,  # what a loaded model holds depends on num_ctx, which only /api/ps tells
            _ollama_abilities(abilities) if isinstance(abilities, list) else None,
            remote_host=_text(entry.get("remote_host")),
        )

    async def _lmstudio(self) -> Found | None:
        status, listing = await self._get("/api/v1/models")
        entries = _mapping(listing).get("models")
        if status != 200 or not isinstance(entries, list):
            return None
        models = tuple(
            ModelFacts(name, _loaded_context(entry), _lmstudio_abilities(entry))
            for entry in map(_mapping, entries)
            if (name := _text(entry.get("key"))) is not None
        )
        return Found("ready", "lmstudio", models, ENGINES["lmstudio"].default_slots)

    async def _openai(self, kind: str) -> Found:
        status, listing = await self._get("/models" if self._root else "/v1/models")
        if status in (401, 403):
            return Found("refused", kind, why=f"it refuses the key ({status}): check api_key")
        if status == 503:
            return Found("loading", kind, why="it is not ready yet (503)")
        entries = _mapping(listing).get("data")
        if status != 200 or not isinstance(entries, list):
            return Found(
                "down", kind, why=f"it answers {status} without a model list: is this an OpenAI API?"
            )
        owners = {_text(_mapping(entry).get("owned_by")) for entry in entries}
        if kind == "openai" and "vllm" in owners:
            kind = "vllm"
        models = tuple(
            ModelFacts(name, _count(_mapping(entry).get("max_model_len")))
            for entry in entries
            if (name := _text(_mapping(entry).get("id"))) is not None
        )
        return Found("ready", kind, models, ENGINES[kind].default_slots if kind in ENGINES else None)


def _able(*, tools: bool, images: bool) -> frozenset[Capability]:
    able: set[Capability] = {"chat", "completion", "schema", "embedding"}
    if tools:
        able.add("tools")
    if images:
        able.add("images")
    return frozenset(able)


def _ollama_abilities(names: Sequence[Any]) -> frozenset[Capability]:
    able: set[Capability] = set()
    if "completion" in names:
        able |= {"chat", "completion", "schema"}
    if "tools" in names:
        able.add("tools")
    if "vision" in names:
        able.add("images")
    if "embedding" in names:
        able.add("embedding")
    return frozenset(able)


def _lmstudio_abilities(entry: Mapping[str, Any]) -> frozenset[Capability]:
    if entry.get("type") == "embedding":
        return frozenset({"embedding"})
    told = _mapping(entry.get("capabilities"))
    able: set[Capability] = {"chat", "completion", "schema"}
    if told.get("trained_for_tool_use"):
        able.add("tools")
    if told.get("vision"):
        able.add("images")
    return frozenset(able)


def _loaded_context(entry: Mapping[str, Any]) -> int | None:
    """What the loaded instance holds, else what the model could hold at most."""
    loaded = entry.get("loaded_instances")
    if isinstance(loaded, list) and loaded:
        return _count(_mapping(_mapping(loaded[0]).get("config")).get("context_length"))
    return _count(entry.get("max_context_length"))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _names(entries: Any, key: str) -> list[str]:
    found = [_text(_mapping(entry).get(key)) for entry in entries] if isinstance(entries, list) else []
    return [name for name in found if name is not None]
