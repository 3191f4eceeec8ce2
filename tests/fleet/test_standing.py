"""A choice is looked at again when a slot is handed to it: the node may have changed meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from spillway.engines.openai_compatible import OpenAICompatible
from spillway.fleet.registry import Fleet, Lease, Unfit, Upstream
from spillway.testing.fake_clock import FakeClock
from spillway.vocabulary import ModelFacts
from tests.fleet.test_pooling import Asker, busy, choice, fleet_of
from tests.fleet.test_slots import facts
from tests.fleet.test_turns import settle

ABOUT: dict[str, Any] = {
    "needs": frozenset({"chat", "tools"}),
    "input_grade": "reported",
    "max_output_tokens": 100,
}
"""A request that needs tools and 200 tokens of context."""


def served(*models: ModelFacts) -> Callable[[Upstream], None]:
    """What a node serves now."""
    return lambda node: setattr(node, "models", models)


CHANGES: dict[str, tuple[str, Callable[[Upstream], None]]] = {
    "down": ("node_down", lambda node: setattr(node, "is_up", False)),
    "draining": ("node_draining", lambda node: setattr(node, "is_draining", True)),
    "drifted": ("node_drifted", lambda node: setattr(node, "is_quarantined", True)),
    "drifted in what is needed": (
        "node_drifted",
        lambda node: setattr(node, "withheld", frozenset({"tools"})),
    ),
    "passed on": ("cloud_passthrough", served(ModelFacts("m", remote_host="https://elsewhere.example"))),
    "gone": ("model_gone", served(ModelFacts("other"))),
    "unable": ("capability_missing", served(ModelFacts("m", capabilities=frozenset({"chat"})))),
    "small": ("context_too_small", served(ModelFacts("m", context_tokens=199))),
}
EVERY = pytest.mark.parametrize("change", CHANGES)


@EVERY
async def test_those_who_wait_for_a_node_that_changed_leave_with_the_reason(change: str) -> None:
    """Each of them, when its turn comes; no slot is lost."""
    fleet, _ = fleet_of("one")
    node = fleet.upstreams["one"]
    held = await busy(fleet, "one")
    askers = [Asker(fleet, choice("one"), **ABOUT) for _ in range(3)]
    await settle()
    reason, happen = CHANGES[change]
    happen(node)
    held.release()
    for asker in askers:
        with pytest.raises(Unfit) as caught:
            await asker.task
        assert caught.value.reason == reason
    assert (node.in_flight, len(node.queue), node.queue.called) == (0, 0, ())


@EVERY
async def test_one_that_comes_later_is_not_sent_to_it_either(change: str) -> None:
    """As after a failed attempt somewhere else."""
    fleet, _ = fleet_of("one")
    reason, happen = CHANGES[change]
    happen(fleet.upstreams["one"])
    with pytest.raises(Unfit) as caught:
        await Asker(fleet, choice("one"), **ABOUT).task
    assert caught.value.reason == reason
    assert fleet.upstreams["one"].in_flight == 0


@EVERY
async def test_such_a_node_takes_nobody_over(change: str) -> None:
    """Who waits for another node goes on waiting there."""
    fleet, _ = fleet_of("one", "two")
    held = [await busy(fleet, "one"), await busy(fleet, "two")]
    asker = Asker(fleet, choice("one"), choice("two"), **ABOUT)
    await settle()
    CHANGES[change][1](fleet.upstreams["two"])
    held[1].release()
    await settle()
    assert not asker.task.done()
    asker.task.cancel()


async def test_a_node_that_changed_after_taking_one_over_does_not_get_it() -> None:
    """Between being handed the other node's slot and using it."""
    fleet, _ = fleet_of("one", "two")
    held = [await busy(fleet, "one"), await busy(fleet, "two")]
    asker = Asker(fleet, choice("one"), choice("two"))
    await settle()
    held[1].release()
    served(ModelFacts("other"))(fleet.upstreams["two"])
    with pytest.raises(Unfit):
        await asker.task
    assert fleet.upstreams["two"].in_flight == 0


async def test_what_nobody_knows_keeps_nobody_out() -> None:
    """A node that tells neither context nor abilities of its model is used, as when it was chosen."""
    fleet, _ = fleet_of("one")
    assert isinstance(await Asker(fleet, choice("one"), **ABOUT).task, Lease)


async def test_one_who_still_may_goes_where_others_no_longer_can() -> None:
    """Each request is looked at by itself: another model of the node is as good as before."""
    fleet, _ = fleet_of("one")
    held = await busy(fleet, "one")
    served(ModelFacts("m"), ModelFacts("n"))(fleet.upstreams["one"])
    gone, stays = Asker(fleet, choice("one")), Asker(fleet, choice("one", model="n"))
    await settle()
    served(ModelFacts("n"))(fleet.upstreams["one"])
    held.release()
    with pytest.raises(Unfit):
        await gone.task
    assert isinstance(await stays.task, Lease)


async def test_a_judge_is_asked_by_whatever_name_its_owner_gave() -> None:
    """Nobody chose it by what the node lists."""
    clock = FakeClock()
    node = Upstream("one", "local", OpenAICompatible("http://127.0.0.1:9/v1", None), slots=1)
    lease = await Fleet([node], clock).admit(facts(), choice("one"), must_fit=False)
    assert lease.upstream is node


async def test_a_cloud_may_be_asked_for_a_model_that_is_not_listed() -> None:
    """Providers have more models than anybody lists."""
    cloud = Upstream("big", "cloud", OpenAICompatible("http://127.0.0.1:9/v1", None))
    lease = await asyncio.wait_for(Fleet([cloud], FakeClock()).admit(facts(), choice("big")), 1.0)
    assert lease.upstream is cloud
