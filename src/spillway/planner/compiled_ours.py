"""Our routing as the compiled loop runs it: what ``routing.decide`` comes to in a simulation.

There every request is an ``auto`` chat without a task class, nodes are equal and healthy, and one cloud
always answers; what remains of the rules is the context window, the owner's input budget, and rule 6. The
arithmetic of rule 6 is ``slo``'s own; that every decision equals ``decide``'s is what
``tests/planner/test_compiled.py`` shows.
"""

from __future__ import annotations

import math
from typing import Any

from spillway.planner import outlook, physics, pooling
from spillway.planner.compiled_tasks import FRESH_SIZES, SIZES, Mind, Rules
from spillway.planner.routed import CLOUD_ANSWER_S, SPILLS
from spillway.routing import reasons
from spillway.slo import forecast, lengths, margin, turns, usual_work
from spillway.slo.admission import HARD_QUEUE_PER_SLOT
from spillway.slo.hedges import LEAST_DELAY_S

__all__ = ["choose_ours", "learn_answer", "learn_given_up", "learn_spilled"]

TTFT, TOTAL = SPILLS.index(reasons.SLO_TTFT), SPILLS.index(reasons.SLO_TOTAL)
WORK, FULL = SPILLS.index(reasons.WORK), SPILLS.index(reasons.FULL)
CONTEXT, BUDGET = SPILLS.index(reasons.CONTEXT), SPILLS.index(reasons.INPUT_BUDGET)
IN_TIME = -1


def learn_answer(mind: Mind, rules: Rules, n: int, i: int, job: Any) -> None:
    """An answer of node ``n``, to request ``i``, ended: its length, and whether the objective was kept."""
    learn_length(mind, i, job)
    first_s, total_s = job.first_s - job.arrived_s, job.end_s - job.arrived_s
    ratio = first_s / max(job.told_s, forecast.LEAST_FORECAST_S)
    mind.stretches[n] = margin.next_quantile(mind.stretches[n], ratio, margin.QUANTILE, margin.QUANTILE_STEP)
    learn_kept(mind, rules, n, first_s <= rules.ttft_s and total_s <= rules.total_s, 1.0)


def learn_given_up(mind: Mind, rules: Rules, n: int, i: int, job: Any) -> None:
    """``Routed._learn_given_up``: what request ``i`` tells, which node ``n`` did not answer."""
    if i < mind.learned[0]:
        learn_length(mind, i, job)
    if job.fate == physics.LEFT and job.miss_weight > 0.0:
        learn_kept(mind, rules, n, False, job.miss_weight)
    elif job.fate == physics.OVERTAKEN and job.end_s - job.arrived_s > min(rules.ttft_s, rules.total_s):
        learn_kept(mind, rules, n, False, 1.0)


def learn_kept(mind: Mind, rules: Rules, n: int, is_in_time: bool, weight: float) -> None:
    """``slo.margin.Margin.learn``."""
    mind.answers[n] += 1
    mind.margins[n] = margin.next_margin(
        mind.margins[n], is_in_time, rules.attainment, mind.answers[n], weight
    )


def learn_length(mind: Mind, i: int, job: Any) -> None:
    """One more answer has ended, here or in the cloud."""
    size, fresh = describe(mind, i, job)
    lengths.learn_answer(mind.lengths[0], 0, size, fresh, mind.forms[i], job.output_tokens)


def learn_spilled(mind: Mind, jobs: Any, choices: Any, now_s: float) -> None:
    """Answers that the cloud has given by now tell their lengths."""
    while jobs[mind.learned[0]].arrived_s + CLOUD_ANSWER_S <= now_s:
        if choices[mind.learned[0]] < 0 or jobs[mind.learned[0]].fate != physics.ANSWERED:
            learn_length(mind, mind.learned[0], jobs[mind.learned[0]])
        mind.learned[0] += 1


def describe(mind: Mind, i: int, job: Any) -> tuple[int, int]:
    """Places of the narrower kinds of request ``i``, whose inputs are now in the record."""
    lengths.describe(
        mind.lengths[0], job.prompt_tokens, job.cached_tokens, mind.last_answers[i], mind.mean_answers[i]
    )
    size = lengths.half_octaves(max(job.prompt_tokens, 1))
    fresh = lengths.octaves(max(job.prompt_tokens - job.cached_tokens, 1))
    return 1 + size, 1 + SIZES + size * FRESH_SIZES + fresh


