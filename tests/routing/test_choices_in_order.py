"""Which choice comes first, how long each is waited for, and when a second one is asked."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from spillway.errors import ContextTooLong
from spillway.routing import NoEvidence, Policy, decide, reasons
from spillway.slo.forecast import usable_s
from spillway.slo.hedges import LEAST_DELAY_S
from spillway.slo.pace import LinearPace
from spillway.vocabulary import (
    Deadlines,
    Decision,
    Load,
    ModelFacts,
    NodeSnapshot,
    Objective,
    Rates,
    RequestFacts,
)

PACE = LinearPace(prefill_base_s=0.1, prefill_token_s=0.001, step_base_s=0.02, step_sequence_s=0.005)
SLOW = LinearPace(prefill_base_s=0.2, prefill_token_s=0.002, step_base_s=0.04, step_sequence_s=0.01)


def node(name: str = "mini", model: str = "qwen", context: int | None = 4096, **changes: Any) -> NodeSnapshot:
    """A healthy node with four slots, of which nothing is known yet."""
    return NodeSnapshot(name, "local", (ModelFacts(model, context_tokens=context),), slots=4, **changes)


def paced(name: str = "mini", unread_s: float = 0.0, **changes: Any) -> NodeSnapshot:
    """One of known pace that writes an answer, and reads for so long."""
    load = Load(1, 4, unread_s, float(unread_s > 0), int(unread_s > 0), 1, 900.0, 0.0)
    return node(name, **{"in_flight": 1, "pace": PACE, "load": load, **changes})


def cloud(name: str = "openai", rates: Rates | None = None, **changes: Any) -> NodeSnapshot:
    """A healthy cloud."""
    return NodeSnapshot(name, "cloud", (ModelFacts("gpt", rates=rates),), **changes)


def decided(*nodes: NodeSnapshot, policy: Policy | None = None, **about: Any) -> Decision:
    """The plan for a short chat request."""
    given = {"request_id": "r1", "operation": "chat", "model": "auto", "input_tokens": 100, **about}
    return decide(RequestFacts(**given), NoEvidence(), nodes, policy or Policy())


def order(*nodes: NodeSnapshot, **about: Any) -> list[str]:
    """Names of the upstreams as they would be tried."""
    return [choice.upstream for choice in decided(*nodes, **about).choices]


HEDGING = Policy(hedge_share=0.05)


def test_a_node_believed_to_be_late_is_waited_for_as_long_as_for_any_first_token() -> None:
    """What is late anyway is not given up after what the objective left."""
    late = decided(paced(unread_s=9.0), objective=Objective("x", ttft_s=1.0)).choices[0]
    assert late.miss_weight == 0.0
    assert late.queue_s == late.deadlines.first_token_s


def test_no_wait_is_longer_than_the_first_token_is_waited_for() -> None:
    """A long objective does not lift the upstream's own deadline."""
    short = Policy(deadlines={"mini": Deadlines(first_token_s=2.0)})
    first = decided(paced(), policy=short, objective=Objective("x", ttft_s=300.0)).choices[0]
    assert first.queue_s == 2.0


def test_the_caller_s_first_wish_goes_before_an_idle_node_of_its_second() -> None:
    """Nodes are ordered by their first token only within one wish."""
    first, second = node("a", "one", in_flight=3), node("b", "two")
    assert order(second, first, model="one", fallback_models=("two",)) == ["a", "b"]


def test_those_who_wait_for_a_node_of_unknown_pace_count() -> None:
    """One running and three waiting are more than two running."""
    assert order(node("a", in_flight=1, waiting=3), node("b", in_flight=2)) == ["b", "a"]


@pytest.mark.parametrize(("most", "first"), [(10, "cheap prompts"), (2000, "cheap answers")])
def test_the_cheapest_cloud_depends_on_the_longest_answer(most: int, first: str) -> None:
    """A short answer goes where prompts are cheap, a long one where answers are."""
    answers = cloud("cheap answers", Rates(Decimal(5), Decimal(5)))
    prompts = cloud("cheap prompts", Rates(Decimal(1), Decimal(10)))
    assert order(answers, prompts, max_output_tokens=most)[0] == first


