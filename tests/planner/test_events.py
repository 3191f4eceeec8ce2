"""One simulated node: hand-computed cases, conservation, Little's law, and the closed forms of queueing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spillway.planner import compiled
from spillway.planner.catalogue import load_machines, load_models
from spillway.planner.events import Fates, Node, Pace
from spillway.planner.node_model import NodeModel, load_fit
from spillway.planner.policies import AllLocal
from spillway.planner.simulator import Engine, Fleet, Result, simulate
from spillway.planner.workload import Floats, Workload
from spillway.vocabulary import Objective
from tests.planner import queueing


@dataclass(frozen=True)
class Steady:
    """A pace without surprises: a step takes so long however many share it, a reading and a token so long."""

    step_s: float = 0.001
    prompt_token_s: float = 0.0
    pass_s: float = 0.0

    def decode_step_s(self, batch: float, context_tokens: float) -> float:
        """Always the same."""
        return self.step_s

    def prefill_s(self, prompt_tokens: float, cached_tokens: float) -> float:
        """In proportion to what is not cached."""
        return self.pass_s + (prompt_tokens - cached_tokens) * self.prompt_token_s


def requests(
    times: list[float], prompts: list[int], outputs: list[int], cached: list[int] | None = None
) -> Workload:
    """A workload of exactly these requests."""
    return Workload(
        time_s=np.array(times, dtype=np.float64),
        input_tokens=np.array(prompts, dtype=np.int32),
        output_tokens=np.array(outputs, dtype=np.int32),
        cached_tokens=None if cached is None else np.array(cached, dtype=np.int32),
        model=np.zeros(len(times), dtype=np.int32),
        models=("m",),
        span_s=max(times[-1], 1.0),
    )


def local(
    workload: Workload,
    pace: Pace,
    slots: int = 1,
    nodes: int = 1,
    cache: float = math.inf,
    engine: Engine = "interpreted",
) -> Result:
    """Everything answered by nodes of that pace."""
    return simulate(workload, Fleet(pace, nodes, slots, cache), AllLocal(), Objective(), None, engine)


ENGINES = [
    pytest.param("interpreted"),
    pytest.param(
        "compiled", marks=pytest.mark.skipif(not compiled.can_run(), reason="numba is not installed")
    ),
]
both_engines = pytest.mark.parametrize("engine", ENGINES)


def test_lone_request_takes_prefill_and_decode() -> None:
    """Alone on a node, the first token comes after the prompt and the rest a step each."""
    node = NodeModel(load_machines()["rtx-4090"].machine, load_models()["llama-3.1-8b"].shape(), load_fit())
    found = local(requests([0.0], [2000], [500]), node, slots=1)
    assert found.ttft_s[0] == pytest.approx(node.prefill_s(2000))
    assert found.total_s[0] - found.ttft_s[0] == pytest.approx(499 * node.decode_step_s(1, 2250), rel=1e-6)


def test_second_prompt_slows_the_first_answer() -> None:
    """While a prompt of two chunks is read, each chunk makes room for one decode step of the other."""
    pace = Steady(step_s=0.01, prompt_token_s=0.001)
    found = local(requests([0.0, 1.0], [100, 1024], [1001, 2]), pace, slots=2)
    assert found.ttft_s[0] == pytest.approx(0.1)
    assert found.ttft_s[1] == pytest.approx(1.024 + 2 * 0.01)  # its own reading and two steps of the other
    assert found.total_s[0] == pytest.approx(0.1 + 1000 * 0.01 + 1.024)


def test_a_prompt_waits_for_the_pass_under_way() -> None:
    """Of two prompts that come to an idle node the first is read at once, the second when it has been."""
    found = local(requests([0.0, 0.0], [1000, 500], [1, 1]), Steady(prompt_token_s=0.001), slots=2)
    assert found.ttft_s.tolist() == pytest.approx([1.0, 1.5])
    assert found.total_s.tolist() == pytest.approx([1.0, 1.5])


@both_engines
@pytest.mark.parametrize(
    ("prompts", "first_s"),
    [
        ([100, 200, 300], [0.2, 0.8, 0.8]),  # the two that waited: 0.1 once, and 500 tokens
        ([100, 200, 400], [0.2, 0.5, 1.0]),  # do not fit into one pass
        ([100, 600, 5], [0.2, 0.9, 1.005]),  # a long prompt is read alone
    ],
)
def test_prompts_that_wait_are_read_in_one_pass(
    prompts: list[int], first_s: list[float], engine: Engine
) -> None:
    """As many as have 512 tokens together; their first tokens come at its end, what it costs counts once."""
    pace = Steady(prompt_token_s=0.001, pass_s=0.1)
    found = local(requests([0.0, 0.0, 0.0], prompts, [1, 1, 1]), pace, slots=3, engine=engine)
    assert found.ttft_s.tolist() == pytest.approx(first_s)


@both_engines
def test_what_is_cached_leaves_room_in_a_pass(engine: Engine) -> None:
    """Tokens behind a cached beginning are all that counts for what fits."""
    pace = Steady(prompt_token_s=0.001)
    load = requests([0.0, 0.0, 0.0], [100, 900, 900], [1, 1, 1], [0, 700, 700])
    assert local(load, pace, slots=3, engine=engine).ttft_s.tolist() == pytest.approx([0.1, 0.5, 0.5])


def test_cached_prefix_is_not_read_again() -> None:
    """Cached tokens cost nothing on nodes with a prefix cache, and full price on those without."""
    workload = requests([0.0], [1000], [1], [600])
    pace = Steady(prompt_token_s=0.001)
    assert local(workload, pace).ttft_s[0] == pytest.approx(0.4)
    without = Fleet(pace, 1, 1, has_prefix_cache=False)
    assert simulate(workload, without, AllLocal(), Objective()).ttft_s[0] == pytest.approx(1.0)


def test_slots_limit_what_runs_at_once() -> None:
    """A third request on two slots waits for the first to end."""
    found = local(requests([0.0, 0.0, 0.0], [1, 1, 1], [101, 201, 11]), Steady(step_s=0.01), slots=2)
    assert found.total_s.tolist() == pytest.approx([1.0, 2.0, 1.1])


def test_full_cache_makes_requests_wait() -> None:
    """With slots free but no room in the cache the next request waits until room is made."""
    found = local(requests([0.0, 0.0], [400, 400], [101, 101]), Steady(step_s=0.01), slots=2, cache=600)
    assert found.total_s.tolist() == pytest.approx([1.0, 2.0])


def test_what_no_cache_holds_goes_to_the_cloud() -> None:
    """A request larger than the whole cache is not sent to a node."""
    found = local(requests([0.0], [4000], [10]), Steady(), cache=1000)
    assert found.node.tolist() == [-1]
    assert found.spills == {"context": 1}


def test_a_node_without_slots_is_refused() -> None:
    """A node needs a slot."""
    with pytest.raises(ValueError, match="slot"):
        Node(Steady(), 0, Fates.of(0))


@both_engines
@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 5), st.integers(0, 3000), st.integers(0, 400)), min_size=1, max_size=60),
    st.integers(1, 5),
    st.integers(1, 3),
    st.sampled_from([math.inf, 4000.0]),
    st.sampled_from([Steady(0.01, 0.0), Steady(0.01, 0.001), Steady(0.0005, 0.0003)]),
)
def test_every_arrival_ends_exactly_once(
    engine: Engine, rows: list[tuple[float, int, int]], slots: int, nodes: int, cache: float, pace: Steady
) -> None:
    """Each request gets its first token after it came, its last no earlier, and time present adds up."""
    rows = sorted(rows)
    workload = requests([r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows])
    found = local(workload, pace, slots, nodes, cache, engine)
    assert (found.ttft_s >= -1e-9).all()
    assert (found.total_s >= found.ttft_s - 1e-9).all()
    assert sum(found.area_s) == pytest.approx(found.total_s.sum(), rel=1e-6, abs=1e-6)
    assert (found.total_s >= np.maximum(workload.output_tokens - 1, 0) * pace.step_s - 1e-6).all()
    work_s = sum(found.busy_s)
    assert work_s >= workload.input_tokens.sum() * pace.prompt_token_s - 1e-6


@both_engines
def test_times_far_from_zero_do_not_stall(engine: Engine) -> None:
    """After a year of simulated time, where clocks are only exact to 4 ns, events still happen."""
    start = 3.2e7
    times = [start + i * 0.37 for i in range(2000)]
    found = local(requests(times, [300] * 2000, [37] * 2000), Steady(0.0003, 0.00001), slots=4, engine=engine)
    assert (found.total_s > 0).all()
    assert found.total_s.max() < 1


COUNT = 400_000


def poisson(rate: float, service_s: Floats, seed: int) -> Workload:
    """Poisson arrivals whose service times become answers of 0.1 ms a token."""
    times = np.cumsum(np.random.default_rng(seed).exponential(1 / rate, COUNT))
    tokens = np.round(service_s * 1e4).astype(int) + 1
    return requests(times.tolist(), [0] * COUNT, tokens.tolist())


def mean_wait_s(found: Result, workload: Workload) -> float:
    """Mean time in the system that was not service."""
    return float(found.total_s.mean() - (workload.output_tokens - 1).mean() * 1e-4)


def lindley_waits_s(workload: Workload, servers: int) -> float:
    """Mean wait by the textbook recursion: each arrival takes the server that is free first."""
    free_s = [0.0] * servers
    total_s = 0.0
    for now_s, tokens in zip(workload.time_s.tolist(), workload.output_tokens.tolist(), strict=True):
        start_s = max(heappop(free_s), now_s)
        total_s += start_s - now_s
        heappush(free_s, start_s + (tokens - 1) * 1e-4)
    return total_s / len(workload)


ERLANG = [(1, 0.5), (1, 0.7), (2, 0.7), (4, 0.7), (8, 0.8)]
"""Servers and load. Interpreted, one of them will do: both engines agree to the last bit (test_compiled)."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("servers", "rho", "engine"),
    [(2, 0.7, "interpreted"), *((servers, rho, "auto") for servers, rho in ERLANG)],
)
def test_exponential_service_matches_erlang(servers: int, rho: float, engine: Engine) -> None:
    """On c slots every sample waits as the recursion says, and many samples as M/M/c says, within 2 %."""
    ratios = []
    for seed in range(3):
        service_s = np.random.default_rng(10 + seed).exponential(1.0, COUNT)
        workload = poisson(rho * servers, service_s / service_s.mean(), seed)
        wait_s = mean_wait_s(local(workload, Steady(1e-4), slots=servers, engine=engine), workload)
        assert wait_s == pytest.approx(lindley_waits_s(workload, servers), rel=1e-4)
        rate = COUNT / float(workload.time_s[-1])
        ratios.append(wait_s / queueing.mmc_wait_s(rate, 1.0, servers))
    assert np.mean(ratios) == pytest.approx(1.0, rel=0.02)


