"""The headers and fields that tell a caller where an answer came from and what it cost."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import Any

from spillway.relay.run import Run, total_usd
from spillway.vocabulary import Choice, Usage

__all__ = ["cost_fields", "response_headers", "usd"]

Headers = list[tuple[bytes, bytes]]
PASSED_ON = (b"openai-", b"x-ratelimit-")
"""Upstream headers with these beginnings reach the client."""


@lru_cache(maxsize=1024)
def _origin(upstream: str, side: str, reasons: tuple[str, ...]) -> Headers:
    return [
        (b"x-spillway-upstream", upstream.encode()),
        (b"x-spillway-side", side.encode()),
        (b"x-spillway-reason", ",".join(reasons).encode()),
    ]


def response_headers(run: Run, choice: Choice, upstream_headers: Headers, content_type: bytes) -> Headers:
    """All headers of an answer from ``choice`` but its length and cost."""
    headers = [
        (b"content-type", content_type),
        (b"x-request-id", run.job.facts.shown_id.encode("latin-1")),
        *_origin(choice.upstream, choice.side, run.reasons),
        (b"x-spillway-attempts", b"%d" % run.started),
        (b"x-spillway-overhead-ms", b"%.2f" % (1000 * (run.first_sent_s or 0.0))),
    ]
    if choice.drift:
        headers.append((b"x-spillway-drift", ",".join(choice.drift).encode()))
    if choice.side == "cloud":
        headers += [pair for pair in upstream_headers if pair[0].startswith(PASSED_ON)]
    return headers


def usd(amount: Decimal | None) -> bytes:
    """An amount for a header: plain digits, or ``unknown``."""
    return b"unknown" if amount is None else f"{amount:.12f}".rstrip("0").rstrip(".").encode()


def cost_fields(run: Run, choice: Choice, usage: Usage | None) -> dict[str, Any]:
    """What is merged into ``usage`` where the client asked for it: costs of all attempts; null is unknown."""
    total = total_usd(run.bills)
    cloud, local = run.bills_of("cloud"), run.bills_of("local")
    spillway = {
        "upstream": choice.upstream,
        "side": choice.side,
        "reasons": list(run.reasons),
        "attempts": run.started,
        "request_id": run.job.facts.request_id,
        "tokens_grade": None if usage is None else usage.grade,
    }
    if run.seam is not None:
        spillway["continued"] = True
    return {
        "cost": None if total is None else float(total),
        "cost_details": {
            "price_usd": _sum([bill.price_usd for bill in cloud]),
            "energy_usd": _sum([bill.energy_usd for bill in local]),
            "amortisation_usd": _sum([bill.amortisation_usd for bill in local]),
        },
        "spillway": spillway,
    }


def _sum(amounts: list[Decimal | None]) -> float | None:
    """All of them together; ``None`` when one is unknown or there is none."""
    known = [amount for amount in amounts if amount is not None]
    return float(sum(known)) if known and len(known) == len(amounts) else None
