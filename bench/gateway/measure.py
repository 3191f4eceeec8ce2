"""One pass over one gateway: started, measured against the upstream in alternating blocks, stopped."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from bench.gateway.load import Block, Job, run_job
from bench.gateway.procs import StartError, free_port, get_json, running, tree_cpu_s, tree_rss_mib
from bench.gateway.stats import Pair
from bench.gateway.targets import Headers, Target
from bench.gateway.wire import FLAT_MODEL, PACED_MODEL, http_request, large_body, plain_body, stream_body

__all__ = [
    "CLIENTS",
    "FULL",
    "QUICK",
    "Plan",
    "Session",
    "Used",
    "add_used",
    "measure_direct",
    "measure_target",
]

T = TypeVar("T")

CLIENTS = (1, 16, 64)
STREAM_CLIENTS = 16
SATURATING_CLIENTS = 64
FLAT_CLIENTS = 8
LARGE_CLIENTS = 8
PACED_PIECES = 20
SETTLE_S = 0.5
THINK_S = 0.05  # 16 and 64 clients then ask for about 320 and 1,280 requests a second


@dataclass(frozen=True)
class Plan:
    """How long each block runs, in seconds, and how often."""

    passes: int
    warm_s: float
    pairs: int
    block_s: float
    saturated_s: float
    large_s: float
    paced_pairs: int
    paced_s: float
    flat_s: float
    flat_pieces: int


FULL = Plan(
    passes=2,
    warm_s=0.6,
    pairs=3,
    block_s=0.7,
    saturated_s=2.5,
    large_s=1.2,
    paced_pairs=2,
    paced_s=1.6,
    flat_s=1.5,
    flat_pieces=2000,
)
QUICK = Plan(
    passes=1,
    warm_s=0.4,
    pairs=2,
    block_s=0.3,
    saturated_s=1.0,
    large_s=0.6,
    paced_pairs=1,
    paced_s=0.8,
    flat_s=0.5,
    flat_pieces=300,
)


@dataclass(frozen=True)
class Used:
    """What a block delivered and what the gateway used for it; ``cpu_s`` is None without a gateway."""

    requests: int
    pieces: int
    elapsed_s: float
    cpu_s: float | None


@dataclass
class Session:
    """Everything one pass found out; a measure that stands in ``errors`` has no valid figure."""

    cold_start_s: float | None = None
    rss_idle_mib: float | None = None
    rss_loaded_mib: float | None = None
    used: dict[str, Used] = field(default_factory=dict)  # saturated, large, paced, flat
    pairs: dict[str, list[Pair]] = field(default_factory=dict)  # clients_1 …, ttft
    errors: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Way:
    """One way to the upstream: through a gateway (``pid``) or straight (None)."""

    port: int
    headers: Headers
    pid: int | None


async def measure_target(
    target: Target, plan: Plan, upstream_port: int, folder: Path, core: int | None
) -> Session:
    """The session of one start; a gateway that does not start yields errors and no figures."""
    session = Session()
    port = free_port()
    launch = target.launch(folder, port, upstream_port)
    try:
        with running(
            launch.argv, env=launch.env, folder=folder, port=port, ready_path=launch.ready_path, core=core
        ) as process:
            session.cold_start_s = process.cold_start_s
            await asyncio.sleep(1.0)  # what it still does after it says ready belongs to idle memory
            session.rss_idle_mib = tree_rss_mib(process.pid)
            ways = (_Way(port, launch.headers, process.pid), _Way(upstream_port, (), None))
            await _Measurement(session, plan, ways, upstream_port).run()
            session.rss_loaded_mib = tree_rss_mib(process.pid)
    except StartError as error:
        session.errors["start"] = [str(error)]
    return session


async def measure_direct(plan: Plan, upstream_port: int) -> Session:
    """The session of the upstream itself: what load and upstream can do on their core."""
    session = Session()
    way = _Way(upstream_port, (), None)
    await _Measurement(session, plan, (way, way), upstream_port).run()
    return session


@dataclass
class _Measurement:
    session: Session
    plan: Plan
    ways: tuple[_Way, _Way]  # gateway, direct
    upstream_port: int

    async def run(self) -> None:
        """All measures, lightest first, so that memory after load comes last."""
        plan = self.plan
        await self._warm_up()
        for clients in CLIENTS:
            await self._pairs_of_answers(clients)
        await self._pairs_of_streams()
        await self._use("saturated", plain_body(), clients=SATURATING_CLIENTS, duration_s=plan.saturated_s)
        await self._use("large", large_body(), clients=LARGE_CLIENTS, duration_s=plan.large_s)
        flat = stream_body(FLAT_MODEL, plan.flat_pieces)
        await self._use("flat", flat, clients=FLAT_CLIENTS, duration_s=plan.flat_s, pieces=plan.flat_pieces)

    async def _warm_up(self) -> None:
        """Lazy imports, compilers and connection pools are behind us; errors count as any other."""
        for body, pieces in ((plain_body(), None), (stream_body(PACED_MODEL, 5), 5)):
            for _ in range(2):
                await self._block(
                    "warm_up", self.ways[0], body, pieces=pieces, clients=8, duration_s=self.plan.warm_s
                )

    async def _pairs_of_answers(self, clients: int) -> None:
        name = f"clients_{clients}"
        think_s = THINK_S if clients > 1 else 0.0
        found: list[Pair] = []
        for number in range(self.plan.pairs):
            sides: list[tuple[float, ...]] = []
            for way in _in_turn(self.ways, number):
                block = await self._block(
                    name,
                    way,
                    plain_body(),
                    clients=clients,
                    duration_s=self.plan.block_s,
                    think_s=think_s,
                    seed=number,
                )
                sides.append(block.latency_s)
            found.append(Pair(*_in_turn(sides, number)))
        self.session.pairs[name] = found

    async def _pairs_of_streams(self) -> None:
        found: list[Pair] = []
        uses: list[Used] = []
        for number in range(self.plan.paced_pairs):
            sides: list[tuple[float, ...]] = []
            for way in _in_turn(self.ways, number):
                before_s = _cpu_s(way)
                block = await self._block(
                    "ttft",
                    way,
                    stream_body(PACED_MODEL, PACED_PIECES),
                    clients=STREAM_CLIENTS,
                    duration_s=self.plan.paced_s,
                    pieces=PACED_PIECES,
                    spread_s=0.4,
                )
                sides.append(block.ttft_s)
                if way is self.ways[0]:
                    uses.append(_used(block, before_s, await _settled_cpu_s(way)))
            found.append(Pair(*_in_turn(sides, number)))
        self.session.pairs["ttft"] = found
        self.session.used["paced"] = add_used(uses)

    async def _use(
        self, name: str, body: bytes, *, clients: int, duration_s: float, pieces: int | None = None
    ) -> None:
        way = self.ways[0]
        before_s = _cpu_s(way)
        block = await self._block(name, way, body, clients=clients, duration_s=duration_s, pieces=pieces)
        self.session.used[name] = _used(block, before_s, await _settled_cpu_s(way))

    async def _block(
        self,
        name: str,
        way: _Way,
        body: bytes,
        *,
        clients: int,
        duration_s: float,
        pieces: int | None = None,
        think_s: float = 0.0,
        spread_s: float = 0.0,
        seed: int = 1,
    ) -> Block:
        served_before = self._served()
        request = http_request(body, way.port, way.headers)
        block = await run_job(
            Job(way.port, request, clients, duration_s, pieces, think_s=think_s, spread_s=spread_s, seed=seed)
        )
        forwarded = self._served() - served_before
        errors = list(block.errors)
        if not errors and forwarded != block.requests:
            errors.append(f"{block.requests} answers, but the upstream was asked {forwarded} times")
        if errors:
            side = "direct" if way.pid is None else "gateway"
            self.session.errors.setdefault(name, []).extend(f"{side}: {error}" for error in errors)
        return block

    def _served(self) -> int:
        return int(json.loads(get_json(self.upstream_port, "/bench/served")[1])["requests"])


def add_used(parts: Sequence[Used]) -> Used:
    """The sum; its ``cpu_s`` is None when any part's is."""
    cpu_s = [part.cpu_s for part in parts if part.cpu_s is not None]
    return Used(
        sum(part.requests for part in parts),
        sum(part.pieces for part in parts),
        sum(part.elapsed_s for part in parts),
        sum(cpu_s) if parts and len(cpu_s) == len(parts) else None,
    )


def _in_turn(two: Sequence[T], number: int) -> tuple[T, T]:
    """The two, swapped for odd numbers, so that neither side always runs first."""
    return (two[0], two[1]) if number % 2 == 0 else (two[1], two[0])


def _used(block: Block, before_s: float | None, after_s: float | None) -> Used:
    cpu_s = None if before_s is None or after_s is None else after_s - before_s
    return Used(block.requests, block.pieces, block.elapsed_s, cpu_s)


def _cpu_s(way: _Way) -> float | None:
    return None if way.pid is None else tree_cpu_s(way.pid)


async def _settled_cpu_s(way: _Way) -> float | None:
    """CPU seconds once what the gateway put off until after the answers (ledger, logs) is done."""
    await asyncio.sleep(SETTLE_S)
    return _cpu_s(way)
