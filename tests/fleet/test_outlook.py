"""What a usual request takes, over all arrivals."""

from __future__ import annotations

import json

import pytest

from spillway.api.facts import new_ids, parse_request
from spillway.fleet.outlook import Outlook
from spillway.routing import NoEvidence, Policy, decide
from spillway.slo.lengths import Prompt
from spillway.slo.pace import LinearPace
from spillway.vocabulary import Load, ModelFacts, NodeSnapshot, RequestFacts

PACE = LinearPace(prefill_token_s=0.001, step_base_s=0.01, step_sequence_s=0.001)
NODE = NodeSnapshot(
    "mini", "local", (ModelFacts("m"),), slots=4, pace=PACE, load=Load(0, 4, 0, 0, 0, 0, 0, 0)
)


def usual_after(sizes: list[int], cached: int = 0) -> Outlook:
    """An outlook that saw prompts of those sizes, each with so many tokens held already."""
    outlook = Outlook()
    for tokens in sizes:
        facts = RequestFacts(
            request_id="", operation="chat", model="auto", input_tokens=tokens, input_grade="reported",
            cached_tokens=cached, usual_output_tokens=100.0, long_output_tokens=200.0,
        )  # fmt: skip
        outlook.see(facts, decide(facts, NoEvidence(), [NODE], Policy()), [NODE])
    return outlook


def test_nothing_is_usual_before_the_first() -> None:
    """Unknown is not 0; nor is anything known of a node without a pace."""
    assert Outlook().usual_work_s(PACE, 4) is None
    assert usual_after([1000]).usual_work_s(None, 4) is None


def test_usual_work_is_that_of_the_arrivals() -> None:
    """Reading and a share of the steps; what a cache holds is not read."""
    step_s = 100 * PACE.decode_step_s(4, 0.0) / 4
    assert usual_after([1000, 1000]).usual_work_s(PACE, 4) == pytest.approx(1.0 + step_s)
    assert usual_after([1000, 3000]).usual_work_s(PACE, 4) == pytest.approx(2.0 + step_s, rel=0.05)
    assert usual_after([1000, 1000], cached=900).usual_work_s(PACE, 4) == pytest.approx(0.1 + step_s)


def test_a_slower_node_takes_longer_for_the_usual() -> None:
    """Requests do not look larger because a node became slower."""
    outlook = usual_after([1000, 2000, 500])
    once, twice = outlook.usual_work_s(PACE, 4), outlook.usual_work_s(PACE.scaled(2.0, 2.0), 4)
    assert once is not None
    assert twice == pytest.approx(2 * once)


def test_answers_are_expected_by_what_a_prompt_begins_with() -> None:
    """Of two programs whose prompts have one size each one's answers are soon expected as they are."""
    outlook = Outlook()

    def asked(rules: str, number: int) -> RequestFacts:
        messages = [
            {"role": "system", "content": rules},
            {"role": "user", "content": f"Here is a mail that came in today: {number:09d}"},
        ]
        raw = json.dumps({"model": "auto", "messages": messages}).encode()
        return parse_request("chat", raw, {}, new_ids({}), None).facts

    sort, write = "Sort this mail into one of our folders.", "Write a long answer to this mail for us."
    assert asked(sort, 1).input_tokens == asked(write, 1).input_tokens
    for number in range(40):
        outlook.lengths.learn(Prompt.of(asked(sort, number)), 3)
        outlook.lengths.learn(Prompt.of(asked(write, number)), 600)
    assert outlook.expect(asked(sort, 99)).usual < 50
    assert outlook.expect(asked(write, 99)).usual > 500
