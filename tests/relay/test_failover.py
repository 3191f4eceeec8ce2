"""Before the client has seen a byte: who is tried next, who is waited for, and when it ends."""

from __future__ import annotations

import asyncio
import re

import pytest
from msgspec import structs

from spillway.testing.fake_upstream import Fault, Reply
from spillway.vocabulary import Deadlines, Usage

from .conftest import QUICK, SetUp, script

CLOCKS_S = 0.02
"""By how much less than a limit a wait may be said to be: clocks and timers round."""
BOTH = pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])


@BOTH
@pytest.mark.parametrize("fault", [Fault.CUT, Fault.STALLED, Fault.MISSING_FINISH, Fault.RESET_MID_STREAM])
async def test_whole_answers_keep_the_deadlines_of_streams(
    stage: SetUp, fault: Fault, is_stream: bool
) -> None:
    """A whole answer that breaks or stalls in the middle is asked for elsewhere, within the stall limit."""
    here = await stage(mini="local", cloud="cloud")
    script(here, "mini", Reply(fault=fault, after=5))
    started_s = asyncio.get_running_loop().time()
    got = await here.ask(stream=is_stream, temperature=0)
    assert got.outcome.result == "ok"
    assert len(got.text.split()) == 12
    assert asyncio.get_running_loop().time() - started_s < 1.0
    if not is_stream:
        assert got.json["object"] == "chat.completion"
        assert got.headers["x-spillway-attempts"] == "2"


async def test_first_token_limit_holds_for_whole_answers(stage: SetUp) -> None:
    """A node that accepts an unstreamed request and says nothing is left after the first-token limit."""
    here = await stage(mini="local", cloud="cloud")
    script(here, "mini", Fault.HEADERS_THEN_SILENT)
    got = await here.ask()
    assert got.attempts == [("mini", "first", "upstream_timeout"), ("cloud", "failover", None)]
    assert 0.35 < got.outcome.attempts[0].ended_s < 0.8


async def test_comments_do_not_keep_a_dead_stream_alive(stage: SetUp) -> None:
    """Comments are no progress: a stream of nothing else is given up after the first-token limit."""
    here = await stage(mini="local", cloud="cloud")
    script(here, "mini", Reply(fault=Fault.ONLY_COMMENTS, gap_s=0.05))
    got = await here.ask(stream=True)
    assert got.attempts[0][2] == "upstream_timeout"
    assert got.is_whole_stream


@BOTH
async def test_loading_spills_where_somebody_else_can_answer(stage: SetUp, is_stream: bool) -> None:
    """A node that loads its model is passed over at once and not held against it."""
    here = await stage(mini="local", cloud="cloud")
    script(here, "mini", Reply(fault=Fault.LOADING, times=9))
    for _ in range(4):
        got = await here.ask(stream=is_stream)
        assert got.attempts == [("mini", "first", "upstream_loading"), ("cloud", "failover", None)]
    assert here.fleet.upstreams["mini"].breaker.state(0) == "closed"


@BOTH
async def test_loading_is_waited_for_where_nobody_else_can(stage: SetUp, is_stream: bool) -> None:
    """A lone node that loads its model is asked again until it answers; that is one attempt."""
    here = await stage(mini="local")
    script(here, "mini", Reply(fault=Fault.LOADING, times=3))
    got = await here.ask(stream=is_stream)
    assert got.attempts == [("mini", "first", None)]
    assert len(here.fakes["mini"].received) == 4


async def test_loading_has_a_budget_of_its_own(stage: SetUp) -> None:
    """A model that never loads costs the load budget, then the caller is told so."""
    here = await stage(mini="local", deadlines=structs.replace(QUICK, load_s=0.4))
    script(here, "mini", Reply(fault=Fault.LOADING, times=99))
    got = await here.ask()
    assert (got.status, got.error.code) == (503, "upstream_loading")
    assert 0.2 < got.outcome.total_s < 1.0


async def test_a_slow_first_token_while_loading_is_no_outage(stage: SetUp) -> None:
    """An engine that loads on demand may take the load budget on top of the first-token limit."""
    here = await stage(mini="local")
    here.fleet.upstreams["mini"].is_loading = True
    script(here, "mini", Reply(fault=Fault.SLOW_FIRST_TOKEN, delay_s=0.6))
    got = await here.ask()
    assert got.attempts == [("mini", "first", None)]


