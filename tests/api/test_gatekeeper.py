"""Whose threshold the confidence gate uses."""

from __future__ import annotations

from typing import Any, cast

from spillway.api.facts import Ids, parse_request
from spillway.api.gatekeeper import Gatekeeper
from spillway.api.thresholds import Thresholds
from spillway.relay.run import Job
from spillway.vocabulary import Choice, Decision

ANSWER = b'{"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]}'


class Asked:
    """Thresholds that remember for which keys they were asked."""

    def __init__(self) -> None:
        self.keys: list[Any] = []

    def value(self, key: Any) -> float:
        """Keeps the key."""
        self.keys.append(key)
        return 0.5


def test_an_answer_is_judged_by_the_threshold_of_the_model_that_gave_it() -> None:
    """Also where another node stands first in the plan, but a free one took the request over."""
    body = b'{"model": "auto", "messages": [{"role": "user", "content": "is it?"}]}'
    headers = {b"x-spillway-task": b"classification"}
    parsed = parse_request("chat", body, headers, Ids("r"), None)
    choices = (Choice("one", "local", "small"), Choice("two", "local", "large"))
    job = Job(parsed.facts, parsed.payload, Decision(choices, (), gates=("confidence",)), 0.0, 0.0)
    asked = Asked()
    keeper = Gatekeeper(cast(Thresholds, asked), lambda *key: cast(Any, key), 1.0)
    keeper.judge(job, choices[1], ANSWER)
    assert asked.keys == [("classification", "two", "large")]
