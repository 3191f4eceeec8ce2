"""What is checked before anything is simulated, and what a person should know before trusting the plan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spillway.errors import ConfigError
from spillway.planner.plan_inputs import PlanInputs, Traffic

__all__ = ["Ceiling", "check_idle", "traffic_warnings"]

LOOKED_AT = 2000
WEEK_S = 7 * 86_400.0


@dataclass(frozen=True)
class Ceiling:
    """What an idle node could do, request by request: shares, 0–1, and the usual times alone."""

    in_time_share: float
    """Requests that keep the objective when nothing else runs."""
    late_start_share: float
    """Requests whose first token would be late even then."""
    median_ttft_s: float
    median_total_s: float


def check_idle(inputs: PlanInputs) -> Ceiling:
    """What an idle node could do; ``ConfigError`` when that is nothing at all."""
    node, objective = inputs.node, inputs.objective
    workload = inputs.traffic.workload
    picked = np.unique(np.linspace(0, len(workload) - 1, min(len(workload), LOOKED_AT)).astype(int))
    prompts = workload.input_tokens[picked].tolist()
    outputs = workload.output_tokens[picked].tolist()
    cached = [0] * len(picked) if workload.cached_tokens is None else workload.cached_tokens[picked].tolist()
    first_s = np.array([node.pace.prefill_s(p, c) for p, c in zip(prompts, cached, strict=True)])
    rest_s = np.array(
        [
            max(o - 1, 0) * node.pace.decode_step_s(1.0, p + o / 2)
            for p, o in zip(prompts, outputs, strict=True)
        ]
    )
    held = np.array([p + o <= node.cache_tokens for p, o in zip(prompts, outputs, strict=True)])
    late_start = first_s > (objective.ttft_s if objective.ttft_s is not None else np.inf)
    late_end = first_s + rest_s > (objective.total_s if objective.total_s is not None else np.inf)
    found = Ceiling(
        in_time_share=inputs.suitable_ratio * float((held & ~late_start & ~late_end).mean()),
        late_start_share=float(late_start.mean()),
        median_ttft_s=float(np.median(first_s)),
        median_total_s=float(np.median(first_s + rest_s)),
    )
    if found.in_time_share == 0.0:
        raise ConfigError(_impossible(inputs, found, bool(held.any())))
    return found


def _impossible(inputs: PlanInputs, found: Ceiling, is_any_held: bool) -> str:
    name, objective = inputs.node.name, inputs.objective
    if not is_any_held:
        return (
            f"{name} has room for {inputs.node.cache_tokens:,.0f} tokens and every request needs more; "
            "choose a smaller --model or --quant, or a machine with more memory"
        )
    if objective.ttft_s is not None and found.late_start_share == 1.0:
        what, limit_s, needs_s = "first token", objective.ttft_s, found.median_ttft_s
        option = "--slo-ttft-ms"
    else:
        what, limit_s, needs_s = "last token", objective.total_s or 0.0, found.median_total_s
        option = "--slo-total-ms"
    return (
        f"even an idle node misses the objective: {name} takes {needs_s:.1f} s to the {what} of the median "
        f"request and {limit_s:g} s are allowed; raise {option} above {1000 * needs_s:.0f} or choose a "
        "faster machine or a smaller model"
    )


def traffic_warnings(traffic: Traffic) -> list[str]:
    """What reading the usage found, and what was extrapolated from it."""
    found = [sentence for report in traffic.reports for sentence in report.warnings()]
    found += [note for note in traffic.workload.notes if note not in found]
    span_s = traffic.workload.span_s
    if traffic.reports and span_s < WEEK_S:
        length = f"{span_s / 86_400:.1f} days" if span_s >= 86_400 else f"{span_s / 3600:.1f} hours"
        found.append(f"the usage covers {length}; a month is taken to go on like that")
    if traffic.reports and len(traffic.workload) < 1000:
        found.append(f"only {len(traffic.workload):,} requests: their mix may not be typical")
    return found