def test_the_last_token_s_p95_is_stretched_as_observed() -> None:
    """A node whose answers took three times the forecast is expected to do so again."""
    first = decided(paced(total_stretch=3.0), objective=Objective("x", total_s=60.0)).choices[0]
    assert first.total_s is not None
    assert first.total_p95_s == pytest.approx(3 * first.total_s)


def test_the_work_of_a_request_is_that_of_the_fastest_node() -> None:
    """Whichever is listed first."""
    fast, slow = paced("fast"), paced("slow", pace=SLOW)
    alone_s = decided(fast).work_s
    assert alone_s is not None
    assert decided(slow).work_s > alone_s  # type: ignore[operator]
    assert decided(slow, fast).work_s == decided(fast, slow).work_s == alone_s


def test_clouds_alone_have_no_gates() -> None:
    """Gates judge local answers; between clouds there are none to judge."""
    gated = Policy(gates={"*": ("finish",)})
    assert decided(cloud("a"), cloud("b"), policy=gated).gates == ()
    assert decided(node(), cloud("b"), policy=gated).gates == ("finish",)


def test_nothing_is_asked_beside_a_choice_where_the_other_would_be_late() -> None:
    """A second node that misses the objective cannot overtake in time."""
    objective = Objective("x", ttft_s=1.0)
    late = decided(paced(), paced("late", unread_s=9.0), policy=HEDGING, objective=objective)
    assert [choice.upstream for choice in late.choices] == ["mini", "late"]
    assert late.hedge_delay_s is None
    early = decided(paced(), paced("early"), policy=HEDGING, objective=objective)
    assert early.hedge_delay_s is not None


def test_a_second_upstream_is_never_asked_at_once() -> None:
    """Not even where the first one's tokens usually come within a millisecond."""
    fast = decided(cloud("a", ttft_p95_s=0.001), cloud("b"), policy=HEDGING)
    assert fast.hedge_delay_s == LEAST_DELAY_S


def test_the_fastest_cloud_says_how_long_a_node_may_be_waited_for() -> None:
    """Beside a slow cloud a fast one leaves as much time as if it were alone."""
    objective = Objective("x", ttft_s=3.0)
    clouds = cloud("slow", ttft_p95_s=1.0), cloud("fast", ttft_p95_s=0.1)
    found = decided(paced(), *clouds, policy=HEDGING, objective=objective).hedge_delay_s
    assert found == pytest.approx(usable_s(3.0) - 0.1)


def test_an_estimate_a_little_above_the_context_is_let_through() -> None:
    """The engine counts exactly and says so; what was counted already does not get that chance."""
    assert order(node(context=4096), cloud(), input_tokens=5000, input_grade="estimated")[0] == "mini"
    assert order(node(context=4096), cloud(), input_tokens=5000, input_grade="counted") == ["openai"]
    assert order(node(context=4096), cloud(), input_tokens=5200, input_grade="estimated") == ["openai"]


def test_a_prompt_that_fits_nowhere_is_told_the_largest_context() -> None:
    """Of all that could have been used, whatever their order."""
    small, large = node("small", context=2048), node("large", context=8192)
    for nodes in ((small, large), (large, small)):
        with pytest.raises(ContextTooLong, match="8192"):
            decided(*nodes, input_tokens=20_000)


def test_a_request_that_cannot_teach_is_not_said_to_explore() -> None:
    """Every request would explore, but nothing can be learned: it goes to the cloud because of its task."""
    found = decided(node(), cloud(), policy=Policy(exploration_share=1.0), task="reasoning")
    assert [choice.upstream for choice in found.choices] == ["openai"]
    assert reasons.TASK in found.reasons
    assert reasons.EXPLORED not in found.reasons
