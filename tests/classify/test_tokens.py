from __future__ import annotations

import pytest

from spillway.classify.tokens import COEFFICIENTS, FEATURES, estimate_tokens, sample

# counted once with o200k_base
COUNTED = [
    ("The quick brown fox jumps over the lazy dog.", 10),
    ("def add(a: int, b: int) -> int:\n    return a + b\n", 18),
    ('{"name": "Ann", "age": 31, "tags": ["a", "b"]}', 23),
    ("Please summarise the attached quarterly report in three bullet points.", 12),
]


@pytest.mark.parametrize(("text", "tokens"), COUNTED)
def test_short_texts_are_estimated_within_a_quarter(text: str, tokens: int) -> None:
    """Prose, code and JSON come out near a real tokenizer's count."""
    assert abs(estimate_tokens(text) - tokens) <= max(2, tokens / 4)


def test_nothing_has_no_tokens() -> None:
    """Only an empty text has none."""
    assert estimate_tokens("") == 0
    assert estimate_tokens("\x00") == 1


def test_long_texts_are_sampled_and_scaled() -> None:
    """A text repeated a thousand times has about a thousand times the tokens, from a bounded sample."""
    once = "Every order is packed the same day, says the manual of 1987. "
    assert len(sample(once * 1000)) <= 2048 + 8
    assert estimate_tokens(once * 1000) == pytest.approx(1000 * estimate_tokens(once), rel=0.15)


def test_every_feature_has_a_coefficient() -> None:
    """Counts and coefficients line up and none pulls the estimate down."""
    assert len(FEATURES) == len(COEFFICIENTS)
    assert min(COEFFICIENTS) > 0