async def test_a_loading_node_is_asked_again_when_the_rest_failed(stage: SetUp) -> None:
    """When the alternates fail as well, the node that was loading is waited for after all."""
    here = await stage(mini="local", cloud="cloud")
    script(here, "mini", Reply(fault=Fault.LOADING, times=2))
    script(here, "cloud", Fault.ERROR_500)
    got = await here.ask()
    assert got.attempts == [
        ("mini", "first", "upstream_loading"),
        ("cloud", "failover", "upstream_failed"),
        ("mini", "retry", None),
    ]


@BOTH
async def test_rate_limit_advice_is_followed_when_nobody_else_is_left(stage: SetUp, is_stream: bool) -> None:
    """A lone cloud that limits our rate is asked again after as long as it said, not before."""
    here = await stage(cloud="cloud")
    script(here, "cloud", Reply(fault=Fault.RATE_LIMITED, retry_after="0.2"))
    got = await here.ask(stream=is_stream)
    assert got.attempts == [("cloud", "first", "upstream_rate_limited"), ("cloud", "retry", None)]
    assert got.outcome.attempts[1].started_s > 0.2


async def test_backoff_without_advice(stage: SetUp) -> None:
    """Without advice the pauses grow and vary, and the budget of attempts ends it."""
    here = await stage(cloud="cloud", deadlines=structs.replace(QUICK, first_token_s=10.0))
    script(here, "cloud", Reply(fault=Fault.RATE_LIMITED_NO_ADVICE, times=9))
    got = await here.ask(max_attempts=2)
    assert [kind for _, kind, _ in got.attempts] == ["first", "retry"]
    assert 0.2 < got.outcome.attempts[1].started_s < 0.9
    assert got.status == 429


@pytest.mark.parametrize("advice", ["30", "99999"])
async def test_long_advice_goes_to_the_caller(stage: SetUp, advice: str) -> None:
    """Advice beyond our patience is not slept through: the caller gets 429 with it at once."""
    here = await stage(cloud="cloud")
    script(here, "cloud", Reply(fault=Fault.RATE_LIMITED, retry_after=advice))
    got = await here.ask()
    assert (got.status, got.error.retry_after_s) == (429, float(advice))
    assert got.outcome.total_s < 0.3


async def test_an_empty_purse_is_not_waited_for(stage: SetUp) -> None:
    """A quota that is used up does not come back in a second: the next upstream, or an error at once."""
    here = await stage(cloud="cloud", other="cloud")
    script(here, "cloud", Fault.OUT_OF_QUOTA, Fault.OUT_OF_QUOTA)
    assert (await here.ask()).attempts[1] == ("other", "failover", None)
    alone = await here.ask(choices=here.choices("cloud"))
    assert alone.attempts == [("cloud", "first", "upstream_out_of_quota")]


@pytest.mark.parametrize("fault", [Fault.CONTEXT_OPENAI, Fault.CONTEXT_LLAMACPP])
async def test_too_long_a_prompt_goes_to_a_larger_context_only(stage: SetUp, fault: Fault) -> None:
    """An alternate that is known to be no larger is not asked; a larger or unknown one is."""
    here = await stage(mini="local", box="local", cloud="cloud")
    script(here, "mini", fault)
    mini, box, cloud = here.choices()
    chain = (mini, structs.replace(box, context_tokens=4096), structs.replace(cloud, context_tokens=128_000))
    got = await here.ask(choices=chain)
    assert got.attempts == [("mini", "first", "context_length_exceeded"), ("cloud", "failover", None)]
    script(here, "mini", fault)
    small = await here.ask(choices=chain[:2])
    assert (small.status, len(small.attempts)) == (400, 1)


