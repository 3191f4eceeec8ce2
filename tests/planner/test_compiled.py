"""Compiled and interpreted runs decide alike, request by request, and agree in every bit of every time."""

from __future__ import annotations

import ast
import math
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from spillway.planner import compiled, compiled_loop, physics
from spillway.planner.catalogue import load_machines, load_models
from spillway.planner.events import Fates, Job, Node, NodeState
from spillway.planner.node_model import NodeModel, load_fit
from spillway.planner.policies import (
    AllCloud,
    AllLocal,
    Clairvoyant,
    ObservedTail,
    Policy,
    Reservation,
    Threshold,
)
from spillway.planner.readers import read_workload
from spillway.planner.routed import Routed
from spillway.planner.runs import Arrivals
from spillway.planner.simulator import Engine, Fleet, Result, simulate
from spillway.planner.workload import Workload
from spillway.routing import Policy as RoutingPolicy
from spillway.slo.lengths import NO_FORM
from spillway.vocabulary import Objective

needs_numba = pytest.mark.skipif(not compiled.can_run(), reason="numba is not installed")

NODE = NodeModel(load_machines()["rtx-4090"].machine, load_models()["llama-3.1-8b"].shape(), load_fit())
OBJECTIVES = (
    Objective(ttft_s=2.0, total_s=20.0),
    Objective(ttft_s=1.0),
    Objective(total_s=5.0, attainment_ratio=0.99),
    Objective(),
    Objective(ttft_s=12.0, total_s=60.0),
)
SEEDS = range(2 * len(OBJECTIVES))
Make = Callable[[Objective, Workload], Policy]
POLICIES: dict[str, Make] = {
    "all-cloud": lambda objective, workload: AllCloud(),
    "all-local": lambda objective, workload: AllLocal(),
    "threshold": lambda objective, workload: Threshold(800, (np.arange(len(workload)) % 5 / 5).tolist(), 0.7),
    "reservation": lambda objective, workload: Reservation(3),
    "observed-p95": lambda objective, workload: ObservedTail(objective),
    "clairvoyant": lambda objective, workload: Clairvoyant(objective),
    "clairvoyant with misses": lambda objective, workload: Clairvoyant(
        objective, workload.input_tokens > 3000, 0.05, packs=True
    ),
    "ours": lambda objective, workload: Routed(objective),
    "ours, lengths known": lambda objective, workload: Routed(objective, knows_lengths=True),
    "ours without hedges": lambda objective, workload: Routed(objective, RoutingPolicy()),
    "ours with settings": lambda objective, workload: Routed(
        objective, RoutingPolicy(max_local_input_tokens=1500, queue_per_slot=2.0, hedge_share=0.5)
    ),
}


def drawn(seed: int, count: int = 1500) -> tuple[Workload, Fleet, Objective]:
    """Requests, a fleet and an objective that differ in everything from seed to seed, mostly overloaded."""
    random = np.random.default_rng(seed)
    nodes, slots = int(random.integers(1, 5)), int(random.integers(1, 9))
    gaps = random.gamma(0.5, 2.0, count) * random.choice([0.05, 0.2, 0.6]) / nodes
    gaps[random.random(count) < 0.1] = 0.0
    prompt = np.maximum(random.lognormal(6.5, 1.2, count), 0).astype(np.int32)
    output = random.lognormal(4.5, 1.0, count).astype(np.int32)
    output[random.random(count) < 0.05] = random.integers(0, 2)
    has_cached = random.random() < 0.5
    last = np.where(random.random(count) < 0.3, 0, random.lognormal(4.5, 1.5, count)).astype(np.int32)
    mean = np.where(last > 0, last * random.lognormal(0.0, 0.5, count), 0.0)
    workload = Workload(
        time_s=np.cumsum(gaps),
        input_tokens=prompt,
        output_tokens=output,
        cached_tokens=(prompt * random.random(count)).astype(np.int32) if has_cached else None,
        model=np.zeros(count, dtype=np.int32),
        models=("m",),
        span_s=float(gaps.sum()),
        last_answer_tokens=last if seed % 4 else None,
        mean_answer_tokens=mean if seed % 4 else None,
        form=np.random.default_rng(seed).integers(0, 6, count).astype(np.int32) if seed % 3 else None,
    )
    cache = float(random.choice([math.inf, 30_000.0, 6_000.5]))
    context = (math.inf, 2_000.5, 8_000.0)[seed % 3]
    return workload, Fleet(NODE, nodes, slots, cache, context), OBJECTIVES[seed % len(OBJECTIVES)]


def assert_same(one: Result, two: Result) -> None:
    """Both runs agree in every decision with its reason, every time and every total, to the last bit."""
    assert (one.node == two.node).all()
    assert (one.ttft_s == two.ttft_s).all()
    assert (one.total_s == two.total_s).all()
    assert (one.is_doubled == two.is_doubled).all()
    assert one.busy_s == two.busy_s
    assert one.area_s == two.area_s
    assert one.spills == two.spills


