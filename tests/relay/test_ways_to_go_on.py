"""How an upstream is asked for the rest of an answer, or asked again: fields, limits, pauses and turns."""

from __future__ import annotations

from typing import Any

import pytest

from spillway.engines.failures import CONTEXT, RATE_LIMITED, Failure
from spillway.relay.continuation import changes_to_continue, methods_for
from spillway.relay.route import Route
from spillway.relay.seam import Seam
from spillway.relay.step import Step
from spillway.testing.fake_upstream import Fault, Reply
from spillway.vocabulary import Choice, Usage

from .conftest import SetUp, Stage, script
from .test_way_through_choices import begun, taken

SEAM = Seam("Your order has left the depot and will arrive soon", "id", Usage(), "mini", "upstream_cut")


@pytest.mark.parametrize("odd", [{"suffix": " at the end"}, {"echo": True}])
async def test_what_is_not_the_end_of_a_text_is_not_gone_on_with(stage: SetUp, odd: dict[str, Any]) -> None:
    """A text put into another one, or one that repeats its prompt, would not fit together."""
    here: Stage = await stage(mini="local", cloud="cloud")
    script(here, "mini", Reply(fault=Fault.CUT, after=4))
    got = await here.ask("completion", stream=True, **odd)
    assert "error" in got.chunks[-1]
    assert not here.fakes["cloud"].received


@pytest.mark.parametrize(
    ("wishes", "methods"),
    [
        ({}, ["instruct"]),
        ({"seed": 7}, ["restart", "instruct"]),
        ({"temperature": 0}, ["restart", "instruct"]),
    ],
)
async def test_a_long_beginning_is_made_again_only_where_it_comes_out_the_same(
    stage: SetUp, wishes: dict[str, Any], methods: list[str]
) -> None:
    """It costs a whole prompt."""
    here: Stage = await stage(mini="local")
    assert methods_for(here.job(**wishes), SEAM, "none", 3) == methods


@pytest.mark.parametrize("method", ["instruct", "prefill"])
@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize(("said", "left"), [(30, 20), (50, 1), (70, 1)])
async def test_what_was_said_is_taken_off_the_limit(
    stage: SetUp, method: Any, field: str, said: int, left: int
) -> None:
    """Whatever its name: else two upstreams together would write, and charge, more than was asked for."""
    here: Stage = await stage(mini="local")
    limit: dict[str, Any] = {field: 50}
    changes = changes_to_continue(here.job(**limit), SEAM, method, "plain", said)
    assert {name: value for name, value in changes.items() if name != "messages"} == {field: left}


@pytest.mark.parametrize(("prefill", "is_marked"), [("marked", True), ("plain", False), ("switched", False)])
async def test_a_beginning_is_marked_where_the_provider_wants_it(
    stage: SetUp, prefill: Any, is_marked: bool
) -> None:
    """As Mistral does; others would refuse a field that they do not know."""
    here: Stage = await stage(mini="local")
    messages: Any = changes_to_continue(here.job(), SEAM, "prefill", prefill, 0)["messages"]
    assert messages[-1].get("prefix", False) is is_marked


async def test_a_third_upstream_goes_on_from_both_parts(stage: SetUp) -> None:
    """With the limit less what both have said, and under the first one's id."""
    here: Stage = await stage(a="local", b="local", c="local", kinds={"b": "llamacpp", "c": "llamacpp"})
    script(here, "a", Reply(fault=Fault.CUT, after=3, text="one two three four five six"))
    script(here, "b", Reply(fault=Fault.CUT, after=3, text=" three four five six"))
    script(here, "c", Reply(text=" five six"))
    got = await here.ask(stream=True, max_tokens=50)
    assert here.fakes["c"].received[0].json["max_tokens"] == 46
    assert len({chunk["id"] for chunk in got.chunks}) == 1


def patient(*choices: Choice) -> Route:
    """The route of one request, whose pauses are not varied."""
    _, run, _ = begun(*choices)
    return Route(run, lambda choice: "plain", lambda: 0.5)


def test_pauses_without_advice_double() -> None:
    """An upstream that limits our rate is not pestered."""
    route, pauses_s = patient(Choice("one", "cloud", "m")), []
    for _ in range(4):
        step = taken(route.next())
        pauses_s.append(step.pause_s)
        route.failed(step, Failure(RATE_LIMITED, "it limits our rate", counts_against=False))
    assert pauses_s == [0.0, 0.5, 1.0, 2.0]


def test_of_those_who_limit_our_rate_the_first_to_be_ready_is_asked() -> None:
    """By their own advice, in whichever order they were tried."""
    route = patient(Choice("late", "cloud", "m"), Choice("soon", "cloud", "m"))
    for advice_s in (9.0, 2.0):
        step = taken(route.next())
        route.failed(step, Failure(RATE_LIMITED, "it limits our rate", retry_after_s=advice_s))
    again = taken(route.next())
    assert (again.choice.upstream, again.pause_s) == ("soon", 2.0)


def test_a_prompt_too_long_for_a_known_context_goes_to_a_larger_one() -> None:
    """Also where the upstream that refused it did not say how much it holds."""
    sizes = {"small": 4096, "equal": 4096, "large": 8192}
    route = patient(*[Choice(name, "local", "m", context_tokens=size) for name, size in sizes.items()])
    route.failed(taken(route.next()), Failure(CONTEXT, "the prompt is too long for it", counts_against=False))
    assert taken(route.next()).choice.upstream == "large"


@pytest.mark.parametrize(("kind", "waited_s"), [("hedge", 2.0), ("first", 0.0)])
def test_a_second_request_has_waited_as_long_as_the_first(kind: Any, waited_s: float) -> None:
    """It begins beside one that may still be waiting for its slot."""
    choice = Choice("one", "local", "m")
    route, _, clock = begun(choice)
    clock.advance(2.0)
    assert route.caller(Step(choice, kind)).waited_s == waited_s
