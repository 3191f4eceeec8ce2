"""A second attempt beside a late first one: whoever speaks first is relayed, the other is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Literal

from spillway.relay.attempt import LiveAttempt
from spillway.relay.route import Route
from spillway.relay.run import Run
from spillway.relay.step import AttemptFailed, Step
from spillway.slo.hedges import HedgeBudget

__all__ = ["HedgeOutcome", "race"]

HedgeOutcome = Literal["won", "lost", "capped"]
Speak = Callable[[Step], Coroutine[Any, Any, LiveAttempt]]
Contender = asyncio.Task[LiveAttempt]


async def race(
    run: Run,
    route: Route,
    first: Step,
    speak: Speak,
    budget: HedgeBudget,
    on_outcome: Callable[[HedgeOutcome], None],
) -> LiveAttempt:
    """The attempt that has begun to answer; AttemptFailed with the failure of ``first`` when none did."""
    delay_s = (run.job.decision.hedge_delay_s or 0.0) - run.since_arrival_s
    contenders = {asyncio.create_task(speak(first)): first}
    winner: Contender | None = None
    try:
        await asyncio.wait(contenders, timeout=max(0.0, delay_s))
        if not any(task.done() for task in contenders):
            second = _second(route, budget, on_outcome)
            if second is not None:
                contenders[asyncio.create_task(speak(second))] = second
        winner = await _first_to_speak(contenders, route)
        if len(contenders) > 1:
            has_won = contenders[winner].kind == "hedge"
            on_outcome("won" if has_won else "lost")
            if has_won:
                run.note_event("hedged")
            _spare(contenders, winner, route)
        return winner.result()
    finally:
        await _dismiss(run, contenders, winner)


def _second(route: Route, budget: HedgeBudget, on_outcome: Callable[[HedgeOutcome], None]) -> Step | None:
    if not route.has_alternates:
        return None
    if not budget.take():
        on_outcome("capped")
        return None
    return route.alternate()


async def _first_to_speak(contenders: dict[Contender, Step], route: Route) -> Contender:
    first, *_ = contenders
    running = set(contenders)
    while running:
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in [task for task in contenders if task in running and task.done()]:
            running.discard(task)
            error = task.exception()
            if error is None:
                return task
            if not isinstance(error, AttemptFailed):
                raise error
            if task is not first:
                route.failed(contenders[task], error.failure)
    failure = first.exception()
    assert failure is not None
    raise failure


def _spare(contenders: dict[Contender, Step], winner: Contender, route: Route) -> None:
    for task, step in contenders.items():
        has_failed = task.done() and task.exception() is not None
        if task is not winner and not has_failed:
            route.spare(step)


async def _dismiss(run: Run, contenders: dict[Contender, Step], winner: Contender | None) -> None:
    """Ends every other attempt and has it noted before the winner goes on."""
    others = [task for task in contenders if task is not winner]
    run.is_overtaken = winner is not None
    try:
        for task in others:
            if not task.cancel() and not task.cancelled() and task.exception() is None:
                task.result().abandon(run.abandon_code)
        if others:
            await asyncio.wait(others)
    except BaseException:
        run.is_overtaken = False
        if winner is not None:
            winner.result().abandon(run.abandon_code)
        raise
    finally:
        run.is_overtaken = False