def choose_ours(nodes: Any, i: int, tables: Any, mind: Mind, rules: Rules) -> int:
    """The node's index, or -1 less the place of the reason in ``routed.SPILLS``.

    Of a request that a node is chosen for, it says how long it may wait there.
    """
    job, steps_s = tables.jobs[i], tables.steps_s
    for n in range(len(nodes)):
        physics.flow(nodes[n], job.arrived_s)
    if job.prompt_tokens + job.output_tokens > rules.context_tokens:
        return -1 - CONTEXT
    if job.prompt_tokens > rules.most_input_tokens:
        return -1 - BUDGET
    size, fresh = describe(mind, i, job)
    usual, long = lengths.expected(mind.lengths[0], 0, size, fresh, mind.forms[i])
    if rules.knows_lengths:
        usual = long = float(job.output_tokens)
    work_s = _work_s(nodes[0], job, steps_s, usual)
    slots, context_s = nodes[0].slots, nodes[0].context_s
    unit_s = outlook.unit_s(mind.usual, mind.readings_s, steps_s, context_s, slots, job.prompt_tokens, usual)
    usual_s = outlook.usual_work_s(mind.usual, unit_s) if mind.usual[outlook.ARRIVALS] else work_s
    job.usual_tokens = usual
    best, earliest_s, why, in_time = -1, math.inf, len(SPILLS), 0
    moves_s, in_time_at = math.inf, 0
    for n in range(len(nodes)):
        held_tokens = outlook.held_tokens(nodes[n], tables)
        first_s, total_s, alone_s = _forecast(nodes[n], held_tokens, job, steps_s, usual, long)
        wait_s = first_s - alone_s
        more_s = usual_work.weighed_s(wait_s, work_s, usual_s) - wait_s
        delay = _delay(nodes[n], rules, first_s, total_s, more_s, mind.margins[n])
        if delay != IN_TIME:
            why = min(why, delay)
            continue
        queue_s = _queue_s(rules, first_s, total_s, alone_s)
        in_time += 1
        moves_s, in_time_at = min(moves_s, queue_s), in_time_at | pooling.bit_of(n)
        if _is_better(nodes, n, best, first_s, earliest_s):
            best, earliest_s = n, first_s
            _be_patient(job, rules, queue_s, first_s, first_s * mind.stretches[n])
            job.yields_s = turns.yields_s(work_s, job.miss_weight)
    if rules.has_objective:
        job.moves_until_s, job.in_time_at = job.arrived_s + min(moves_s, rules.most_queue_s), in_time_at
    if in_time > 1:
        job.hedge_s = math.inf  # the other node would be asked, and the simulator knows no such hedges
    outlook.see(mind.usual, work_s, unit_s, job.prompt_tokens, usual)
    return best if best >= 0 else -1 - why


def _queue_s(rules: Rules, first_s: float, total_s: float, alone_s: float) -> float:
    """``slo.admission``: how long it may wait for a slot and still be in time; as long as anybody without."""
    if not rules.has_objective:
        return rules.most_queue_s
    patience_s = min(
        forecast.patience_s(rules.ttft_s, first_s, first_s, alone_s, rules.kept_s),
        forecast.patience_s(rules.total_s, total_s, first_s, alone_s, 0.0),
    )
    return max(0.0, patience_s)


def _be_patient(job: Any, rules: Rules, queue_s: float, first_s: float, late_s: float) -> None:
    """Rule 8: when it leaves the queue, and when a cloud is asked too."""
    if rules.has_objective:
        job.miss_weight = forecast.miss_weight(queue_s, rules.ttft_s, rules.cloud_s)
    job.leaves_s = job.arrived_s + min(queue_s, rules.most_queue_s)
    job.told_s = first_s
    job.hedge_s = math.inf
    if rules.hedge_share > 0.0:
        delay_s = max(late_s, rules.spare_s) if rules.spare_s < math.inf else late_s
        job.hedge_s = job.arrived_s + max(delay_s, LEAST_DELAY_S)


def _is_better(nodes: Any, n: int, best: int, first_s: float, earliest_s: float) -> bool:
    """Whether rule 7 puts node ``n`` before the best so far."""
    if best < 0 or first_s < earliest_s:
        return True
    return (
        first_s == earliest_s
        and nodes[n].in_flight / nodes[n].slots < nodes[best].in_flight / nodes[best].slots
    )


def _step_s(node: Any, steps_s: Any, batch: int, held_tokens: float) -> float:
    return physics.decode_step_s(steps_s, node.context_s, batch, held_tokens / batch) if batch else 0.0


def _forecast(
    node: Any, held_tokens: float, job: Any, steps_s: Any, usual: float, long: float
) -> tuple[float, float, float]:
    """``slo.forecast.forecast``, term by term."""
    unread = physics.unread(node)
    now_s = _step_s(node, steps_s, node.running, held_tokens)
    queue_s = forecast.wait_s(node.in_flight, node.slots, usual, now_s)
    first_s = queue_s + forecast.ttft_s(
        physics.unread_s(node), physics.unread_chunks(node), job.prefill_s, job.chunks, now_s
    )
    batch = min(node.running + unread + 1, node.slots)
    held = held_tokens + physics.unread_tokens(node) + job.prompt_tokens + (unread + 1) * usual / 2
    alone_s = forecast.ttft_s(0.0, 0.0, job.prefill_s, job.chunks, now_s)
    return first_s, forecast.total_s(first_s, long, _step_s(node, steps_s, batch, held)), alone_s


def _work_s(node: Any, job: Any, steps_s: Any, usual: float) -> float:
    """``slo.forecast.work_s``, term by term."""
    share_s = physics.decode_step_s(steps_s, node.context_s, node.slots, 0.0) / node.slots
    context = job.prompt_tokens + usual / 2
    alone_s = physics.decode_step_s(steps_s, node.context_s, 1, context)
    return forecast.work_seconds(
        job.prefill_s, usual, share_s, alone_s - physics.decode_step_s(steps_s, node.context_s, 1, 0.0)
    )


def _delay(
    node: Any,
    rules: Rules,
    first_s: float,
    total_s: float,
    more_s: float,
    margin: float,
) -> int:
    """``slo.admission``'s judgement as the place of its reason in ``routed.SPILLS``."""
    if not rules.has_objective:
        return FULL if node.in_flight >= node.slots * (1.0 + rules.queue_per_slot) else IN_TIME
    if node.in_flight >= node.slots * (1.0 + HARD_QUEUE_PER_SLOT):
        return FULL
    allowed = margin if node.in_flight else max(margin, 1.0)
    if first_s + more_s > allowed * rules.ttft_s:
        return TTFT if first_s > allowed * rules.ttft_s else WORK
    if total_s + more_s > allowed * rules.total_s:
        return TOTAL if total_s > allowed * rules.total_s else WORK
    return IN_TIME
