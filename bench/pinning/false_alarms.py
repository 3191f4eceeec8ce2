"""How often an unchanged node is called changed, and what looking costs it.

``python -m bench.pinning.false_alarms [--checks 1000] [--model FILE]``

A real embedded engine serves the demo model (or ``--model``). A check is an identity probe and a whole round
of canaries; the engine is restarted after each tenth of them, and half are made while a stranger's requests
are on its other slot. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import time
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from msgspec.structs import replace

from spillway.engines.embedded import EmbeddedEngine
from spillway.engines.http_client import HttpClient, fetch_json
from spillway.engines.identify import identify
from spillway.engines.wire import Origin
from spillway.pinning.answers import NodeAsker
from spillway.pinning.canaries import Canary, default_canaries
from spillway.pinning.identity import identities_of
from spillway.pinning.lock import Lock, LockedNode
from spillway.pinning.pin import pin_node
from spillway.pinning.review import review_node
from spillway.pinning.runs import always, certain, recheck
from spillway.pinning.survey import Target, look
from spillway.pinning.weights import WeightFiles

SCHEMA = "spillway.bench.pinning/1"
RESTARTS = 10
PROBES = 200


async def main(model: Path, checks: int) -> dict[str, Any]:
    """All figures of one run."""
    files = WeightFiles()
    engine = await _started(model)
    target = _target(engine)
    sight = await look(target, files)
    pinned = await pin_node(target, sight, Lock(), default_canaries(), "loaded")
    assert pinned.node is not None, pinned.why
    cost = await _cost(engine)
    alarms = {"identity": 0, "canary": 0}
    rounds_s: list[float] = []
    for index in range(RESTARTS):
        await engine.stop()
        engine = await _started(model)
        found = await _checks(engine, pinned.node, files, checks // RESTARTS, has_traffic=index % 2 == 1)
        alarms = {kind: alarms[kind] + found[kind] for kind in alarms}
        rounds_s += found["rounds_s"]
    slot_free_ms = await _interruptions(engine)
    await engine.stop()
    await files.close()
    canaries = sum(len(one.canaries) for one in pinned.node.models.values())
    return {
        "schema": SCHEMA,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, niced",
        "model": model.name,
        "checks": checks,
        "false_alarms": alarms,
        "canaries": canaries,
        **cost,
        "canary_round_s_median": round(median(rounds_s), 4),
        "canary_share_of_an_hour": round(median(rounds_s) / 3600, 7),
        "slot_free_after_interrupt_ms": slot_free_ms,
    }


async def _started(model: Path) -> EmbeddedEngine:
    engine = EmbeddedEngine(model, name="mini", slots=2, context_tokens=512, threads=1)
    await engine.start()
    return engine


def _target(engine: EmbeddedEngine) -> Target:
    return Target("mini", engine.url, "llamacpp", engine.api_key, is_embedded=True)


async def _cost(engine: EmbeddedEngine) -> dict[str, Any]:
    """What one probe takes of wall time and of the engine's own processor time."""
    client = HttpClient(Origin.parse(engine.url))
    await identify(client, "llamacpp", engine.api_key)
    before_s, walls_s = _cpu_s(engine.pid), []
    for _ in range(PROBES):
        started_s = time.perf_counter()
        found = await identify(client, "llamacpp", engine.api_key)
        identities_of(found)
        walls_s.append(time.perf_counter() - started_s)
    node_ms = None if before_s is None else 1000 * ((_cpu_s(engine.pid) or 0) - before_s) / PROBES
    await client.close()
    return {
        "probe_wall_ms_median": round(1000 * median(walls_s), 3),
        "probe_wall_ms_p99": round(1000 * quantiles(walls_s, n=100)[98], 3),
        "probe_node_cpu_ms": None if node_ms is None else round(node_ms, 3),
    }


def _cpu_s(pid: int | None) -> float | None:
    """Processor seconds a process has used; ``None`` where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _checks(
    engine: EmbeddedEngine, pinned: LockedNode, files: WeightFiles, count: int, *, has_traffic: bool
) -> dict[str, Any]:
    """So many probes, each with a whole round of canaries; false alarms of either, and seconds by round."""
    target = _target(engine)
    client = HttpClient(Origin.parse(engine.url))
    asker = NodeAsker(client, "llamacpp", engine.api_key)
    known = {canary.name: canary for canary in default_canaries()}
    identity, canary, rounds_s = 0, 0, []
    stranger = asyncio.create_task(_traffic(engine)) if has_traffic else None
    for _ in range(count):
        sight = await look(target, files)
        identity += not review_node("mini", pinned, sight.identities).is_equal
        started_s = time.perf_counter()
        records = pinned.models["mini"].canaries
        doubts = [
            await recheck(asker, "mini", known[name], record, always) for name, record in records.items()
        ]
        canary += bool(certain(doubts, len(records)))
        rounds_s.append(time.perf_counter() - started_s)
    if stranger is not None:
        stranger.cancel()
        await asyncio.gather(stranger, return_exceptions=True)
    await client.close()
    return {"identity": identity, "canary": canary, "rounds_s": rounds_s}


async def _traffic(engine: EmbeddedEngine) -> None:
    """A stranger's requests, one after another, so that canaries share batches with them."""
    client = HttpClient(Origin.parse(engine.url))
    asker = NodeAsker(client, "llamacpp", engine.api_key)
    index = 0
    while True:
        index += 1
        await asker.ask(
            Canary(name="x", task="other", prompt=f"number {index} of many", max_tokens=30), "mini"
        )


async def _interruptions(engine: EmbeddedEngine, count: int = 20) -> dict[str, float]:
    """How long after a canary is cancelled its slot is free, in milliseconds."""
    client = HttpClient(Origin.parse(engine.url))
    asker = NodeAsker(client, "llamacpp", engine.api_key)
    headers = [(b"authorization", b"Bearer " + engine.api_key.encode())]
    long = replace(default_canaries()[0], max_tokens=400)
    waits_ms = []
    for _ in range(count):
        task = asyncio.create_task(asker.ask(long, "mini"))
        await _until(client, headers, is_processing=True)
        started_s = time.perf_counter()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await _until(client, headers, is_processing=False)
        waits_ms.append(1000 * (time.perf_counter() - started_s))
    await client.close()
    return {"median": round(median(waits_ms), 1), "worst": round(max(waits_ms), 1)}


async def _until(
    client: HttpClient, headers: list[tuple[bytes, bytes]], *, is_processing: bool, limit_s: float = 10.0
) -> None:
    """Returns when the engine works on something, or on nothing any more; it has no event to wait for."""
    async with asyncio.timeout(limit_s):
        while True:
            _, slots = await fetch_json(client, "/slots", headers)
            listed = slots if isinstance(slots, list) else []
            if any(slot["is_processing"] for slot in listed) is is_processing:
                return
            await asyncio.sleep(0.0005)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checks", type=int, default=1000)
    parser.add_argument("--model", type=Path)
    options = parser.parse_args()
    if sys.platform != "win32":
        os.nice(19)
    from spillway.demo.model import demo_model_path

    print(json.dumps(asyncio.run(main(options.model or demo_model_path(), options.checks)), indent=2))
