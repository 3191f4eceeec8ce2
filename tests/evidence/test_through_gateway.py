"""The whole gateway over loopback: requests become evidence, and evidence decides where the next ones go."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from spillway.api.assembly import Assembly
from spillway.api.pin_state import event_of
from spillway.api.server import GatewayServer, bind
from spillway.config.quality import QualityConfig, ShadowConfig
from spillway.config.schema import CloudConfig, Config, NodeConfig, PriceConfig, RoutingConfig
from spillway.engines.http_client import HttpClient, fetch_json
from spillway.engines.wire import Origin
from spillway.ledger.drift import drift_lines
from spillway.ledger.period import Period
from spillway.pinning.compare import Change
from spillway.testing.fake_upstream import FakeUpstream, Fault, Reply

BODY = {"model": "auto", "messages": [{"role": "user", "content": "Positive or negative: I love it"}]}
TASK = (b"x-spillway-task", b"classification")


@dataclass
class Running:
    """A gateway, its node and its cloud."""

    assembly: Assembly
    client: HttpClient
    node: FakeUpstream
    cloud: FakeUpstream

    async def post(self, path: str, body: Any, *headers: tuple[bytes, bytes]) -> tuple[int, Any]:
        """Status and JSON of one request."""
        sent = [(b"content-type", b"application/json"), *headers]
        raw = json.dumps(body).encode()
        return await fetch_json(self.client, path, sent, method="POST", body=raw, timeout_s=20)

    async def ask(self, *headers: tuple[bytes, bytes], **changes: Any) -> Any:
        """One answer; then its comparison is over."""
        status, answer = await self.post("/v1/chat/completions", BODY | changes, TASK, *headers)
        assert status == 200, answer
        while running := self.assembly.quality.shadow._running:
            await asyncio.wait(running)
        return answer

    def allows(self) -> bool | None:
        """What routing hears of the class."""
        return self.assembly.quality.book.allows_local("classification", "mini", "fake-model")


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    """Everything is compared, within a dollar a day."""
    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(FakeUpstream())
        cloud = await stack.enter_async_context(FakeUpstream())
        config = Config(
            nodes=(NodeConfig(name="mini", url=node.url, engine="openai", slots=1),),
            clouds=(CloudConfig(name="far", url=cloud.url, api_key="k", models=("big",)),),
            prices={"far/big": PriceConfig(input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(1))},
            routing=RoutingConfig(reference="far/big", local_tasks=("classification",)),
            quality=QualityConfig(
                exploration_share=0.0, shadow=ShadowConfig(share=1.0, usd_per_day=Decimal(1))
            ),
            aliases={"at-home": "local"},
            ledger=f"sqlite:///{tmp_path}/ledger.db",
        )
        assembly = Assembly(config)
        stack.push_async_callback(assembly.close)
        await assembly.start()
        sock = bind("127.0.0.1", 0)
        server = GatewayServer(assembly.gateway)
        task = asyncio.create_task(server.serve(sockets=[sock]))
        client = HttpClient(Origin.parse(f"http://127.0.0.1:{sock.getsockname()[1]}"))

        async def stop() -> None:
            await client.close()
            server.should_exit = True
            await task

        stack.push_async_callback(stop)
        yield Running(assembly, client, node, cloud)


async def test_disagreement_sends_a_class_to_the_cloud(running: Running) -> None:
    """Local answers that differ from the reference's demote their class within a dozen, at once."""
    running.node.default, running.cloud.default = Reply(text="negative"), Reply(text="positive")
    answers = [(await running.ask())["choices"][0]["message"]["content"] for _ in range(15)]
    assert running.allows() is False
    assert answers[0] == "negative"
    assert answers[-1] == "positive"
    spent = running.assembly.quality.shadow.budget.left_usd
    assert 0 < spent < 1


async def test_comparisons_are_metrics(running: Running) -> None:
    """How many there were, and what they cost beside everything else."""
    running.node.default = running.cloud.default = Reply(text="positive")
    await running.ask()
    text = running.assembly.metrics.render().decode()
    assert 'spillway_shadow_total{outcome="compared"} 1.0' in text
    (cost,) = [line for line in text.splitlines() if line.startswith("spillway_shadow_usd_total ")]
    assert float(cost.split()[1]) > 0
    assert 'spillway_cost_usd_total{kind="price"} ' + cost.split()[1] in text


