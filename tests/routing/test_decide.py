"""The numbered rules, each alone and over a grid of inputs."""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import Any

import pytest
from msgspec import structs

from spillway.errors import (
    CapabilityMissing,
    ContextTooLong,
    ModelNotFound,
    NoUpstream,
    PinUnsatisfiable,
    RequestError,
)
from spillway.routing import NoEvidence, Policy, decide, reasons
from spillway.slo.pace import LinearPace
from spillway.vocabulary import Decision, Load, ModelFacts, NodeSnapshot, Objective, Rates, RequestFacts

CHEAP = Rates(Decimal("0.15"), Decimal("0.60"))
DEAR = Rates(Decimal("2.50"), Decimal("10"))


def node(name: str = "mini", model: str = "qwen", **changes: Any) -> NodeSnapshot:
    """A healthy local node with four slots."""
    facts = changes.pop("facts", ModelFacts(model, context_tokens=4096))
    return NodeSnapshot(**{"name": name, "side": "local", "models": (facts,), "slots": 4, **changes})


def cloud(
    name: str = "openai", model: str = "gpt-4o-mini", rates: Rates | None = CHEAP, **changes: Any
) -> NodeSnapshot:
    """A healthy cloud."""
    facts = changes.pop("facts", ModelFacts(model, context_tokens=128_000, rates=rates))
    return NodeSnapshot(**{"name": name, "side": "cloud", "models": (facts,), **changes})


def facts(**changes: Any) -> RequestFacts:
    """A short chat request for ``auto``."""
    given = {"request_id": "r1", "operation": "chat", "model": "auto", "input_tokens": 100}
    return RequestFacts(**{**given, **changes})


def plan(request: RequestFacts, nodes: list[NodeSnapshot], policy: Policy | None = None) -> list[str]:
    """Names of the upstreams in the order of the plan."""
    decision = decide(request, NoEvidence(), nodes, policy or Policy())
    return [choice.upstream for choice in decision.choices]


def why(request: RequestFacts, nodes: list[NodeSnapshot], policy: Policy | None = None) -> tuple[str, ...]:
    """The reasons of the plan."""
    return decide(request, NoEvidence(), nodes, policy or Policy()).reasons


def test_local_comes_first_and_the_cloud_is_the_alternate() -> None:
    """An idle node that can do it is chosen; the cloud stays as alternate."""
    assert plan(facts(), [cloud(), node()]) == ["mini", "openai"]


@pytest.mark.parametrize("how", [{"is_private": True}, {"pin": "local"}])
def test_rule_1_keeps_clouds_out_of_the_whole_plan(how: dict[str, Any]) -> None:
    """A private or pinned request never has a cloud among its alternates."""
    assert plan(facts(**how), [cloud(), node()]) == ["mini"]


@pytest.mark.parametrize("how", [{"is_private": True}, {"pin": "local"}])
@pytest.mark.parametrize(
    "nodes",
    [
        [cloud()],
        [cloud(), node(is_up=False)],
        [cloud(), node(breaker="open")],
        [cloud(), node(facts=ModelFacts("qwen", remote_host="somewhere.example"))],
    ],
)
def test_rule_1_fails_closed(how: dict[str, Any], nodes: list[NodeSnapshot]) -> None:
    """With no local node left it is an error, never a cloud call."""
    with pytest.raises(PinUnsatisfiable):
        plan(facts(**how), nodes)


def test_rule_1_refuses_a_cloud_model_by_name() -> None:
    """Naming a cloud's model does not lift the pin."""
    with pytest.raises(PinUnsatisfiable):
        plan(facts(is_private=True, model="gpt-4o-mini"), [cloud(), node()])
    with pytest.raises(PinUnsatisfiable):
        plan(facts(is_private=True, model="openai/gpt-4o-mini"), [cloud(), node()])


