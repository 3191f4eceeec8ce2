"""What ``spillway check`` says of upstreams that answer, refuse, or are not there."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from pydantic import SecretStr

from spillway.config.schema import CloudConfig, Config, NodeConfig
from spillway.fleet.examine import Finding, examine
from spillway.testing.fake_upstream import FakeUpstream
from tests.engine_fixtures import build_micro_bert, build_micro_gguf, needs_engine


async def look(node: NodeConfig | None = None, cloud: CloudConfig | None = None) -> list[Finding]:
    """Findings on one upstream."""
    return await examine(Config(nodes=(node,) if node else (), clouds=(cloud,) if cloud else ()))


def problems(findings: list[Finding]) -> list[str]:
    """The texts of what is wrong."""
    return [finding.text for finding in findings if finding.level == "problem"]


async def test_a_server_that_answers_is_fine() -> None:
    """A reachable server with models gives no problem, and its models are named."""
    async with FakeUpstream() as upstream:
        findings = await look(NodeConfig(name="n", url=upstream.origin, slots=2))
    assert problems(findings) == []
    assert "fake-model" in findings[0].text


async def test_a_closed_port_says_so() -> None:
    """Nothing listening is told in plain words."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    said = problems(await look(NodeConfig(name="n", url=f"http://127.0.0.1:{port}")))
    assert "nothing listens there" in said[0]


async def test_a_refused_key_says_so() -> None:
    """A cloud that refuses the key leads to the setting to check, without the key."""
    async with FakeUpstream() as upstream:
        upstream.respond("GET", "/v1/models", {"error": {"message": "no"}}, status=401)
        cloud = CloudConfig(name="c", url=upstream.url, api_key=SecretStr("s3cret"), models=("m",))
        said = problems(await look(cloud=cloud))
    assert "check api_key" in said[0]
    assert "s3cret" not in str(said)


async def test_an_unknown_model_says_so() -> None:
    """A model the cloud does not list is probably a typo."""
    async with FakeUpstream() as upstream:
        said = problems(await look(cloud=CloudConfig(name="c", url=upstream.url, models=("gpt-nope",))))
    assert said == ["it does not list the model gpt-nope: check the name"]


async def test_an_impostor_says_so() -> None:
    """An Ollama model that is served by a remote host is no local model."""
    async with FakeUpstream() as upstream:
        tags = {"models": [{"name": "big:cloud", "remote_host": "https://ollama.example"}]}
        upstream.respond("GET", "/api/tags", tags)
        upstream.respond("GET", "/api/version", {"version": "0.30.0"})
        said = problems(await look(NodeConfig(name="n", url=upstream.origin)))
    assert "private requests will not use it" in said[0]


async def test_nothing_at_all_says_so() -> None:
    """An empty configuration is a problem of its own."""
    assert "neither a node nor a cloud" in problems(await look())[0]


async def test_a_model_about_to_be_shut_down_is_noted() -> None:
    """A provider that announces a model's end in its list is passed on with the day."""
    listing = {"data": [{"id": "old", "shutdown_date": "2027-01-14"}, {"id": "new", "shutdown_date": None}]}
    async with FakeUpstream() as upstream:
        upstream.respond("GET", "/v1/models", listing)
        findings = await look(cloud=CloudConfig(name="c", url=upstream.url, models=("old", "new")))
    notes = [finding.text for finding in findings if finding.level == "note"]
    assert notes == ["old is shut down on 2027-01-14: name another"]


async def test_prefixed_model_names_are_the_same_models() -> None:
    """Gemini lists ``models/NAME`` and takes ``NAME``."""
    async with FakeUpstream() as upstream:
        upstream.respond("GET", "/v1/models", {"data": [{"id": "models/gemini-x"}]})
        said = problems(await look(cloud=CloudConfig(name="c", url=upstream.url, models=("gemini-x",))))
    assert said == []


async def test_hidden_context_is_noted() -> None:
    """Ollama does not tell what an unloaded model holds; saying it in the configuration settles that."""
    async with FakeUpstream() as upstream:
        upstream.respond("GET", "/api/tags", {"models": [{"name": "qwen3:4b"}]})
        unsaid = await look(NodeConfig(name="n", url=upstream.origin))
        said = await look(NodeConfig(name="n", url=upstream.origin, context_tokens=8192))
    assert any("context_tokens" in finding.text for finding in unsaid)
    assert not any("context_tokens" in finding.text for finding in said)


@pytest.mark.parametrize(
    ("content", "expected"), [(None, "there is no such file"), (b"<html>", "it is not a GGUF file")]
)
async def test_a_model_file_that_cannot_be_served(
    tmp_path: Path, content: bytes | None, expected: str
) -> None:
    """A missing file and a download page are told apart before anything is started."""
    path = tmp_path / "m.gguf"
    if content is not None:
        path.write_bytes(content)
    assert expected in problems(await look(NodeConfig(name="n", model=str(path))))[0]


@pytest.mark.engine
@needs_engine
async def test_a_model_file_that_can_be_served(tmp_path: Path) -> None:
    """A real model is fine, and an embedding model is called one."""
    answers = await look(NodeConfig(name="n", model=str(build_micro_gguf(tmp_path / "m.gguf"))))
    embeds = await look(NodeConfig(name="n", model=str(build_micro_bert(tmp_path / "b.gguf"))))
    assert problems([*answers, *embeds]) == []
    assert embeds[0].text.endswith("for embeddings only")
