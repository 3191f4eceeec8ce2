"""Answers that are judged before the client sees them, and those who watch afterwards."""

from __future__ import annotations

import json
from typing import Any

import pytest

from spillway.relay.run import Job
from spillway.testing.fake_upstream import Fault, Reply
from spillway.vocabulary import Choice, Outcome

from .conftest import SetUp, Stage, script

BOTH = pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])


class Judge:
    """Refuses answers that hold a word."""

    def __init__(self, word: str = "bad") -> None:
        self.word = word
        self.seen: list[dict[str, Any]] = []
        self.judged: list[str] = []

    def judge(self, job: Job, choice: Choice, answer: bytes) -> str | None:
        """``gate_word`` when the word is there."""
        self.seen.append(json.loads(answer))
        self.judged.append(choice.upstream)
        return "gate_word" if self.word.encode() in answer else None


class Watcher:
    """Keeps what it is shown."""

    def __init__(self, *, is_curious: bool = True) -> None:
        self.is_curious = is_curious
        self.seen: list[tuple[Outcome, bytes]] = []

    def wants(self, job: Job) -> bool:
        """Always the same."""
        return self.is_curious

    def note(self, job: Job, outcome: Outcome, answer: bytes) -> None:
        """Keeps it."""
        self.seen.append((outcome, answer))


@BOTH
async def test_a_good_answer_is_released_as_it_came(stage: SetUp, is_stream: bool) -> None:
    """An answer that passes its gates reaches the client whole, in the form it asked for."""
    judge = Judge()
    here: Stage = await stage(relay={"verifier": judge}, mini="local", cloud="cloud")
    script(here, "mini", Reply(text="good words"))
    got = await here.ask(stream=is_stream, gates=("word",))
    assert got.text == "good words"
    assert got.attempts == [("mini", "first", None)]
    assert judge.seen[0]["choices"][0]["message"]["content"] == "good words"
    if is_stream:
        assert got.is_whole_stream
        assert len(got.pieces) == 1


async def test_the_judge_is_told_whose_answer_it_is(stage: SetUp) -> None:
    """Of several nodes each has its own threshold, and the first in the plan is not always who answers."""
    judge = Judge()
    here: Stage = await stage(relay={"verifier": judge}, one="local", two="local", cloud="cloud")
    script(here, "one", Fault.ERROR_500)
    await here.ask(gates=("word",))
    assert judge.judged == ["two"]


@BOTH
async def test_a_bad_answer_escalates(stage: SetUp, is_stream: bool) -> None:
    """An answer that fails is paid for and never seen; the next choice answers, unjudged if it is a cloud."""
    here: Stage = await stage(relay={"verifier": Judge()}, mini="local", cloud="cloud")
    script(here, "mini", Reply(text="bad words"))
    script(here, "cloud", Reply(text="also bad but from a cloud"))
    got = await here.ask(stream=is_stream, gates=("word",))
    assert got.text == "also bad but from a cloud"
    assert got.attempts == [("mini", "first", "gate_word"), ("cloud", "escalation", None)]
    assert got.outcome
    assert got.outcome.reasons == ("name_auto", "escalated")
    assert got.outcome.attempts[0].usage
    assert got.outcome.attempts[0].status == 200
    assert here.fleet.upstreams["mini"].breaker.state(0) == "closed"


@BOTH
@pytest.mark.parametrize("alternates", [{}, {"cloud": "cloud"}], ids=["alone", "fallback-fails"])
async def test_a_bad_answer_is_better_than_none(
    stage: SetUp, is_stream: bool, alternates: dict[str, Any]
) -> None:
    """Where nobody gives a better one, the answer is returned after all and says that it failed its gate."""
    here: Stage = await stage(relay={"verifier": Judge()}, mini="local", **alternates)
    script(here, "mini", Reply(text="bad words"))
    if alternates:
        script(here, "cloud", Fault.ERROR_500)
    got = await here.ask(stream=is_stream, gates=("word",))
    assert (got.status, got.text) == (200, "bad words")
    assert "gate_failed" in got.headers["x-spillway-reason"].split(",")
    assert got.headers["x-spillway-upstream"] == "mini"
    assert got.outcome
    assert got.outcome.last
    assert got.outcome.last.error_code == "gate_word"
    assert got.outcome.last.upstream == "mini"
    assert got.outcome.result == "ok"


