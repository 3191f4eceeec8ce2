"""What the relay is told of each choice, and where rules that a plan rarely meets draw their lines."""

from __future__ import annotations

from decimal import Decimal

import pytest

from spillway.errors import PinUnsatisfiable
from spillway.routing import NoEvidence, Policy, decide, reasons
from spillway.slo.forecast import usable_s
from spillway.slo.pace import LinearPace
from spillway.vocabulary import Load, ModelFacts, NodeSnapshot, Objective, Rates, RequestFacts
from tests.routing.test_choices_in_order import HEDGING, PACE, cloud, decided, node, order, paced

D = Decimal
IDLE = Load(0, 4, 0.0, 0.0, 0, 0, 0.0, 0.0)
QUICK = LinearPace(prefill_base_s=0.05)
"""Reads anything at once; others that write do not slow it down."""
EACH_KIND = (node("unknown"), paced("paced"), cloud("cloud"))
"""A node of which nothing is known, one of known pace, and a cloud."""
TWO = (ModelFacts("one", 2048), ModelFacts("two", 8192))
FIRST = Objective("x", ttft_s=0.19)


def test_each_choice_carries_what_its_model_can_hold() -> None:
    """So that a prompt that was too long for one is not taken to another that is no larger."""
    clouds = NodeSnapshot("cloud", "cloud", (ModelFacts("gpt", 128_000),))
    found = decided(node("unknown", context=2048), paced("paced"), clouds, pin=None).choices
    assert {c.upstream: c.context_tokens for c in found} == {
        "unknown": 2048,
        "paced": 4096,
        "cloud": 128_000,
    }


def test_each_choice_carries_in_what_its_node_drifted() -> None:
    """The caller of a node that is no longer what was pinned is told."""
    drifted = decided(node("unknown", drift=("template",)), paced("paced", drift=("weights",))).choices
    assert {c.upstream: c.drift for c in drifted} == {"unknown": ("template",), "paced": ("weights",)}


@pytest.mark.parametrize("place", range(3))
def test_each_choice_carries_which_wish_it_is(place: int) -> None:
    """Whoever asked for one model is never moved to the second wish, however free its node is."""
    second = EACH_KIND[place]
    found = decided(node("first", "wanted"), second, model="wanted", fallback_models=(second.models[0].name,))
    assert [(c.upstream, c.rank) for c in found.choices] == [("first", 0), (second.name, 1)]


@pytest.mark.parametrize("side", ["local", "cloud"])
def test_a_second_wish_at_the_same_upstream_is_kept(side: str) -> None:
    """Its other model answers where the first one's context was too small."""
    both = NodeSnapshot("both", side, TWO)  # type: ignore[arg-type]
    found = decided(both, model="one", fallback_models=("two",)).choices
    assert [(c.model, c.rank) for c in found] == [("one", 0), ("two", 1)]


def test_nothing_is_asked_beside_the_only_upstream() -> None:
    """Also where it serves several models, all of them in time."""
    both = NodeSnapshot("both", "local", TWO, slots=4, in_flight=0, pace=PACE, load=IDLE)
    found = decided(both, policy=HEDGING, objective=Objective("x", ttft_s=9.0))
    assert [c.model for c in found.choices] == ["one"]
    assert found.hedge_delay_s is None


def test_nothing_is_asked_twice_where_the_owner_allows_no_share() -> None:
    """Whatever is late."""
    nodes = paced("one"), paced("two")
    assert decided(*nodes, objective=Objective("x", ttft_s=9.0)).hedge_delay_s is None


def test_a_cloud_that_cannot_be_in_time_does_not_hurry_a_second_request() -> None:
    """Beside a node that was slow before it is asked once that is late, not at once for nothing."""
    due = node(pace=PACE, load=IDLE, is_due=True)
    found = decided(due, cloud(ttft_p95_s=0.5), policy=HEDGING, objective=FIRST)
    assert found.hedge_delay_s == found.choices[0].ttft_p95_s


def test_the_attempts_are_those_that_the_owner_allows() -> None:
    """No more and no fewer."""
    assert decided(node(), policy=Policy(max_attempts=5)).max_attempts == 5