@pytest.mark.slow
@both_engines
@pytest.mark.parametrize("cv", [0.0, 0.5, 1.5])
def test_general_service_matches_pollaczek_khinchine(cv: float, engine: Engine) -> None:
    """One slot with any service time waits as M/G/1 says, within 2 %."""
    sigma = math.sqrt(math.log1p(cv**2))
    service_s = np.random.default_rng(3).lognormal(-(sigma**2) / 2, sigma, COUNT)
    service_s /= service_s.mean()
    workload = poisson(0.6, service_s, seed=4)
    rate = COUNT / float(workload.time_s[-1])
    seen_cv = float(service_s.std())
    found = local(workload, Steady(1e-4), slots=1, engine=engine)
    assert mean_wait_s(found, workload) == pytest.approx(queueing.mg1_wait_s(rate, 1.0, seen_cv), rel=0.02)


@pytest.mark.slow
@both_engines
def test_littles_law_holds(engine: Engine) -> None:
    """Mean number present is arrival rate times mean time present, on a busy node with a real pace."""
    node = NodeModel(load_machines()["rtx-4090"].machine, load_models()["llama-3.1-8b"].shape(), load_fit())
    random = np.random.default_rng(5)
    times = np.cumsum(random.exponential(1.5, 50_000))
    workload = requests(
        times.tolist(), random.integers(10, 4000, 50_000).tolist(), random.integers(1, 500, 50_000).tolist()
    )
    found = local(workload, node, slots=4, engine=engine)
    span_s = float(workload.time_s[-1])
    present = found.area_s[0] / span_s
    assert present == pytest.approx(len(workload) / span_s * found.total_s.mean(), rel=1e-6)
    assert 0.5 < found.utilisation[0] < 1
