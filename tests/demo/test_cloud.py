"""The demo's simulated cloud: right answers, measured pace, labels everywhere."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import statistics
import sys
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import AsyncOpenAI, NotFoundError

from spillway.demo.cloud import LatencyTable, SimulatedCloud, latency_table, simulated_tokens
from spillway.demo.shop import is_exact, messages
from spillway.testing.raw_client import ask, raw_connection

TRUTHS = messages(seed=11, count=5)


@pytest.fixture
async def cloud() -> AsyncIterator[SimulatedCloud]:
    """A cloud that knows five messages and never waits."""
    async with SimulatedCloud(TRUTHS, time_scale=0) as running:
        yield running


@pytest.fixture
async def client(cloud: SimulatedCloud) -> AsyncIterator[AsyncOpenAI]:
    """The official client, pointed at it."""
    async with AsyncOpenAI(base_url=cloud.url, api_key="any", max_retries=0) as opened:
        yield opened


def port_of(cloud: SimulatedCloud) -> int:
    """The port it listens on."""
    return int(cloud.url.rpartition(":")[2].partition("/")[0])


def asked(text: str, **more: object) -> dict[str, Any]:
    """A request that asks about that text."""
    said = [{"role": "system", "content": "Answer as JSON."}, {"role": "user", "content": text}]
    return {"model": "gpt-4o-mini", "messages": said, **more}


async def test_answers_shop_messages_exactly(client: AsyncOpenAI) -> None:
    """Every known message gets its true answer, with token counts and the label."""
    for truth in TRUTHS:
        answer = await client.chat.completions.create(**asked(truth.text))
        content = answer.choices[0].message.content
        assert content is not None
        assert is_exact(content, truth)
        assert answer.system_fingerprint == "simulated"
        assert answer.usage is not None
        assert answer.usage.completion_tokens == len(simulated_tokens(content))
        assert answer.usage.prompt_tokens > len(truth.text) / 8


async def test_streams_the_same_answer_with_usage(client: AsyncOpenAI) -> None:
    """A stream says the same, ends with ``stop`` and carries usage when asked for."""
    whole = await client.chat.completions.create(**asked(TRUTHS[0].text))
    stream = await client.chat.completions.create(
        **asked(TRUTHS[0].text, stream=True, stream_options={"include_usage": True}, n=2)
    )
    chunks = [chunk async for chunk in stream]
    for index in (0, 1):
        deltas = [
            c.choices[0].delta.content or "" for c in chunks if c.choices and c.choices[0].index == index
        ]
        assert "".join(deltas) == whole.choices[0].message.content
    assert {chunk.system_fingerprint for chunk in chunks} == {"simulated"}
    assert chunks[-1].usage.completion_tokens == 2 * whole.usage.completion_tokens


async def test_everything_is_labelled(cloud: SimulatedCloud, client: AsyncOpenAI) -> None:
    """Models are owned by "simulated" and every answer, errors included, has the header."""
    listed = [model async for model in client.models.list()]
    assert [model.id for model in listed] == ["gpt-4o-mini", "gpt-4o"]
    assert {model.owned_by for model in listed} == {"simulated"}
    port = port_of(cloud)
    for wire in (
        await ask(port, **asked("x", stream=True)),
        await ask(port, **asked("x")),
        await ask(port, model="no-such-model"),
        await ask(port, path="/v1/embeddings"),
    ):
        assert b"x-simulated: true" in wire.head


async def test_unknown_text_gets_a_plain_sentence(client: AsyncOpenAI) -> None:
    """A text it was not taught is answered by a sentence that says what this is."""
    answer = await client.chat.completions.create(**asked("what is love"))
    assert "simulated cloud" in (answer.choices[0].message.content or "")


async def test_max_tokens(client: AsyncOpenAI) -> None:
    """``max_tokens`` cuts the answer and the finish reason says so."""
    answer = await client.chat.completions.create(**asked(TRUTHS[0].text, max_tokens=3))
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 3


async def test_learns_over_http(cloud: SimulatedCloud) -> None:
    """A parent process can teach a running cloud; a body that is no object is refused."""
    async with raw_connection(port_of(cloud)) as raw:
        raw.send({"ping": "pong"}, "/simulated/answers")
        assert (await raw.answer()).json == {"known": 6}
        raw.send(asked("ping"))
        assert (await raw.answer()).json["choices"][0]["message"]["content"] == "pong"
        raw.send([], "/simulated/answers")
        assert (await raw.answer()).status == 400


async def test_refusals(cloud: SimulatedCloud, client: AsyncOpenAI) -> None:
    """Unknown models and broken bodies get OpenAI's error object."""
    with pytest.raises(NotFoundError):
        await client.chat.completions.create(**asked("x", model="gpt-99"))
    async with raw_connection(port_of(cloud)) as raw:
        raw.send(b'{"model": "gpt-4o-mini"}')
        assert (await raw.answer()).json["error"]["code"] == "invalid_value"


