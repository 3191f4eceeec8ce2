"""The relay alone: handmade decisions, a fleet of scriptable upstreams, a client that keeps what it gets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, MutableMapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

from spillway.api.facts import Ids, parse_request
from spillway.clock import SystemClock
from spillway.engines.openai_compatible import OpenAICompatible
from spillway.errors import RequestError
from spillway.fleet.registry import Fleet, Upstream
from spillway.relay.commit import Client
from spillway.relay.relay import Relay
from spillway.relay.run import Job
from spillway.testing.fake_upstream import FakeUpstream, Fault, Reply
from spillway.testing.raw_client import MESSAGES, event_data
from spillway.vocabulary import (
    Attempt,
    Bill,
    Choice,
    Deadlines,
    Decision,
    ModelFacts,
    Operation,
    Outcome,
    Side,
)

QUICK = Deadlines(connect_s=1.0, first_token_s=0.4, stall_s=0.3, total_s=3.0, load_s=1.0)
"""Short, so that silent upstreams are given up quickly."""


class PlainBooks:
    """Keeps outcomes; an attempt with usage costs a cent in the cloud, nothing at home."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.bills: list[list[Bill]] = []

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
        self.bills.append(list(bills))


@dataclass
class Got:
    """What the client got."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    error: RequestError | None = None
    outcome: Outcome | None = None
    pieces: list[bytes] = field(default_factory=list)

    @property
    def json(self) -> Any:
        """The body parsed."""
        return json.loads(self.body)

    @property
    def data(self) -> list[str]:
        """The data of every event."""
        return event_data(self.body)

    @property
    def chunks(self) -> list[dict[str, Any]]:
        """Every event's JSON but ``[DONE]``."""
        return [json.loads(data) for data in self.data if data != "[DONE]"]

    @property
    def choices(self) -> list[dict[str, Any]]:
        """The choices of all chunks."""
        return [choice for chunk in self.chunks for choice in chunk.get("choices", ())]

    @property
    def text(self) -> str:
        """What the client has read, streamed or whole, chat or not."""
        if not self.data:
            first = self.json["choices"][0]
            return str(first["message"]["content"] if "message" in first else first["text"])
        return "".join((c.get("delta") or {}).get("content") or c.get("text") or "" for c in self.choices)

    @property
    def is_whole_stream(self) -> bool:
        """Whether it ended as complete streams do."""
        return self.data[-1] == "[DONE]" and any(choice.get("finish_reason") for choice in self.choices)

    @property
    def attempts(self) -> list[tuple[str, str, str | None]]:
        """Upstream, kind and error of every attempt, as they ended."""
        assert self.outcome is not None
        return [(a.upstream, a.kind, a.error_code) for a in self.outcome.attempts]


@dataclass
class Stage:
    """A relay with its upstreams."""

    fakes: dict[str, FakeUpstream]
    fleet: Fleet
    books: PlainBooks
    relay: Relay
    deadlines: Deadlines = QUICK
    asked: int = 0

    def choices(self, *names: str) -> tuple[Choice, ...]:
        """Those upstreams, or all in their order."""
        fleet = self.fleet.upstreams
        return tuple(
            Choice(n, fleet[n].side, fleet[n].models[0].name, self.deadlines) for n in names or tuple(fleet)
        )

    def job(self, operation: Operation = "chat", **given: Any) -> Job:
        """A request whose decision is made of the keyword arguments that a decision has."""
        wishes = {name: given.pop(name) for name in Decision.__struct_fields__ if name in given}
        wishes.setdefault("choices", self.choices())
        wishes.setdefault("reasons", ("name_auto",))
        body: dict[str, Any] = {"model": "auto", **given}
        if operation == "chat":
            body.setdefault("messages", MESSAGES)
        elif operation == "completion":
            body.setdefault("prompt", "where is my order")
        raw = json.dumps(body).encode()
        self.asked += 1
        parsed = parse_request(operation, raw, {}, Ids(f"req_{self.asked}"), None)
        now = SystemClock()
        return Job(parsed.facts, parsed.payload, Decision(**wishes), now.monotonic_s(), now.wall_s())

    async def ask(self, operation: Operation = "chat", **given: Any) -> Got:
        """One request carried out to its end."""
        return await self.carry_out(self.job(operation, **given))

    async def carry_out(self, job: Job) -> Got:
        """What the client of that job gets."""
        got = Got()

        async def send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                got.status = message["status"]
                got.headers = {k.decode(): v.decode() for k, v in message["headers"]}
            else:
                got.body += message["body"]
                got.pieces.append(message["body"])
            await asyncio.sleep(0)

        try:
            await self.relay.carry_out(job, Client(send))
        except RequestError as error:
            got.status, got.error = error.status, error
        settled = [o for o in self.books.outcomes if o.facts.request_id == job.facts.request_id]
        assert len(settled) == 1, "every request is settled exactly once"
        got.outcome = settled[0]
        return got

    def in_flight(self) -> int:
        """Requests that the gateway believes to be in flight."""
        return sum(upstream.in_flight for upstream in self.fleet.upstreams.values())


SetUp = Callable[..., Any]


@pytest.fixture
async def stage() -> AsyncIterator[SetUp]:
    """Sets a stage: ``await stage(mini="local", cloud="cloud")``; relay options go into ``relay``."""
    async with AsyncExitStack() as stack:

        async def set_up(
            relay: dict[str, Any] | None = None,
            kinds: dict[str, str] | None = None,
            deadlines: Deadlines = QUICK,
            **sides: Side,
        ) -> Stage:
            fakes = {name: await stack.enter_async_context(FakeUpstream()) for name in sides}
            upstreams = [
                Upstream(
                    name,
                    sides[name],
                    OpenAICompatible(fake.url, "key"),
                    (ModelFacts(f"{name}-model"),),
                    kind=(kinds or {}).get(name, "openai"),
                )
                for name, fake in fakes.items()
            ]
            clock, books = SystemClock(), PlainBooks()
            fleet = Fleet(upstreams, clock)
            stack.push_async_callback(fleet.close)
            return Stage(fakes, fleet, books, Relay(fleet, books, clock, **(relay or {})), deadlines)

        yield set_up


def script(stage: Stage, name: str, *faults: Fault | Reply) -> None:
    """What the next requests at that upstream get."""
    stage.fakes[name].script(*faults)
