"""Forecasts that are as good as they are said to be."""

from __future__ import annotations

import numpy as np
import pytest

from bench.planner.foresight import foreseen_tokens


@pytest.mark.parametrize("share", [0.2, 0.6, 0.9])
def test_a_forecast_explains_what_it_is_to_explain(share: float) -> None:
    """Its means are unbiased, one answer in five is longer than a long one, and the rest is unexplained."""
    tokens = np.exp(np.random.default_rng(1).normal(5.0, 1.0, 100_000))
    usual, long_ratio = foreseen_tokens(tokens, share)
    logs, told = np.log(tokens), np.log(usual)
    left = (logs - told - (logs - told).mean()).var()
    assert 1.0 - left / logs.var() == pytest.approx(share, abs=0.01)
    assert usual.mean() == pytest.approx(tokens.mean(), rel=0.03)
    assert (tokens > usual * long_ratio).mean() == pytest.approx(0.2, abs=0.01)


def test_all_of_it_is_the_truth() -> None:
    """A forecast that explains everything tells each length."""
    tokens = np.array([5.0, 50.0, 500.0])
    usual, long_ratio = foreseen_tokens(tokens, 1.0)
    assert usual == pytest.approx(tokens)
    assert long_ratio == 1.0
