"""The closed forms against values known from tables and against one another."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.planner import queueing


def test_one_server_matches_hand_arithmetic() -> None:
    """At 80 % utilisation an M/M/1 queue waits four service times on average."""
    assert queueing.mm1_wait_s(0.8, 1.0) == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("offered", "servers", "probability"),
    [(0.5, 1, 0.5), (1.0, 2, 1 / 3), (2.0, 3, 4 / 9), (8.0, 10, 0.40918)],
)
def test_erlang_c_matches_tables(offered: float, servers: int, probability: float) -> None:
    """The probability of waiting agrees with published tables."""
    assert queueing.erlang_c(offered, 1.0, servers) == pytest.approx(probability, abs=5e-5)


def test_many_servers_do_not_overflow() -> None:
    """A thousand servers give a probability, not an overflow."""
    assert 0 < queueing.erlang_c(980.0, 1.0, 1000) < 1


@given(st.floats(0.01, 0.98), st.floats(0.001, 100))
def test_general_service_contains_the_exponential(rho: float, service_s: float) -> None:
    """Pollaczek–Khinchine with variation 1 is M/M/1, with variation 0 half of it."""
    rate = rho / service_s
    wait_s = queueing.mm1_wait_s(rate, service_s)
    assert queueing.mg1_wait_s(rate, service_s, 1.0) == pytest.approx(wait_s)
    assert queueing.mg1_wait_s(rate, service_s, 0.0) == pytest.approx(wait_s / 2)


@given(st.floats(0.1, 0.95), st.integers(1, 40))
def test_quantiles_surround_the_mean(rho: float, servers: int) -> None:
    """The mean of those that wait lies where an exponential tail puts it: at its 63 % point."""
    rate = rho * servers
    waiting = queueing.erlang_c(rate, 1.0, servers)
    assume(waiting > 1e-9)
    share = 1.0 - waiting / math.e
    wait_s = queueing.mmc_wait_quantile_s(rate, 1.0, servers, share)
    assert wait_s * waiting == pytest.approx(queueing.mmc_wait_s(rate, 1.0, servers), rel=1e-6)


def test_quantile_is_zero_where_few_wait() -> None:
    """When fewer than one in twenty wait at all, 95 % do not wait."""
    assert queueing.mmc_wait_quantile_s(1.0, 1.0, 10, 0.95) == 0.0


def test_overload_never_ends() -> None:
    """A queue offered more than it can serve waits for ever, and all its arrivals wait."""
    assert queueing.mm1_wait_s(1.0, 1.0) == math.inf
    assert queueing.mmc_wait_s(3.0, 1.0, 2) == math.inf
    assert queueing.mg1_wait_s(2.0, 1.0, 0.0) == math.inf
    assert queueing.mm1_wait_quantile_s(2.0, 1.0, 0.5) == math.inf
    assert queueing.erlang_c(3.0, 1.0, 2) == 1.0


@pytest.mark.parametrize("bad", [(-1.0, 1.0, 1), (1.0, 0.0, 1), (1.0, 1.0, 0)])
def test_impossible_rates_are_refused(bad: tuple[float, float, int]) -> None:
    """Negative arrivals, no service time and no server are errors, not numbers."""
    with pytest.raises(ValueError, match="must"):
        queueing.utilisation(*bad)


def test_impossible_shares_and_variations_are_refused() -> None:
    """A share outside 0–1 and a negative variation are errors."""
    with pytest.raises(ValueError, match="between 0 and 1"):
        queueing.mm1_wait_quantile_s(0.5, 1.0, 1.0)
    with pytest.raises(ValueError, match="negative"):
        queueing.mg1_wait_s(0.5, 1.0, -1.0)
