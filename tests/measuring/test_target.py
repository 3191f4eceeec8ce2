"""Which node and model are measured, and every way in which that fails, as one sentence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import date
from itertools import pairwise
from typing import Any

import pytest

from spillway.errors import ConfigError, MeasureFailed, SpillwayError
from spillway.measuring.ask import Answered, Refused
from spillway.measuring.campaign import WAKING_TOKENS, Campaign, Limits, Measured
from spillway.measuring.result import profile_of
from spillway.measuring.target import Target, find_target
from spillway.testing.fake_upstream import FakeUpstream, Fault, Reply


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    """A server that answers everything well, each token at once."""
    async with FakeUpstream() as server:
        yield server


async def campaign(upstream: FakeUpstream, limits: Limits | None = None) -> tuple[Target, Measured]:
    """One short measurement of the fake server."""
    target = await find_target(upstream.url, None, None)
    try:
        return target, await Campaign(target, limits or Limits(duration_s=0.5), seed=1).run()
    finally:
        await target.close()


async def test_the_one_model_is_taken(upstream: FakeUpstream) -> None:
    """Where there is one model nobody has to name it; usual slots of other engines are not believed."""
    target = await find_target(upstream.url, None, "key")
    assert (target.model, target.kind, target.slots) == ("fake-model", "openai", None)
    await target.close()


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://host", "http://user:secret@host/v1"])
async def test_what_is_no_url_is_refused(url: str) -> None:
    """A bad URL is a usage error and never repeats a password."""
    with pytest.raises(ConfigError) as caught:
        await find_target(url, None, None)
    assert "secret" not in caught.value.message


async def test_nobody_there() -> None:
    """A refused connection says so."""
    with pytest.raises(MeasureFailed, match="nothing listens there"):
        await find_target("http://127.0.0.1:9", None, None)


async def test_the_model_must_be_there() -> None:
    """An unknown name lists what there is; several models without a name ask for one."""
    async with FakeUpstream(models=("small", "large")) as server:
        with pytest.raises(ConfigError, match=r"no model 'tiny'; it has small, large"):
            await find_target(server.url, "tiny", None)
        with pytest.raises(ConfigError, match="choose one with --model"):
            await find_target(server.url, None, None)
        target = await find_target(server.url, "large", None)
        assert target.model == "large"
        await target.close()


async def test_a_passthrough_is_no_node() -> None:
    """A model that runs on somebody else's machine is not measured as if it ran here."""
    async with FakeUpstream() as server:
        server.respond("GET", "/api/tags", {"models": [{"name": "big", "remote_host": "https://o.example"}]})
        server.respond("GET", "/api/version", {"version": "1"})
        server.respond("GET", "/api/ps", {"models": []})
        server.respond("POST", "/api/show", {})
        with pytest.raises(MeasureFailed, match=r"passes it on to https://o\.example"):
            await find_target(server.origin, None, None)


async def test_a_context_is_that_of_the_loaded_model(upstream: FakeUpstream) -> None:
    """Ollama loads with the first question and tells only then how much a prompt may hold."""
    model = {"name": "small", "digest": "d1"}
    upstream.respond("GET", "/api/tags", {"models": [model]})
    upstream.respond("GET", "/api/version", {"version": "1"})
    upstream.respond("GET", "/api/ps", {"models": []})
    upstream.respond("POST", "/api/show", {"model_info": {"x.context_length": 131_072}})
    target = await find_target(upstream.origin, None, None)
    assert (target.kind, target.context_tokens) == ("ollama", None)
    upstream.respond("GET", "/api/ps", {"models": [{**model, "context_length": 4096}]})
    await Campaign(target, Limits(duration_s=20, max_requests=6), seed=1).run()
    assert target.context_tokens == 4096
    await target.close()


