"""Streams that are judged while they pass, by the real gates."""

from __future__ import annotations

import pytest
from msgspec import structs

from spillway.relay.run import Job
from spillway.testing.fake_upstream import Fault, Reply
from spillway.verify import GivenAnswer, StreamWatch, Wish, check
from spillway.vocabulary import Choice

from .conftest import Got, SetUp, Stage, script

GATES = ("refusal", "looping")
PLAIN = (
    "The parcel left the depot on Monday, crossed the border on Tuesday, and waits at the post office near "
    "the station, which opens at eight; bring the card that the courier left behind, "
    "and proof of who you are."
)
REFUSAL = "I'm sorry, but I can't help with that request. " * 4
LOOP = "It begins well and then goes on for a while, as answers do. " + "and so on and on " * 120


class Watching:
    """Judges streams as the gateway does; holds nothing."""

    def judge(self, job: Job, choice: Choice, answer: bytes) -> str | None:
        """The real gates."""
        verdict = check(GivenAnswer.of(answer), Wish.of(job.payload.raw), job.decision.gates, threshold=0.5)
        return verdict.failed[0] if verdict.failed else None

    def watch(self, job: Job) -> StreamWatch:
        """The real watch."""
        return StreamWatch(Wish.of(job.payload.raw), job.decision.gates)


async def watched(here: Stage, gates: tuple[str, ...] = GATES) -> Got:
    """One stream whose gates are judged on the way."""
    job = here.job(stream=True, gates=gates, temperature=0)
    return await here.carry_out(structs.replace(job, decision=structs.replace(job.decision, is_held=False)))


async def test_a_good_stream_passes_in_pieces(stage: SetUp) -> None:
    """What is watched still comes as it is written."""
    here: Stage = await stage(relay={"verifier": Watching()}, mini="local", cloud="cloud")
    script(here, "mini", Reply(text=PLAIN, fault=Fault.SLOW_TOKENS, gap_s=0.002))
    got = await watched(here)
    assert got.attempts == [("mini", "first", None)]
    assert got.is_whole_stream
    assert len(got.pieces) > 3
    assert "x-spillway-held-ms" not in got.headers


async def test_a_refusal_is_never_seen(stage: SetUp) -> None:
    """A refusal shows in the opening, before anything has been sent: the cloud answers instead."""
    here: Stage = await stage(relay={"verifier": Watching()}, mini="local", cloud="cloud")
    script(here, "mini", Reply(text=REFUSAL))
    script(here, "cloud", Reply(text="Here it is."))
    got = await watched(here)
    assert got.text == "Here it is."
    assert got.attempts == [("mini", "first", "gate_refusal"), ("cloud", "escalation", None)]


@pytest.mark.parametrize(
    ("said", "gate"), [("I'm sorry, but I can't help with that.", "refusal"), ("", "empty")]
)
async def test_a_short_stream_is_judged_whole(stage: SetUp, said: str, gate: str) -> None:
    """It ended before its opening could be judged, and nothing was sent: every gate may look at it."""
    here: Stage = await stage(relay={"verifier": Watching()}, mini="local", cloud="cloud")
    script(here, "mini", Reply(text=said))
    script(here, "cloud", Reply(text="Here it is."))
    got = await watched(here, ("empty", "refusal", "looping", "confidence"))
    assert got.text == "Here it is."
    assert got.attempts == [("mini", "first", f"gate_{gate}"), ("cloud", "escalation", None)]


async def test_a_short_good_stream_passes(stage: SetUp) -> None:
    """Confidence is not asked of an answer whose log-probabilities were not."""
    here: Stage = await stage(relay={"verifier": Watching()}, mini="local", cloud="cloud")
    script(here, "mini", Reply(text="Blue."))
    got = await watched(here, ("empty", "refusal", "looping", "confidence"))
    assert (got.text, got.attempts) == ("Blue.", [("mini", "first", None)])
    assert got.is_whole_stream


async def test_a_loop_that_is_held_is_broken_off(stage: SetUp) -> None:
    """Nobody waits for the end of an endless answer while somebody else can be asked."""
    here: Stage = await stage(relay={"verifier": Watching()}, mini="local", cloud="cloud")
    script(here, "mini", Reply(text=LOOP, fault=Fault.SLOW_TOKENS, gap_s=0.001))
    script(here, "cloud", Reply(text="The end."))
    got = await here.ask(stream=False, gates=GATES)
    assert got.text == "The end."
    assert got.attempts == [("mini", "first", "gate_looping"), ("cloud", "escalation", None)]
    assert got.outcome is not None
    assert got.outcome.attempts[0].finish_reason is None


async def test_a_loop_is_broken_off_and_somebody_else_goes_on(stage: SetUp) -> None:
    """Endless repetition stops at the node; what the client has is continued, and says so."""
    here: Stage = await stage(relay={"verifier": Watching()}, mini="local", cloud="cloud")
    script(here, "mini", Reply(text=LOOP, fault=Fault.SLOW_TOKENS, gap_s=0.001))
    script(here, "cloud", Reply(text="The end."))
    got = await watched(here)
    assert len(got.text) < len(LOOP)
    assert got.attempts[0] == ("mini", "first", "gate_looping")
    assert got.attempts[-1][0] == "cloud"
    assert got.outcome is not None
    assert got.outcome.result in ("ok", "cut")


async def test_a_held_stream_tells_how_long_it_was_held(stage: SetUp) -> None:
    """The price of judging a whole stream stands in its headers."""

    class Lenient(Watching):
        def judge(self, job: Job, choice: Choice, answer: bytes) -> str | None:
            return None

    here: Stage = await stage(relay={"verifier": Lenient()}, mini="local", cloud="cloud")
    script(here, "mini", Reply(text="one two three four", fault=Fault.SLOW_TOKENS, gap_s=0.02))
    got = await here.ask(stream=True, gates=("finish",))
    assert float(got.headers["x-spillway-held-ms"]) > 20