@pytest.mark.parametrize("is_stream", [False, True])
async def test_content_filter_is_returned_as_it_is(stage: SetUp, is_stream: bool) -> None:
    """A refusal for the content, as status or as finish reason, is the answer; nobody else is asked."""
    here = await stage(mini="local", cloud="cloud")
    script(here, "mini", Fault.CONTENT_FILTER_400, Fault.CONTENT_FILTER)
    refused = await here.ask(stream=is_stream)
    assert (refused.status, refused.json["error"]["code"]) == (400, "content_filter")
    filtered = await here.ask(stream=is_stream)
    assert filtered.outcome.attempts[0].finish_reason == "content_filter"
    assert not here.fakes["cloud"].received


@pytest.mark.parametrize("field", ["stream_options", "stream"])
async def test_an_upstream_that_refuses_our_fields_is_asked_without(stage: SetUp, field: str) -> None:
    """A server that knows no streams, or no usage in them, is asked as it likes, and that is remembered."""
    here = await stage(mini="local")
    here.fakes["mini"].default = Reply(fault=Fault.FIELD_REJECTED, field=field)
    first, second = await here.ask(), await here.ask()
    assert first.text == second.text
    assert first.json["usage"]["completion_tokens"] == 12
    assert field in here.fleet.upstreams["mini"].engine.refused
    assert len(second.outcome.attempts) == 1
    asked = [received.json for received in here.fakes["mini"].received]
    assert field not in asked[-1]
    assert len(asked) == 3  # once with the field, then twice without


async def test_a_field_the_client_sent_is_its_own_fault(stage: SetUp) -> None:
    """A refusal that has nothing to do with our fields is returned and changes nothing."""
    here = await stage(mini="local")
    script(here, "mini", Fault.BAD_REQUEST)
    got = await here.ask(temperature=9)
    assert got.json["error"]["param"] == "temperature"
    assert here.fleet.upstreams["mini"].engine.refused == set()


@BOTH
async def test_a_finished_answer_does_not_wait_for_its_mark(stage: SetUp, is_stream: bool) -> None:
    """A stream that neither sends [DONE] nor closes ends a moment after its finish reason, well."""
    here = await stage(mini="local")
    script(here, "mini", Reply(fault=Fault.NEVER_ENDS))
    got = await here.ask(stream=is_stream)
    assert got.outcome.result == "ok"
    assert got.outcome.total_s < 0.6
    assert got.text


async def test_missing_usage_is_estimated_and_says_so(stage: SetUp) -> None:
    """Where the upstream sends no usage, the client that wants it gets our estimate, marked as one."""
    here = await stage(mini="local")
    script(here, "mini", *[Fault.MISSING_USAGE] * 3)
    stream = await here.ask(stream=True, stream_options={"include_usage": True})
    usage = stream.chunks[-1]["usage"]
    assert usage["completion_tokens"] == 12
    assert usage["spillway"]["tokens_grade"] == "estimated"
    whole = await here.ask()
    assert whole.json["usage"]["completion_tokens"] == 12


@BOTH
async def test_a_bad_chunk_is_skipped(stage: SetUp, is_stream: bool) -> None:
    """An event that is no JSON is left out; the rest of the stream is healthy and complete."""
    here = await stage(mini="local")
    script(here, "mini", Reply(fault=Fault.MALFORMED_EVENT, after=4))
    got = await here.ask(stream=is_stream)
    assert got.outcome.result == "ok"
    assert len(got.text.split()) == 12


async def test_what_did_not_work_is_not_billed(stage: SetUp) -> None:
    """A page of HTML or a refusal costs nothing; a silent upstream has read the prompt, and costs that."""
    here = await stage(a="cloud", b="cloud", c="cloud")
    script(here, "a", Fault.HTML_200)
    script(here, "b", Fault.HEADERS_THEN_SILENT)
    got = await here.ask()
    first, second, third = got.outcome.attempts
    assert first.usage is None
    assert second.usage == Usage(got.outcome.facts.input_tokens, 0, grade="estimated")
    assert third.usage.grade == "reported"
    assert got.headers["x-spillway-cost-usd"] == "0.02"


async def test_one_budget_for_all_attempts(stage: SetUp) -> None:
    """No more attempts than stated, no longer than the overall limit."""
    here = await stage(a="local", b="local", c="local", d="local")
    for name in "abcd":
        here.fakes[name].default = Reply(fault=Fault.SILENT)
    got = await here.ask(max_attempts=2)
    assert len(got.attempts) == 2
    timed = await here.ask(max_attempts=9, total_s=0.5)
    assert timed.status == 504
    assert timed.outcome.total_s < 0.7


