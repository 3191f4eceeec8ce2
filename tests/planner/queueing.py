"""Closed forms of queueing theory: what the simulator must agree with.

Rates are per second, times in seconds. Each function answers ``math.inf`` for a queue that grows without
bound (utilisation of 1 or more) and raises ``ValueError`` for rates that are not positive.
Formulas: Kleinrock, "Queueing Systems" volume 1 (1975), chapters 3 and 5.
"""

from __future__ import annotations

import math

__all__ = [
    "erlang_c",
    "mg1_wait_s",
    "mm1_wait_quantile_s",
    "mm1_wait_s",
    "mmc_wait_quantile_s",
    "mmc_wait_s",
    "utilisation",
]


def utilisation(arrival_rps: float, service_s: float, servers: int = 1) -> float:
    """The share of the servers' time that the work asks for; above 1 it cannot be done."""
    if arrival_rps < 0 or service_s <= 0 or servers < 1:
        raise ValueError("arrival rate must not be negative; service time and servers must be positive")
    return arrival_rps * service_s / servers


def erlang_c(arrival_rps: float, service_s: float, servers: int) -> float:
    """The probability that an arrival finds all servers busy and waits (M/M/c), 0–1."""
    rho = utilisation(arrival_rps, service_s, servers)
    if rho >= 1:
        return 1.0
    offered = arrival_rps * service_s
    # Erlang B by its recursion: factorials would overflow beyond some 170 servers.
    blocked = 1.0
    for n in range(1, servers + 1):
        blocked = offered * blocked / (n + offered * blocked)
    return blocked / (1.0 - rho * (1.0 - blocked))


def mm1_wait_s(arrival_rps: float, service_s: float) -> float:
    """Mean wait before service with Poisson arrivals, exponential service and one server."""
    return mmc_wait_s(arrival_rps, service_s, 1)


def mmc_wait_s(arrival_rps: float, service_s: float, servers: int) -> float:
    """Mean wait before service with Poisson arrivals, exponential service and several servers."""
    rho = utilisation(arrival_rps, service_s, servers)
    if rho >= 1:
        return math.inf
    return erlang_c(arrival_rps, service_s, servers) * service_s / (servers * (1.0 - rho))


def mm1_wait_quantile_s(arrival_rps: float, service_s: float, share: float) -> float:
    """The wait that ``share`` of the arrivals (0–1, exclusive) do not exceed, one server."""
    return mmc_wait_quantile_s(arrival_rps, service_s, 1, share)


def mmc_wait_quantile_s(arrival_rps: float, service_s: float, servers: int, share: float) -> float:
    """The wait that ``share`` of the arrivals (0–1, exclusive) do not exceed; 0 where so many never wait."""
    if not 0 < share < 1:
        raise ValueError("share must lie between 0 and 1")
    rho = utilisation(arrival_rps, service_s, servers)
    if rho >= 1:
        return math.inf
    waiting = erlang_c(arrival_rps, service_s, servers)
    if waiting <= 1.0 - share:
        return 0.0
    return math.log(waiting / (1.0 - share)) * service_s / (servers * (1.0 - rho))


def mg1_wait_s(arrival_rps: float, service_s: float, service_cv: float) -> float:
    """Mean wait with Poisson arrivals, one server and any service time (Pollaczek–Khinchine).

    ``service_cv`` is the coefficient of variation of service time: 0 constant, 1 exponential.
    """
    rho = utilisation(arrival_rps, service_s)
    if service_cv < 0:
        raise ValueError("a coefficient of variation cannot be negative")
    if rho >= 1:
        return math.inf
    return rho * service_s * (1.0 + service_cv**2) / (2.0 * (1.0 - rho))
