"""What becomes of judged answers moves the thresholds: which ones count, as what, and for how long."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from spillway.api import gatekeeper
from spillway.api.facts import Ids, parse_request
from spillway.api.gatekeeper import Gatekeeper
from spillway.api.thresholds import Thresholds
from spillway.evidence.events import Event, Key, Kind
from spillway.relay.run import Job
from spillway.vocabulary import Choice, Decision, Outcome
from tests.ledger.samples import attempt_of, outcome_of

SHARE = 0.25
NODE = Choice("mini", "local", "small")
KEY = Key("classification", "mini", "small", "sha256:1")
SURE, UNSURE = -0.01, -3.0
"""Log-probabilities of a token above and below the threshold."""


class Learning:
    """Thresholds that keep at nine in ten, and what they are taught."""

    def __init__(self) -> None:
        self.taught: list[tuple[Key, float, float]] = []

    def value(self, key: Key) -> float:
        """The least confidence."""
        return 0.9

    def learn(self, key: Key, confidence: float, correctness: float, share: float) -> None:
        """Keeps all but the confidence, which the answer decides."""
        assert 0.0 < confidence < 1.0
        self.taught.append((key, correctness, share))


def keeper_of() -> tuple[Gatekeeper, Learning]:
    """One that has judged nothing yet."""
    learning = Learning()
    identity = {"mini": KEY}
    keeper = Gatekeeper(cast(Thresholds, learning), lambda task, node, model: identity[node], SHARE)
    return keeper, learning


def job_of(name: str = "r1") -> Job:
    """A request whose answers pass three gates."""
    body = b'{"model": "auto", "messages": [{"role": "user", "content": "good or bad?"}]}'
    parsed = parse_request("chat", body, {b"x-spillway-task": b"classification"}, Ids(name), None)
    decision = Decision((NODE,), (), gates=("empty", "finish", "confidence"))
    return Job(parsed.facts, parsed.payload, decision, 0.0, 0.0)


def answer(text: str = "good", logprob: float = SURE, finish: str = "stop") -> bytes:
    """A whole answer of one token."""
    told = {"content": [{"token": text, "logprob": logprob}]}
    message = {"role": "assistant", "content": text}
    return json.dumps({"choices": [{"message": message, "finish_reason": finish, "logprobs": told}]}).encode()


def compared(name: str = "r1", key: Key = KEY, kind: Kind = "shadow") -> Event:
    """That answer was compared, and was right."""
    return Event(request_id=name, key=key, kind=kind, score=1.0, at_s=0.0)


def ended(side: Any = "cloud", **more: Any) -> Outcome:
    """How the request ended."""
    return outcome_of("r1", attempts=[attempt_of(side=side)], **more)


def test_a_kept_answer_teaches_once_as_one_of_those_that_are_compared() -> None:
    """By the share of answers that are; its end at the node tells nothing yet."""
    keeper, learning = keeper_of()
    job = job_of()
    assert keeper.judge(job, NODE, answer()) is None
    keeper.note(job, ended("local"), answer())
    for _ in range(2):
        keeper.learn(compared())
    assert learning.taught == [(KEY, 1.0, SHARE)]


@pytest.mark.parametrize(
    "event", [compared(kind="feedback"), compared(key=KEY._replace(identity="sha256:2")), compared("r2")]
)
def test_ratings_other_weights_and_other_requests_teach_nothing(event: Event) -> None:
    """What people rate is no fair sample, and what was compared was another model's answer."""
    keeper, learning = keeper_of()
    keeper.judge(job_of(), NODE, answer())
    keeper.learn(event)
    assert learning.taught == []


@pytest.mark.parametrize(("theirs", "score"), [("good", 1.0), ("bad", 0.0)])
def test_an_unsure_answer_is_compared_with_the_one_that_came_instead(theirs: str, score: float) -> None:
    """Each of them, so that it counts for one."""
    keeper, learning = keeper_of()
    job = job_of()
    assert keeper.judge(job, NODE, answer(logprob=UNSURE)) == "gate_confidence"
    keeper.note(job, ended(), answer(theirs))
    assert learning.taught == [(KEY, score, 1.0)]


@pytest.mark.parametrize("outcome", [ended("local"), ended(result="cut"), ended(result="error", status=502)])
def test_an_unsure_answer_is_compared_with_a_whole_one_of_a_cloud_only(outcome: Outcome) -> None:
    """Not with another node's, which may be wrong in the same way, nor with half of one."""
    keeper, learning = keeper_of()
    job = job_of()
    keeper.judge(job, NODE, answer(logprob=UNSURE))
    keeper.note(job, outcome, answer("bad"))
    assert learning.taught == []


def test_an_answer_that_failed_for_another_reason_says_nothing_of_confidence() -> None:
    """One that was cut off is wrong however sure the model was of it."""
    keeper, learning = keeper_of()
    assert keeper.judge(job_of(), NODE, answer(finish="length")) == "gate_finish"
    keeper.learn(compared())
    assert learning.taught == []


def test_the_oldest_judged_answers_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most are never compared, and must not pile up."""
    monkeypatch.setattr(gatekeeper, "REMEMBERED", 2)
    keeper, learning = keeper_of()
    for name in ("r1", "r2", "r3"):
        keeper.judge(job_of(name), NODE, answer())
    for name in ("r1", "r2", "r3"):
        keeper.learn(compared(name))
    assert len(learning.taught) == 2