def test_an_alias_that_leads_nowhere_says_where_it_leads() -> None:
    """The error names the alias and its end, not the alias as the correction of itself."""
    with pytest.raises(ModelNotFound) as caught:
        plan(facts(model="fast"), [node(), cloud()], Policy(aliases={"fast": "qwem"}))
    assert "alias 'fast' leads to 'qwem'" in str(caught.value)
    assert "did you mean fast" not in str(caught.value)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("local", ["mini"]),
        ("cloud", ["openai"]),
        ("mini/qwen", ["mini"]),
        ("qwen", ["mini"]),
        ("gpt-4o-mini", ["openai"]),
        ("openai/gpt-unlisted", ["openai"]),
        ("fast", ["mini"]),
    ],
)
def test_rule_2_names(model: str, expected: list[str]) -> None:
    """Sides, NODE/MODEL, model names and aliases keep exactly what serves them."""
    assert plan(facts(model=model), [node(), cloud()], Policy(aliases={"fast": "mini/qwen"})) == expected


def test_rule_2_substitution_prefers_local_and_says_so() -> None:
    """A cloud model marked substitutable may be answered locally."""
    policy = Policy(substitutable=frozenset({"gpt-4o-mini"}))
    assert plan(facts(model="gpt-4o-mini"), [node(), cloud()], policy) == ["mini", "openai"]
    assert reasons.SUBSTITUTED in why(facts(model="gpt-4o-mini"), [node(), cloud()], policy)


def test_rule_2_unknown_name_suggests_the_nearest() -> None:
    """A typo is answered with the name that was probably meant."""
    with pytest.raises(ModelNotFound, match="did you mean gpt-4o-mini"):
        plan(facts(model="gpt-4o-mnii"), [node(), cloud()])


@pytest.mark.parametrize("model", ["auto", "local", "mini/qwen", "qwen", "fast"])
def test_rule_2_a_node_that_never_told_what_it_serves_may_come_back(model: str) -> None:
    """That is no unknown name: come again later, and name the node that is out."""
    silent = node(models=(), is_up=False)
    policy = Policy(aliases={"fast": "mini/qwen"})
    with pytest.raises(NoUpstream, match="node mini does not answer") as caught:
        plan(facts(model=model), [silent], policy)
    assert caught.value.retry_after_s is not None
    with pytest.raises(PinUnsatisfiable, match="node mini does not answer"):
        plan(facts(model=model, is_private=True), [silent, cloud()], policy)


def test_rule_2_a_name_of_a_node_that_is_out_is_known() -> None:
    """One that drifted to other models has not made the caller's name a typo; a node that is up has."""
    other = (ModelFacts("other"),)
    with pytest.raises(NoUpstream, match="node mini drifted from its pin"):
        plan(facts(model="mini/qwen"), [node(models=other, is_quarantined=True), cloud()])
    with pytest.raises(ModelNotFound):
        plan(facts(model="mini/qwen"), [node(models=other), cloud()])
    with pytest.raises(ModelNotFound):
        plan(facts(model="cloud"), [node(models=(), is_up=False)])


def test_rule_2_a_fallback_answers_for_a_node_that_is_out() -> None:
    """The first name may be served again later; until then the second is."""
    nodes = [node(models=(), is_up=False), cloud()]
    assert plan(facts(model="mini/qwen", fallback_models=("gpt-4o-mini",)), nodes) == ["openai"]


def test_rule_3_says_that_drift_withholds_what_is_needed() -> None:
    """Whoever needs tools of a node with another template learns why there are none."""
    drifted = node(withheld=frozenset({"tools"}))
    with pytest.raises(CapabilityMissing, match="a node that drifted from its pin is not trusted with it"):
        plan(facts(is_private=True, needs=frozenset({"chat", "tools"})), [drifted, cloud()])


def test_rule_2_fallback_models_keep_the_callers_order() -> None:
    """OpenRouter's ``models`` are tried in order, whatever they cost."""
    nodes = [cloud("a", "one", DEAR), cloud("b", "two", CHEAP)]
    assert plan(facts(model="one", fallback_models=("two",)), nodes) == ["a", "b"]


def test_rule_3_context_counts_prompt_and_answer() -> None:
    """A node whose slot cannot hold both is left out, and the reason is given."""
    request = facts(input_tokens=3000, max_output_tokens=2000, input_grade="counted")
    assert plan(request, [node(), cloud()]) == ["openai"]
    assert reasons.CONTEXT in why(request, [node(), cloud()])


