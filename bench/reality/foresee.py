"""What the planner's simulator says of a load, and how far that is from what came. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.reality.drive import Request, Seen
from bench.reality.mixes import Mix, draw
from spillway.planner.policies import AllLocal, Policy
from spillway.planner.profile import Profile
from spillway.planner.routed import Routed
from spillway.planner.simulator import Fleet, Result, simulate
from spillway.planner.workload import Workload
from spillway.slo.lengths import Lengths, Prompt
from spillway.vocabulary import Objective

__all__ = ["Limited", "Quantiles", "capacity_rps", "foresee", "quantiles_of", "seen_quantiles", "workload_of"]

SATURATING = 200


class Limited(Routed):
    """The gateway's rules for callers that say ``max_tokens``, as those of this bench do."""

    def __init__(self, objective: Objective, max_tokens: Sequence[int]) -> None:
        """One limit per request."""
        super().__init__(objective)
        self._max_tokens = max_tokens

    def _expect(self, index: int, asked: Prompt) -> Lengths:
        return self._lengths.expect(asked, self._max_tokens[index])


@dataclass(frozen=True)
class Quantiles:
    """Seconds to the first and to the last token."""

    ttft_p50_s: float
    ttft_p95_s: float
    total_p50_s: float
    total_p95_s: float

    def off_by(self, real: Quantiles) -> dict[str, float]:
        """Relative error of each figure: positive where the prediction was too long."""
        pairs = zip(("TTFT p50", "TTFT p95", "total p50", "total p95"), self.all(), real.all(), strict=True)
        return {name: told / came - 1.0 for name, told, came in pairs}

    def all(self) -> tuple[float, float, float, float]:
        """The four figures in that order."""
        return self.ttft_p50_s, self.ttft_p95_s, self.total_p50_s, self.total_p95_s


def quantiles_of(ttft_s: Sequence[float], total_s: Sequence[float]) -> Quantiles:
    """p50 and p95 of both."""
    first, last = np.quantile(ttft_s, (0.5, 0.95)), np.quantile(total_s, (0.5, 0.95))
    return Quantiles(float(first[0]), float(first[1]), float(last[0]), float(last[1]))


def workload_of(load: Sequence[Request], cached_tokens: int) -> Workload:
    """The load as the planner reads it; all prompts share a beginning of that many tokens."""
    times = np.array([request.at_s for request in load])
    count = len(load)
    return Workload(
        time_s=times,
        input_tokens=np.array([request.prompt_tokens for request in load], dtype=np.int32),
        output_tokens=np.array([request.output_tokens for request in load], dtype=np.int32),
        cached_tokens=np.full(count, cached_tokens, dtype=np.int32),
        model=np.zeros(count, dtype=np.int32),
        models=("twin",),
        span_s=float(times[-1]) * count / max(count - 1, 1),
    )


def foresee(workload: Workload, profile: Profile, policy: Policy | None, objective: Objective) -> Result:
    """The run as simulated; without a policy everything goes to the node."""
    fleet = Fleet(profile.pace, 1, profile.usable_slots)
    return simulate(workload, fleet, policy or AllLocal(), objective)


def capacity_rps(profile: Profile, mix: Mix) -> float:
    """Requests a second of that mix which the profile says the node completes when it never idles."""
    wanted = draw(mix, SATURATING, 1e-6, seed=99)
    load = [Request(one.at_s, (), one.prompt_tokens + mix.prefix_tokens, one.output_tokens) for one in wanted]
    workload = workload_of(load, mix.prefix_tokens)
    result = foresee(workload, profile, None, Objective())
    return SATURATING / float(result.total_s.max())


def seen_quantiles(seen: Sequence[Seen]) -> Quantiles:
    """Of the requests that were answered."""
    good = [one for one in seen if one.error is None]
    return quantiles_of([one.ttft_s for one in good], [one.total_s for one in good])
