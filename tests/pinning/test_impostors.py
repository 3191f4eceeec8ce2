"""Signs that a "local" node is none."""

from __future__ import annotations

import pytest

from spillway.engines.http_client import HttpClient
from spillway.engines.wire import Origin
from spillway.pinning.impostors import answers_any_name, cloud_of, is_other_model
from spillway.testing.fake_upstream import FakeUpstream
from spillway.testing.faults import Fault


@pytest.mark.parametrize(
    ("asked", "reported", "is_other"),
    [
        ("llama3", "llama3:latest", False),
        ("qwen/qwen3-4b", "qwen3-4b", False),
        ("Qwen3", "qwen3", False),
        ("m", None, False),
        ("qwen3:4b", "gpt-4o-mini", True),
        ("qwen3:4b", "qwen3:8b", True),
    ],
)
def test_names(asked: str, reported: str | None, is_other: bool) -> None:
    """Short and long forms of one name are one model; any other name is another."""
    assert is_other_model(asked, reported) is is_other


def test_clouds() -> None:
    """A node at a known cloud's address is no node."""
    assert cloud_of("api.openai.com") == "openai"
    assert cloud_of("gpu.lan") is None


@pytest.mark.parametrize(("kind", "expected"), [("ollama", True), ("vllm", True), ("llamacpp", None)])
async def test_an_answer_for_any_name(kind: str, expected: bool | None) -> None:
    """It proves an impostor only where the engine would refuse; llama.cpp answers any name by design."""
    async with FakeUpstream() as upstream:
        client = HttpClient(Origin.parse(upstream.origin))
        assert await answers_any_name(client, kind, "key") is expected
        await client.close()
        asked = len(upstream.received)
    assert asked == (0 if expected is None else 1)


async def test_an_honest_refusal() -> None:
    """A 404 for a model that does not exist is what an engine says; other errors say nothing."""
    for fault, expected in ((Fault.MODEL_MISSING, False), (Fault.ERROR_500, None)):
        async with FakeUpstream(fault) as upstream:
            client = HttpClient(Origin.parse(upstream.origin))
            assert await answers_any_name(client, "ollama", None) is expected
            await client.close()
