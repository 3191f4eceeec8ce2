"""What the ends of leases tell a breaker and a bill, and what counts in the tokens of a node's own engine."""

from __future__ import annotations

import pytest

from spillway.fleet.standing import why_not
from spillway.slo.pace import LinearPace
from spillway.vocabulary import ModelFacts
from tests.fleet.test_pooling import Asker, busy, fleet_of
from tests.fleet.test_pooling import choice as node_choice
from tests.fleet.test_prefixes import answer, believed, memory, prompt
from tests.fleet.test_slots import choice, facts
from tests.fleet.test_slots import fleet_of as node_of
from tests.fleet.test_turns import settle


async def test_a_first_token_ends_a_row_of_failures() -> None:
    """Under load good answers are still being written when bad ones have already failed."""
    fleet, node, _ = node_of(9)
    leases = [await fleet.admit(facts(), choice()) for _ in range(4)]
    for lease in leases[:2]:
        lease.fail(0.0)
    leases[2].first_token()
    leases[3].fail(0.0)
    assert node.breaker.state(0.0) == "closed"


async def test_a_trial_whose_caller_hangs_up_makes_way_for_another() -> None:
    """A node on trial is not kept out because somebody lost patience."""
    fleet, node, clock = node_of(9)
    for _ in range(3):
        node.breaker.fail(node.breaker.generation, clock.monotonic_s())
    clock.advance(6.0)
    trial = await fleet.admit(facts(), choice())
    assert node.breaker.state(clock.monotonic_s()) == "open"
    trial.release()
    assert node.breaker.state(clock.monotonic_s()) == "half_open"


async def test_a_lease_knows_how_many_share_the_node() -> None:
    """Its cost is that part of the node's time: itself and those who were there when it came."""
    fleet, _, _ = node_of(9)
    leases = [await fleet.admit(facts(), choice()) for _ in range(3)]
    leases[0].release()
    leases.append(await fleet.admit(facts(), choice()))
    assert [lease.in_flight for lease in leases] == [1, 2, 3, 3]


@pytest.mark.parametrize(("context", "reason"), [(300, None), (299, "context_too_small")])
def test_a_slot_is_as_large_as_its_engine_counts(context: int, reason: str | None) -> None:
    """An engine that makes two tokens of each of ours needs 200 for the prompt, and 100 for the answer."""
    _, node, _ = node_of()
    assert node.record is not None
    node.record.token_ratio.learn(100, 200)
    node.models = (ModelFacts("m", context_tokens=context),)
    wanted = facts(max_output_tokens=100, input_grade="reported")
    assert why_not(node, wanted, choice()) == reason


@pytest.mark.parametrize(("ratio", "moves"), [(1, True), (3, False)])
async def test_a_node_that_has_more_tokens_to_read_takes_nobody_over(ratio: int, moves: bool) -> None:
    """What is read here in a fifth of a second takes three fifths there."""
    fleet, _ = fleet_of("one", "two", pace=LinearPace(prefill_token_s=0.001, step_base_s=0.01))
    two = fleet.upstreams["two"]
    assert two.record is not None
    two.record.token_ratio.learn(100, 100 * ratio)
    held = [await busy(fleet, "one"), await busy(fleet, "two")]
    asker = Asker(fleet, node_choice("one"), node_choice("two"), input_tokens=200)
    await settle()
    held[1].release()
    await settle()
    assert asker.task.done() == moves
    asker.task.cancel()


def test_who_shares_little_with_a_conversation_does_not_end_it() -> None:
    """A slot's sequence is gone on with where half of it is shared, and kept elsewhere otherwise."""
    node = memory()
    answer(node, "a" * 400 + "b" * 3600)
    answer(node, "a" * 400 + "c" * 3600)
    assert len(node) == 2
    assert believed(node, "a" * 400 + "b" * 3600) == 1000


def test_what_templates_share_teaches_nothing_of_the_cache() -> None:
    """A match of a few tokens that the engine did not have does not lower its credit."""
    node = memory()
    answer(node, "a" * 40)
    before = node.trust(0)
    node.learn(node.find(prompt("a" * 40)), 10, 0.0)
    assert node.trust(0) == before


def test_what_fills_a_pool_counts_what_is_looked_for() -> None:
    """Two prompts of 500 tokens fill a pool of 1,000: the older one may be gone."""
    node = memory("vllm", None, context=1000)
    for letter in "ab":
        answer(node, letter * 2000)
    assert node.believed(node.find(prompt("b" * 2000))) == 0.9 * 500
    assert node.believed(node.find(prompt("a" * 2000))) == 0.5 * 500