def test_among_nodes_of_unknown_pace_the_share_of_taken_slots_counts() -> None:
    """Three of eight are less than two of four."""
    large = NodeSnapshot("large", "local", (ModelFacts("qwen"),), slots=8, in_flight=3)
    assert order(node("small", in_flight=2), large) == ["large", "small"]


def test_among_nodes_that_speak_equally_soon_the_emptier_goes_first() -> None:
    """They write answers more slowly the more there are."""
    full = node("full", pace=QUICK, load=Load(3, 4, 0.0, 0.0, 0, 3, 900.0, 0.0), in_flight=3)
    empty = node("empty", pace=QUICK, load=IDLE)
    assert order(full, empty, objective=Objective("x", ttft_s=9.0)) == ["empty", "full"]


def test_a_node_that_is_due_for_a_test_goes_before_a_quicker_one() -> None:
    """Else nobody would ever find out that it is well again."""
    due = node("due", pace=PACE, load=IDLE, is_due=True)
    quick = node("quick", pace=QUICK, load=IDLE)
    assert order(quick, due, objective=FIRST) == ["due", "quick"]


def test_an_answer_of_unknown_length_is_taken_to_have_one() -> None:
    """Where the request sets no limit, what clouds ask for answers decides too."""
    answers = cloud("cheap answers", Rates(D(5), D(5)))
    prompts = cloud("cheap prompts", Rates(D(1), D(10)))
    assert order(prompts, answers)[0] == "cheap answers"


def test_half_a_price_is_no_price() -> None:
    """A cloud whose answers cost nobody knows what comes last."""
    half, dear = cloud("half", Rates(D("0.01"), None)), cloud("dear", Rates(D(90), D(90)))
    assert order(half, dear) == ["dear", "half"]


@pytest.mark.parametrize(("tokens", "first"), [(8000, "mini"), (8001, "openai")])
def test_the_longest_local_prompt_is_still_local(tokens: int, first: str) -> None:
    """One token more goes to the cloud."""
    assert order(node(context=None), cloud(), input_tokens=tokens)[0] == first


def test_a_long_answer_goes_to_the_cloud() -> None:
    """And the reason says so; as long as is allowed stays."""
    found = decided(node(context=None), cloud(), max_output_tokens=1001)
    assert [c.upstream for c in found.choices] == ["openai"]
    assert reasons.OUTPUT_BUDGET in found.reasons
    assert order(node(context=None), cloud(), max_output_tokens=1000)[0] == "mini"


def test_a_context_is_filled_to_its_last_token_in_the_tokens_of_its_engine() -> None:
    """One whose tokenizer makes two of each that we count holds half as much."""
    counted = {"input_tokens": 3096, "max_output_tokens": 1000, "input_grade": "counted"}
    assert order(node(), cloud(), **counted)[0] == "mini"
    assert order(node(token_ratio=2.0), cloud(), **counted) == ["openai"]


def test_a_name_that_no_cloud_serves_is_substituted_by_nobody() -> None:
    """What may answer for a cloud's model does not answer for a node's."""
    policy = Policy(substitutable=frozenset({"qwen"}))
    found = decided(node(), node("other", "phi"), model="qwen", policy=policy)
    assert [c.upstream for c in found.choices] == ["mini"]


def test_a_private_request_is_told_when_to_come_back() -> None:
    """Its node may be up again in seconds."""
    with pytest.raises(PinUnsatisfiable) as caught:
        decided(node(is_up=False), cloud(), is_private=True)
    assert caught.value.retry_after_s is not None


class Asked(NoEvidence):
    """Evidence that remembers about what it was asked, and has one answer."""

    def __init__(self, verdict: bool | None) -> None:
        self.keys: list[tuple[str | None, ...]] = []
        self._verdict = verdict

    def allows_local(self, *key: str | None) -> bool | None:
        """The same for all."""
        self.keys.append(key)
        return self._verdict

    def can_learn(self, *key: str | None) -> bool:
        """Something."""
        self.keys.append(key)
        return True