def test_rule_3_too_long_for_all_names_the_largest() -> None:
    """When nothing holds the prompt the error says how much would fit."""
    with pytest.raises(ContextTooLong, match="4096"):
        plan(facts(input_tokens=10_000), [node()])


def test_rule_3_capabilities() -> None:
    """Tools need a model that offers them; unknown capabilities are given a chance."""
    plain = node(facts=ModelFacts("qwen", capabilities=frozenset({"chat"})))
    request = facts(needs=frozenset({"chat", "tools"}))
    assert plan(request, [plain, cloud()]) == ["openai"]
    with pytest.raises(CapabilityMissing, match="tools"):
        plan(request, [plain])


def test_rule_3_local_budgets_only_prefer() -> None:
    """A long prompt goes to the cloud, but stays local where there is no cloud or it was pinned."""
    long = facts(input_tokens=9000)
    big = node(facts=ModelFacts("qwen", context_tokens=32_000))
    assert plan(long, [big, cloud()]) == ["openai"]
    assert plan(long, [big]) == ["mini"]
    assert plan(facts(input_tokens=9000, pin="local"), [big, cloud()]) == ["mini"]


def test_rule_4_untrusted_task_goes_to_the_cloud() -> None:
    """A task class outside the trusted ones keeps clouds only, unless only local is left."""
    assert plan(facts(task="reasoning"), [node(), cloud()]) == ["openai"]
    assert plan(facts(task="extraction"), [node(), cloud()]) == ["mini", "openai"]
    assert plan(facts(task="reasoning"), [node()]) == ["mini"]


def test_rule_4_evidence_overrules_configuration() -> None:
    """What was measured counts more than what was configured."""

    class Trusting:
        def allows_local(
            self, task: str, upstream: str, model: str, identity: str | None = None
        ) -> bool | None:
            return True

        def can_learn(self, *key: str | None) -> bool:
            return False

    decision = decide(facts(task="reasoning"), Trusting(), [node(), cloud()], Policy())
    assert decision.choices[0].side == "local"


def test_rule_2_refuses_a_fallback_that_names_nothing() -> None:
    """A name with a typo is refused although another one would do, and the field is named."""
    with pytest.raises(ModelNotFound) as caught:
        plan(facts(model="qwen", fallback_models=("gpt-4o-minii",)), [node(), cloud()])
    assert caught.value.param == "models"
    assert "did you mean gpt-4o-mini?" in caught.value.message


def test_rule_1_refuses_alternates_that_all_violate_the_pin() -> None:
    """Pinned to local nodes with nothing but cloud models named: an error that names the field."""
    with pytest.raises(PinUnsatisfiable) as caught:
        plan(facts(model="gpt-4o-mini", fallback_models=("gpt-4o",), pin="local"), [node(), cloud()])
    assert caught.value.param == "models"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"is_up": False}, reasons.DOWN),
        ({"breaker": "open"}, reasons.BREAKER),
        ({"is_draining": True}, reasons.DRAINING),
        ({"facts": ModelFacts("qwen", remote_host="elsewhere.example")}, reasons.PASSTHROUGH),
    ],
)
def test_rule_5_leaves_out_the_sick(change: dict[str, Any], reason: str) -> None:
    """A node that is down, broken, draining or an impostor is not asked, and the reason says so."""
    assert plan(facts(), [node(**change), cloud()]) == ["openai"]
    assert reason in why(facts(), [node(**change), cloud()])


def test_rule_5_nothing_left_is_unavailable() -> None:
    """When everything is down the caller is told when to come back."""
    with pytest.raises(NoUpstream) as caught:
        plan(facts(), [node(is_up=False), cloud(breaker="open")])
    assert caught.value.retry_after_s


def test_rule_6_full_node_spills_but_remains_the_last_resort() -> None:
    """Slots and queue taken: the cloud is first, the node last."""
    assert plan(facts(), [node(in_flight=8), cloud()]) == ["openai", "mini"]
    assert reasons.FULL in why(facts(), [node(in_flight=8), cloud()])


PACE = LinearPace(prefill_base_s=0.1, prefill_token_s=0.001, step_base_s=0.02, step_sequence_s=0.005)


