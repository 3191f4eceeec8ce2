"""Engines that count tokens which they do not send, beside those that send several at once."""

from __future__ import annotations

from datetime import date

import pytest

from spillway.engines.http_client import HttpClient
from spillway.engines.wire import Origin
from spillway.measuring.ask import Answered
from spillway.measuring.campaign import Measured
from spillway.measuring.fit import Read, Step
from spillway.measuring.result import profile_of
from spillway.measuring.target import Target
from spillway.measuring.unseen import writes_unseen

STEP_S = 0.01
URL = "http://127.0.0.1:1"
LENGTHS = [(20, 8), (60, 8), (40, 48), (100, 48), (300, 48)]
"""Pairs of (tokens of the prompt, tokens of the answer)."""


def thought(prompt: int, tokens: int, seen: float) -> Answered:
    """An answer of which only the last part is sent, token by token."""
    pieces = round(tokens * seen)
    first_s = 0.02 + 0.001 * prompt + (tokens - pieces) * STEP_S
    return Answered(0.0, tuple(first_s + k * STEP_S for k in range(pieces)), prompt, 0, tokens)


def grouped(prompt: int, tokens: int, at_a_time: int) -> Answered:
    """An answer of which so many tokens come in each piece."""
    first_s = 0.02 + 0.001 * prompt
    moments = tuple(first_s + k * at_a_time * STEP_S for k in range(tokens // at_a_time))
    return Answered(0.0, moments, prompt, 0, tokens)


@pytest.mark.parametrize("seen", [0.25, 0.5])
def test_late_first_tokens_of_long_answers_tell(seen: float) -> None:
    """Half or more of the tokens were written before the first one came."""
    assert writes_unseen([thought(prompt, tokens, seen) for prompt, tokens in LENGTHS])


def test_others_are_not_suspected() -> None:
    """All tokens sent, several in each piece, or nothing to compare."""
    assert not writes_unseen([thought(prompt, tokens, 1.0) for prompt, tokens in LENGTHS])
    assert not writes_unseen([grouped(prompt, tokens, 4) for prompt, tokens in LENGTHS])
    assert not writes_unseen([thought(prompt, 48, 0.5) for prompt, _ in LENGTHS])


def test_a_profile_says_so() -> None:
    """Its figures are not to be relied on, and the warning says what to do instead of measuring again."""
    alone = [thought(prompt, tokens, 0.5) for prompt, tokens in LENGTHS]
    measured = Measured(
        reads=[Read(float(each.prompt_tokens or 0), 0.0, each.ttft_s) for each in alone],
        alone=alone,
        steps=[Step(1, 50.0, each.itl_s or 0.0) for each in alone],
        slots=1,
        is_complete=True,
    )
    client = HttpClient(Origin.parse(URL))
    target = Target(URL, client, [], "openai", None, "m", None, None, "/v1/chat/completions")
    profile = profile_of(measured, target, "x", date(2026, 11, 24))
    assert not profile.is_complete
    assert any("let it think aloud or not at all" in each for each in profile.warnings)
