"""What is kept for clouds while none of them can answer."""

from __future__ import annotations

from typing import Any

import pytest

from spillway.vocabulary import ModelFacts, RequestFacts
from tests.routing.test_decide import cloud, facts, node, plan


@pytest.mark.parametrize("state", [{"breaker": "open"}, {"is_up": False}])
@pytest.mark.parametrize(
    "request_facts", [facts(task="reasoning"), facts(input_tokens=9000), facts(max_output_tokens=5000)]
)
def test_a_cloud_that_cannot_answer_is_not_preferred(
    request_facts: RequestFacts, state: dict[str, Any]
) -> None:
    """While all clouds are out, what is kept for them goes to the owner's machine rather than nowhere."""
    big = node(facts=ModelFacts("qwen", context_tokens=32_000))
    assert plan(request_facts, [big, cloud(**state)]) == ["mini"]
    assert plan(request_facts, [big, cloud("openai", **state), cloud("other")]) == ["other"]