def busy(unread_s: float = 0.0, running: int = 3, **changes: Any) -> NodeSnapshot:
    """A node of known pace with some requests on it."""
    load = Load(
        running, 4, unread_s, 1.0 if unread_s else 0.0, int(unread_s > 0), running, 900.0 * running, 0.0
    )
    return node(**{"in_flight": running, "pace": PACE, "load": load, **changes})


def test_rule_6_late_first_token_spills() -> None:
    """A node whose forecast first token misses the objective moves behind the cloud."""
    request = facts(objective=Objective("x", ttft_s=1.0))
    assert plan(request, [busy(unread_s=2.0), cloud()]) == ["openai", "mini"]
    assert reasons.SLO_TTFT in why(request, [busy(unread_s=2.0), cloud()])
    patient = facts(objective=Objective("x", ttft_s=10.0))
    assert plan(patient, [busy(unread_s=2.0), cloud()]) == ["mini", "openai"]


def test_rule_6_late_end_spills() -> None:
    """A long answer that would end too late spills, a short one stays."""
    tight = Objective("x", total_s=5.0)
    long = facts(objective=tight, usual_output_tokens=150.0, long_output_tokens=300.0)
    short = facts(objective=tight, usual_output_tokens=10.0, long_output_tokens=20.0)
    assert plan(long, [busy(), cloud()]) == ["openai", "mini"]
    assert reasons.SLO_TOTAL in why(long, [busy(), cloud()])
    assert plan(short, [busy(), cloud()]) == ["mini", "openai"]


def test_rule_6_idle_node_may_use_the_whole_objective() -> None:
    """An idle node is tried up to the objective itself, an unknown one always; too slow alone is too slow."""
    idle = Load(0, 4, 0.0, 0.0, 0, 0, 0.0, 0.0)
    for ttft_s, first in ((0.195, "openai"), (0.205, "mini")):
        request = facts(objective=Objective("x", ttft_s=ttft_s))
        assert plan(request, [node(pace=PACE, load=idle, margin_ratio=0.5), cloud()])[0] == first
        assert plan(request, [node(), cloud()])[0] == "mini"


def test_rule_6_a_doubtful_node_is_tried_and_hedged_while_the_cloud_is_in_time() -> None:
    """A node that is due gets the request although its forecast is late, and the cloud is asked in time."""
    idle = Load(0, 4, 0.0, 0.0, 0, 0, 0.0, 0.0)
    request = facts(objective=Objective("x", ttft_s=0.19))
    nodes = [node(pace=PACE, load=idle, is_due=True), cloud(ttft_p95_s=0.1), busy(name="early")]
    decision = decide(request, NoEvidence(), nodes, Policy(hedge_share=0.05))
    assert decision.choices[0].upstream == "mini"
    assert reasons.RETRIED in decision.reasons
    assert decision.hedge_delay_s == pytest.approx(0.0615)


def test_rule_6_margin_decides_at_the_border() -> None:
    """The learned margin is the share of the objective that a busy node's forecast may use."""
    request = facts(objective=Objective("x", ttft_s=0.3))
    assert plan(request, [busy(margin_ratio=1.0), cloud()])[0] == "mini"
    assert plan(request, [busy(margin_ratio=0.6), cloud()])[0] == "openai"


def test_rule_6_a_wait_is_left_to_small_requests() -> None:
    """Where much waits, what is large spills although it would be in time; what is small stays longer."""
    request = facts(objective=Objective("x", ttft_s=10.0))
    work_s = decide(request, NoEvidence(), [busy()], Policy()).work_s
    assert work_s is not None
    waits: dict[str, Any] = {"unread_s": 3.0, "margin_ratio": 1.0}
    assert plan(request, [busy(**waits, usual_work_s=work_s), cloud()]) == ["mini", "openai"]
    assert plan(request, [busy(**waits, usual_work_s=work_s / 3), cloud()]) == ["openai", "mini"]
    assert reasons.WORK in why(request, [busy(**waits, usual_work_s=work_s / 3), cloud()])
    assert plan(request, [busy(usual_work_s=work_s / 9), cloud()])[0] == "mini"  # nothing waits there
    for unread_s, usual_s, first in (
        (20.0, work_s, "openai"),
        (20.0, 9 * work_s, "mini"),
        (60.0, 9 * work_s, "openai"),
    ):
        crowded = busy(unread_s=unread_s, margin_ratio=1.0, usual_work_s=usual_s)
        assert plan(request, [crowded, cloud()])[0] == first