@pytest.mark.parametrize(("verdict", "first"), [(False, "openai"), (None, "mini"), (True, "mini")])
def test_what_was_measured_of_that_very_model_overrules_configuration(
    verdict: bool | None, first: str
) -> None:
    """Bad answers of the weights that are served now send a trusted class away; others' tell nothing."""
    served = NodeSnapshot("mini", "local", (ModelFacts("qwen", identity="sha256:1"),))
    facts = RequestFacts(request_id="r", operation="chat", model="auto", task="extraction")
    asked = Asked(verdict)
    policy = Policy(exploration_share=0.0)
    assert decide(facts, asked, [served, cloud()], policy).choices[0].upstream == first
    assert asked.keys == [("extraction", "mini", "qwen", "sha256:1")]
    exploring = Asked(False)
    decide(facts, exploring, [served, cloud()], Policy(exploration_share=1.0))
    assert exploring.keys == 2 * [("extraction", "mini", "qwen", "sha256:1")]


def test_a_class_of_objectives_holds_for_requests_without_their_own() -> None:
    """By the name that the request bears."""
    policy = Policy(objectives={"gold": Objective("gold", ttft_s=0.1)})
    slow = node(pace=PACE, load=IDLE)
    for slo_class, first in (("gold", "openai"), ("default", "mini")):
        assert decided(slow, cloud(), policy=policy, slo_class=slo_class).choices[0].upstream == first


def test_those_who_wait_fill_a_node() -> None:
    """As many as may, without an objective: the next one goes to the cloud."""
    assert order(node(in_flight=4, waiting=3), cloud()) == ["mini", "openai"]
    assert order(node(in_flight=4, waiting=4), cloud()) == ["openai", "mini"]


def test_no_objective_is_long_enough_for_an_endless_queue() -> None:
    """Behind 32 for each slot a request goes elsewhere although it is believed to be in time."""
    patient = Objective("x", ttft_s=1e6)
    assert order(paced(waiting=4 * 32 - 1), cloud(), objective=patient)[0] == "mini"
    assert order(paced(in_flight=4, waiting=4 * 32), cloud(), objective=patient)[0] == "openai"


def test_an_idle_node_that_proved_quicker_than_forecast_may_be_forecast_late() -> None:
    """A margin above one is used where nothing runs, too."""
    for margin, first in ((1.2, "mini"), (1.0, "openai")):
        known = node(pace=PACE, load=IDLE, margins=((0.95, margin),))
        assert order(known, cloud(), objective=FIRST)[0] == first


def test_what_is_large_leaves_a_wait_to_others_also_by_its_end() -> None:
    """With a limit on the whole answer alone, as with one on the first token."""
    work_s = decided(paced()).work_s
    assert work_s is not None
    for usual_s, first in ((work_s, "mini"), (work_s / 3, "openai")):
        waiting = paced(unread_s=3.0, margin_ratio=1.0, usual_work_s=usual_s)
        found = decided(waiting, cloud(), objective=Objective("x", total_s=25.0), long_output_tokens=100.0)
        assert found.choices[0].upstream == first
        assert (reasons.WORK in found.reasons) == (first == "openai")


def test_a_limit_on_the_whole_answer_bounds_the_wait() -> None:
    """What is left of it once the answer's own time is taken off; of two limits the tighter one counts."""
    first = decided(paced(), objective=Objective("x", total_s=60.0)).choices[0]
    assert first.total_s is not None
    assert first.queue_s == pytest.approx(usable_s(60.0) - first.total_s)
    for both in (Objective("x", ttft_s=3.0, total_s=60.0), Objective("x", ttft_s=60.0, total_s=20.0)):
        alone = [
            decided(paced(), objective=each).choices[0].queue_s
            for each in (Objective("x", ttft_s=both.ttft_s), Objective("x", total_s=both.total_s))
        ]
        assert decided(paced(), objective=both).choices[0].queue_s == pytest.approx(min(alone))


def test_nobody_waits_for_less_than_nothing() -> None:
    """A node that is tried although it is late has no time for a queue."""
    due = node(pace=PACE, load=IDLE, is_due=True)
    assert decided(due, objective=FIRST).choices[0].queue_s == 0.0
