"""Rule 8: how long a request waits for a slot, and when a cloud is asked as well; rule 6 by attainment."""

from __future__ import annotations

import pytest

from spillway.routing import NoEvidence, Policy, decide
from spillway.vocabulary import ModelFacts, NodeSnapshot, Objective
from tests.routing.test_decide import busy, cloud, facts


def test_rule_8_hedges_with_a_cloud_only_when_waiting_longer_would_make_it_late_too() -> None:
    """Past the predicted p95 there may be time left: the paid second attempt begins when it must."""
    request = facts(objective=Objective("x", ttft_s=3.0))
    for cloud_s, began_s in ((0.5, 2.25), (2.9, None), (3.5, None)):
        nodes = [busy(ttft_stretch=1.5), cloud(ttft_p95_s=cloud_s)]
        decision = decide(request, NoEvidence(), nodes, Policy(hedge_share=0.05))
        late_s = decision.choices[0].ttft_p95_s
        assert decision.hedge_delay_s == pytest.approx(late_s if began_s is None else began_s)
    several = [busy(name="one"), busy(name="two"), cloud(ttft_p95_s=0.5)]
    decision = decide(request, NoEvidence(), several, Policy(hedge_share=0.05))
    assert decision.hedge_delay_s == pytest.approx(decision.choices[0].ttft_p95_s)


def test_rule_8_waits_while_its_own_prompt_can_still_be_read_in_time() -> None:
    """The prompts before it are read while it waits for a slot, so they do not shorten the wait."""
    request = facts(objective=Objective("x", ttft_s=30.0))
    short = decide(request, NoEvidence(), [busy(unread_s=0.0), cloud()], Policy()).choices[0]
    behind = decide(request, NoEvidence(), [busy(unread_s=9.0), cloud()], Policy()).choices[0]
    assert behind.ttft_s is not None
    assert short.ttft_s is not None
    assert behind.ttft_s > short.ttft_s + 9.0
    assert behind.queue_s == pytest.approx(short.queue_s)
    assert short.queue_s < 30.0


def test_rule_8_leaves_in_time_for_a_cloud_that_is_quick_beside_the_limit() -> None:
    """One that needs a small part of the limit is asked in time; a slower one would cost too much of it."""
    request = facts(objective=Objective("x", ttft_s=10.0))
    waits_s = [
        decide(request, NoEvidence(), [busy(), cloud(ttft_p95_s=cloud_s)], Policy()).choices[0].queue_s
        for cloud_s in (None, 0.01, 1.4, 1.6)
    ]
    assert waits_s[0] == waits_s[1] == waits_s[3]
    assert waits_s[2] == pytest.approx(10.0 - 0.25 - 1.4)


def test_rule_8_lets_only_those_be_overtaken_whom_a_cloud_can_still_answer_in_time() -> None:
    """Their turn is their work; who has no quick cloud, or may not go to one, is served as it came."""
    objective = Objective("x", ttft_s=10.0)
    quick, slow = cloud(ttft_p95_s=1.0), cloud(ttft_p95_s=9.0)

    def yields_s_of(nodes: list[NodeSnapshot], **changes: object) -> float:
        asked = facts(objective=objective, **changes)
        return decide(asked, NoEvidence(), nodes, Policy()).choices[0].yields_s

    assert (
        yields_s_of([busy(), quick], input_tokens=2000)
        > yields_s_of([busy(), quick], input_tokens=1000)
        > 0.0
    )
    assert yields_s_of([busy(), slow]) == yields_s_of([busy()]) == yields_s_of([busy(), cloud()]) == 0.0
    assert yields_s_of([busy(), quick], is_private=True) == 0.0
    late = decide(facts(objective=objective, pin="local"), NoEvidence(), [busy(unread_s=99.0)], Policy())
    assert late.choices[0].yields_s == 0.0
    assert decide(facts(), NoEvidence(), [busy(), quick], Policy()).choices[0].yields_s == 0.0


def stays_of(nodes: list[NodeSnapshot], **changes: object) -> dict[str, float | None]:
    """How long each choice is waited for all the same."""
    asked = facts(objective=Objective("x", ttft_s=10.0), **changes)
    return {c.upstream: c.stays_s for c in decide(asked, NoEvidence(), nodes, Policy()).choices}


def test_rule_8_waits_on_only_where_nobody_else_would_be_in_time() -> None:
    """As long as one that is late: being believed in time makes nobody worse off. A cloud, or what the
    caller named next, is asked while it is still in time; an equal node is not, it takes over."""
    one, two = busy(name="one"), busy(name="two", unread_s=0.5)
    other = busy(name="other", facts=ModelFacts("other"))
    slow = busy(name="slow", facts=ModelFacts("other"), unread_s=99.0)
    assert stays_of([one, cloud()]) == {"one": None, "openai": None}
    assert stays_of([one, cloud()], pin="local") == stays_of([one]) == {"one": 120.0}
    assert stays_of([one, two]) == {"one": 120.0, "two": 120.0}
    named = {"model": "qwen", "fallback_models": ("other",)}
    assert stays_of([one, other], **named) == {"one": None, "other": 120.0}
    assert stays_of([one, slow], **named) == {"one": 120.0, "slow": 120.0}


def test_rule_8_keeps_what_is_in_time_apart_from_how_long_it_waits() -> None:
    """Another node takes it over only while it would be in time there."""
    request = facts(objective=Objective("x", ttft_s=10.0))
    alone, with_cloud = (
        decide(request, NoEvidence(), nodes, Policy()).choices[0] for nodes in ([busy()], [busy(), cloud()])
    )
    assert alone.queue_s == with_cloud.queue_s < 10.0


def test_rule_6_takes_the_margin_of_the_objectives_own_attainment() -> None:
    """Who is promised more gets less of the limit; an attainment of which nothing is known gets the usual."""
    node = busy(margin_ratio=1.0, margins=((0.95, 1.0), (0.99, 0.6)))

    def first_for(attainment: float) -> str:
        asked = facts(objective=Objective("x", ttft_s=0.3, attainment_ratio=attainment))
        return decide(asked, NoEvidence(), [node, cloud()], Policy()).choices[0].upstream

    assert [first_for(attainment) for attainment in (0.95, 0.99, 0.5)] == ["mini", "openai", "mini"]
