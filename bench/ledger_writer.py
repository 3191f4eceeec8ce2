"""How much of a gateway's time the ledger takes: rows per second and CPU per row, by callers that wait.

Run: python bench/ledger_writer.py [--rows N] [--folder DIR]. Each caller builds the rows of one outcome,
hands them over and awaits the commit, as the relay does; CPU is that of the whole process, event loop and
ledger threads together.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from decimal import Decimal
from pathlib import Path

import uvloop

from spillway.ledger.cost import NodeRates, bill_of, reference_cost
from spillway.ledger.rows import LedgerRow, rows_of
from spillway.ledger.writer import LedgerWriter
from spillway.vocabulary import Attempt, Outcome, Rates, RequestFacts, Usage

CALLERS = (1, 16, 64, 256)
RATES = Rates(Decimal("0.15"), Decimal("0.6"), Decimal("0.075"))
NODE = NodeRates.of(
    price_usd=Decimal(2000), life_months=Decimal(48), active_w=Decimal(40), usd_per_kwh=Decimal("0.27")
)


def outcome_of(number: int) -> Outcome:
    """A local chat request as the relay settles it."""
    facts = RequestFacts(
        request_id=f"req_{time.time_ns():016x}{number & 0xFFFFFFFF:08x}",
        operation="chat",
        model="auto",
        is_stream=True,
        input_tokens=812,
        task="extraction",
        body_bytes=3120,
    )
    attempt = Attempt(
        index=0,
        upstream="mini",
        side="local",
        model="qwen3-4b-instruct",
        model_reported="qwen3-4b-instruct",
        started_s=0.0004,
        first_token_s=0.213,
        ended_s=1.73,
        status=200,
        finish_reason="stop",
        usage=Usage(812, 96, 512),
        in_flight=3,
    )
    return Outcome(
        facts=facts,
        accepted_wall_s=time.time(),
        total_s=1.731,
        ttft_s=0.2134,
        overhead_s=0.0004,
        attempts=(attempt,),
        reasons=("task_trusted_local", "most_headroom"),
        status=200,
        result="ok",
        response_bytes=5120,
    )


def row_of(outcome: Outcome) -> LedgerRow:
    """Its rows, priced."""
    bill = bill_of(outcome.attempts[0], None, NODE)
    usage = outcome.attempts[0].usage or Usage()
    return rows_of(outcome, [bill], reference_cost(usage, RATES), "openai/gpt-4o-mini")


async def measure(folder: Path, callers: int, rows: int) -> str:
    """One line of the table."""
    writer = LedgerWriter.at(f"sqlite:///{folder / f'bench-{callers}.db'}")
    await writer.start()
    outcomes = [outcome_of(number) for number in range(rows)]
    waits_s: list[float] = []

    async def caller(mine: list[Outcome]) -> None:
        for outcome in mine:
            begun = time.perf_counter()
            await writer.record(row_of(outcome))
            waits_s.append(time.perf_counter() - begun)

    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(caller(outcomes[start::callers]) for start in range(callers)))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    await writer.close()
    waits_s.sort()
    p50, p99 = waits_s[rows // 2] * 1e3, waits_s[rows * 99 // 100] * 1e3
    return f"{callers:>8} {rows / wall:>10,.0f} {cpu / rows * 1e6:>12.1f} {p50:>12.2f} {p99:>12.2f}"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description="What the ledger costs per request.")
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    outcomes = [outcome_of(number) for number in range(10_000)]
    begun = time.process_time()
    for outcome in outcomes:
        row_of(outcome)
    built_us = (time.process_time() - begun) / 10_000 * 1e6
    print(f"building rows and costs alone: {built_us:.1f} µs per request\n")
    print(" callers rows/s wall CPU µs/row  wait p50 ms  wait p99 ms")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for callers in CALLERS:
            rows = options.rows if callers > 1 else options.rows // 4
            print(uvloop.run(measure(Path(folder), callers, rows)))


if __name__ == "__main__":
    main()