async def test_an_upstream_on_trial_is_asked_by_one_at_a_time(stage: SetUp) -> None:
    """While a half-open upstream has its one request, others pass it by."""
    here = await stage(mini="local", cloud="cloud")
    upstream = here.fleet.upstreams["mini"]
    upstream.breaker = type(upstream.breaker)(threshold=1, cooldown_s=0.05)
    script(here, "mini", Fault.ERROR_500, Fault.HELD)
    await here.ask()
    await asyncio.sleep(0.06)
    trial = asyncio.create_task(here.ask(choices=here.choices("mini")))
    await here.fakes["mini"].requests(2)
    assert (await here.ask()).attempts == [("cloud", "first", None)]
    here.fakes["mini"].release()
    await trial
    assert upstream.breaker.state(0) == "closed"


async def test_patience_is_per_upstream(stage: SetUp) -> None:
    """Each choice brings its own deadlines."""
    here = await stage(mini="local", cloud="cloud")
    script(here, "mini", Reply(fault=Fault.SLOW_FIRST_TOKEN, delay_s=0.3))
    mini, cloud = here.choices()
    hasty = structs.replace(mini, deadlines=Deadlines(first_token_s=0.1))
    got = await here.ask(choices=(hasty, cloud))
    assert got.attempts[0] == ("mini", "first", "upstream_timeout")


@pytest.mark.parametrize(
    ("fault", "said", "waited_s"),
    [
        (Fault.SILENT, "it sent nothing of an answer for", 0.4),
        (Fault.ONLY_COMMENTS, "it sent nothing of an answer for", 0.4),
        (Reply(fault=Fault.STALLED, after=4), "it sent nothing of an answer for", 0.3),
        (Reply(fault=Fault.SLOW_TOKENS, gap_s=0.2), "its answer was not complete after", 1.0),
    ],
    ids=["silent", "comments", "stalled", "slow"],
)
async def test_a_timeout_says_how_long_nothing_came(
    stage: SetUp, fault: Fault | Reply, said: str, waited_s: float
) -> None:
    """The sentence tells the time that was waited, not what was left of it at the last look."""
    here = await stage(mini="local")
    script(here, "mini", fault)
    got = await here.ask(total_s=1.0)
    assert got.error
    told = re.search(rf"{said} ([\d.]+) s$", got.error.message)
    assert told, got.error.message
    assert waited_s - CLOCKS_S < float(told[1]) < waited_s + 1.0


TOOLS = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]


@BOTH
@pytest.mark.parametrize(
    "exact",
    [{"response_format": {"type": "json_object"}}, {"tools": TOOLS, "tool_choice": "required"}],
    ids=["json", "calls"],
)
async def test_a_lost_piece_of_a_call_or_of_json_is_not_skipped(
    stage: SetUp, exact: dict[str, object], is_stream: bool
) -> None:
    """A chunk that cannot be read may have held an argument: such answers are made anew where they can be."""
    here = await stage(mini="local", cloud="cloud")
    script(here, "mini", Reply(fault=Fault.MALFORMED_EVENT, after=2))
    got = await here.ask(stream=is_stream, **exact)
    assert got.attempts == [("mini", "first", "upstream_malformed"), ("cloud", "failover", None)]
    script(here, "mini", Reply(fault=Fault.MALFORMED_EVENT, after=2))
    alone = await here.ask(stream=is_stream, choices=here.choices("mini"), **exact)
    assert alone.attempts == [("mini", "first", None)]


@BOTH
async def test_the_parts_of_a_cost_add_up_to_it(stage: SetUp, is_stream: bool) -> None:
    """A broken attempt was paid for too: ``cost_details`` is of all attempts, as ``cost`` is."""
    here = await stage(one="cloud", other="cloud")
    script(here, "one", Fault.CUT)
    got = await here.ask(stream=is_stream, usage={"include": True})
    usage = got.chunks[-1]["usage"] if is_stream else got.json["usage"]
    assert usage["cost"] == 0.02
    assert usage["cost_details"] == {"price_usd": 0.02, "energy_usd": None, "amortisation_usd": None}
