"""What happens when a stream breaks after the client has read a part of the answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec import structs

from spillway.relay.continuation import methods_for
from spillway.relay.seam import Seam
from spillway.testing.answers import answer_text
from spillway.testing.fake_upstream import Fault, Reply
from spillway.testing.raw_client import MESSAGES
from spillway.vocabulary import Usage

from .conftest import SetUp, script

BREAKING = (Fault.CUT, Fault.CUT_CLEAN, Fault.RESET_MID_STREAM, Fault.STALLED, Fault.MALFORMED_FRAMING)
BROKEN = (*BREAKING, Fault.MISSING_FINISH)
WHOLE = answer_text({"messages": MESSAGES})
"""What a healthy fake answers."""
TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {"name": "find", "parameters": {"properties": {"q": {"type": "string"}}}},
    }
]
SCHEMA = {"type": "json_schema", "json_schema": {"schema": {"properties": {"a": {"type": "string"}}}}}


@pytest.mark.parametrize("fault", BROKEN)
async def test_an_alternate_makes_the_rest(stage: SetUp, fault: Fault) -> None:
    """A broken stream is made again by an alternate that says the same; the client gets each word once."""
    here = await stage(mini="local", cloud="cloud")
    script(here, "mini", Reply(fault=fault, after=5))
    got = await here.ask(stream=True, temperature=0)
    assert got.text == WHOLE
    assert got.is_whole_stream
    assert got.outcome.result == "ok"
    assert got.outcome.reasons == ("name_auto", "continued")
    assert [a[:2] for a in got.attempts] == [("mini", "first"), ("cloud", "continuation")]
    assert got.outcome.attempts[0].usage.output_tokens > 0
    assert here.in_flight() == 0


async def test_the_answer_says_so(stage: SetUp) -> None:
    """Continued chunks keep the first id, name their own model, and say who goes on, why and how."""
    here = await stage(mini="local", cloud="cloud")
    script(here, "mini", Reply(fault=Fault.CUT, after=5))
    wishes = {"stream": True, "temperature": 0, "stream_options": {"include_usage": True}}
    got = await here.ask(**wishes)
    assert len({chunk["id"] for chunk in got.chunks}) == 1
    assert list(dict.fromkeys(chunk["model"] for chunk in got.chunks)) == ["mini-model", "cloud-model"]
    marks = [chunk["spillway"] for chunk in got.chunks if "spillway" in chunk]
    assert marks == [
        {
            "continued": True,
            "upstream": "cloud",
            "after": "mini",
            "cause": "upstream_closed",
            "method": "restart",
        }
    ]
    usage = got.chunks[-1]["usage"]
    first, second = got.outcome.attempts
    assert usage["spillway"]["continued"] is True
    assert usage["spillway"]["tokens_grade"] == "estimated"
    assert usage["completion_tokens"] == first.usage.output_tokens + second.usage.output_tokens
    assert usage["cost"] == 0.01


@pytest.mark.parametrize(
    ("kind", "extra"),
    [("llamacpp", {}), ("vllm", {"continue_final_message": True, "add_generation_prompt": False})],
)
async def test_prefill_where_it_is_accepted(stage: SetUp, kind: str, extra: dict[str, Any]) -> None:
    """An engine that goes on from the assistant's words is given them, and fewer tokens to say."""
    here = await stage(mini="local", box="local", kinds={"box": kind})
    script(here, "mini", Reply(fault=Fault.CUT, after=4))
    script(here, "box", Reply(text=" and so on to the end"))
    got = await here.ask(stream=True, max_tokens=50)
    begun = " ".join(WHOLE.split(" ")[:3])
    assert got.text == begun + " and so on to the end"
    asked = here.fakes["box"].received[0].json
    assert asked["messages"] == [*MESSAGES, {"role": "assistant", "content": begun}]
    assert asked["max_tokens"] == 47
    assert {name: asked[name] for name in extra} == extra


async def test_words_the_client_had_begun_go_before(stage: SetUp) -> None:
    """The client's own beginning of the answer stays in front of what was said since."""
    here = await stage(mini="local", box="local", kinds={"box": "llamacpp"})
    script(here, "mini", Reply(fault=Fault.CUT, after=4, text="one two three four five"))
    messages = [*MESSAGES, {"role": "assistant", "content": "zero "}]
    await here.ask(stream=True, messages=messages)
    asked = here.fakes["box"].received[0].json
    assert asked["messages"] == [*MESSAGES, {"role": "assistant", "content": "zero one two three"}]


