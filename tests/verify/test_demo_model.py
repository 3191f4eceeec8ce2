"""The demo model behind the real engine: what the gates read of real answers."""

from __future__ import annotations

import msgspec
import pytest

from bench.verify.engine import ask_all
from bench.verify.shop import as_sent, request_for
from spillway.demo import shop
from spillway.verify import GivenAnswer, Wish, check, gates_for
from tests.engine_fixtures import needs_engine

SURE = 0.99733
"""Keeps four in five messages of the trained kind."""


@needs_engine
@pytest.mark.engine
async def test_the_surest_answers_of_the_demo_model_are_exact() -> None:
    """Real answers carry log-probabilities, fit their schema, and those above the threshold are right."""
    messages = shop.messages(1234, 80)
    requests = [request_for(message) for message in messages]
    bodies = await ask_all([as_sent(request) for request in requests])
    kept = right = 0
    for message, request, body in zip(messages, requests, bodies, strict=True):
        answer = GivenAnswer.of(body)
        assert answer is not None
        assert answer.logprobs is not None
        assert answer.margins is not None
        verdict = check(answer, Wish.of(request), gates_for("extraction"), threshold=SURE, all_failures=True)
        assert set(verdict.failed) <= {"gate_confidence", "gate_schema", "gate_json"}
        if verdict.is_kept:
            kept += 1
            right += shop.is_exact(answer.text, message)
    assert kept >= 50
    assert right >= kept - 1


@needs_engine
@pytest.mark.engine
async def test_a_cut_answer_of_the_engine_fails() -> None:
    """Eight tokens are not enough for the JSON: the engine says length, the gates say cut and broken."""
    request = request_for(shop.messages(5, 1)[0])
    short = {**msgspec.json.decode(as_sent(request)), "max_tokens": 8}
    (body,) = await ask_all([msgspec.json.encode(short)])
    answer = GivenAnswer.of(body)
    assert answer is not None
    verdict = check(answer, Wish.of(request), ("finish", "json"), all_failures=True)
    assert verdict.failed == ("gate_finish", "gate_json")