@needs_numba
@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("seed", SEEDS)
def test_every_decision_is_the_same(name: str, seed: int) -> None:
    """For every policy, on workloads of every kind, compiled and interpreted runs do exactly the same."""
    workload, fleet, objective = drawn(seed)
    runs = [
        simulate(workload, fleet, POLICIES[name](objective, workload), objective, None, engine)
        for engine in ("interpreted", "compiled")
    ]
    assert_same(*runs)


TRACES = Path(__file__).parent / "traces"


@needs_numba
@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize(
    ("trace", "factor", "nodes"),
    [
        ("azure_2023_conv.csv", 0.6, 1),
        ("azure_2023_conv.csv", 2.0, 3),
        ("azure_2023_code.csv", 1.0, 1),
        ("azure_2023_code.csv", 3.0, 3),
        ("mooncake_conversation.jsonl", 0.2, 1),
        ("mooncake_conversation.jsonl", 0.5, 3),
    ],
)
def test_every_decision_on_real_traces_is_the_same(name: str, trace: str, factor: float, nodes: int) -> None:
    """On public traces, at rates that saturate one and three nodes, both ways decide and time alike."""
    workload = read_workload([TRACES / trace])[0].at_rate(factor)
    objective = Objective(ttft_s=10.0, total_s=60.0) if "mooncake" in trace else OBJECTIVES[0]
    fleet = Fleet(NODE, nodes, 6, NODE.cache_tokens() or 0.0)
    runs = [
        simulate(workload, fleet, POLICIES[name](objective, workload), objective, None, engine)
        for engine in ("interpreted", "compiled")
    ]
    assert_same(*runs)


@needs_numba
def test_the_drawn_workloads_reach_every_reason() -> None:
    """The comparison means something: together the runs spill for each reason that a simulation can have."""
    seen: dict[str, set[str]] = {}
    for seed in SEEDS:
        workload, fleet, objective = drawn(seed)
        for name, make in POLICIES.items():
            found = simulate(workload, fleet, make(objective, workload), objective, None, "compiled")
            seen.setdefault(name, set()).update(found.spills)
            seen[name] |= {"local"} if found.local_share else set()
    assert seen["ours"] | seen["ours with settings"] == {
        *("local", "slo_ttft", "slo_total", "work_over_limit", "node_full"),
        *("context_too_small", "input_over_local_budget", "hedged"),
    }
    assert seen["clairvoyant with misses"] == {"local", "late", "long", "context"}
    assert seen["observed-p95"] == {"local", "slow", "context"}
    assert seen["threshold"] == {"local", "input_budget", "difficulty", "context"}
    assert seen["reservation"] == {"local", "full", "context"}


def test_the_drawn_workloads_are_served_by_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison means something here too: without turns others would stay local."""
    workload, fleet, objective = drawn(4)
    by_turn = simulate(workload, fleet, Routed(objective), objective, None, "interpreted")
    monkeypatch.setattr("spillway.slo.admission.yields_s", lambda work_s, miss_weight: 0.0)
    as_they_came = simulate(workload, fleet, Routed(objective), objective, None, "interpreted")
    assert (by_turn.is_local != as_they_came.is_local).mean() > 0.02


@needs_numba
@pytest.mark.parametrize("engine", ["interpreted", "compiled"])
def test_answers_before_tell_of_the_next_in_both_ways(engine: Engine) -> None:
    """What came before in a conversation changes decisions: more stays local where it tells the length."""
    workload, fleet, objective = drawn(5, 3000)
    told = replace(
        workload,
        last_answer_tokens=np.maximum(workload.output_tokens, 1),
        mean_answer_tokens=np.maximum(workload.output_tokens, 1).astype(np.float64),
    )
    untold = replace(workload, last_answer_tokens=None, mean_answer_tokens=None)
    shares = [
        simulate(one, fleet, Routed(objective), objective, None, engine).local_share for one in (told, untold)
    ]
    assert shares[0] > shares[1] + 0.005


@needs_numba
@pytest.mark.parametrize("engine", ["interpreted", "compiled"])
def test_forms_tell_of_answers_in_both_ways(engine: Engine) -> None:
    """What a program asks changes decisions: more stays local where short and long answers have two forms."""
    workload, fleet, objective = drawn(5, 3000)
    kind = np.where(workload.output_tokens > 90, 0, 1).astype(np.int32)
    told, untold = replace(workload, form=kind + 1), replace(workload, form=None)
    by_model = replace(untold, model=kind, models=("long", "short"))
    one, none, same = (
        simulate(case, fleet, Routed(objective), objective, None, engine) for case in (told, untold, by_model)
    )
    assert one.local_share > none.local_share + 0.005
    assert one.local_share == same.local_share


def test_forms_beyond_the_most_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the first kinds with a form are told apart; the rest are as if it were unknown."""
    workload, fleet, _ = drawn(5)
    forms = np.arange(len(workload), dtype=np.int32)
    monkeypatch.setattr("spillway.planner.runs.MOST_FORMS", 10)
    found = Arrivals.of(replace(workload, form=forms), fleet).form
    assert found[:10].tolist() == [NO_FORM, *range(1, 10)]  # the first one's form is 0
    assert (found[10:] == NO_FORM).all()


