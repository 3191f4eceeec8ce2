"""Tokens of the engine over tokens of our estimate."""

from __future__ import annotations

import pytest

from spillway.slo.token_ratio import TokenRatio


def test_the_first_report_is_believed_and_later_ones_move_it_slowly() -> None:
    """One answer tells most of it; a single odd one among many changes little."""
    ratio = TokenRatio()
    assert ratio.value == 1.0
    ratio.learn(30, 75)
    assert ratio.value == pytest.approx(2.5)
    for _ in range(50):
        ratio.learn(30, 75)
    ratio.learn(30, 30)
    assert 2.2 < ratio.value < 2.5


def test_nonsense_teaches_little() -> None:
    """Empty prompts are left out, and no report moves it beyond eight times."""
    ratio = TokenRatio()
    ratio.learn(0, 75)
    ratio.learn(30, 0)
    assert ratio.value == 1.0
    ratio.learn(1, 1e9)
    assert ratio.value == pytest.approx(8.0)