async def test_prefill_that_is_repeated_is_skipped(stage: SetUp) -> None:
    """An engine that says the given words again does not make the client read them twice."""
    here = await stage(mini="local", box="local", kinds={"box": "llamacpp"})
    text = "the quick brown fox jumps over the lazy dog"
    script(here, "mini", Reply(fault=Fault.CUT, after=7, text=text))
    script(here, "box", Reply(text=text))
    got = await here.ask(stream=True)
    assert got.text == text


async def test_rejected_prefill_is_followed_by_another_way_and_remembered(stage: SetUp) -> None:
    """A refusal of the assistant's words is no failure of the request; next time they are not tried."""
    here = await stage(mini="local", box="local", kinds={"box": "llamacpp"})
    for _ in range(2):
        script(here, "mini", Reply(fault=Fault.CUT, after=5))
        script(here, "box", Reply(fault=Fault.PREFILL_REJECTED, times=2))
        got = await here.ask(stream=True, temperature=0, max_attempts=4)
        assert got.text.startswith(" ".join(WHOLE.split(" ")[:4]))
        assert got.is_whole_stream
    assert "prefill" in here.fleet.upstreams["box"].engine.refused
    assert here.fleet.upstreams["box"].breaker.state(0) == "closed"


async def test_instruction_when_nothing_else_helps(stage: SetUp) -> None:
    """Another model is told to go on; what it repeats at the seam is cut, a missing blank is put in."""
    here = await stage(mini="local", cloud="cloud")
    begun = "the river runs over the weir and under the old stone bridge"
    script(here, "mini", Reply(fault=Fault.CUT, after=13, text=begun + " today and tomorrow"))
    script(here, "cloud", Reply(text="old stone bridge to the sea."))
    got = await here.ask(stream=True)
    assert got.text == begun + " to the sea."
    messages = here.fakes["cloud"].received[0].json["messages"]
    assert [m["role"] for m in messages] == ["user", "assistant", "user"]
    assert messages[1]["content"] == begun


async def test_a_different_beginning_is_not_mixed_in(stage: SetUp) -> None:
    """An answer made again that begins otherwise is dropped before the client sees a word of it."""
    here = await stage(mini="local", cloud="cloud")
    script(here, "mini", Reply(fault=Fault.CUT, after=4, text="one two three four"))
    script(here, "cloud", Reply(text="uno due tre"), Reply(text="four five"))
    got = await here.ask(stream=True)
    assert got.text == "one two three four five"
    assert got.attempts == [
        ("mini", "first", "upstream_closed"),
        ("cloud", "continuation", "continuation_mismatch"),
        ("cloud", "continuation", None),
    ]


async def test_a_completion_goes_on_from_its_prompt(stage: SetUp) -> None:
    """A text to complete is sent again with what was already added to it."""
    here = await stage(mini="local", cloud="cloud")
    script(here, "mini", Reply(fault=Fault.STALLED, after=3, text="one two three four"))
    script(here, "cloud", Reply(text=" four"))
    got = await here.ask("completion", stream=True, prompt="zero ", max_tokens=9)
    assert got.text == "one two three four"
    asked = here.fakes["cloud"].received[0].json
    assert (asked["prompt"], asked["max_tokens"]) == ("zero one two three", 6)


async def test_the_time_of_the_broken_answer_is_no_wait(stage: SetUp) -> None:
    """An alternate that is full is waited for as long as the decision says, however late the stream broke."""
    here = await stage(one="local", two="local")
    here.fleet.upstreams["two"].slots = 1
    script(here, "one", Reply(fault=Fault.STALLED, after=5))
    script(here, "two", Reply(fault=Fault.SLOW_FIRST_TOKEN, delay_s=0.3))
    choices = [structs.replace(choice, queue_s=0.25, miss_weight=1.0) for choice in here.choices()]
    task = asyncio.create_task(here.ask(stream=True, temperature=0, choices=tuple(choices)))
    await asyncio.sleep(0.2)
    before = asyncio.create_task(here.ask(choices=here.choices("two")))
    got = await task
    assert got.text == WHOLE
    assert got.outcome.reasons == ("name_auto", "continued")
    await before
    assert here.in_flight() == 0


