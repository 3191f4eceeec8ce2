"""What is checked before anything is simulated, and what a person should know before trusting the plan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from spillway.errors import ConfigError
from spillway.planner.plan_inputs import Assumption, PlanInputs, Traffic, length_of, percent
from spillway.planner.plan_stretch import ALIKE, crowding
from spillway.planner.workload import Floats, Workload
from spillway.vocabulary import Objective

__all__ = ["Ceiling", "check_idle", "outgrown", "stretch_warnings", "traffic_warnings", "unknown_cached"]

LOOKED_AT = 20_000
"""Requests whose times on an idle node are looked at, drawn at random: every second or third may be alike."""
DAY_S = 86_400.0
WEEK_S = 7 * DAY_S
MUCH_OF_IT, SOME_OF_IT = 0.3, 0.01
"""Shares from which a gap, or requests without an answer, are worth a word."""


@dataclass(frozen=True)
class Ceiling:
    """What an idle node could do, request by request: shares, 0–1."""

    in_time_share: float
    """Requests that a node may get and answers in time when nothing else runs."""
    alone_share: float
    """Requests that a node answers in time when nothing else runs, whether it may get them or not."""


@dataclass(frozen=True)
class _Alone:
    """Some requests on an idle node: what it holds, what it may get, and when it answers."""

    is_held: NDArray[np.bool_]
    is_allowed: NDArray[np.bool_]
    first_s: Floats
    total_s: Floats

    def late(self, objective: Objective) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Where the first token is late, and where the last is."""
        first_s = objective.ttft_s if objective.ttft_s is not None else np.inf
        total_s = objective.total_s if objective.total_s is not None else np.inf
        return self.first_s > first_s, self.total_s > total_s


def check_idle(inputs: PlanInputs) -> Ceiling:
    """What an idle node could do; ``ConfigError`` when that is nothing at all."""
    alone = _alone(inputs)
    late_start, late_end = alone.late(inputs.objective)
    in_time = alone.is_held & ~late_start & ~late_end
    if not (in_time & alone.is_allowed).any():
        raise ConfigError(_impossible(inputs, alone))
    return Ceiling(
        in_time_share=inputs.suitable_ratio * float((in_time & alone.is_allowed).mean()),
        alone_share=float(in_time.mean()),
    )


def _alone(inputs: PlanInputs) -> _Alone:
    node, workload = inputs.node, inputs.traffic.workload
    picked = np.arange(len(workload))
    if len(workload) > LOOKED_AT:
        picked = np.sort(np.random.default_rng(inputs.seed).choice(picked, LOOKED_AT, replace=False))
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
    limit = inputs.most_input_tokens
    return _Alone(
        is_held=np.array([p + o <= node.context_tokens for p, o in zip(prompts, outputs, strict=True)]),
        is_allowed=np.array([limit is None or p <= limit for p in prompts]),
        first_s=first_s,
        total_s=first_s + rest_s,
    )


def _impossible(inputs: PlanInputs, alone: _Alone) -> str:
    """Why no request could be answered in time by an idle node, and what to change."""
    if not alone.is_held.any():
        return _too_long(inputs)
    asked = alone.is_held & alone.is_allowed
    if not asked.any():
        return (
            f"no prompt that {inputs.node.name} holds is as short as the {inputs.most_input_tokens:,} tokens "
            "that a node may get: raise --max-local-input-tokens, or routing.max_local_input_tokens of the "
            "configuration"
        )
    is_late = [late[asked] for late in alone.late(inputs.objective)]
    whose = "the median request"
    if not asked.all():
        whose = f"the median of the {percent(float(asked.mean()))} of the requests that a node may get"
    return _all_late(inputs, whose, alone.first_s[asked], alone.total_s[asked], *is_late)


def _too_long(inputs: PlanInputs) -> str:
    if inputs.node.is_context_configured:
        what_else = "raise the node's context_tokens in the configuration"
    elif inputs.node.is_measured:
        what_else = "start its engine with a larger context and measure it again"
    else:
        what_else = "choose a smaller --model or --quant, or a machine with more memory"
    return (
        f"{inputs.node.name} has room for {inputs.node.context_tokens:,.0f} tokens of prompt and answer and "
        f"every request needs more; {what_else}"
    )


def _all_late(
    inputs: PlanInputs,
    median: str,
    first_s: Floats,
    total_s: Floats,
    late_start: NDArray[np.bool_],
    late_end: NDArray[np.bool_],
) -> str:
    """Which limit each of these requests misses, and how far the limits would have to go up.

    ``median`` names the one in their middle.
    """
    objective, is_both = inputs.objective, bool((late_start & late_end).all())
    limits = (
        ("first token", "--slo-ttft-ms", objective.ttft_s, first_s, late_start & (is_both | ~late_end)),
        ("last token", "--slo-total-ms", objective.total_s, total_s, late_end & (is_both | ~late_start)),
    )
    missed = [each for each in limits if each[4].any()]
    takes, raised = [], []
    for what, option, limit_s, times_s, whose in missed:
        needs_s, part = float(np.median(times_s[whose])), float(whose.mean())
        of = median if is_both or len(missed) == 1 else f"{percent(part)} of the requests"
        takes.append(f"{needs_s:.1f} s to the {what} of {of} and {limit_s or 0.0:g} s are allowed")
        raised.append(f"{option} above {1000 * needs_s:.0f}")
    return (
        f"even an idle node misses the objective: {inputs.node.name} takes {', '.join(takes)}; raise "
        f"{(' and ' if is_both else ' or ').join(raised)} or choose a faster machine or a smaller model"
    )


