"""Which engine listens and what its models can do, from documented metadata of each and from a real one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from spillway.engines.embedded import EmbeddedEngine
from spillway.engines.http_client import HttpClient
from spillway.engines.identify import Found, identify
from spillway.engines.wire import Origin
from spillway.testing.fake_upstream import FakeUpstream
from tests.engine_fixtures import build_micro_bert, build_micro_gguf, needs_engine

Pages = Mapping[str, Any]

LOADED = {"name": "qwen3:4b", "model": "qwen3:4b", "digest": "a1", "size_vram": 3, "context_length": 8192}
OLLAMA: dict[str, Any] = {
    "/api/tags": {
        "models": [
            {"name": "qwen3:4b", "model": "qwen3:4b", "digest": "a1", "details": {"format": "gguf"}},
            {"name": "nomic-embed-text:latest", "digest": "b2", "details": {}},
            {"name": "big:120b-cloud", "digest": "c3", "remote_host": "https://ollama.example"},
            {"unexpected": 1},
        ]
    },
    "/api/version": {"version": "0.30.1"},
    "/api/ps": {"models": [LOADED]},
}
LM_STUDIO = {
    "/api/v1/models": {
        "models": [
            {
                "type": "llm",
                "key": "qwen/qwen3-4b",
                "max_context_length": 40960,
                "capabilities": {"vision": False, "trained_for_tool_use": True},
                "loaded_instances": [{"id": "x", "config": {"context_length": 8192}}],
            },
            {"type": "embedding", "key": "nomic", "max_context_length": 2048, "loaded_instances": []},
        ]
    }
}
OLD_LM_STUDIO = {
    "/api/v0/models": {
        "data": [
            {
                "id": "gemma-3-4b",
                "type": "vlm",
                "state": "loaded",
                "max_context_length": 131072,
                "loaded_context_length": 4096,
                "capabilities": ["tool_use"],
            },
            {"id": "nomic", "type": "embeddings", "state": "not-loaded", "max_context_length": 2048},
        ]
    }
}
VLLM = {
    "/v1/models": {
        "object": "list",
        "data": [{"id": "Qwen/Qwen3-8B", "object": "model", "owned_by": "vllm", "max_model_len": 32768}],
    }
}
PROPS = {
    "default_generation_settings": {"n_ctx": 4096, "params": {}},
    "total_slots": 4,
    "model_path": "/models/x.gguf",
    "build_info": "b11549-abc",
    "modalities": {"vision": True},
}
ROUTER = {
    "/props": {"role": "router"},
    "/v1/models": {
        "data": [
            {"id": "a", "owned_by": "llamacpp", "status": {"value": "loaded"}, "meta": {"n_ctx": 4096}},
            {"id": "b", "owned_by": "llamacpp", "status": {"value": "unloaded"}},
        ]
    },
}
ASKED = ("/v1/models", "/models", "/api/tags", "/api/v1/models", "/api/v0/models", "/props", "/api/ps")


@asynccontextmanager
async def serving(pages: Pages, status: int = 200) -> AsyncIterator[FakeUpstream]:
    """A server with these pages; its other pages do not exist."""
    async with FakeUpstream() as upstream:
        for path in ASKED:
            upstream.respond("GET", path, {"error": {"message": "none"}}, status=404)
        for path, body in pages.items():
            for method in ("GET", "POST"):
                upstream.respond(method, path, body, status=status)
        yield upstream


async def ask(pages: Pages, kind: str = "auto", *, status: int = 200, base: str = "") -> Found:
    """What a server with these pages is taken for."""
    async with serving(pages, status) as upstream:
        client = HttpClient(Origin.parse(upstream.origin + base))
        try:
            return await identify(client, kind)
        finally:
            await client.close()


def able(found: Found, index: int = 0) -> set[str]:
    """What one of the models can do."""
    return set(found.models[index].capabilities or ())


@pytest.mark.parametrize("base", ["", "/v1", "/v1/"])
async def test_ollama(base: str) -> None:
    """Models, the loaded context, and the one served by somebody else, whichever URL names the server."""
    found = await ask(OLLAMA, base=base)
    assert (found.kind, found.state, found.slots, found.version) == ("ollama", "ready", 1, "0.30.1")
    qwen, embedder, impostor = found.models
    assert (qwen.name, qwen.context_tokens, qwen.remote_host) == ("qwen3:4b", 8192, None)
    assert embedder.context_tokens is None
    assert impostor.remote_host == "https://ollama.example"


async def test_ollama_shows_what_models_can_do() -> None:
    """Abilities and a context set in the model file come from ``/api/show``, asked once per digest."""
    shown = {
        "capabilities": ["completion", "tools", "vision"],
        "parameters": 'num_ctx                        16384\nstop                           "<|im_end|>"',
        "model_info": {"qwen3.context_length": 40960},
    }
    async with serving({**OLLAMA, "/api/show": shown, "/api/ps": {"models": []}}) as upstream:
        client = HttpClient(Origin.parse(upstream.origin))
        first, second = await identify(client), await identify(client)
        await client.close()
        asked = [probe.json["model"] for probe in upstream.probes if probe.path == "/api/show"]
    assert able(first) == {"chat", "completion", "schema", "tools", "images"}
    assert first.models[0].context_tokens == 16384
    assert second.models == first.models
    assert sorted(asked) == ["big:120b-cloud", "nomic-embed-text:latest", "qwen3:4b"]


async def test_ollama_context_is_remembered_after_unloading() -> None:
    """The context a model was loaded with is told only while it is loaded, and it will be the same again."""
    async with serving(OLLAMA) as upstream:
        client = HttpClient(Origin.parse(upstream.origin))
        await identify(client)
        upstream.respond("GET", "/api/ps", {"models": []})
        later = await identify(client)
        await client.close()
    assert later.models[0].context_tokens == 8192


@pytest.mark.parametrize("name", ["gpt-oss:120b-cloud", "glm-5:cloud"])
async def test_ollama_cloud_names_are_never_local(name: str) -> None:
    """A model named like those Ollama passes on counts as remote even when the server does not say so."""
    found = await ask({**OLLAMA, "/api/tags": {"models": [{"name": name}]}})
    assert found.models[0].remote_host == "ollama.com"


async def test_lm_studio() -> None:
    """The context of the loaded instance counts, not what the model could hold."""
    found = await ask(LM_STUDIO)
    assert found.kind == "lmstudio"
    assert [model.context_tokens for model in found.models] == [8192, 2048]
    assert able(found) == {"chat", "completion", "schema", "tools"}


async def test_older_lm_studio() -> None:
    """Releases with only the older list are recognised by it."""
    found = await ask(OLD_LM_STUDIO)
    assert found.kind == "lmstudio"
    assert [model.context_tokens for model in found.models] == [4096, 2048]
    assert able(found) == {"chat", "completion", "schema", "tools", "images"}
    assert able(found, 1) == {"embedding"}


async def test_vllm() -> None:
    """vLLM is told by the owner of its models and says how long a sequence may be."""
    found = await ask(VLLM)
    model = found.models[0]
    assert (found.kind, model.name, model.context_tokens) == ("vllm", "Qwen/Qwen3-8B", 32768)


async def test_llama_cpp() -> None:
    """Slots, context per slot and images come from its properties; an old build that says nothing of tools
    may have them."""
    found = await ask({"/props": PROPS, "/v1/models": {"data": [{"id": "x"}]}})
    assert (found.kind, found.slots, found.version) == ("llamacpp", 4, "b11549-abc")
    assert found.models[0].context_tokens == 4096
    assert able(found) == {"chat", "completion", "schema", "tools", "images"}


async def test_llama_cpp_router() -> None:
    """A llama.cpp that serves several models is told by their owner; it has no slots of its own."""
    found = await ask(ROUTER)
    assert (found.kind, found.slots) == ("llamacpp", None)
    assert [(model.name, model.context_tokens) for model in found.models] == [("a", 4096), ("b", None)]


async def test_any_openai_server() -> None:
    """A server that only lists models is used with what it says: nothing about slots or context."""
    found = await ask({"/v1/models": {"data": [{"id": "m", "owned_by": "someone"}]}})
    assert (found.kind, found.slots, found.models[0].context_tokens) == ("openai", None, None)


async def test_a_base_url_without_v1() -> None:
    """An API whose base does not end in /v1 is asked below that base."""
    async with serving({"/v1beta/openai/models": {"data": [{"id": "gemini"}]}}) as upstream:
        upstream.respond("GET", "/v1beta/openai/v1/models", {}, status=404)
        client = HttpClient(Origin.parse(f"{upstream.origin}/v1beta/openai/"))
        found = await identify(client, "openai")
        await client.close()
    assert [model.name for model in found.models] == ["gemini"]


async def test_a_recognised_server_is_not_asked_everything_again() -> None:
    """Later probes ask only what was answered before; a server that changed is recognised anew."""
    async with serving(VLLM) as upstream:
        client = HttpClient(Origin.parse(upstream.origin))
        await identify(client)
        upstream.probes.clear()
        await identify(client)
        again = [probe.path for probe in upstream.probes]
        upstream.respond("GET", "/v1/models", {"error": "gone"}, status=404)
        upstream.respond("GET", "/api/tags", OLLAMA["/api/tags"])
        changed = await identify(client)
        await client.close()
    assert again == ["/v1/models", "/version"]
    assert changed.kind == "ollama"


@pytest.mark.parametrize(
    "body",
    [None, [], "text", {"data": None}, {"data": [None, 3, {"id": 5}]}, {"models": {}}, {"models": [[], 7]}],
)
async def test_nonsense_never_raises(body: Any) -> None:
    """Whatever a server answers, it becomes a finding."""
    for pages in ({}, OLLAMA, {"/props": PROPS}):
        broken = {path: body for path in (*ASKED, "/api/show", "/v1/embeddings") if path not in pages}
        assert (await ask({**pages, **broken})).state in ("down", "ready")
    for path in ("/api/tags", "/props"):
        assert (await ask({**OLLAMA, path: body})).state in ("down", "ready")


@asynccontextmanager
async def raw_server(serve: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[HttpClient]:
    """A client of a server that answers every first request with whatever ``serve`` writes."""
    tasks: list[asyncio.Task[None]] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            await serve(writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.create_task(handle(reader, writer)))

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        client = HttpClient(Origin.parse(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
        yield client
        await client.close()
        await asyncio.gather(*tasks)


@pytest.mark.parametrize("answer", [b"", b"[" * 200_000, b"SSH-2.0-OpenSSH\r\n", b'"' + b"\xff" * 40 + b'"'])
async def test_what_is_no_json_never_raises(answer: bytes) -> None:
    """A server that hangs up, nests without end, or is no web server at all is down."""

    async def serve(writer: asyncio.StreamWriter) -> None:
        if answer and not answer.startswith(b"SSH"):
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(answer))
        writer.write(answer)

    async with raw_server(serve) as client:
        assert (await identify(client, timeout_s=10)).state == "down"


async def test_a_trickle_ends_within_the_time_given() -> None:
    """A server that sends its answer byte by byte for ever does not hold the probe."""

    async def serve(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"[")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with raw_server(serve) as client:
        found = await identify(client, timeout_s=0.2)
    assert found.why == "it did not answer within 0.2 s"


@pytest.mark.parametrize("key", ["s3cret\n", "s3cret\udce4"])
async def test_a_key_that_is_none_says_so(key: str) -> None:
    """One read with its newline, or with bytes that are no text, is refused in words, without the key."""
    client = HttpClient(Origin.parse("http://127.0.0.1:9"))
    found = await identify(client, api_key=key)
    assert found.state == "refused"
    assert "s3cret" not in str(found)


async def test_refused_key_and_loading() -> None:
    """A refused key and a loading model are told apart from a server that is down."""
    assert (await ask({"/v1/models": {}}, "openai", status=401)).state == "refused"
    loading = {"/props": {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}}
    assert (await ask(loading, status=503)).state == "loading"


async def ask_real(model: Path, *, slots: int, context_tokens: int) -> Found:
    """What the real llama.cpp, started on ``model``, is taken for."""
    engine = EmbeddedEngine(model, name="micro", slots=slots, context_tokens=context_tokens, threads=1)
    await engine.start()
    client = HttpClient(Origin.parse(engine.url))
    found = await identify(client, "auto", engine.api_key)
    await client.close()
    await engine.stop()
    return found


@pytest.mark.engine
@needs_engine
async def test_real_llama_cpp(tmp_path: Path) -> None:
    """The real engine is recognised, with the slots and the context per slot it was started with."""
    model = build_micro_gguf(tmp_path / "m.gguf", context_tokens=512)
    found = await ask_real(model, slots=3, context_tokens=256)
    assert (found.kind, found.state, found.slots) == ("llamacpp", "ready", 3)
    assert [(model.name, model.context_tokens) for model in found.models] == [("micro", 256)]
    assert able(found) == {"chat", "completion", "schema"}


@pytest.mark.engine
@needs_engine
async def test_a_real_embedding_model(tmp_path: Path) -> None:
    """A real encoder is offered for embeddings only: the engine refuses to chat with it."""
    found = await ask_real(build_micro_bert(tmp_path / "b.gguf"), slots=2, context_tokens=128)
    assert (found.kind, able(found)) == ("llamacpp", {"embedding"})