def test_rule_6_earliest_first_token_goes_first() -> None:
    """Among nodes in time the one that would speak first is chosen."""
    nodes = [busy(name="late", unread_s=2.0), busy(name="early"), cloud()]
    assert plan(facts(objective=Objective("x", ttft_s=50.0)), nodes) == ["early", "late", "openai"]


def test_rule_6_counts_only_what_a_node_has_to_read() -> None:
    """A node that holds the conversation's beginning keeps a turn that would otherwise spill as too late."""
    request = facts(input_tokens=900, objective=Objective("x", ttft_s=0.6))
    held = structs.replace(request, cached_on=(("mini", 800.0),))
    assert plan(request, [busy(), cloud()]) == ["openai", "mini"]
    assert plan(held, [busy(), cloud()]) == ["mini", "openai"]
    assert plan(structs.replace(request, cached_tokens=800.0), [busy(), cloud()])[0] == "mini"
    decision = decide(held, NoEvidence(), [busy(), cloud()], Policy())
    assert [choice.cached_tokens for choice in decision.choices] == [800.0, None]


def test_rule_7_prefers_the_node_that_holds_the_beginning() -> None:
    """Of two nodes alike the one that read the conversation before speaks first; one far busier does not."""
    request = facts(input_tokens=2000, cached_on=(("b", 1800.0),), objective=Objective("x", ttft_s=50.0))
    assert plan(request, [busy(name="a"), busy(name="b"), cloud()]) == ["b", "a", "openai"]
    assert plan(request, [busy(name="a"), busy(name="b", unread_s=4.0), cloud()])[0] == "a"


def test_rule_8_says_how_long_to_wait_and_when_to_hedge() -> None:
    """The queue time is what the objective leaves; the hedge starts at the predicted p95."""
    request = facts(objective=Objective("x", ttft_s=3.0))
    decision = decide(request, NoEvidence(), [busy(ttft_stretch=2.0), cloud()], Policy(hedge_share=0.05))
    first, alternate = decision.choices
    assert first.ttft_s is not None
    assert first.queue_s == pytest.approx(3.0 - 0.25 - first.ttft_s)
    assert first.ttft_p95_s == pytest.approx(2 * first.ttft_s)
    assert decision.hedge_delay_s == pytest.approx(first.ttft_p95_s)
    assert alternate.queue_s == 0.0
    assert decision.work_s is not None
    pinned = decide(facts(pin="local"), NoEvidence(), [busy(), cloud()], Policy(hedge_share=0.05))
    assert pinned.hedge_delay_s is None


def test_rule_3_and_5_leave_out_the_drifted() -> None:
    """A quarantined node is not asked; one that may not use tools any more still answers without them."""
    assert plan(facts(), [node(is_quarantined=True), cloud()]) == ["openai"]
    withheld = node(withheld=frozenset({"tools"}), drift=("template",))
    with_tools = facts(needs=frozenset({"tools"}))
    assert plan(with_tools, [withheld, cloud()]) == ["openai"]
    assert reasons.DRIFTED in why(with_tools, [withheld, cloud()])
    assert plan(facts(), [withheld, cloud()])[0] == "mini"
    with pytest.raises(PinUnsatisfiable):
        plan(facts(is_private=True), [node(is_quarantined=True), cloud()])


class Curious(NoEvidence):
    """Nothing is trusted yet, and everything can be learned."""

    def can_learn(self, *key: str | None) -> bool:
        """Always."""
        return True


def test_rule_4_explores_a_small_share() -> None:
    """Of an untrusted class a stated share goes local all the same, by request id, where that can teach."""
    policy = Policy(exploration_share=0.1)
    requests = [facts(task="reasoning", request_id=f"req_{i}") for i in range(1000)]
    decisions = [decide(each, Curious(), [node(), cloud()], policy) for each in requests]
    explored = [d for d in decisions if d.choices[0].side == "local"]
    assert 60 < len(explored) < 140
    assert all(reasons.EXPLORED in d.reasons for d in explored)
    assert all(
        decide(each, NoEvidence(), [node(), cloud()], policy).choices[0].side == "cloud" for each in requests
    )


