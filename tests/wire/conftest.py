"""The real gateway on a loopback port in front of scriptable upstreams, with books that can be read back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from msgspec import structs

from spillway.api.app import Gateway, Limits
from spillway.api.auth import KeyRing
from spillway.api.server import GRACE_S, GatewayServer, bind
from spillway.clock import SystemClock
from spillway.config.schema import KeyConfig
from spillway.engines.openai_compatible import OpenAICompatible
from spillway.fleet.registry import Fleet, Upstream
from spillway.relay.relay import Relay
from spillway.routing import NoEvidence, Policy, reasons
from spillway.telemetry.metrics import Metrics
from spillway.testing.fake_upstream import FakeUpstream
from spillway.vocabulary import Attempt, Bill, Deadlines, ModelFacts, Outcome, Side

PATIENCE = Deadlines(connect_s=1.0, first_token_s=0.5, stall_s=0.5, total_s=2.0)
"""Short, so that silent upstreams are given up quickly."""


class ReadableBooks:
    """Keeps outcomes in a list; a cloud attempt with usage costs a cent, a local one nothing."""

    def __init__(self, metrics: Metrics) -> None:
        self.outcomes: list[Outcome] = []
        self._metrics = metrics
        self._changed = asyncio.Event()

    def bill(self, attempt: Attempt) -> Bill:
        """A fixed price."""
        price = Decimal("0.01") if attempt.side == "cloud" and attempt.usage else Decimal(0)
        return Bill(price, price_usd=price)

    async def settle(self, outcome: Outcome, bills: Sequence[Bill]) -> None:
        """Keeps it."""
        self.note(outcome, bills)

    def note(self, outcome: Outcome, bills: Sequence[Bill]) -> None:
        """Keeps it."""
        self.outcomes.append(outcome)
        self._metrics.note(outcome, bills, None)
        self._changed.set()

    async def wait(self, count: int = 1) -> list[Outcome]:
        """The outcomes once there are ``count``."""
        async with asyncio.timeout(5):
            while len(self.outcomes) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.outcomes


@dataclass
class Running:
    """A gateway that listens, and what is behind it."""

    url: str
    port: int
    fleet: Fleet
    books: ReadableBooks
    upstreams: dict[str, FakeUpstream] = field(default_factory=dict)
    server: GatewayServer | None = None

    def in_flight(self) -> int:
        """Requests the gateway believes to be in flight, over all upstreams."""
        return sum(upstream.in_flight for upstream in self.fleet.upstreams.values())


Start = Callable[..., Any]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts a gateway: ``await start(mini="local", openai="cloud")``; ends with the test."""
    async with AsyncExitStack() as stack:

        async def start_gateway(
            policy: Policy | None = None,
            keys: Sequence[KeyConfig] = (),
            limits: Limits | None = None,
            **sides: Side,
        ) -> Running:
            fakes = {name: await stack.enter_async_context(FakeUpstream()) for name in sides}
            upstreams = [upstream_of(name, sides[name], fake.url) for name, fake in fakes.items()]
            running = await serve(stack, upstreams, policy or Policy(), keys, limits or Limits())
            running.upstreams.update(fakes)
            return running

        yield start_gateway


def upstream_of(name: str, side: Side, url: str, model: str | None = None) -> Upstream:
    """An upstream with one model, ``NAME-model`` unless told otherwise."""
    return Upstream(
        name, side, OpenAICompatible(url, "upstream-key"), (ModelFacts(model or f"{name}-model"),)
    )


async def serve(
    stack: AsyncExitStack,
    upstreams: Sequence[Upstream],
    policy: Policy,
    keys: Sequence[KeyConfig] = (),
    limits: Limits | None = None,
    grace_s: float = GRACE_S,
    **relay: Any,
) -> Running:
    """A gateway on a free port until the stack closes; ``relay`` are options of the relay."""
    gateway, running = _gateway(upstreams, policy, keys, limits or Limits(), relay)
    sock = bind("127.0.0.1", 0)
    server = running.server = GatewayServer(gateway, grace_s=grace_s)
    task = asyncio.create_task(server.serve(sockets=[sock]))
    stack.push_async_callback(_stop, server, task, running)
    running.port = sock.getsockname()[1]
    running.url = f"http://127.0.0.1:{running.port}/v1"
    return running


SMALL = Limits(max_body_bytes=100_000, body_silence_s=0.2)


@pytest.fixture
async def running(start: Start) -> Running:
    """A gateway with one node and one cloud, small limits."""
    started: Running = await start(mini="local", openai="cloud", limits=SMALL)
    return started


async def _stop(server: GatewayServer, task: asyncio.Task[None], running: Running) -> None:
    server.should_exit = True
    server.force_exit = True
    await task
    await running.fleet.close()


def _gateway(
    upstreams: Sequence[Upstream],
    policy: Policy,
    keys: Sequence[KeyConfig],
    limits: Limits,
    relay: dict[str, Any],
) -> tuple[Gateway, Running]:
    clock = SystemClock()
    fleet = Fleet(upstreams, clock)
    metrics = Metrics(fleet.snapshots, reasons.SPILLS)
    books = ReadableBooks(metrics)
    names = [upstream.name for upstream in upstreams]
    patient = structs.replace(policy, deadlines=policy.deadlines or dict.fromkeys(names, PATIENCE))
    gateway = Gateway(
        fleet=fleet,
        policy=patient,
        evidence=NoEvidence(),
        relay=Relay(fleet, books, clock, **relay),
        books=books,
        keys=KeyRing(keys),
        metrics=metrics,
        clock=clock,
        limits=limits,
    )
    return gateway, Running("", 0, fleet, books)
