"""Real engine, real gateway, three times the load it can carry: with the policy, and what would have been.

::

    python -m bench.admission.run [--duration 30] [--overload 3] [--blocks 120] [--json]

The node is the demo model's slow twin on the embedded llama.cpp. First its capacity is measured (as many
callers as slots, one request after another). Then the same random arrivals come twice at ``overload`` times
that rate: once routed (``auto``, with the objective), once all to the node (pinned local), which is what a
gateway without admission does. The cloud is simulated: measured latencies, nothing is sent anywhere.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.admission.callers import Seen, closed_loop, open_loop, scraped
from bench.admission.scene import OBJECTIVE_TOTAL_MS, OBJECTIVE_TTFT_MS, SLOTS, scene
from spillway.demo.shop import messages

CAPACITY_S = 8.0
WARM_UP = 20


@dataclass(frozen=True)
class Figures:
    """What one run came to."""

    policy: str
    requests: int
    errors: int
    attainment: float
    local_share: float
    busy_ratio: float
    """Share of the time in which the node worked on something."""
    slots_ratio: float
    """Mean share of its slots taken."""
    local_attainment: float | None
    ttft_p50_ms: float
    ttft_p95_ms: float
    total_p95_ms: float
    overhead_p50_ms: float | None
    overhead_p95_ms: float | None
    """Time in the gateway before a local request was sent, waiting for a slot included."""


def figures(policy: str, seen: Sequence[Seen], duration_s: float) -> Figures:
    """The figures of one run; times are the caller's own, busy time is that of local answers."""
    good = [s for s in seen if s.error is None]
    local = [s for s in good if s.side == "local"]
    overheads = sorted(s.overhead_s for s in local if s.overhead_s is not None)
    in_time = [s for s in good if s.is_in_time(OBJECTIVE_TTFT_MS, OBJECTIVE_TOTAL_MS)]
    local_in_time = [s for s in local if s.is_in_time(OBJECTIVE_TTFT_MS, OBJECTIVE_TOTAL_MS)]
    busy = _busy_s([(s.sent_s + (s.overhead_s or 0.0), s.sent_s + s.total_s) for s in local], duration_s)
    held = sum(
        max(0.0, min(s.sent_s + s.total_s, duration_s) - s.sent_s - (s.overhead_s or 0.0)) for s in local
    )
    return Figures(
        policy=policy,
        requests=len(seen),
        errors=len(seen) - len(good),
        attainment=len(in_time) / max(1, len(seen)),
        local_share=len(local) / max(1, len(seen)),
        busy_ratio=busy / duration_s,
        slots_ratio=held / duration_s / SLOTS,
        local_attainment=len(local_in_time) / len(local) if local else None,
        ttft_p50_ms=1000 * _rank([s.ttft_s for s in good], 0.5),
        ttft_p95_ms=1000 * _rank([s.ttft_s for s in good], 0.95),
        total_p95_ms=1000 * _rank([s.total_s for s in good], 0.95),
        overhead_p50_ms=1000 * _rank(overheads, 0.5) if overheads else None,
        overhead_p95_ms=1000 * _rank(overheads, 0.95) if overheads else None,
    )


def _busy_s(intervals: Sequence[tuple[float, float]], until_s: float) -> float:
    """Length of the union of the intervals, up to ``until_s``."""
    total, reached = 0.0, 0.0
    for start, end in sorted(intervals):
        start, end = max(start, reached), min(end, until_s)
        if end > start:
            total += end - start
            reached = end
    return total


def _rank(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


async def measure(duration_s: float, overload: float, blocks: int, seed: int) -> dict[str, object]:
    """Capacity, then both runs."""
    with tempfile.TemporaryDirectory(prefix="spillway-bench-") as folder:
        async with scene(Path(folder), blocks) as url:
            texts = [message.text for message in messages(seed, 20_000)]
            await closed_loop(url, texts[:WARM_UP], SLOTS, 30.0, pin="local")
            alone = await closed_loop(url, texts, SLOTS, CAPACITY_S, pin="local")
            rate = len(alone) / CAPACITY_S
            generator = random.Random(seed)
            arrivals, now_s = [], 0.0
            while now_s < duration_s:
                now_s += generator.expovariate(overload * rate)
                arrivals.append(now_s)
            routed = await open_loop(url, texts, arrivals, pin=None)
            told = await scraped(url)
            pinned = await open_loop(url, texts, arrivals, pin="local")
    return {
        "schema": "spillway.bench.admission/1",
        "capacity_rps": rate,
        "overload": overload,
        "slots": SLOTS,
        "objective": {"ttft_ms": OBJECTIVE_TTFT_MS, "total_ms": OBJECTIVE_TOTAL_MS, "attainment": 0.95},
        "calibration": calibration(told),
        "runs": [
            asdict(figures("admission by forecast", routed, duration_s)),
            asdict(figures("off: everything local", pinned, duration_s)),
        ],
        "notes": ["the cloud is simulated: measured latencies, nothing is sent anywhere"],
    }


def calibration(told: dict[str, float]) -> dict[str, float | None]:
    """What the gateway's own metrics say of its forecasts, warm-up and capacity run included."""

    def share(name: str, label: str, **labels: str) -> float | None:
        counts = {
            value: sum(
                count
                for line, count in told.items()
                if line.startswith(name)
                and f'{label}="{value}"' in line
                and all(f'{key}="{other}"' in line for key, other in labels.items())
            )
            for value in ("true", "false")
        }
        total = counts["true"] + counts["false"]
        return counts["true"] / total if total else None

    return {
        "admitted_kept_ratio": share("spillway_admitted_total", "kept"),
        "ttft_p95_held_ratio": share("spillway_forecast_p95_total", "held", quantity="ttft"),
        "total_p95_held_ratio": share("spillway_forecast_p95_total", "held", quantity="total"),
    }


def show(found: dict[str, object]) -> str:
    """A table for people."""
    runs = found["runs"]
    assert isinstance(runs, list)
    capacity, overload = found["capacity_rps"], found["overload"]
    head = f"capacity {capacity!s:.5} requests/s, offered {overload}x, {found['slots']} slots"
    lines = [head]
    for name in runs[0]:
        cells = [_cell(run[name]) for run in runs]
        lines.append(f"{name:18}" + "".join(f"{cell:>24}" for cell in cells))
    lines.append(f"calibration {found['calibration']}")
    return "\n".join(lines)


def _cell(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def main() -> None:
    """Parses, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--duration", type=float, default=30.0)
    parser.add_argument("--overload", type=float, default=3.0)
    parser.add_argument("--blocks", type=int, default=120)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = asyncio.run(measure(given.duration, given.overload, given.blocks, given.seed))
    print(json.dumps(found) if given.json else show(found))


if __name__ == "__main__":
    main()