def test_rows_have_the_fields_of_their_objects() -> None:
    """What the physics works on has the same fields whether it is an object or a row of an array."""
    interpreted_only = {"pace", "fates", "tables", "finished", "keeps_finished", "lost"}
    fields = {name for name in vars(NodeState) if not name.startswith("__")}
    assert fields == set(compiled.NODE_FIELDS)
    node = Node(NODE, 1, Fates.of(1))
    node.submit(0.0, 0, 100, 10, 0)
    node.advance(1e9)
    assert set(vars(node)) - interpreted_only <= fields
    assert set(Job.__slots__) - {"request"} == set(compiled.JOB_FIELDS)


class Mine(AllLocal):
    """A policy of somebody's own that the compiled loop cannot know."""


def test_ones_own_policy_runs_interpreted() -> None:
    """A policy without a compiled form runs all the same, and asking for machine code is refused."""
    workload, fleet, objective = drawn(1)
    assert simulate(workload, fleet, Mine(), objective).local_share > 0.5
    with pytest.raises(ValueError, match="no compiled form"):
        simulate(workload, fleet, Mine(), objective, None, "compiled")


def test_without_numba_everything_runs_interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where numba is missing, long runs are interpreted without a word."""
    monkeypatch.setattr(compiled, "can_run", lambda: False)
    monkeypatch.setattr(compiled, "play", lambda *_: pytest.fail("machine code was asked for"))
    monkeypatch.setattr("spillway.planner.simulator.COMPILED_FROM", 0)
    workload, fleet, objective = drawn(2)
    assert len(simulate(workload, fleet, AllLocal(), objective).node) == len(workload)


@pytest.fixture
def asked_anew() -> Iterator[None]:
    """What was found out of numba is forgotten before the test, and after it."""
    compiled.can_run.cache_clear()
    yield
    compiled.can_run.cache_clear()


@pytest.mark.usefixtures("asked_anew")
@pytest.mark.parametrize(("setting", "is_off"), [("1", True), ("0", False), ("", False)])
def test_numba_may_be_switched_off(monkeypatch: pytest.MonkeyPatch, setting: str, is_off: bool) -> None:
    """Its own variable is heeded, since nothing that it then makes has a compiled form."""
    monkeypatch.setattr(compiled, "import_module", lambda name: name)
    monkeypatch.setenv("NUMBA_DISABLE_JIT", setting)
    assert compiled.can_run() != is_off


@pytest.mark.usefixtures("asked_anew")
@pytest.mark.parametrize("fault", [ModuleNotFoundError("numba"), ImportError("numpy is too new"), OSError()])
def test_numba_that_cannot_be_loaded_is_as_good_as_none(
    monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    """Long runs are interpreted where importing it fails, for whatever reason."""

    def fail(name: str) -> None:
        raise fault

    monkeypatch.setattr(compiled, "import_module", fail)
    monkeypatch.delenv("NUMBA_DISABLE_JIT", raising=False)
    assert not compiled.can_run()


def test_shared_functions_are_all_known_to_the_compiler() -> None:
    """The functions that may be called from machine code are those of the modules, and are named once."""
    assert physics.step in compiled.SHARED
    assert compiled_loop.choose in compiled.SHARED
    assert len(set(compiled.SHARED)) == len(compiled.SHARED)


def test_machine_code_is_named_after_all_it_is_made_from() -> None:
    """Whoever changes a function or a constant that is baked in gets other machine code."""
    used = {module for function in compiled.SHARED for module in modules_used(function)}
    root = Path(compiled.__file__).parent.parent
    assert {str(Path(module.__file__ or "").relative_to(root)) for module in used} <= set(compiled.SOURCES)


def modules_used(function: Callable[..., object]) -> Iterator[ModuleType]:
    """Where a function stands, and where what it uses of spillway is defined; hints do not count."""
    own = sys.modules[function.__module__]
    yield own
    for name in function.__code__.co_names:
        value = vars(own).get(name)
        if isinstance(value, ModuleType):
            names = [each for each in function.__code__.co_names if each in vars(value)]
        else:
            value, names = own, [name] if value is not None else []
        yield from (found for each in names if (found := defined_in(value, each)) is not None)


def defined_in(module: ModuleType, name: str) -> ModuleType | None:
    """The module of spillway from which ``module`` has that name, in the end; ``None`` for all others."""
    if not module.__name__.startswith("spillway."):
        return None
    for item in ast.parse(Path(module.__file__ or "").read_text()).body:
        if isinstance(item, ast.ImportFrom) and name in [alias.asname or alias.name for alias in item.names]:
            return defined_in(sys.modules[item.module or ""], name)
    return module


def test_machine_code_is_kept_by_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache lies in the user's folder, and what older sources left there is removed, if not at once."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    old = tmp_path / "spillway" / "simulator" / "0123456789abcdef"
    old.mkdir(parents=True)
    compiled.cache_folder()
    assert old.exists()
    os.utime(old, (0, 0))
    folder = compiled.cache_folder()
    assert folder.parent == old.parent
    assert not old.exists()
    assert compiled.cache_folder() == folder