async def test_a_context_that_could_be_gives_way_to_the_loaded_one(upstream: FakeUpstream) -> None:
    """LM Studio tells the most a model can have while it is not loaded, which is seldom what it gets."""
    model = {"key": "small", "type": "llm", "max_context_length": 131_072, "loaded_instances": []}
    upstream.respond("GET", "/api/v1/models", {"models": [model]})
    target = await find_target(upstream.origin, None, None)
    assert (target.kind, target.context_tokens) == ("lmstudio", 131_072)
    loaded = [{"id": "small", "config": {"context_length": 4096}}]
    upstream.respond("GET", "/api/v1/models", {"models": [{**model, "loaded_instances": loaded}]})
    await Campaign(target, Limits(duration_s=20, max_requests=6), seed=1).run()
    assert target.context_tokens == 4096
    await target.close()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault.UNAUTHORIZED, "use --api-key"),
        (Fault.MODEL_MISSING, "not that model"),
        (Fault.ERROR_500, "it answers 500"),
        (Fault.LOADING, "it answers 503: Loading model"),
        (Fault.RATE_LIMITED, "it answers 429"),
        (Fault.HTML_200, "not a stream"),
        (Fault.EMPTY_BODY, "not a stream"),
        (Fault.EMPTY_COMPLETION, "not a stream"),
        (Fault.ERROR_FIRST_EVENT, "with an error"),
        (Fault.CUT, "closed the connection"),
        (Fault.CUT_CLEAN, "its stream broke off"),
        (Fault.CLOSED_BEFORE_HEADERS, "closed the connection"),
    ],
)
async def test_a_first_answer_that_fails_is_one_sentence(fault: Fault, said: str) -> None:
    """Nothing can be measured then; the sentence names the URL, the reason and, where known, the remedy."""
    async with FakeUpstream(default=fault) as server:
        with pytest.raises(MeasureFailed) as caught:
            await campaign(server)
        assert said in caught.value.message
        assert server.url in caught.value.message
        assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "reply", [Reply(fault=Fault.ONLY_COMMENTS, gap_s=0.01), Reply(fault=Fault.SLOW_TOKENS, gap_s=0.3)]
)
async def test_the_time_is_over_whatever_the_node_sends(upstream: FakeUpstream, reply: Reply) -> None:
    """Neither comments that never end nor a slow first answer make it longer than it may be."""
    upstream.default = reply
    async with asyncio.timeout(20):
        with pytest.raises(
            MeasureFailed, match=r"gave no complete answer within 0\.5 s: .* longer --duration"
        ):
            await campaign(upstream)


async def test_the_seconds_that_are_told_begin_with_the_first_question(upstream: FakeUpstream) -> None:
    """What came before the first wave counts as well."""
    upstream.default = Reply(fault=Fault.SLOW_TOKENS, gap_s=0.002)
    _, measured = await campaign(upstream, Limits(duration_s=20, max_requests=3))
    assert measured.requests == 3
    assert measured.elapsed_s > sum(answer.total_s for answer in measured.alone) > 0


async def test_a_stream_held_back_is_no_measurement(upstream: FakeUpstream) -> None:
    """Tokens that all arrive at once give no time per token, and the sentence says what may hold them."""
    target, measured = await campaign(upstream)
    with pytest.raises(SpillwayError, match="all at once"):
        profile_of(measured, target, "fake", date(2026, 11, 24))


async def test_a_busy_node_is_left_alone(upstream: FakeUpstream) -> None:
    """An engine that works for others is not loaded, unless that is what is wanted."""
    upstream.respond("GET", "/props", {"default_generation_settings": {"n_ctx": 512}, "total_slots": 2})
    upstream.respond("GET", "/slots", [{"is_processing": True}, {"is_processing": False}])
    with pytest.raises(MeasureFailed, match=r"working on 1 request\(s\) of others"):
        await campaign(upstream)
    assert not [entry for entry in upstream.received if "chat" in entry.path]
    target = await find_target(upstream.url, None, None)
    await Campaign(target, Limits(duration_s=0.2), is_forced=True).run()
    await target.close()
    assert [entry for entry in upstream.received if "chat" in entry.path]


async def test_it_stops_when_others_come(upstream: FakeUpstream) -> None:
    """A node that still works when all our answers are in is somebody else's: what was measured is kept."""
    upstream.default = Reply(fault=Fault.SLOW_TOKENS, gap_s=0.002)
    upstream.respond("GET", "/props", {"default_generation_settings": {"n_ctx": 512}, "total_slots": 2})
    upstream.respond("GET", "/slots", [{"is_processing": False}])
    target = await find_target(upstream.url, None, None)
    busy = [{"is_processing": True}]
    bench = Campaign(
        target,
        Limits(duration_s=5),
        lambda ratio, text: upstream.respond("GET", "/slots", busy) if ratio else None,
    )
    measured = await bench.run()
    await target.close()
    assert measured.warnings == ["somebody else began to use the node"]
    assert not measured.is_complete
    assert measured.elapsed_s < 2


