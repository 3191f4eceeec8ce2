"""Where a route ends: the time for all attempts, and upstreams that are too small however they are asked."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from spillway.engines.failures import CONTEXT, Failure
from spillway.engines.payload import Payload
from spillway.relay.commit import Client
from spillway.relay.route import Route
from spillway.relay.run import Job, Run
from spillway.relay.seam import Seam
from spillway.relay.step import Step
from spillway.testing.fake_clock import FakeClock
from spillway.vocabulary import Choice, Decision, RequestFacts, Usage

from .conftest import PlainBooks

BODY = b'{"model":"auto","messages":[{"role":"user","content":"hello"}]}'


async def ignore(message: MutableMapping[str, Any]) -> None:
    """Takes what is sent."""


def begun(*choices: Choice, total_s: float = 60.0) -> tuple[Route, Run, FakeClock]:
    """The route of one chat request that was accepted now; every upstream goes on with a beginning."""
    clock = FakeClock()
    facts = RequestFacts(request_id="r1", operation="chat", model="auto")
    payload = Payload(BODY, "auto", include_usage=False, has_ours=False)
    decision = Decision(choices, (), total_s=total_s, max_attempts=9)
    job = Job(facts, payload, decision, clock.monotonic_s(), clock.wall_s())
    run = Run(job, Client(ignore), PlainBooks(), clock)
    return Route(run, lambda choice: "plain"), run, clock


def taken(step: Step | None) -> Step:
    """The step, which there must be."""
    assert step is not None
    return step


def test_nothing_is_tried_once_the_time_for_all_attempts_is_over() -> None:
    """Choices are left, and nobody is asked any more."""
    route, _, clock = begun(Choice("one", "local", "m"), Choice("two", "cloud", "m"), total_s=10.0)
    clock.advance(9.9)
    route.failed(taken(route.next()), Failure("upstream_failed", "it answered 500"))
    clock.advance(0.1)
    assert route.next() is None


def test_an_upstream_too_small_for_a_beginning_is_not_asked_in_another_way() -> None:
    """The prompt was too long for it: the rest of the answer is asked of the next one."""
    small, large = Choice("small", "local", "m", context_tokens=4096), Choice("large", "cloud", "m")
    route, run, _ = begun(small, large)
    run.client.has_committed = True
    run.seam = Seam("Your order has left the", None, Usage(), "gone", "upstream_closed")
    first = taken(route.next())
    assert first.choice is small
    route.failed(first, Failure(CONTEXT, "the prompt is too long for it", counts_against=False))
    assert taken(route.next()).choice is large
