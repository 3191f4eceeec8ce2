"""A third-party framework, Pydantic AI, through the gateway to a real engine and a stand-in for a cloud."""

from __future__ import annotations

from pathlib import Path

import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from spillway.config.schema import CloudConfig, Config, NodeConfig
from spillway.testing.fake_upstream import FakeUpstream
from tests.end_to_end.conftest import Serve
from tests.engine_fixtures import needs_engine

pytestmark = [pytest.mark.engine, needs_engine]


class Verdict(BaseModel):
    """What the agent must answer."""

    ok: bool


async def test_structured_output_from_the_engine(serve: Serve, micro_gguf: Path, tmp_path: Path) -> None:
    """An agent with a typed result gets one, since the schema reaches the engine."""
    node = NodeConfig(name="micro", model=str(micro_gguf), slots=1, context_tokens=1024)
    url = await serve(Config(nodes=(node,), ledger=f"sqlite:///{tmp_path / 'ledger.db'}"))
    async with AsyncOpenAI(base_url=url, api_key="unused") as client:
        model = OpenAIChatModel("auto", provider=OpenAIProvider(openai_client=client))
        agent = Agent(model, output_type=NativeOutput(Verdict))
        result = await agent.run("is it ok?", model_settings={"max_tokens": 200, "temperature": 0})
    assert isinstance(result.output, Verdict)


async def test_streamed_text(serve: Serve, tmp_path: Path) -> None:
    """A streamed run arrives piece by piece and ends well."""
    async with FakeUpstream() as cloud:
        clouds = (CloudConfig(name="fake", url=cloud.url, models=("fake-model",), simulated="test double"),)
        url = await serve(Config(clouds=clouds, ledger=f"sqlite:///{tmp_path / 'ledger.db'}"))
        async with AsyncOpenAI(base_url=url, api_key="unused") as client:
            model = OpenAIChatModel("auto", provider=OpenAIProvider(openai_client=client))
            async with Agent(model).run_stream("hello") as run:
                pieces = [piece async for piece in run.stream_text(delta=True, debounce_by=None)]
    assert len(pieces) > 1
