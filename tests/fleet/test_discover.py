"""Zero configuration: what is found on this machine and in the environment."""

from __future__ import annotations

import asyncio
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest

from spillway.engines import profiles
from spillway.engines.embedded import EmbeddedEngine
from spillway.fleet import discover
from spillway.ledger.prices import load_prices
from spillway.testing.fake_upstream import FakeUpstream
from tests.engine_fixtures import build_micro_gguf, needs_engine


def use_ports(monkeypatch: pytest.MonkeyPatch, **ports: int) -> None:
    """Lets discovery look at these ports only."""
    usual = {kind: replace(profile, ports=()) for kind, profile in profiles.ENGINES.items()}
    for kind, port in ports.items():
        usual[kind] = replace(usual[kind], ports=(port,))
    monkeypatch.setattr(discover, "ENGINES", usual)


async def test_servers_are_found_by_what_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """An Ollama on another engine's port is still an Ollama; nothing was asked to generate."""
    async with FakeUpstream() as upstream:
        upstream.respond("GET", "/api/tags", {"models": [{"name": "qwen3:4b"}]})
        upstream.respond("GET", "/api/version", {"version": "0.30.1"})
        use_ports(monkeypatch, vllm=upstream.port)
        found = await discover.discover_nodes(but_not_port=1)
        assert upstream.received == []
    assert [(node.name, answer.kind) for node, answer in found] == [("ollama", "ollama")]


async def test_our_own_port_and_closed_ports_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway does not find itself, and an empty machine gives nothing."""
    async with FakeUpstream() as upstream:
        use_ports(monkeypatch, llamacpp=upstream.port)
        assert await discover.discover_nodes(but_not_port=upstream.port) == []


async def test_a_server_that_does_not_say_what_it_is_stays_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What may be a gateway to a cloud is never taken for local by itself; a warning says what to do."""
    async with FakeUpstream() as upstream:
        use_ports(monkeypatch, llamacpp=upstream.port)
        assert await discover.discover_nodes(but_not_port=1) == []
    assert "write it into spillway.yaml" in caplog.text


async def test_two_of_a_kind_have_names_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second server of the same kind is named with its port."""
    models = {"data": [{"id": "m", "owned_by": "vllm"}]}
    async with FakeUpstream() as first, FakeUpstream() as second:
        first.respond("GET", "/v1/models", models)
        second.respond("GET", "/v1/models", models)
        use_ports(monkeypatch, llamacpp=first.port, vllm=second.port)
        found = await discover.discover_nodes(but_not_port=1)
    assert [node.name for node, _ in found] == ["vllm", f"vllm-{second.port}"]


async def test_a_silent_port_ends_with_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Something that accepts and never answers delays the start by the budget at most."""
    monkeypatch.setattr(discover, "BUDGET_S", 0.05)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        use_ports(monkeypatch, ollama=silent.getsockname()[1])
        async with asyncio.timeout(2):
            assert await discover.discover_nodes(but_not_port=1) == []


def test_every_known_cloud_can_be_discovered() -> None:
    """Each provider has a secure address, a key variable of its own, and a model to begin with."""
    environment = {profile.key_variable: "key" for profile in profiles.CLOUDS.values()}
    clouds = discover.discover_clouds(environment)
    assert [cloud.name for cloud in clouds] == list(profiles.CLOUDS)
    assert len(environment) == len(clouds)
    assert all(profile.url.startswith("https://") for profile in profiles.CLOUDS.values())
    assert all(cloud.model_entries for cloud in clouds)


async def test_every_default_model_has_a_price() -> None:
    """What is used without being asked for has a known price, and the price list goes by the cloud's name."""
    wanted = [(cloud.name, model) for cloud in profiles.CLOUDS.values() for model in cloud.default_models]
    book = await load_prices(wanted)
    assert [pair for pair in wanted if book.rates(*pair, time.time()) is None] == []


def test_clouds_come_from_the_usual_variables() -> None:
    """A key in the environment makes a cloud with a model; an empty one does not."""
    clouds = discover.discover_clouds({"OPENAI_API_KEY": "s3cret", "GROQ_API_KEY": ""})
    assert [(cloud.name, cloud.model_entries[0].name) for cloud in clouds] == [("openai", "gpt-4o-mini")]
    assert "s3cret" not in repr(clouds)


@pytest.mark.engine
@needs_engine
async def test_a_real_llama_server_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A llama.cpp server on a TCP port is recognised with its slots."""
    monkeypatch.setattr("spillway.engines.embedded.SOCKET_PATH_LIMIT", 0)  # listens on TCP instead
    engine = EmbeddedEngine(
        build_micro_gguf(tmp_path / "m.gguf"), name="m", slots=2, context_tokens=256, threads=1
    )
    engine._settings["api_key"] = ""
    await engine.start()
    use_ports(monkeypatch, llamacpp=int(engine.url.rpartition(":")[2]))
    found = await discover.discover_nodes(but_not_port=1)
    await engine.stop()
    assert [(answer.kind, answer.slots) for _, answer in found] == [("llamacpp", 2)]
