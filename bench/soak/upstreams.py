"""Upstreams of the soak, in a process of their own: mostly healthy and slow, now and then broken in any way.

``python -m bench.soak.upstreams SEED GAP_S`` prints one JSON line with the URLs, then one with the counts for
each line that it reads.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import Callable

from bench.soak.pipe import lines
from spillway.testing.fake_upstream import FakeUpstream, Fault, Reply

__all__ = ["FAULTS", "NAMES", "main"]

NAMES = ("one", "two", "sky")
FAULTY_RATIO = 0.2
"""Share of requests to a local upstream that meet a fault; the cloud has a tenth of it."""
FAULTS = (
    *(Fault.CUT, Fault.CUT_CLEAN, Fault.RESET_MID_STREAM, Fault.STALLED, Fault.MALFORMED_EVENT),
    *(Fault.MISSING_DONE, Fault.MISSING_USAGE, Fault.NEVER_ENDS, Fault.ERROR_500, Fault.ERROR_EVENT),
    *(Fault.CLOSED_BEFORE_HEADERS, Fault.RESET_AFTER_HEADERS, Fault.HEADERS_THEN_SILENT, Fault.SILENT),
    *(Fault.RATE_LIMITED, Fault.EMPTY_BODY, Fault.HTML_200, Fault.MALFORMED_FRAMING, Fault.KEEP_ALIVE_TRAP),
)


def chooser(seed: int, faulty_ratio: float, gap_s: float) -> Callable[[], Reply]:
    """Makes the replies of one upstream, the same for the same seed."""
    generator = random.Random(seed)

    def choose() -> Reply:
        if generator.random() < faulty_ratio:
            return Reply(fault=generator.choice(FAULTS), after=generator.randint(1, 8))
        return Reply(fault=Fault.SLOW_TOKENS, gap_s=gap_s * generator.uniform(0.5, 1.5))

    return choose


async def main(seed: int, gap_s: float) -> None:
    """Serves until its input ends."""
    ratios = (FAULTY_RATIO, FAULTY_RATIO, FAULTY_RATIO / 10)
    upstreams = [
        FakeUpstream(default=chooser(seed + at, ratio, gap_s), models=(f"{name}-model",))
        for at, (name, ratio) in enumerate(zip(NAMES, ratios, strict=True))
    ]
    served = dict.fromkeys(NAMES, 0)
    for upstream in upstreams:
        await upstream.__aenter__()
    print(json.dumps({name: u.url for name, u in zip(NAMES, upstreams, strict=True)}), flush=True)

    def count() -> dict[str, object]:
        for name, upstream in zip(NAMES, upstreams, strict=True):
            served[name] += len(upstream.received)
            upstream.received.clear()
            upstream.probes.clear()
        return {"served": dict(served), "in_flight": sum(u.in_flight for u in upstreams)}

    async for _ in lines():
        print(json.dumps(count()), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
