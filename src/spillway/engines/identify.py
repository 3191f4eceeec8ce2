"""Which engine listens somewhere, and what its models can do: read from metadata, never by generating."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from weakref import WeakKeyDictionary

import msgspec

from spillway.engines import metadata, told
from spillway.engines.http_client import HttpClient
from spillway.engines.metadata import count, mapping, text
from spillway.engines.profiles import ENGINES
from spillway.engines.told import Told
from spillway.engines.wire import Headers, PeerClosed, PeerMalformed, WireError, request_head
from spillway.vocabulary import ModelFacts

__all__ = ["Found", "identify"]

State = Literal["ready", "loading", "down", "refused"]
LARGEST_BYTES = 8_000_000
SHOWS_AT_ONCE = 4


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
    retires: Mapping[str, str] = field(default_factory=dict)
    """Models that their provider shuts down, with the day as YYYY-MM-DD."""
    told: tuple[Told, ...] = ()
    """What else it tells of each model, for their identities; in the order of ``models``."""
    instance: str | None = None
    """Differs between two starts of the server, where it tells such a thing."""


@dataclass(slots=True)
class Memory:
    """What one server told before and need not be asked again."""

    kind: str | None = None
    """How it was recognised last; forgotten as soon as it no longer answers so."""
    embeds: dict[str, bool] = field(default_factory=dict)
    """By file and start of a llama.cpp server."""
    shown: dict[str, Any] = field(default_factory=dict)
    """The answer of ``/api/show`` by digest of an Ollama model."""
    loaded_tokens: dict[str, int] = field(default_factory=dict)
    """The context each Ollama model was last loaded with, by digest; it is told only while it is loaded."""
    vllm: tuple[str | None, str | None] | None = None
    """Template and cache type of a vLLM since it was last seen to start."""


_memories: WeakKeyDictionary[HttpClient, Memory] = WeakKeyDictionary()
"""Goes with the client: nodes are asked every few seconds, and most of what they tell never changes."""


async def identify(
    client: HttpClient, kind: str = "auto", api_key: str | None = None, timeout_s: float = 2.0
) -> Found:
    """What listens there, within ``timeout_s`` altogether; never raises for anything the other side does."""
    if api_key and not api_key.isprintable():
        return Found("refused", kind, why="api_key holds a line break or another character no key has")
    headers = [(b"content-type", b"application/json")]
    if api_key:
        headers.append((b"authorization", b"Bearer " + api_key.encode()))
    probe = Probe(client, headers, timeout_s, _memories.setdefault(client, Memory()))
    try:
        async with asyncio.timeout(timeout_s):
            return await probe.run(kind)
    except TimeoutError:
        probe.forget()
        return Found("down", kind, why=f"it did not answer within {timeout_s:g} s")
    except WireError as error:
        probe.forget()
        return Found("down", kind, why=str(error))


class Probe:
    """A few small requests to one server. Its URL may end in ``/v1``; the engines' own paths do not."""

    def __init__(self, client: HttpClient, headers: Headers, timeout_s: float, memory: Memory) -> None:
        self._client = client
        self._headers = headers
        self._timeout_s = timeout_s
        self._memory = memory
        self._base = client.origin.base_path
        self._root = self._base.removesuffix("/v1")
        self._origin = replace(client.origin, base_path="")
        self._questions: dict[str, Callable[[], Awaitable[Found | None]]] = {
            "llamacpp": self._llamacpp,
            "ollama": self._ollama,
            "lmstudio": self._lmstudio,
        }

    async def run(self, kind: str) -> Found:
        """Asks the way it answered last; else the engines' own questions first, the common one last."""
        if kind == "auto" and (known := self._memory.kind):
            self._memory.kind = None
            found = await self._as(known)
            if found.state == "ready" and found.kind == known:
                self._memory.kind = known
                return found
        found = await (self._as_any() if kind == "auto" else self._as(kind))
        if kind == "auto" and found.state == "ready":
            self._memory.kind = found.kind
        return found

    def forget(self) -> None:
        """What holds only while one process runs: a server that did not answer may come back as another."""
        self._memory.vllm = None

    async def _as(self, kind: str) -> Found:
        question = self._questions.get(kind)
        return (await question() if question else None) or await self._openai(kind)

    async def _as_any(self) -> Found:
        port = self._client.origin.port
        usual_first = sorted(self._questions, key=lambda kind: port not in ENGINES[kind].ports)
        for kind in usual_first:
            try:
                if found := await self._questions[kind]():
                    return found
            except (PeerClosed, PeerMalformed):
                continue  # some servers drop the connection on paths they do not know
        return await self._openai("auto")

    async def _get(self, path: str, *, method: str = "GET", body: bytes = b"") -> tuple[int, Any]:
        """Status and body; the body is ``None`` when it is not JSON."""
        status, raw = await self._get_raw(path, method=method, body=body)
        return status, _json(raw)

    async def _get_raw(self, path: str, *, method: str = "GET", body: bytes = b"") -> tuple[int, bytes]:
        head = request_head(method, path, self._origin, self._headers)
        exchange = await self._client.send(head, body, connect_s=self._timeout_s, head_s=self._timeout_s)
        try:
            return exchange.status, await exchange.body(LARGEST_BYTES, self._timeout_s)
        except BaseException:
            exchange.abort()
            raise

    # llama.cpp

    async def _llamacpp(self) -> Found | None:
        status, props = await self._get(f"{self._root}/props")
        if status == 503 and "oading" in str(props):
            return Found("loading", "llamacpp", why="it is loading its model")
        said = mapping(props)
        if status != 200 or not isinstance(said.get("default_generation_settings"), Mapping):
            return None
        _, listing = await self._get(f"{self._root}/v1/models")
        adapters = _json(await self._aside("/lora-adapters"))
        embeds = await self._embeds(f"{said.get('model_path')} {said.get('media_marker')}")
        models = metadata.llamacpp_models(props, listing, embeds=embeds)
        slots, version = count(said.get("total_slots")), text(said.get("build_info"))
        more = told.llamacpp_told(props, listing, adapters, [model.name for model in models])
        instance = text(said.get("media_marker"))  # random since the autumn of 2026
        return Found("ready", "llamacpp", models, slots, version, told=more, instance=instance)

    async def _embeds(self, server: str) -> bool:
        """Whether embeddings work. Nothing in its metadata tells, but how it refuses an empty request does:
        501 without ``--embeddings``, another 400 without pooling, and "input must be provided" otherwise.
        """
        known = self._memory.embeds.get(server)
        if known is None:
            status, refusal = await self._get(f"{self._root}/v1/embeddings", method="POST", body=b"{}")
            said = text(mapping(mapping(refusal).get("error")).get("message")) or ""
            known = status == 400 and '"input"' in said
            self._memory.embeds = {server: known}
        return known

    # Ollama

    async def _ollama(self) -> Found | None:
        status, tags = await self._get(f"{self._root}/api/tags")
        if status != 200 or not isinstance(mapping(tags).get("models"), list):
            return None
        listed = metadata.entries(tags, "models")
        _, version = await self._get(f"{self._root}/api/version")
        _, running = await self._get(f"{self._root}/api/ps")
        loaded = metadata.entries(running, "models")
        for entry in loaded:
            if tokens := count(entry.get("context_length")):
                self._memory.loaded_tokens[_identity(entry)] = tokens
        await self._show(listed)
        models, more, names = [], [], {entry.get("name") for entry in loaded}
        for entry in listed:
            about = self._memory.shown.get(_identity(entry))
            shown = metadata.shown(about) if about is not None else None
            model = metadata.ollama_model(entry, shown, self._memory.loaded_tokens.get(_identity(entry)))
            if model is not None:
                models.append(model)
                more.append(told.ollama_told(entry, about, is_loaded=model.name in names))
        return Found(
            "ready",
            "ollama",
            tuple(models),
            ENGINES["ollama"].default_slots,
            text(mapping(version).get("version")),
            told=tuple(more),
        )

    async def _show(self, listed: list[Mapping[str, Any]]) -> None:
        """Learns what new models can do, as far as half the time allows; the next probe learns the rest."""
        gate = asyncio.Semaphore(SHOWS_AT_ONCE)

        async def learn(entry: Mapping[str, Any]) -> None:
            name = text(entry.get("name")) or text(entry.get("model"))
            if name is None or _identity(entry) in self._memory.shown:
                return
            body = msgspec.json.encode({"model": name})
            try:
                async with gate:
                    status, about = await self._get(f"{self._root}/api/show", method="POST", body=body)
            except WireError:
                return
            if status == 200:
                self._memory.shown[_identity(entry)] = told.ollama_kept(about)

        try:
            async with asyncio.timeout(self._timeout_s / 2):
                await asyncio.gather(*map(learn, listed))
        except TimeoutError:
            return

    # the others

    async def _lmstudio(self) -> Found | None:
        for path, listed_in in (
            ("/api/v1/models", metadata.lmstudio_v1),
            ("/api/v0/models", metadata.lmstudio_v0),
        ):
            status, listing = await self._get(self._root + path)
            models = listed_in(listing) if status == 200 else None
            if models is not None:
                slots, more = ENGINES["lmstudio"].default_slots, told.lmstudio_told(listing)
                return Found("ready", "lmstudio", models, slots, told=more)
        return None

    async def _openai(self, kind: str) -> Found:
        paths = [f"{self._root}/v1/models"]
        if self._base == self._root:
            paths.append(f"{self._base}/models")  # an API whose base does not end in /v1
        status, listing = 0, None
        for path in paths:
            status, listing = await self._get(path)
            if status != 404:
                break
        if kind == "auto":
            kind = _kind_of(metadata.owners(listing))
        if status in (401, 403):
            return Found("refused", kind, why=f"it refuses the key ({status}): check api_key")
        if status == 503:
            return Found("loading", kind, why="it is not ready yet (503)")
        if status != 200 or not metadata.lists_models(listing):
            why = f"it answers {status} without a model list: is this an OpenAI API?"
            return Found("down", kind, why=why)
        slots = ENGINES[kind].default_slots if kind in ENGINES else None
        models, retires = metadata.model_list(listing), metadata.retirements(listing)
        if kind == "vllm":
            return await self._vllm(listing, models, slots)
        more = told.named_only([model.name for model in models])
        return Found("ready", kind, models, slots, retires=retires, told=more)

    async def _vllm(self, listing: Any, models: tuple[ModelFacts, ...], slots: int | None) -> Found:
        version = text(mapping(_json(await self._aside("/version"))).get("version"))
        if self._memory.vllm is None:
            tokenizer, metrics = await self._aside("/tokenizer_info"), await self._aside("/metrics")
            if tokenizer is not None and metrics is not None:
                template = text(mapping(_json(tokenizer)).get("chat_template"))
                self._memory.vllm = template, told.cache_kind(metrics.decode("utf-8", "replace"))
        more = told.vllm_told(listing, *(self._memory.vllm or (None, None)))
        return Found("ready", "vllm", models, slots, version, told=more)

    async def _aside(self, path: str) -> bytes | None:
        """A page that adds to what is known: empty when there is none, ``None`` when it did not answer in
        a quarter of the time, which must not make the whole server count as down."""
        try:
            async with asyncio.timeout(self._timeout_s / 4):
                status, raw = await self._get_raw(self._root + path)
        except (WireError, TimeoutError):
            return None
        return raw if status == 200 else b""


def _json(raw: bytes | None) -> Any:
    """``None`` for what is no JSON."""
    try:
        return msgspec.json.decode(raw or b"")
    except (msgspec.DecodeError, ValueError, RecursionError):  # ValueError: not UTF-8
        return None


def _kind_of(owners: set[str]) -> str:
    """vLLM and llama.cpp (also as a router, which has no slots of its own) own the models they list."""
    return next((kind for kind in ("vllm", "llamacpp") if kind in owners), "openai")


def _identity(entry: Mapping[str, Any]) -> str:
    """The digest of an Ollama model, which changes with its weights, template and parameters."""
    return text(entry.get("digest")) or f"name {entry.get('name')}"
