"""A plan as the JSON that scripts rely on: ``spillway.plan/1``."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from spillway.planner.breakeven import Band
from spillway.planner.plan import FleetLine, Plan
from spillway.planner.plan_inputs import Value
from spillway.planner.plan_runs import Ran
from spillway.planner.plan_side import MachineLine, PolicyLine
from spillway.planner.report.words import label_of

__all__ = ["SCHEMA", "dumps", "to_json"]

SCHEMA = "spillway.plan/1"


def dumps(plan: Plan) -> str:
    """One JSON object as text."""
    return json.dumps(to_json(plan), ensure_ascii=False, allow_nan=False)


def to_json(plan: Plan) -> dict[str, Any]:
    """The plan as plain values. Shares are 0–1, ``None`` is unknown or never."""
    return {
        "schema": SCHEMA,
        "verdict": "pays" if plan.is_worth_it else "never",
        "reason": plan.reason,
        "break_even_months": _band(plan.band) if plan.is_worth_it else None,
        "recommended_nodes": plan.recommended_nodes,
        "shown_nodes": plan.shown_nodes,
        "pays_ratio": _number(plan.band.pays_ratio),
        "saved_usd": _saved(plan.band),
        "preset": plan.inputs.preset,
        "seed": plan.inputs.seed,
        "naive": _naive(plan),
        "honest": _honest(plan),
        "fleets": [_fleet(line) for line in plan.fleets],
        "policies": [_policy(line) for line in plan.policies],
        "machines": [_machine(line) for line in plan.machines],
        "better_nodes": None if plan.alone is None else plan.alone.nodes,
        "better_machine": None if plan.better is None else plan.better.key,
        "sensitivities": [
            {
                "name": label_of(each.name),
                "saved_at_low_usd": _number(each.at_low_usd),
                "saved_at_high_usd": _number(each.at_high_usd),
                "low": _number(plan.spreads[each.name].low),
                "high": _number(plan.spreads[each.name].high),
            }
            for each in plan.sensitivities
        ],
        "would_pay": {name: _number(value) for name, value in plan.would_pay.items()},
        "by_hour": {
            "local_requests": [round(count, 2) for count in plan.shown.ran.local_by_hour],
            "cloud_requests": [round(count, 2) for count in plan.shown.ran.cloud_by_hour],
        },
        "spilled_requests_by_reason": dict(plan.shown.ran.spills),
        "assumptions": [
            {"name": a.name, "value": _value(a.value), "unit": a.unit, "grade": a.grade, "source": a.source}
            for a in plan.assumptions
        ],
        "warnings": list(plan.warnings),
    }


def _band(band: Band) -> dict[str, float | None]:
    return {"p10": _number(band.p10), "p50": _number(band.p50), "p90": _number(band.p90)}


def _saved(band: Band) -> dict[str, float | None]:
    return {
        "p10": _number(band.saved_p10_usd),
        "p50": _number(band.saved_p50_usd),
        "p90": _number(band.saved_p90_usd),
    }


def _naive(plan: Plan) -> dict[str, float | None]:
    naive = plan.naive
    is_rented = plan.inputs.node.rent_usd_per_month > 0
    return {
        "cloud_usd_per_request": _number(naive.cloud_usd_per_request),
        "cloud_usd_per_month": _number(naive.cloud_usd_per_month),
        "local_usd_per_request": _number(naive.local_usd_per_request),
        "break_even_months": None if is_rented else _number(naive.break_even_months),
        "decode_utilisation": _number(naive.decode_utilisation),
        "prefill_utilisation": _number(naive.prefill_utilisation),
    }


def _honest(plan: Plan) -> dict[str, Any]:
    one = next((line for line in plan.fleets if line.nodes == 1), plan.shown)
    return {
        "cloud_usd_per_request": _number(plan.cloud_usd_per_request),
        "one_node_local_share": round(one.ran.local_share, 4),
        "one_node_bill_share": _number(one.ran.avoided_share),
        "one_node_break_even_months": _number(one.outcome.break_even_months),
        "idle_node_share": round(plan.ceiling.in_time_share, 4),
        "nodes_for_that_share": plan.nodes_for_all,
        "nodes_of_work": plan.nodes_of_work,
    }


def _fleet(line: FleetLine) -> dict[str, Any]:
    return {
        "nodes": line.nodes,
        **_ran(line.ran),
        "cloud_usd_per_month": _number(line.outcome.cloud_usd_per_month),
        "local_usd_per_month": _number(line.local_usd_per_month),
        "total_usd_per_month": _number(line.outcome.total_usd_per_month),
        "break_even_months": _number(line.outcome.break_even_months),
        "reason": line.outcome.reason if line.nodes else None,
        "saved_usd": _number(line.outcome.saved_usd),
        "keeps_objective": line.keeps_objective,
        "bill_share": _number(line.ran.avoided_share),
    }


def _policy(line: PolicyLine) -> dict[str, Any]:
    return {
        "name": line.name,
        **_ran(line.ran),
        "regret_vs_clairvoyant": None if line.regret is None else round(line.regret, 6),
        "local_share_in_time": round(line.ran.useful_share, 6),
        "spilled_requests_by_reason": dict(line.ran.spills),
    }


def _ran(ran: Ran) -> dict[str, Any]:
    """What the simulator measured of one run."""
    times_s = {
        "ttft_p50_ms": ran.ttft_p50_s,
        "ttft_p95_ms": ran.ttft_p95_s,
        "ttft_p99_ms": ran.ttft_p99_s,
        "total_p50_ms": ran.total_p50_s,
        "total_p95_ms": ran.total_p95_s,
        "total_p99_ms": ran.total_p99_s,
    }
    return {
        "local_share": round(ran.local_share, 6),
        "local_token_share": round(ran.local_token_share, 6),
        "slo_attainment": round(ran.attainment, 6),
        "local_attainment": None if ran.local_attainment is None else round(ran.local_attainment, 6),
        "goodput_rps": round(ran.goodput_rps, 4),
        **{name: round(1000 * seconds, 1) for name, seconds in times_s.items()},
        "utilisation": round(ran.busy_ratio, 4),
        "kwh_per_month": None if ran.kwh_per_month is None else round(ran.kwh_per_month, 2),
    }


def _machine(line: MachineLine) -> dict[str, Any]:
    rent_usd = line.node.rent_usd_per_month
    return {
        "key": line.key,
        "name": line.node.name,
        "price_usd": None if rent_usd else _number(line.node.price_usd),
        "rent_usd_per_month": _number(rent_usd) if rent_usd else None,
        "local_share": round(line.ran.local_share, 6),
        "slo_attainment": round(line.ran.attainment, 6),
        "total_usd_per_month": _number(line.outcome.total_usd_per_month),
        "saved_usd": _number(line.outcome.saved_usd),
        "break_even_months": _number(line.outcome.break_even_months),
    }


def _value(value: Value) -> float | int | str | None:
    return _number(value) if isinstance(value, Decimal) else value


def _number(value: Decimal | None) -> float | int | None:
    """Twelve significant digits: what is exact stays so."""
    if value is None:
        return None
    short = float(f"{value:.12g}")
    return int(short) if short == int(short) and abs(short) < 1e15 else short
