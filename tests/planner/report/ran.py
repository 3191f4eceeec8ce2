"""A run whose figures are all different, so that one shown for another is seen."""

from __future__ import annotations

from decimal import Decimal

from spillway.planner.plan_runs import Ran, Run
from spillway.routing import reasons

SPILLS = {reasons.FULL: 300, reasons.SLO_TTFT: 100}
RAN = Ran(
    run=Run(2),
    requests=1000,
    requests_per_s=0.1,
    local_share=0.61,
    local_token_share=0.62,
    useful_share=0.53,
    avoided_share=Decimal("0.44"),
    attainment=0.85,
    local_attainment=0.76,
    goodput_rps=0.07,
    ttft_p50_s=1.0,
    ttft_p95_s=2.0,
    ttft_p99_s=3.0,
    total_p50_s=4.0,
    total_p95_s=5.0,
    total_p99_s=6.0,
    busy_ratio=0.37,
    kwh_per_month=28.0,
    spills=SPILLS,
    local_by_hour=tuple(float(hour) for hour in range(24)),
    cloud_by_hour=tuple(float(100 - hour) for hour in range(24)),
)
"""Two nodes that took 610 requests of a thousand."""

MEASURED = {
    "local_share": 0.61,
    "local_token_share": 0.62,
    "slo_attainment": 0.85,
    "goodput_rps": 0.07,
    "ttft_p50_ms": 1000.0,
    "ttft_p95_ms": 2000.0,
    "ttft_p99_ms": 3000.0,
    "total_p50_ms": 4000.0,
    "total_p95_ms": 5000.0,
    "total_p99_ms": 6000.0,
    "utilisation": 0.37,
    "kwh_per_month": 28.0,
}
"""The same as ``spillway.plan/1`` tells it."""
