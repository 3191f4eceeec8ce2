"""The routing policy: eight numbered rules; they remove candidates, order them or stop with an error.

1. **pin**: a private or pinned request keeps one side only; none left is an error, never a call elsewhere.
2. **name**: a named upstream, model or alias keeps what serves it; ``auto`` keeps all.
3. **capability**: context window, tools, schema, images, embeddings, and the owner's token budgets.
4. **quality**: local stays only where configuration or measured evidence trusts it with the task class.
5. **health**: down, breaker open, draining, drifted from its pin, or a cloud passthrough posing as local.
6. **slo**: nodes whose forecast misses the objective, full and loading ones move to the end of the plan.
7. **cost**: what is left is ordered: local before cloud (its hardware is paid for), then by price.
8. **plan**: first choice, alternates, deadlines, time in the queue, hedge, gates.

Rules 4 and 6 and the token budgets are about *preferring* a cloud: where nothing but local is left, or no
cloud can answer now, they step back, since a slow answer from the owner's machine beats none. The same code
runs in gateway and planner.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from zlib import crc32

from msgspec import structs

from spillway.errors import CapabilityMissing, ContextTooLong, NoUpstream, PinUnsatisfiable
from spillway.routing import reasons
from spillway.routing.candidates import RETRY_AFTER_S, Candidate, named
from spillway.routing.fitness import ailment, fits, lack, room_tokens
from spillway.routing.policy import Evidence, Policy
from spillway.slo.admission import Admission, admission
from spillway.slo.forecast import usable_s
from spillway.slo.hedges import LEAST_DELAY_S
from spillway.vocabulary import Choice, Deadlines, Decision, NodeSnapshot, Objective, RequestFacts

__all__ = ["decide"]

DEFAULT_OUTPUT_TOKENS = 256
"""Answer length assumed for ordering by price when the request sets no limit (guess)."""


def decide(
    facts: RequestFacts, evidence: Evidence, snapshots: Sequence[NodeSnapshot], policy: Policy
) -> Decision:
    """The plan for one request; a RequestError leaf when no upstream may or can answer it."""
    said: list[str] = []
    nodes = _pin(facts, snapshots, said)  # 1
    left = named(facts, nodes, policy, said)  # 2
    left = _capability(facts, left, policy, said)  # 3
    left = _quality(facts, left, evidence, policy, said)  # 4
    left = _health(facts, left, said)  # 5
    cloud_s = _cloud_s(left)
    left, late, beliefs = _slo(facts, left, cloud_s, policy, said)  # 6
    left, late = _cost(facts, left, beliefs), _cost(facts, late, beliefs)  # 7
    return _plan(facts, left, late, beliefs, cloud_s, policy, said)  # 8


def _pin(facts: RequestFacts, nodes: Sequence[NodeSnapshot], said: list[str]) -> Sequence[NodeSnapshot]:
    if facts.must_stay_local:
        said.append(reasons.PRIVATE if facts.is_private else reasons.PINNED_LOCAL)
        kept = [node for node in nodes if node.side == "local"]
        if not kept:
            raise PinUnsatisfiable("it must stay local, and no local node is configured or was found")
        return kept
    if facts.pin == "cloud":
        said.append(reasons.PINNED_CLOUD)
        return [node for node in nodes if node.side == "cloud"]
    return nodes


def _capability(
    facts: RequestFacts, left: list[Candidate], policy: Policy, said: list[str]
) -> list[Candidate]:
    able = [c for c in left if _can(facts, c, said)]
    if not able:
        needed = ", ".join(sorted(facts.needs))
        drifted = "; a node that drifted from its pin is not trusted with it" * (reasons.DRIFTED in said)
        raise CapabilityMissing(f"no upstream that may answer this offers: {needed}{drifted}", param="model")
    if len(able) < len(left):
        said.append(reasons.CAPABILITY)
    fits = [c for c in able if c.model.context_tokens is None or _fits(facts, c)]
    if not fits:
        largest = max(able, key=lambda c: c.model.context_tokens or 0)
        sentence = (
            f"prompt and answer need about {_needed(facts, largest):.0f} tokens ({facts.input_grade}), "
            f"and the largest context that may be used holds {largest.model.context_tokens or 0}"
        )
        raise ContextTooLong(sentence, param="messages")
    if len(fits) < len(able):
        said.append(reasons.CONTEXT)
    return _within_budget(facts, fits, policy, said)


def _can(facts: RequestFacts, candidate: Candidate, said: list[str]) -> bool:
    code = lack(facts, candidate.node, candidate.model)
    if code == reasons.DRIFTED and code not in said:
        said.append(code)
    return code is None


def _needed(facts: RequestFacts, candidate: Candidate) -> float:
    """Tokens that prompt and answer take there."""
    return room_tokens(facts, candidate.node.prompt_tokens(facts)[0])


def _fits(facts: RequestFacts, candidate: Candidate) -> bool:
    return fits(facts, candidate.node.prompt_tokens(facts)[0], candidate.model)


def _within_budget(
    facts: RequestFacts, left: list[Candidate], policy: Policy, said: list[str]
) -> list[Candidate]:
    """Budgets guide ``auto``; a caller who names a node or pins it has decided otherwise."""
    if not _is_open_choice(left):
        return left
    if facts.input_tokens > policy.max_local_input_tokens:
        return _only_clouds(left, reasons.INPUT_BUDGET, said)
    if (facts.max_output_tokens or 0) > policy.max_local_output_tokens:
        return _only_clouds(left, reasons.OUTPUT_BUDGET, said)
    return left


def _quality(
    facts: RequestFacts, left: list[Candidate], evidence: Evidence, policy: Policy, said: list[str]
) -> list[Candidate]:
    task = facts.task
    if task is None or not _is_open_choice(left):
        return left

    def is_trusted(candidate: Candidate) -> bool:
        model = candidate.model
        verdict = evidence.allows_local(task, candidate.node.name, model.name, model.identity)
        return task in policy.local_tasks if verdict is None else verdict

    kept = [c for c in left if c.node.side == "cloud" or is_trusted(c)]
    if len(kept) == len(left):
        return left
    if _explores(facts, policy):
        explored = [c for c in left if c in kept or _can_learn(task, c, evidence)]
        if len(explored) > len(kept):
            said.append(reasons.EXPLORED)
            return explored
    said.append(reasons.TASK)
    return kept


def _can_learn(task: str, candidate: Candidate, evidence: Evidence) -> bool:
    return evidence.can_learn(task, candidate.node.name, candidate.model.name, candidate.model.identity)


def _explores(facts: RequestFacts, policy: Policy) -> bool:
    """Whether this request is one of the few that keep evidence fresh; by its id, so that it can be told."""
    return crc32(facts.request_id.encode()) < policy.exploration_share * 2**32


def _health(facts: RequestFacts, left: list[Candidate], said: list[str]) -> list[Candidate]:
    kept: list[Candidate] = []
    for candidate in left:
        code = _ailment(candidate)
        if code is None:
            kept.append(candidate)
        elif code not in said:
            said.append(code)
    if not kept:
        why = "; ".join(reasons.MEANING[code] for code in said if code in _AILMENTS)
        if facts.must_stay_local:
            raise PinUnsatisfiable(f"it must stay local, and {why}", retry_after_s=RETRY_AFTER_S)
        raise NoUpstream(f"nothing can answer now: {why}", retry_after_s=RETRY_AFTER_S)
    return kept


_AILMENTS = (reasons.DOWN, reasons.BREAKER, reasons.DRAINING, reasons.DRIFTED, reasons.PASSTHROUGH)


def _ailment(candidate: Candidate) -> str | None:
    code = ailment(candidate.node, candidate.model)
    return reasons.BREAKER if code is None and candidate.node.breaker == "open" else code


def _objective(facts: RequestFacts, policy: Policy) -> Objective | None:
    return facts.objective or policy.objectives.get(facts.slo_class)


def _cloud_s(left: list[Candidate]) -> float:
    """What the fastest cloud takes to its first token, at its p95; infinite where nobody knows."""
    known = [c.node.ttft_p95_s for c in left if c.node.ttft_p95_s is not None and c.node.side == "cloud"]
    return min(known, default=float("inf"))


def _spare_s(cloud_s: float, objective: Objective | None) -> float:
    """When a cloud has to be asked so that its first token is still in time; infinite where it cannot be."""
    if objective is None or objective.ttft_s is None:
        return float("inf")
    spare_s = usable_s(objective.ttft_s) - cloud_s
    return spare_s if spare_s > 0.0 else float("inf")


Beliefs = dict[str, Admission]
"""Local upstream → what rule 6 believes of it."""


def _slo(
    facts: RequestFacts, left: list[Candidate], cloud_s: float, policy: Policy, said: list[str]
) -> tuple[list[Candidate], list[Candidate], Beliefs]:
    objective = _objective(facts, policy)
    in_time: list[Candidate] = []
    late: list[Candidate] = []
    beliefs: Beliefs = {}
    for candidate in left:
        node = candidate.node
        if node.side == "cloud":
            in_time.append(candidate)
            continue
        belief = beliefs.get(node.name)
        if belief is None:
            belief = beliefs[node.name] = admission(node, facts, objective, policy.queue_per_slot, cloud_s)
        if belief.delay is None and not node.is_loading:
            in_time.append(candidate)
            if node.is_due and reasons.RETRIED not in said:
                said.append(reasons.RETRIED)
            continue
        late.append(candidate)
        code = reasons.LOADING if belief.delay is None else reasons.DELAYS[belief.delay]
        if code not in said:
            said.append(code)
    return in_time, late, beliefs


def _cost(facts: RequestFacts, left: list[Candidate], beliefs: Beliefs) -> list[Candidate]:
    if len(left) < 2:
        return left
    return sorted(left, key=_order(facts, beliefs))


def _order(facts: RequestFacts, beliefs: Beliefs) -> Callable[[Candidate], tuple[int, int, float, float]]:
    """Local before cloud; among nodes the earliest first token; an idle unknown or doubtful one is tried."""

    def key(candidate: Candidate) -> tuple[int, int, float, float]:
        node = candidate.node
        if node.side == "local":
            found = beliefs[node.name].forecast
            fullness = (node.in_flight + node.waiting) / (node.slots or 1)
            first_s = 0.0 if node.is_due else fullness if found is None else found.ttft_s
            return (candidate.rank, 0, first_s, fullness)
        price = _price_usd(facts, candidate)
        return (candidate.rank, 1, float(price is None), float(price or 0))

    return key


def _price_usd(facts: RequestFacts, candidate: Candidate) -> Decimal | None:
    rates = candidate.model.rates
    if rates is None or rates.input_usd_per_mtok is None or rates.output_usd_per_mtok is None:
        return None
    output_tokens = facts.max_output_tokens or DEFAULT_OUTPUT_TOKENS
    return facts.input_tokens * rates.input_usd_per_mtok + output_tokens * rates.output_usd_per_mtok


def _plan(
    facts: RequestFacts,
    left: list[Candidate],
    late: list[Candidate],
    beliefs: Beliefs,
    cloud_s: float,
    policy: Policy,
    said: list[str],
) -> Decision:
    choices: list[Choice] = []
    taken: set[tuple[str, int]] = set()
    last_rank = _last_rank(left)
    for candidate in (*left, *late):
        node, rank = candidate.node, candidate.rank
        if (node.name, rank) in taken:
            continue  # a name that means several models of one upstream means the first listed
        taken.add((node.name, rank))
        deadlines = _patience(facts, policy.deadlines.get(node.name, _DEADLINES))
        stays_s = None if rank < last_rank else deadlines.first_token_s
        choices.append(_choice(facts, candidate, beliefs.get(node.name), deadlines, stays_s))
    if choices[0].side == "local":
        said.append(reasons.LOCAL_FIRST)
    elif len(left) + len(late) > 1:
        said.append(reasons.CHEAPEST_CLOUD)
    spare_s = _spare_s(cloud_s, _objective(facts, policy))
    has_alternates = len(choices) > 1 and any(choice.side == "local" for choice in choices)
    gates = policy.gates_of(facts) if has_alternates else ()
    return Decision(
        tuple(choices),
        tuple(said),
        total_s=policy.total_s if facts.timeout_s is None else min(policy.total_s, facts.timeout_s),
        max_attempts=policy.max_attempts,
        hedge_delay_s=_hedge_delay_s(choices, len(left), policy, spare_s, reasons.RETRIED in said),
        gates=gates,
        is_held=not facts.is_stream or facts.task in policy.hold_tasks,
        wants_logprobs="confidence" in gates,
        work_s=min((b.work_s for b in beliefs.values() if b.work_s is not None), default=None),
    )


def _patience(facts: RequestFacts, deadlines: Deadlines) -> Deadlines:
    return structs.replace(deadlines, **dict(facts.deadlines)) if facts.deadlines else deadlines


def _last_rank(in_time: list[Candidate]) -> float:
    """Below it, somebody else would be in time once a wait was in vain: a cloud, or what the caller named
    later. Another node of the same rank is no such resort: where it is free, it takes over who waits."""
    if any(candidate.node.side == "cloud" for candidate in in_time):
        return float("inf")
    return max((candidate.rank for candidate in in_time), default=0)


def _choice(
    facts: RequestFacts,
    candidate: Candidate,
    belief: Admission | None,
    deadlines: Deadlines,
    stays_s: float | None,
) -> Choice:
    node, model, rank = candidate
    if belief is None:
        return Choice(
            node.name,
            node.side,
            model.name,
            deadlines,
            ttft_p95_s=node.ttft_p95_s,
            context_tokens=model.context_tokens,
            rank=rank,
        )
    patience_s = deadlines.first_token_s if belief.delay or belief.queue_s is None else belief.queue_s
    queue_s = min(patience_s, deadlines.first_token_s)
    found, (_, cached) = belief.forecast, node.prompt_tokens(facts)
    if found is None:
        return Choice(
            node.name,
            node.side,
            model.name,
            deadlines,
            queue_s,
            context_tokens=model.context_tokens,
            drift=node.drift,
            cached_tokens=cached,
            rank=rank,
        )
    return Choice(
        node.name,
        node.side,
        model.name,
        deadlines,
        queue_s,
        found.ttft_s,
        found.total_s,
        found.ttft_s * node.ttft_stretch,
        found.total_s * node.total_stretch,
        model.context_tokens,
        node.drift,
        cached,
        belief.miss_weight,
        belief.yields_s,
        rank,
        stays_s,
    )


def _hedge_delay_s(
    choices: Sequence[Choice], in_time: int, policy: Policy, spare_s: float, is_retried: bool
) -> float | None:
    """When a second upstream may overtake: once the first token is later than its predicted p95.

    A cloud is paid for, so it is asked only when waiting longer would make it late too (``spare_s``, infinite
    where nobody knows). Beside a node that was slow before it is asked by then at the latest.
    """
    if in_time < 2 or len(choices) < 2 or policy.hedge_share <= 0.0:
        return None
    late_s = choices[0].ttft_p95_s
    if late_s is None:
        return None
    if is_retried:
        late_s = min(late_s, spare_s)
    elif choices[1].side == "cloud" and spare_s < float("inf"):
        late_s = max(late_s, spare_s)
    return max(late_s, LEAST_DELAY_S)


_DEADLINES = Deadlines()


def _is_open_choice(left: list[Candidate]) -> bool:
    """Whether both sides are still possible, so that preferring a cloud means something: one can answer."""
    has_cloud = any(c.node.side == "cloud" and _ailment(c) is None for c in left)
    return has_cloud and any(c.node.side == "local" for c in left)


def _only_clouds(left: list[Candidate], reason: str, said: list[str]) -> list[Candidate]:
    said.append(reason)
    return [c for c in left if c.node.side == "cloud"]
