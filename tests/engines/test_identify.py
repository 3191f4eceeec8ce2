"""Which engine listens and what its models can do, from recorded shapes of each engine's metadata."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from spillway.engines.embedded import EmbeddedEngine
from spillway.engines.http_client import HttpClient, Origin
from spillway.engines.identify import Found, identify
from spillway.testing.fake_upstream import FakeUpstream
from tests.engine_fixtures import build_micro_gguf, needs_engine

OLLAMA = {
    "/api/tags": {
        "models": [
            {"name": "qwen3:4b", "digest": "a1", "capabilities": ["completion", "tools"], "details": {}},
            {"name": "nomic-embed-text:latest", "capabilities": ["embedding"]},
            {"name": "big:cloud", "remote_host": "https://ollama.example", "capabilities": ["completion"]},
            {"unexpected": 1},
        ]
    },
    "/api/version": {"version": "0.30.1"},
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
VLLM = {
    "/v1/models": {
        "object": "list",
        "data": [{"id": "Qwen/Qwen3-8B", "object": "model", "owned_by": "vllm", "max_model_len": 32768}],
    }
}


async def ask(pages: Mapping[str, Any], kind: str = "auto", status: int = 200) -> Found:
    """What a server with these pages is taken for; its other pages do not exist."""
    async with FakeUpstream() as upstream:
        for path in ("/v1/models", "/api/tags", "/api/v1/models", "/props"):
            upstream.respond("GET", path, {"error": {"message": "none"}}, status=404)
        for path, body in pages.items():
            upstream.respond("GET", path, body, status=status)
        client = HttpClient(Origin.parse(upstream.origin))
        try:
            return await identify(client, kind)
        finally:
            await client.close()


async def test_ollama() -> None:
    """Models, what they can do, and the one that is served by somebody else."""
    found = await ask(OLLAMA)
    assert (found.kind, found.state, found.slots, found.version) == ("ollama", "ready", 1, "0.30.1")
    qwen, embedder, impostor = found.models
    assert qwen.capabilities is not None
    assert "tools" in qwen.capabilities
    assert embedder.capabilities == frozenset({"embedding"})
    assert impostor.remote_host == "https://ollama.example"


async def test_lm_studio() -> None:
    """The context of the loaded instance counts, not what the model could hold."""
    found = await ask(LM_STUDIO)
    assert found.kind == "lmstudio"
    assert [model.context_tokens for model in found.models] == [8192, 2048]
    assert found.models[0].capabilities == frozenset({"chat", "completion", "schema", "tools"})


async def test_vllm() -> None:
    """vLLM is told by the owner of its models and says how long a sequence may be."""
    found = await ask(VLLM)
    assert (found.kind, found.models[0].name, found.models[0].context_tokens) == (
        "vllm",
        "Qwen/Qwen3-8B",
        32768,
    )


async def test_any_openai_server() -> None:
    """A server that only lists models is used with what it says: nothing about slots or context."""
    found = await ask({"/v1/models": {"data": [{"id": "m", "owned_by": "someone"}]}})
    assert (found.kind, found.slots, found.models[0].context_tokens) == ("openai", None, None)


@pytest.mark.parametrize(
    "body", [None, [], "text", {"data": None}, {"data": [None, 3, {"id": 5}]}, {"models": {}}]
)
async def test_nonsense_never_raises(body: Any) -> None:
    """Whatever a server answers, it becomes a finding."""
    for path in ("/props", "/api/tags", "/api/v1/models", "/v1/models"):
        found = await ask({path: body})
        assert found.state in ("down", "ready")
        assert not found.models


async def test_refused_key_and_loading() -> None:
    """A refused key and a loading model are told apart from a server that is down."""
    assert (await ask({"/v1/models": {}}, "openai", status=401)).state == "refused"
    loading = {"/props": {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}}
    assert (await ask(loading, status=503)).state == "loading"


@pytest.mark.engine
@needs_engine
async def test_real_llama_cpp(tmp_path: Path) -> None:
    """The real engine is recognised, with the slots and the context per slot it was started with."""
    model = build_micro_gguf(tmp_path / "m.gguf", context_tokens=512)
    engine = EmbeddedEngine(model, name="micro", slots=3, context_tokens=256, threads=1)
    await engine.start()
    client = HttpClient(Origin.parse(engine.url))
    found = await identify(client, "auto", engine.api_key)
    await client.close()
    await engine.stop()
    assert (found.kind, found.state, found.slots) == ("llamacpp", "ready", 3)
    assert [(model.name, model.context_tokens) for model in found.models] == [("micro", 256)]
    assert found.models[0].capabilities is not None
    assert "tools" not in found.models[0].capabilities