async def test_a_node_that_fails_in_the_middle_is_said(upstream: FakeUpstream) -> None:
    """What was measured until then is kept, and the warning does not say that nothing can be."""
    upstream.default = Reply(fault=Fault.SLOW_TOKENS, gap_s=0.002)
    target = await find_target(upstream.url, None, None)

    def fail(ratio: float, text: str) -> None:
        if ratio:
            upstream.default = Reply(fault=Fault.ERROR_500)

    measured = await Campaign(target, Limits(duration_s=5), fail).run()
    await target.close()
    assert [warning.partition(": it answers 500")[0] for warning in measured.warnings] == ["stopped early"]
    assert not measured.is_complete


async def test_limits_hold(upstream: FakeUpstream) -> None:
    """No more requests than allowed are sent, and never more at once."""
    upstream.default = Reply(fault=Fault.SLOW_TOKENS, gap_s=0.001)
    limits = Limits(duration_s=20, max_concurrency=3, max_requests=25)
    _, measured = await campaign(upstream, limits)
    assert len(upstream.received) == measured.requests <= 25
    assert upstream.max_in_flight <= 3
    assert measured.elapsed_s < 15


async def test_a_node_is_awake_when_it_is_timed(upstream: FakeUpstream) -> None:
    """Before each wave something short is asked that is not kept, but nothing before one that goes on."""
    _, measured = await campaign(upstream, Limits(duration_s=20, max_requests=40))
    bodies = [json.loads(entry.body) for entry in upstream.received if "chat" in entry.path]
    warm_up, first_round = bodies[:3], bodies[3:9]
    assert all(body["max_tokens"] != WAKING_TOKENS for body in warm_up)
    assert [body["max_tokens"] == WAKING_TOKENS for body in first_round] == [True, False] * 3
    texts = [body["messages"][0]["content"] for body in bodies]
    assert any(after.startswith(before) for before, after in pairwise(texts))
    woken = sum(body["max_tokens"] == WAKING_TOKENS for body in bodies)
    assert len(measured.reads) <= len(bodies) - woken


async def test_too_slow_a_node_gives_what_there_is(upstream: FakeUpstream) -> None:
    """When the time ends in the middle of a wave, that wave is dropped and the profile says it is partial."""
    upstream.default = Reply(fault=Fault.SLOW_TOKENS, gap_s=0.02)
    target, measured = await campaign(upstream, Limits(duration_s=0.7))
    assert not measured.is_complete
    assert "0.7 s were over" in measured.warnings[0]
    assert upstream.in_flight == 0 or measured.elapsed_s < 1.5
    assert target.runs_to_limit


async def test_a_slot_is_named_only_where_it_should_answer(upstream: FakeUpstream) -> None:
    """llama.cpp's ``id_slot`` is sent with the requests that ask for one."""
    target = await find_target(upstream.url, None, None)
    for slot in (2, None):
        await target.ask("hello", 4, 5, slot)
    await target.close()
    bodies = [json.loads(entry.body) for entry in upstream.received if "chat" in entry.path]
    assert [body.get("id_slot") for body in bodies] == [2, None]


async def test_a_field_it_does_not_know_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A strict server that refuses ``ignore_eos`` is asked again without it, and from then on always."""
    async with FakeUpstream() as upstream:
        target = await find_target(upstream.url, None, None)
        send, sent = target._send, []

        async def strict(body: dict[str, Any], patience_s: float) -> Answered:
            sent.append(body)
            if "ignore_eos" in body:
                raise Refused(400, "Unrecognized request argument supplied: ignore_eos")
            return await send(body, patience_s)

        monkeypatch.setattr(target, "_send", strict)
        await target.ask("hello", 4, 5)
        await target.ask("hello", 4, 5)
        await target.close()
    assert ["ignore_eos" in body for body in sent] == [True, False, False]
