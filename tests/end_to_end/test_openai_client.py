"""OpenAI's own client, synchronous and asynchronous, through the gateway to a real llama.cpp engine."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from spillway.config.schema import CloudConfig, Config, NodeConfig
from spillway.demo.model import verify_demo_model
from spillway.ledger.store import LedgerStore
from spillway.testing.fake_upstream import FakeUpstream
from tests.end_to_end.conftest import Serve
from tests.engine_fixtures import needs_engine

pytestmark = [pytest.mark.engine, needs_engine]

HELLO: list[Any] = [{"role": "user", "content": "hello"}]
SCHEMA = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}},
    "required": ["ok"],
    "additionalProperties": False,
}


@pytest.fixture
async def url(serve: Serve, micro_gguf: Path, tmp_path: Path) -> str:
    """A gateway with one embedded node."""
    return str(await serve(_config(micro_gguf, tmp_path)))


def _config(
    model: Path, folder: Path, clouds: tuple[CloudConfig, ...] = (), *, capture: bool = False
) -> Config:
    node = NodeConfig(name="micro", model=str(model), slots=2, context_tokens=512)
    ledger = f"sqlite:///{folder / 'ledger.db'}"
    return Config(nodes=(node,), clouds=clouds, ledger=ledger, capture=capture)


def _stored(folder: Path, columns: str) -> list[tuple[Any, ...]]:
    store = LedgerStore.open(f"sqlite:///{folder / 'ledger.db'}", must_exist=True)
    rows = list(store.query(f"SELECT {columns} FROM requests ORDER BY accepted_at"))
    store.close()
    return rows


def client(url: str) -> AsyncOpenAI:
    """The official client, without retries that would hide a failure."""
    return AsyncOpenAI(base_url=url, api_key="unused", max_retries=0, timeout=30)


async def test_chat(url: str) -> None:
    """A chat completion comes back with usage, and its headers say where it came from."""
    async with client(url) as ai:
        raw = await ai.chat.completions.with_raw_response.create(model="auto", messages=HELLO, max_tokens=8)
    answer = raw.parse()
    assert answer.usage
    assert answer.usage.completion_tokens <= 8
    assert raw.headers["x-spillway-upstream"] == "micro"
    assert raw.headers["x-spillway-side"] == "local"


async def test_stream(url: str) -> None:
    """A stream ends with a finish reason; usage comes only when asked for, with our fields in it."""
    async with client(url) as ai:
        plain = [
            c
            async for c in await ai.chat.completions.create(
                model="auto", messages=HELLO, max_tokens=8, stream=True
            )
        ]
        asked = [
            c
            async for c in await ai.chat.completions.create(
                model="local",
                messages=HELLO,
                max_tokens=8,
                stream=True,
                stream_options={"include_usage": True},
            )
        ]
    assert [c.choices[0].finish_reason for c in plain if c.choices][-1] in ("stop", "length")
    assert not any(c.usage for c in plain)
    usage = asked[-1].usage
    assert usage
    assert usage.model_extra
    assert usage.model_extra["spillway"]["upstream"] == "micro"


async def test_structured_output(url: str) -> None:
    """A JSON schema reaches the engine and is enforced by it, even on a random model."""
    response_format: Any = {
        "type": "json_schema",
        "json_schema": {"name": "x", "schema": SCHEMA, "strict": True},
    }
    async with client(url) as ai:
        answer = await ai.chat.completions.create(
            model="micro/micro", messages=HELLO, max_tokens=200, response_format=response_format
        )
    assert answer.choices[0].finish_reason == "stop"
    assert isinstance(json.loads(answer.choices[0].message.content or "")["ok"], bool)


async def test_logprobs_and_completions(serve: Serve, tmp_path: Path) -> None:
    """Log-probabilities and the older completions endpoint survive the way through."""
    url = await serve(_config(verify_demo_model(), tmp_path))  # a random model may write no whole character
    message: list[Any] = [{"role": "user", "content": "where is my order 48213?"}]
    async with client(url) as ai:
        chat = await ai.chat.completions.create(
            model="auto", messages=message, max_tokens=8, temperature=0, logprobs=True, top_logprobs=2
        )
        text = await ai.completions.create(model="auto", prompt="hello", max_tokens=3)
    logprobs = chat.choices[0].logprobs
    assert logprobs
    assert logprobs.content
    assert len(logprobs.content[0].top_logprobs) == 2
    assert text.usage


async def test_models(url: str) -> None:
    """The list holds the words that choose and the models behind them."""
    async with client(url) as ai:
        names = [model.id async for model in ai.models.list()]
        one = await ai.models.retrieve("micro/micro")
    assert {"auto", "local", "cloud", "micro/micro"} <= set(names)
    assert one.owned_by == "micro"


async def test_errors(url: str) -> None:
    """The client raises its own exception types, with the field at fault."""
    async with client(url) as ai:
        with pytest.raises(openai.NotFoundError, match="no upstream serves"):
            await ai.chat.completions.create(model="nope", messages=HELLO)
        with pytest.raises(openai.BadRequestError) as caught:
            await ai.chat.completions.create(model="auto", messages=[], max_tokens=3)
        assert caught.value.param == "messages"
        with pytest.raises(openai.BadRequestError) as too_long:
            await ai.chat.completions.create(model="auto", messages=[{"role": "user", "content": "x" * 9000}])
        assert too_long.value.code == "context_length_exceeded"


async def test_synchronous_client(url: str) -> None:
    """The synchronous client works too, streamed and whole."""

    def ask() -> int:
        with OpenAI(base_url=url, api_key="unused", max_retries=0) as ai:
            ai.chat.completions.create(model="auto", messages=HELLO, max_tokens=4)
            return len(
                list(ai.chat.completions.create(model="auto", messages=HELLO, max_tokens=4, stream=True))
            )

    assert await asyncio.to_thread(ask) > 0


async def test_tools_and_embeddings_reach_a_cloud(serve: Serve, micro_gguf: Path, tmp_path: Path) -> None:
    """What the local model cannot do is answered by the cloud: tool calls, whole and streamed, embeddings."""
    tools: Any = [
        {
            "type": "function",
            "function": {
                "name": "find",
                "parameters": {"type": "object", "properties": {"q": {"type": "string"}}},
            },
        }
    ]
    async with FakeUpstream() as cloud:
        clouds = (CloudConfig(name="fake", url=cloud.url, models=("fake-model",), simulated="test double"),)
        url = await serve(_config(micro_gguf, tmp_path, clouds))
        async with client(url) as ai:
            raw = await ai.chat.completions.with_raw_response.create(
                model="auto", messages=HELLO, tools=tools
            )
            call = raw.parse().choices[0].message.tool_calls
            stream = await ai.chat.completions.create(model="auto", messages=HELLO, tools=tools, stream=True)
            deltas = [c.choices[0].delta.tool_calls async for c in stream if c.choices]
            vector = await ai.embeddings.create(model="cloud", input=["a", "b"])
        assert raw.headers["x-spillway-side"] == "cloud"
        assert raw.headers["x-spillway-reason"].startswith("name_auto,capability_missing")
        assert call
        assert call[0].type == "function"
        assert any(deltas)
        assert len(vector.data) == 2


async def test_every_request_is_in_the_ledger(url: str, tmp_path: Path) -> None:
    """Each answer the client has received stands in the ledger with tokens and unknown cost, not zero."""
    async with client(url) as ai:
        for _ in range(3):
            await ai.chat.completions.create(model="auto", messages=HELLO, max_tokens=4)
    rows = _stored(tmp_path, "upstream, output_tokens, cost_usd, result")
    assert len(rows) == 3
    assert all(
        upstream == "micro" and tokens and cost is None and result == "ok"
        for upstream, tokens, cost, result in rows
    )


async def test_texts_are_stored_only_when_asked(serve: Serve, micro_gguf: Path, tmp_path: Path) -> None:
    """With capture on, prompts and answers are stored, streamed or not; of private requests never."""
    url = await serve(_config(micro_gguf, tmp_path, capture=True))
    async with client(url) as ai:
        await ai.chat.completions.create(model="auto", messages=HELLO, max_tokens=4)
        async for _ in await ai.chat.completions.create(
            model="auto", messages=HELLO, max_tokens=4, stream=True
        ):
            pass
        private = {"x-spillway-private": "true"}
        await ai.chat.completions.create(model="auto", messages=HELLO, max_tokens=4, extra_headers=private)
    whole, streamed, hidden = _stored(tmp_path, "prompt_text, completion_text")
    assert "hello" in whole[0]
    assert "choices" in whole[1]
    assert "hello" in streamed[0]
    assert streamed[1] is not None
    assert hidden == (None, None)


async def test_no_text_is_stored_by_default(url: str, tmp_path: Path) -> None:
    """Without capture neither prompts nor answers are kept."""
    async with client(url) as ai:
        await ai.chat.completions.create(model="auto", messages=HELLO, max_tokens=4)
    assert _stored(tmp_path, "prompt_text, completion_text") == [(None, None)]
