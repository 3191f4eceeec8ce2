"""The loop over all arrivals and the policies in it, in the Python that numba can compile.

Every policy stands in this one loop, so that one compilation serves them all. What they compute with are rows
of arrays (``compiled.NODE_ROW``, ``JOB_ROW``); what they compute is in ``physics``, ``choosing`` and ``slo``.
"""

from __future__ import annotations

from typing import Any

from spillway.planner import choosing, physics, pooling
from spillway.planner.compiled_ours import (
    choose_ours,
    learn_answer,
    learn_given_up,
    learn_spilled,
)
from spillway.planner.compiled_tasks import (
    ALL_CLOUD,
    ALL_LOCAL,
    OBSERVED,
    OURS,
    RESERVATION,
    THRESHOLD,
    Mind,
    Rules,
    Run,
)
from spillway.slo import hedges

__all__ = ["run"]


def run(nodes: Any, twins: Any, tables: Any, task: Run, mind: Mind, rules: Rules, choices: Any) -> None:
    """``choices`` and the times in ``tables.jobs`` are filled in."""
    for i in range(len(choices)):
        now_s = tables.jobs[i].arrived_s
        catch_up(nodes, tables, task, now_s)
        if task.kind == OURS:
            learn(nodes, tables, task, mind, rules)
            learn_spilled(mind, tables.jobs, choices, now_s)
        choice = choose(nodes, twins, tables, task, mind, rules, i)
        choices[i] = choice
        if task.kind == OURS:
            tables.hedges[0] = hedges.saved_after(tables.hedges[0], rules.hedge_share, hedges.BURST)
        if choice >= 0:
            physics.submit(nodes[choice], tables, i)
    catch_up(nodes, tables, task, 1e300)


def catch_up(nodes: Any, tables: Any, task: Run, now_s: float) -> None:
    """All has happened up to ``now_s``; only our nodes have one queue."""
    if task.kind == OURS and len(nodes) > 1:
        pooling.advance_together(nodes, tables, now_s)
        return
    for n in range(len(nodes)):
        if nodes[n].next_s <= now_s:
            physics.advance(nodes[n], tables, now_s)


def choose(nodes: Any, twins: Any, tables: Any, task: Run, mind: Mind, rules: Rules, i: int) -> int:
    """The policy's answer for request ``i``."""
    job = tables.jobs[i]
    if task.kind == OURS:
        return choose_ours(nodes, i, tables, mind, rules)
    if task.kind == ALL_CLOUD:
        return -1
    holds = job.prompt_tokens + job.output_tokens <= nodes[0].context_tokens
    if task.kind == ALL_LOCAL:
        return choosing.least_loaded(nodes) if holds else -1
    if task.kind == THRESHOLD:
        return choose_short(nodes, job, task, i) if holds else -3
    if task.kind == RESERVATION:
        best = choosing.least_loaded(nodes)
        if not holds:
            return -2
        return best if nodes[best].in_flight < task.bound else -1
    if task.kind == OBSERVED:
        learn(nodes, tables, task, mind, rules)
        return choose_observed(nodes, job, task, rules, holds)
    return choose_knowing(nodes, twins, tables, task, rules, i) if holds else -3


def learn(nodes: Any, tables: Any, task: Run, mind: Mind, rules: Rules) -> None:
    """Answers that ended since the last arrival are taken in, node by node."""
    for n in range(len(nodes)):
        node = nodes[n]
        while node.done:
            i = node.first_done
            job = tables.jobs[i]
            node.first_done = job.next_done
            node.done -= 1
            if job.fate != physics.ANSWERED:
                learn_given_up(mind, rules, n, i, job)
            elif task.kind == OURS:
                learn_answer(mind, rules, n, i, job)
            else:
                add_to(task, 2 * n, job.first_s - job.arrived_s)
                add_to(task, 2 * n + 1, job.end_s - job.arrived_s)


def add_to(task: Run, record: int, value: float) -> None:
    """One more value in a record of observed times."""
    choosing.add_to_tail(task.tails, task.recent, task.ranked, task.window, record, value)


def choose_short(nodes: Any, job: Any, task: Run, i: int) -> int:
    """``policies.Threshold``."""
    if job.prompt_tokens > task.bound:
        return -1
    if len(task.is_refused) and task.is_refused[i]:
        return -2
    return choosing.least_loaded(nodes)


def choose_observed(nodes: Any, job: Any, task: Run, rules: Rules, holds: bool) -> int:
    """``policies.ObservedTail``."""
    chosen = choosing.observed(
        nodes, task.tails, task.ranked, task.window, task.tried_s, rules.ttft_s, rules.total_s,
        job.arrived_s, task.rest_s,
    )  # fmt: skip
    if chosen < 0:
        return -1
    return chosen if holds else -2


def choose_knowing(nodes: Any, twins: Any, tables: Any, task: Run, rules: Rules, i: int) -> int:
    """``policies.Clairvoyant``."""
    if len(task.is_refused) and task.is_refused[i]:
        return -2
    most = choosing.spare_misses(task.late_share, task.counts[0], task.counts[1])
    chosen, seen_idle = -1, False
    choosing.by_load(nodes, task.order, task.sign)
    for n in task.order:
        if nodes[n].in_flight or not seen_idle:
            seen_idle = seen_idle or nodes[n].in_flight == 0
            late = late_if_taken(nodes, twins, tables, rules, n, i, most, False)
            if late <= most:
                chosen, most = n, late - 1
            if most < 0:
                break
    if chosen >= 0:
        task.counts[0] += 1
        task.counts[1] += most + 1
        if most >= 0:
            late_if_taken(nodes, twins, tables, rules, chosen, i, most + 1, True)
    return chosen


def late_if_taken(
    nodes: Any, twins: Any, tables: Any, rules: Rules, n: int, i: int, most: int, marks: bool
) -> int:
    """Requests on node ``n`` that would newly be late if ``i`` came and then nothing, tried on a twin."""
    twins[0] = nodes[n]
    twin = twins[0]
    twin.base = len(nodes) * nodes[n].slots
    for k in range(twin.running):
        tables.due[twin.base + k] = tables.due[nodes[n].base + k]
        tables.who[twin.base + k] = tables.who[nodes[n].base + k]
    physics.submit(twin, tables, i)
    return physics.count_late(twin, tables, rules.ttft_s, rules.total_s, most, marks)
