"""Thousands of streams at once through the real gateway, with random faults and callers that leave.

::

    python -m bench.soak.run [--streams 2000] [--minutes 10] [--gap 1.0] [--seed 1] [--json]

Passes when memory stays flat, nothing is left in flight, no task or connection is left over, no answer was
truncated and called complete, and the ledger holds every request once, with every attempt the upstreams saw.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.soak.callers import Tally, call_until
from bench.soak.pipe import Child, child

__all__ = ["Report", "main", "soak"]

LOOK_EVERY_S = 5.0
SETTLE_S = 12.0
"""How long after the last answer the gateway may take to let go of everything."""
GROWTH_RATIO, GROWTH_MIB = 0.10, 8.0
"""Memory may be so much larger at the end than after the first third; caches fill for a while."""
FILES_LEFT = 800
"""Idle connections to three upstreams may stay open: up to 256 each."""


@dataclass(frozen=True)
class Report:
    """What a soak came to; ``problems`` is empty when it passed."""

    streams: int
    minutes: float
    requests: int
    seen: dict[str, int]
    slowest_s: float
    rps: float
    gateway_cpu_ratio: float
    rss_mib: tuple[float, ...]
    """At every look, every so many seconds."""
    most_in_flight: int
    at_rest: dict[str, Any]
    served: int
    ledger_requests: int
    ledger_attempts: int
    ledger_results: dict[str, int]
    problems: tuple[str, ...]


def configuration(urls: dict[str, str], streams: int, folder: Path) -> dict[str, Any]:
    """Two nodes for two thirds of the streams, a cloud for the rest; quick to give up on the silent."""
    deadlines = {"connect_s": 2, "first_token_s": 4, "stall_s": 4, "total_s": 60}
    nodes = [
        {
            "name": name,
            "url": urls[name],
            "engine": "openai",
            "slots": max(1, streams // 3),
            "deadlines": deadlines,
        }
        for name in ("one", "two")
    ]
    cloud = {"name": "sky", "url": urls["sky"], "models": ["sky-model"], "deadlines": deadlines}
    return {
        "nodes": nodes,
        "clouds": [{**cloud, "simulated": "soak"}],
        "slo": {"default": {}},
        "ledger": f"sqlite:///{folder / 'soak.db'}",
        "prices": {"sky/sky-model": {"input_usd_per_mtok": 0.15, "output_usd_per_mtok": 0.6}},
    }


async def soak(streams: int, minutes: float, gap_s: float, seed: int) -> Report:
    """Runs one soak to its end."""
    with tempfile.TemporaryDirectory(prefix="spillway-soak-") as name:
        folder = Path(name)
        async with child("bench.soak.upstreams", str(seed), str(gap_s)) as upstreams:
            urls = await upstreams.told()
            path = folder / "spillway.yaml"
            path.write_text(json.dumps(configuration(urls, streams, folder)))
            async with child("bench.soak.gateway", str(path)) as gateway:
                port = (await gateway.told())["port"]
                tally, looks = await _run(streams, minutes, seed, port, gateway, upstreams)
                at_rest, served = await _rest(gateway, upstreams)
        return _report(streams, minutes, tally, looks, at_rest, served, _ledger(folder / "soak.db"))


async def _run(
    streams: int, minutes: float, seed: int, port: int, gateway: Child, upstreams: Child
) -> tuple[Tally, list[dict[str, Any]]]:
    loop = asyncio.get_running_loop()
    tally, looks = Tally(), [await gateway.ask()]
    end_s = loop.time() + 60 * minutes
    callers = [asyncio.create_task(call_until(end_s, port, n, tally, seed)) for n in range(streams)]
    while not all(caller.done() for caller in callers):
        await asyncio.wait(callers, timeout=LOOK_EVERY_S, return_when=asyncio.ALL_COMPLETED)
        looks.append(await gateway.ask())
        await upstreams.ask()
        if sys.stderr.isatty():
            look = looks[-1]
            print(
                f"{look['rss_mib']:.0f} MiB, {look['in_flight']} in flight, {dict(tally.seen)}",
                file=sys.stderr,
            )
    await asyncio.gather(*callers)
    return tally, looks


async def _rest(gateway: Child, upstreams: Child) -> tuple[dict[str, Any], int]:
    """State of the gateway once it has let go of everything, or when it did not in time."""
    deadline_s = asyncio.get_running_loop().time() + SETTLE_S
    while True:
        state, counts = await gateway.ask(), await upstreams.ask()
        is_at_rest = not (state["in_flight"] or state["backlog"] or counts["in_flight"])
        if is_at_rest or asyncio.get_running_loop().time() > deadline_s:
            return {**state, "upstreams_in_flight": counts["in_flight"]}, sum(counts["served"].values())
        await asyncio.sleep(0.5)


@dataclass(frozen=True)
class Ledger:
    """What the ledger holds."""

    requests: int
    attempts: int
    results: dict[str, int]
    doubles: int
    unsent: int
    """Attempts whose caller left, or that lost a race, perhaps before the upstream had the request."""
    unexplained: int
    """Attempts without a code that did not answer, and requests without attempts that were answered."""


def _ledger(path: Path) -> Ledger:
    with sqlite3.connect(path) as base:

        def number(query: str) -> int:
            return int(base.execute(query).fetchone()[0])

        return Ledger(
            number("SELECT count(*) FROM requests"),
            number("SELECT count(*) FROM attempts"),
            dict(base.execute("SELECT result, count(*) FROM requests GROUP BY result").fetchall()),
            number(
                "SELECT count(*) FROM (SELECT client_request_id FROM requests"
                " GROUP BY client_request_id HAVING count(*) > 1)"
            ),
            number("SELECT count(*) FROM attempts WHERE error_code IN ('client_closed', 'hedge_lost')"),
            number(
                "SELECT count(*) FROM requests r WHERE result = 'ok' AND NOT EXISTS (SELECT 1 FROM attempts a"
                " WHERE a.request_id = r.request_id AND a.error_code IS NULL AND a.output_tokens IS NOT NULL)"
            ),
        )


def _report(
    streams: int,
    minutes: float,
    tally: Tally,
    looks: list[dict[str, Any]],
    at_rest: dict[str, Any],
    served: int,
    ledger: Ledger,
) -> Report:
    elapsed_s = looks[-1]["at_s"] - looks[0]["at_s"]
    return Report(
        streams=streams,
        minutes=minutes,
        requests=tally.asked,
        seen=dict(tally.seen),
        slowest_s=round(tally.slowest_s, 2),
        rps=round(tally.asked / elapsed_s, 1),
        gateway_cpu_ratio=round((looks[-1]["cpu_s"] - looks[0]["cpu_s"]) / elapsed_s, 3),
        rss_mib=tuple(round(look["rss_mib"], 1) for look in looks),
        most_in_flight=max(look["in_flight"] for look in looks),
        at_rest=at_rest,
        served=served,
        ledger_requests=ledger.requests,
        ledger_attempts=ledger.attempts,
        ledger_results=ledger.results,
        problems=tuple(_problems(tally, looks, at_rest, served, ledger)),
    )


def _problems(
    tally: Tally, looks: list[dict[str, Any]], at_rest: dict[str, Any], served: int, ledger: Ledger
) -> list[str]:
    found = list(tally.wrong)
    memory = [look["rss_mib"] for look in looks]
    early, late = max(memory[: max(2, len(memory) // 3)]), max(memory)
    if late > early * (1 + GROWTH_RATIO) + GROWTH_MIB:
        found.append(f"memory grew from {early:.0f} to {late:.0f} MiB")
    counts = ("in_flight", "waiting", "backlog", "upstreams_in_flight")
    found += [f"{at_rest[name]} left in {name}" for name in counts if at_rest[name]]
    if at_rest["tasks"] > looks[0]["tasks"] + 2:
        found.append(f"{at_rest['tasks']} tasks at rest, {looks[0]['tasks']} before")
    if at_rest["files"] > looks[0]["files"] + FILES_LEFT:
        found.append(f"{at_rest['files']} open files at rest, {looks[0]['files']} before")
    return found + _ledger_problems(tally, served, ledger)


def _ledger_problems(tally: Tally, served: int, ledger: Ledger) -> list[str]:
    """A caller that leaves at once may leave before its request had arrived: such a one need not be there."""
    found = []
    stayed = tally.asked - tally.seen["left"]
    if not stayed <= ledger.requests <= tally.asked or ledger.doubles:
        found.append(
            f"{ledger.requests} requests in the ledger, {ledger.doubles} twice; {tally.asked} were made"
        )
    if not ledger.attempts - ledger.unsent <= served <= ledger.attempts:
        found.append(f"{ledger.attempts} attempts in the ledger, {served} requests at the upstreams")
    results = ledger.results
    if not tally.seen["complete"] <= results.get("ok", 0) <= tally.seen["complete"] + tally.seen["left"]:
        found.append(f"{results.get('ok', 0)} answers in the ledger, callers saw {tally.seen['complete']}")
    if ledger.unexplained:
        found.append(f"{ledger.unexplained} answered requests without an attempt that answered")
    return found


def main() -> int:
    """0 passed, 1 when something leaked, was wrong or was missing."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak.run", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--streams", type=int, default=2000, help="callers at once")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--gap", type=float, default=1.0, help="mean seconds between two tokens")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    given = parser.parse_args()
    report = asyncio.run(soak(given.streams, given.minutes, given.gap, given.seed))
    if given.json:
        print(json.dumps({"schema": "spillway.soak/1", **asdict(report)}))
    else:
        for name, value in asdict(report).items():
            print(f"{name}: {value}")
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