def test_draws_follow_the_table() -> None:
    """Drawn latencies have the table's quantiles, stay inside it, and are the same for the same seed."""
    table = latency_table("gpt-4o-mini")
    drawn = [table.draw_ttft_s(random.Random(seed)) for seed in range(4000)]
    again = [table.draw_ttft_s(random.Random(seed)) for seed in range(4000)]
    assert drawn == again
    cuts = statistics.quantiles(drawn, n=20)
    for level, value in ((0.1, cuts[1]), (0.5, cuts[9]), (0.95, cuts[18])):
        assert value == pytest.approx(table.ttft_s[table.levels.index(level)], rel=0.1)
    assert min(drawn) >= table.ttft_s[0]
    assert max(drawn) <= table.ttft_s[-1]


def test_table_interpolates_between_levels() -> None:
    """Half way between two levels is half way between their values; beyond the last is the last."""

    class Fixed(random.Random):
        def random(self) -> float:
            return self.level

        level = 0.25

    table = LatencyTable(levels=(0.0, 0.5, 0.9), ttft_s=(1.0, 3.0, 4.0), itl_s=(0.0, 0.0, 0.0))
    fixed = Fixed()
    assert table.draw_ttft_s(fixed) == 2.0
    fixed.level = 0.95
    assert table.draw_ttft_s(fixed) == 4.0


def test_latency_file_names_source_and_licence() -> None:
    """The committed table says where it comes from."""
    from importlib import resources

    text = resources.files("spillway.demo").joinpath("data/cloud_latency.json").read_text(encoding="utf-8")
    document = json.loads(text)
    assert document["licence"] == "Apache-2.0"
    assert document["source"].startswith("ray-project/llmperf-leaderboard")
    assert len(text) < 4000


@given(st.text())
def test_tokens_lose_nothing(text: str) -> None:
    """The pieces of any text are the text again, and none is longer than nine characters."""
    pieces = simulated_tokens(text)
    assert "".join(pieces) == text
    assert all(1 <= len(piece) <= 9 for piece in pieces)


async def test_paces_as_drawn() -> None:
    """The first token comes at its drawn time, the rest at the drawn pace, and two seeds differ."""
    table = latency_table("gpt-4o-mini")
    loop = asyncio.get_running_loop()
    async with SimulatedCloud(TRUTHS, seed=3) as cloud:
        started_s = loop.time()
        wire = await ask(port_of(cloud), **asked(TRUTHS[0].text, stream=True))
        content = [at_s - started_s for at_s, piece in wire.arrivals if b'"content":"' in piece]
    generator = random.Random("3-0")
    ttft_s, itl_s = table.draw_ttft_s(generator), table.draw_itl_s(generator)
    tokens = len(wire.chunks) - 2
    assert ttft_s - 0.01 <= content[0] < ttft_s + 2
    assert 0.5 * itl_s * (tokens - 1) - 0.01 < content[-1] - content[0] < 1.5 * itl_s * (tokens - 1) + 2
    assert random.Random("4-0").random() != random.Random("3-0").random()


async def test_hundreds_of_streams_at_once() -> None:
    """Two hundred streams run side by side and all end complete."""
    async with SimulatedCloud(TRUTHS) as cloud:
        port = port_of(cloud)
        wires = await asyncio.gather(*(ask(port, **asked(TRUTHS[0].text, stream=True)) for _ in range(200)))
        assert {wire.data[-1] for wire in wires} == {"[DONE]"}
        assert all(is_exact(wire.text, TRUTHS[0]) for wire in wires)
        assert cloud.answered_count == 200
        assert cloud.max_in_flight > 100


async def test_stops_pacing_for_a_client_that_left() -> None:
    """A stream whose client hung up is not counted as answered and ends at once."""
    async with SimulatedCloud(TRUTHS, time_scale=100) as cloud:
        async with raw_connection(port_of(cloud)) as raw:
            raw.send(asked(TRUTHS[0].text, stream=True))
            await raw.answer(enough=b"\r\n\r\n")
        assert cloud.answered_count == 0


async def test_runs_as_a_child_and_ends_with_its_parent() -> None:
    """The program prints one ready line, regenerates the messages it is told, and stops when stdin closes."""
    args = ["-m", "spillway.demo.cloud", "--messages", "trained:11:5", "--time-scale", "0"]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *args,
        "--until-stdin-closes",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        stdin, stdout = (
            cast("asyncio.StreamWriter", process.stdin),
            cast("asyncio.StreamReader", process.stdout),
        )
        ready = json.loads(await asyncio.wait_for(stdout.readline(), 20))
        assert (ready["ready"], ready["simulated"]) == (True, True)
        async with AsyncOpenAI(base_url=ready["url"], api_key="k", max_retries=0) as client:
            answer = await client.chat.completions.create(**asked(TRUTHS[4].text))
        assert is_exact(answer.choices[0].message.content or "", TRUTHS[4])
        stdin.close()
        assert await asyncio.wait_for(process.wait(), 10) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_without_a_word_while_its_parent_lives(number: signal.Signals) -> None:
    """The thread that still waits for stdin to close does not trouble the interpreter's end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "spillway.demo.cloud", "--until-stdin-closes"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        stdout = cast("asyncio.StreamReader", process.stdout)
        stderr = cast("asyncio.StreamReader", process.stderr)
        await asyncio.wait_for(stdout.readline(), 20)
        process.send_signal(number)
        assert await asyncio.wait_for(process.wait(), 10) == 0
        assert await stderr.read() == b""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