async def test_private_requests_are_never_shadowed(running: Running) -> None:
    """Not by header, not by pin; the cloud sees nothing of them and nothing is learnt from them."""
    for header in ((b"x-spillway-private", b"true"), (b"x-spillway-pin", b"local")):
        await running.ask(header)
    assert running.cloud.received == []
    assert all(record.gap.n == 0 for record in running.assembly.quality.book.records.values())


async def test_streams_are_compared_too(running: Running) -> None:
    """The streamed answer is put together and compared; the reference is asked unstreamed."""
    running.node.default = running.cloud.default = Reply(text="positive")
    origin = running.client
    exchange = await origin.open(
        *("POST", "/v1/chat/completions", [(b"content-type", b"application/json"), TASK]),
        json.dumps(BODY | {"stream": True}).encode(),
    )
    await exchange.body(100_000)
    (asked,) = await running.cloud.requests(1)
    while tasks := running.assembly.quality.shadow._running:
        await asyncio.wait(tasks)
    assert "stream" not in asked.json
    (record,) = running.assembly.quality.book.records.values()
    assert (record.gap.n, record.gap.mean) == (1, 0.0)


async def test_a_rating_reaches_the_evidence(running: Running) -> None:
    """By the id of the answer's header or the caller's own; wrong bodies and ids are told apart."""
    await running.ask((b"x-request-id", b"mine-1"))
    status, said = await running.post("/spillway/v1/feedback", {"request_id": "mine-1", "score": "bad"})
    assert (status, said["counted"], said["task"]) == (200, True, "classification")
    status, said = await running.post("/spillway/v1/feedback", {"request_id": "other", "score": "bad"})
    assert (status, said["error"]["code"]) == (404, "unknown_request")
    status, said = await running.post("/spillway/v1/feedback", {"request_id": "mine-1", "score": 7})
    assert (status, said["error"]["param"]) == (400, "score")


async def test_a_slow_reference_is_off_the_callers_path(running: Running) -> None:
    """The caller has its answer while the comparison still waits, and stopping does not wait either."""
    running.cloud.default = Reply(fault=Fault.SILENT)
    status, _ = await asyncio.wait_for(running.post("/v1/chat/completions", BODY, TASK), 5)
    assert status == 200
    assert len(running.assembly.quality.shadow._running) == 1


async def test_a_rating_that_is_too_large_is_told_its_own_limit(running: Running) -> None:
    """Not the one for requests, which the owner could raise in vain."""
    status, answer = await running.post("/spillway/v1/feedback", {"request_id": "x" * 20_000, "score": 1})
    assert (status, answer["error"]["code"]) == (413, "body_too_large")
    assert answer["error"]["message"].endswith("larger than 16384 bytes (the most a rating may be)")


async def test_a_class_that_is_none_is_told_how_one_looks(running: Running) -> None:
    """With an example and the letters it may have."""
    header = (b"x-spillway-task", b"My Class")
    status, answer = await running.post("/v1/chat/completions", BODY, header)
    assert (status, answer["error"]["param"]) == (400, "x-spillway-task")
    assert "such as extraction: lower-case letters, digits, _ and -" in answer["error"]["message"]


async def test_drift_is_kept_for_reports(running: Running) -> None:
    """What the watch of pins tells is in the ledger when the process is gone."""
    change = Change("fake-model", "context", "8192", "4096")
    running.assembly.pins.on_event(event_of(1_790_000_000.0, "mini", change, "warn"))
    lines = await running.assembly.writer.ask(lambda store: drift_lines(store, Period(None, 1_800_000_000.0)))
    assert [(line.node, line.field) for line in lines] == [("mini", "context")]


async def test_an_alias_of_a_side_is_compared_with_nobody(running: Running) -> None:
    """A name that stands for ``local`` keeps the request at home, its comparison included."""
    await running.ask(model="at-home")
    assert running.node.received
    assert not running.cloud.received