def test_rule_8_names_the_gates_where_an_alternate_could_do_better() -> None:
    """Gates of the class, held where the class or the form asks for it; none where nothing could follow."""
    policy = Policy(
        gates={"extraction": ("finish", "confidence"), "*": ("finish",)}, hold_tasks=frozenset({"extraction"})
    )

    def planned(nodes: list[NodeSnapshot], **changes: Any) -> Decision:
        return decide(facts(**changes), NoEvidence(), nodes, policy)

    both = [node(), cloud()]
    held = planned(both, task="extraction", is_stream=True)
    assert (held.gates, held.is_held, held.wants_logprobs) == (("finish", "confidence"), True, True)
    flowing = planned(both, task=None, is_stream=True)
    assert (flowing.gates, flowing.is_held, flowing.wants_logprobs) == (("finish",), False, False)
    assert planned(both, task=None).is_held
    assert planned([node()], task="extraction").gates == ()
    assert planned([cloud()], task="extraction").gates == ()


def test_rule_6_a_loading_node_comes_last_but_is_not_lost() -> None:
    """While a node loads its model the cloud answers; with nothing else the request waits for it."""
    assert plan(facts(), [node(is_loading=True), cloud()]) == ["openai", "mini"]
    assert reasons.LOADING in why(facts(), [node(is_loading=True), cloud()])
    assert plan(facts(pin="local"), [node(is_loading=True), cloud()]) == ["mini"]


def test_rule_8_the_callers_timeout_bounds_all_attempts() -> None:
    """A shorter wish is followed, a longer one does not lift the owner's limit."""
    for timeout_s, total_s in ((5.0, 5.0), (5000.0, 600.0), (None, 600.0)):
        request = facts(timeout_s=timeout_s)
        assert decide(request, NoEvidence(), [node()], Policy()).total_s == total_s


def test_rule_7_cheapest_cloud_first_unknown_price_last() -> None:
    """Clouds are ordered by list price; one without a price comes last."""
    nodes = [cloud("unknown", rates=None), cloud("dear", rates=DEAR), cloud("cheap", rates=CHEAP)]
    assert plan(facts(), nodes) == ["cheap", "dear", "unknown"]


def test_rule_7_least_loaded_node_first() -> None:
    """Among local nodes the one with most room goes first."""
    assert plan(facts(), [node("a", in_flight=3), node("b", in_flight=1)]) == ["b", "a"]


def test_rule_8_one_model_for_each_upstream() -> None:
    """``auto`` plans one attempt for an upstream that offers several models: its first."""
    two = NodeSnapshot("openai", "cloud", (ModelFacts("m1"), ModelFacts("m2")))
    decision = decide(facts(), NoEvidence(), [two], Policy())
    assert [choice.model for choice in decision.choices] == ["m1"]


def test_invariants_over_the_grid() -> None:
    """Whatever the state: pins hold, the sick are never asked, reasons come from the list."""
    states: list[dict[str, Any]] = [{}, {"is_up": False}, {"breaker": "open"}, {"in_flight": 9}]
    requests = [
        facts(model=model, pin=pin, is_private=private, task=task)
        for model, pin, private, task in itertools.product(
            ("auto", "local", "cloud", "qwen", "gpt-4o-mini", "nope"),
            (None, "local", "cloud"),
            (False, True),
            (None, "reasoning"),
        )
        if not (private and pin == "cloud")
    ]
    planned = 0
    for local_state, cloud_state, request in itertools.product(states, states, requests):
        nodes = [node(**local_state), cloud(**cloud_state)]
        sick = {n.name for n in nodes if not n.is_up or n.breaker == "open"}
        try:
            decision = decide(request, NoEvidence(), nodes, Policy())
        except RequestError:
            continue
        planned += 1
        sides = {choice.side for choice in decision.choices}
        assert decision.choices
        assert set(decision.reasons) <= set(reasons.MEANING)
        assert sick.isdisjoint(choice.upstream for choice in decision.choices)
        assert not (request.must_stay_local and "cloud" in sides)
        assert not (request.pin == "cloud" and "local" in sides)
    assert planned > 200