async def test_two_breaks_in_a_row(stage: SetUp) -> None:
    """A continuation that breaks is continued as well, within the budget of attempts."""
    here = await stage(a="local", b="local", c="local", kinds={"b": "llamacpp", "c": "llamacpp"})
    script(here, "a", Reply(fault=Fault.CUT, after=3, text="one two three four five six"))
    script(here, "b", Reply(fault=Fault.CUT, after=3, text=" three four five six"))
    script(here, "c", Reply(text=" five six"))
    got = await here.ask(stream=True)
    assert got.text == "one two three four five six"
    assert here.fakes["c"].received[0].json["messages"][-1]["content"] == "one two three four"


@pytest.mark.parametrize("fault", BROKEN)
async def test_nobody_left_is_an_error_in_band(stage: SetUp, fault: Fault) -> None:
    """Where nobody can go on, the stream ends with an error that names the upstream, never as success."""
    here = await stage(mini="local")
    script(here, "mini", Reply(fault=fault, after=5))
    got = await here.ask(stream=True)
    assert got.chunks[-1]["error"]["upstream"] == "mini"
    assert "[DONE]" not in got.data
    assert got.outcome.result == "cut"


@pytest.mark.parametrize("alternates", [{"cloud": "cloud"}, {}], ids=["fallback", "alone"])
async def test_an_error_event_is_never_passed_on(stage: SetUp, alternates: dict[str, Any]) -> None:
    """An upstream that reports its failure inside a stream is passed over, or the caller is told of it."""
    here = await stage(mini="local", **alternates)
    script(here, "mini", Reply(fault=Fault.ERROR_EVENT, after=5))
    got = await here.ask(stream=True, temperature=0)
    assert got.attempts[0] == ("mini", "first", "upstream_failed")
    if alternates:
        assert got.text == WHOLE
        assert got.is_whole_stream
    else:
        assert (got.error or got.chunks[-1].get("error")) is not None
        assert "[DONE]" not in got.data


async def test_several_answers_cannot_be_continued(stage: SetUp) -> None:
    """Of several answers at once no alternate could go on with each: the stream ends with an error."""
    here = await stage(mini="local", cloud="cloud")
    script(here, "mini", Reply(fault=Fault.CUT, after=8))
    got = await here.ask(stream=True, n=2)
    assert "error" in got.chunks[-1]
    assert not here.fakes["cloud"].received


@pytest.mark.parametrize("fault", BROKEN)
@pytest.mark.parametrize("wishes", [{"tools": TOOLS}, {"response_format": SCHEMA}], ids=["tools", "schema"])
async def test_tool_calls_and_json_start_anew(stage: SetUp, fault: Fault, wishes: dict[str, Any]) -> None:
    """A broken tool call or JSON answer was never shown: the client sees the alternate's alone."""
    here = await stage(mini="local", cloud="cloud")
    script(here, "mini", Reply(fault=fault, after=3))
    got = await here.ask(stream=True, **wishes)
    assert got.is_whole_stream
    assert {chunk["model"] for chunk in got.chunks} == {"cloud-model"}
    assert got.attempts[1][1] == "failover"
    assert got.headers["x-spillway-upstream"] == "cloud"


async def test_text_before_a_tool_call_is_not_held(stage: SetUp) -> None:
    """With tools in the request, words pass as they come; only calls wait until they are complete."""
    here = await stage(mini="local", cloud="cloud")
    script(here, "mini", *[Reply(fault=Fault.SLOW_TOKENS, gap_s=0.01)] * 2)
    tools = await here.ask(stream=True, tools=TOOLS)
    words = await here.ask(stream=True, tools=TOOLS, tool_choice="none")
    assert len(tools.pieces) == 1
    assert len(words.pieces) > 1


def test_budget_leaves_the_surest_way_for_last() -> None:
    """With one attempt left an upstream is asked in the way that is most likely to work."""
    seam = Seam("short", "id", Usage(), "mini", "upstream_cut")
    job: Any = _ChatJob()
    assert methods_for(job, seam, "none", 3) == ["restart", "instruct"]
    assert methods_for(job, seam, "none", 1) == ["instruct"]
    assert methods_for(job, seam, "plain", 1) == ["prefill"]
    assert methods_for(job, seam, "plain", 2) == ["prefill", "instruct"]


class _ChatJob:
    class facts:  # noqa: N801
        operation = "chat"

    class payload:  # noqa: N801
        @staticmethod
        def value(name: str) -> None:
            return None