def outgrown(inputs: PlanInputs) -> list[str]:
    """That the node holds some requests not at all."""
    workload, limit = inputs.traffic.workload, inputs.node.context_tokens
    share = float((workload.input_tokens.astype(np.int64) + workload.output_tokens > limit).mean())
    if share < SOME_OF_IT:
        return []
    return [
        f"{percent(share)} of the requests need more than the {limit:,.0f} tokens that a node holds of one, "
        "prompt and answer, and stay in the cloud"
    ]


def traffic_warnings(traffic: Traffic) -> list[str]:
    """What reading the usage found, and what was extrapolated from it."""
    found = [sentence for report in traffic.reports for sentence in report.warnings()]
    found += [note for note in traffic.workload.notes if note not in found]
    span_s = traffic.workload.span_s
    found = [*_gap(traffic), *_guessed(traffic), *found]
    if traffic.reports and span_s < WEEK_S:
        found.append(f"the usage covers {length_of(span_s)}; a month is taken to go on like that")
    if traffic.reports and len(traffic.workload) < 1000:
        found.append(f"only {len(traffic.workload):,} requests: their mix may not be typical")
    return found + _without_answers(traffic)


def stretch_warnings(inputs: PlanInputs) -> list[str]:
    """That what is simulated is more or less crowded than all of the traffic, where no part is like it."""
    workload = inputs.traffic.workload
    everything = f"; --simulate-requests {len(workload)} takes all of it"
    found = [
        _unlike(workload, inputs.simulated, "per fleet size", everything),
        _unlike(workload, inputs.sampled, "for policies, other loads, speeds and lengths", ""),
    ]
    return [each for each in found if each is not None]


def _unlike(workload: Workload, part: Workload, what: str, advice: str) -> str | None:
    times = crowding(part, workload)
    if 1 / ALIKE <= times <= ALIKE:
        return None
    much = f"{times:.1f} times as many" if times > 1 else f"only {percent(times)} of the"
    return (
        f"no {length_of(part.span_s)} are like all of the traffic: in those simulated {what}, a request "
        f"meets {much} others within its hour, which makes the figures rough{advice}"
    )


def unknown_cached(inputs: PlanInputs) -> Assumption | None:
    """That usage does not tell what was cached of some prompts, and what that may do to the cloud's price.

    ``None`` where it tells all, or where a cache would save next to nothing.
    """
    workload, knows = inputs.traffic.workload, inputs.traffic.workload.knows_cached
    if not inputs.traffic.reports or (workload.cached_tokens is not None and knows is None):
        return None
    share, name, told = 1.0, "what was cached of the prompts", "at most, were all of it cached"
    if knows is not None and workload.cached_tokens is not None:
        share = workload.cached_tokens[knows].sum() / max(int(workload.input_tokens[knows].sum()), 1)
        name = f"what was cached of {int((~knows).sum()):,} of {len(workload):,} prompts"
        told = f"were {percent(share)} of it cached as of the others"
    saved = _saved_by_cache(inputs, share)
    if knows is None and saved < SOME_OF_IT:
        return None
    source = f"unknown and taken as nothing; the cloud would cost {percent(saved)} less {told}"
    return Assumption(name, None, "tokens", "guess", source)


def _saved_by_cache(inputs: PlanInputs, share: float) -> float:
    """Share of the cloud's price that goes if so much was cached of the prompts that nobody knows it of.

    0 where no price of cached tokens is known.
    """
    workload, cloud = inputs.traffic.workload, inputs.cloud
    likely = np.rint(share * workload.input_tokens).astype(np.int32)
    if workload.knows_cached is not None and workload.cached_tokens is not None:
        likely = np.where(workload.knows_cached, workload.cached_tokens, likely)
    whole, less = cloud.price_usd(workload), cloud.price_usd(replace(workload, cached_tokens=likely))
    return float(1 - less / whole) if whole and less is not None else 0.0


def _guessed(traffic: Traffic) -> list[str]:
    """That nobody said how long requests are; all of the answer hangs on it."""
    guessed = [each for each in traffic.assumptions if each.grade == "guess" and each.unit == "tokens"]
    if not guessed:
        return []
    lengths = " and ".join(f"{each.value:,g} {each.name.partition(',')[0]}" for each in guessed)
    options = " and ".join(f"--{each.name.partition(' ')[0]}-tokens" for each in guessed)
    return [f"{lengths} a request are guesses, and all of this hangs on them: give {options}"]


def _gap(traffic: Traffic) -> list[str]:
    """That nothing happened for most of the time: a wrong date makes a month of a year's mean."""
    workload = traffic.workload
    if not traffic.reports or len(workload) < 2:
        return []
    gaps = np.diff(workload.time_s)
    longest = int(np.argmax(gaps))
    if gaps[longest] < max(workload.span_s * MUCH_OF_IT, DAY_S):
        return []
    start_s = workload.start_wall_s
    days = f"{gaps[longest] / DAY_S:,.0f} days"
    when = "" if start_s is None else f" after {_day(start_s + float(workload.time_s[longest]))}"
    return [
        f"no request for {days}{when}, {percent(gaps[longest] / workload.span_s)} of the time covered, and "
        "the plan counts them as idle: remove rows with a wrong date, or give one stretch of steady use"
    ]


def _day(moment_s: float) -> str:
    return datetime.fromtimestamp(moment_s, UTC).date().isoformat()


def _without_answers(traffic: Traffic) -> list[str]:
    silent = float((traffic.workload.output_tokens == 0).mean())
    if silent < SOME_OF_IT:
        return []
    return [
        f"{percent(silent)} of the requests have no output tokens (embeddings, most likely); they are "
        "planned as prompts that the node's model reads"
    ]