@BOTH
async def test_log_probabilities_are_for_the_judge_only(stage: SetUp, is_stream: bool) -> None:
    """Where a gate needs them they are asked for, shown to the judge and taken out again."""
    judge = Judge()
    here: Stage = await stage(relay={"verifier": judge}, mini="local")
    got = await here.ask(stream=is_stream, gates=("confidence",), wants_logprobs=True)
    assert here.fakes["mini"].received[0].json["logprobs"] is True
    assert judge.seen[0]["choices"][0]["logprobs"]["content"]
    assert b"logprob" not in got.body
    assert len(got.text.split()) == 12


async def test_the_clients_own_log_probabilities_stay(stage: SetUp) -> None:
    """A client that asked for them gets them."""
    here: Stage = await stage(relay={"verifier": Judge()}, mini="local")
    got = await here.ask(gates=("confidence",), wants_logprobs=True, logprobs=True)
    assert got.json["choices"][0]["logprobs"]["content"]


async def test_log_probabilities_that_are_refused_are_done_without(stage: SetUp) -> None:
    """An upstream that knows none answers without them."""
    here: Stage = await stage(relay={"verifier": Judge()}, mini="local")
    script(here, "mini", Reply(fault=Fault.FIELD_REJECTED, field="logprobs", times=3))
    got = await here.ask(gates=("confidence",), wants_logprobs=True)
    assert got.attempts == [("mini", "first", None)]
    assert here.fleet.upstreams["mini"].engine.refused == {"logprobs"}


async def test_a_held_stream_that_breaks_starts_anew(stage: SetUp) -> None:
    """What was held when it broke was never seen, so the alternate's answer is the only one."""
    here: Stage = await stage(relay={"verifier": Judge()}, mini="local", cloud="cloud")
    script(here, "mini", Reply(fault=Fault.CUT, after=5))
    got = await here.ask(stream=True, gates=("word",))
    assert got.attempts == [("mini", "first", "upstream_closed"), ("cloud", "failover", None)]
    assert {chunk["model"] for chunk in got.chunks} == {"cloud-model"}


@BOTH
async def test_a_watcher_sees_the_whole_answer(stage: SetUp, is_stream: bool) -> None:
    """Whatever form the client got, the observer is shown the unstreamed body, once the client has it."""
    watcher = Watcher()
    here: Stage = await stage(relay={"observer": watcher}, mini="local", cloud="cloud")
    script(here, "mini", Reply(fault=Fault.CUT, after=4))
    got = await here.ask(stream=is_stream, temperature=0)
    ((outcome, answer),) = watcher.seen
    assert outcome is got.outcome
    assert json.loads(answer)["choices"][0]["message"]["content"] == got.text
    assert json.loads(answer)["object"] == "chat.completion"


async def test_a_watcher_that_fails_harms_nobody(stage: SetUp, caplog: pytest.LogCaptureFixture) -> None:
    """An observer's fault is logged; the client has its answer already."""

    class Clumsy(Watcher):
        def note(self, job: Job, outcome: Outcome, answer: bytes) -> None:
            raise RuntimeError("dropped it")

    here: Stage = await stage(relay={"observer": Clumsy()}, mini="local")
    assert (await here.ask()).status == 200
    assert "its observer failed" in caplog.text


async def test_a_watcher_may_decline(stage: SetUp) -> None:
    """Nothing is kept or shown when the observer does not want this answer; errors are shown without one."""
    watcher = Watcher(is_curious=False)
    here: Stage = await stage(relay={"observer": watcher}, mini="local")
    await here.ask()
    assert watcher.seen == []
    watcher.is_curious = True
    script(here, "mini", Fault.ERROR_500)
    await here.ask()
    assert [(outcome.result, answer) for outcome, answer in watcher.seen] == [("error", b"")]
