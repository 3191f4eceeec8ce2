"""How many requests a node is given at once, and how far its times may be off."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from spillway.planner.node_figures import NodeFigures
from spillway.planner.plan_inputs import NodeChoice, SlowedPace
from spillway.planner.plan_node import Typical, choose_node
from spillway.planner.profile import FitErrors, Profile, profile_to_json
from spillway.slo.pace import LinearPace
from spillway.vocabulary import Objective
from tests.planner.test_profile import PROFILE as MEASURED

PROFILE = replace(MEASURED, pace=LinearPace(0.01, 0.001, 0.0, 0.01, 0.001, 0.0), slots=4, warnings=())
"""Reads 1,000 tokens in a second, and writes a token in 11 ms alone and in 14 ms of four."""


def chosen(folder: Path, profile: Profile, typical: Typical) -> NodeChoice:
    """The node that was measured so."""
    path = folder / "box.json"
    path.write_text(json.dumps(profile_to_json(profile)))
    return choose_node(NodeFigures("mac-mini-m4-pro", profile=path), typical)


@pytest.mark.parametrize(("total_s", "slots"), [(1.2, 4), (1.1, 3), (1.05, 2), (0.9, 1)])
def test_reading_takes_its_part_of_the_objective(total_s: float, slots: int, tmp_path: Path) -> None:
    """300 tokens are read in 0.31 s; what is left bounds how slowly 60 tokens may be written."""
    typical = Typical(300.0, 60.0, Objective("x", None, total_s))
    assert chosen(tmp_path, PROFILE, typical).slots == slots


def test_answers_take_memory_too() -> None:
    """Of requests with long answers fewer fit at once than of those with short ones."""
    small = NodeFigures(memory_gb=8.0)
    short, long = (choose_node(small, Typical(1000.0, tokens, Objective())) for tokens in (1.0, 4000.0))
    assert 1 <= long.slots < short.slots


def test_a_node_is_planned_with_the_slots_that_its_engine_has() -> None:
    """However many sequences were tried at once."""
    assert replace(MEASURED, slots=4, tested_concurrency=16).usable_slots == 4


@pytest.mark.parametrize("ratios", [(0.05, 0.09), (0.09, 0.05)])
def test_a_profile_is_off_by_the_larger_of_its_errors(ratios: tuple[float, float], tmp_path: Path) -> None:
    """Of first tokens and of steps, whichever was foretold worse."""
    errors = FitErrors(12, ratios[0], 0.2, ratios[1], 0.2)
    node = chosen(tmp_path, replace(PROFILE, errors=errors), Typical(300.0, 60.0, Objective()))
    assert node.error_ratio == 0.09


def test_a_profile_that_tells_no_error_is_not_taken_for_exact(tmp_path: Path) -> None:
    """What is assumed instead is a guess, and the same in the plan and in its list of assumptions."""
    silent = replace(PROFILE, errors=FitErrors(0, None, None, None, None))
    node = chosen(tmp_path, silent, Typical(300.0, 60.0, Objective()))
    said = next(each for each in node.assumptions if each.name == "error of the node's times")
    assert node.error_ratio > 0
    assert said.value == pytest.approx(node.error_ratio)
    assert said.grade == "guess"


def test_a_slower_node_takes_longer_for_every_pass() -> None:
    """Also for what prompts that are read together share."""
    pace = LinearPace(prefill_base_s=0.02, prefill_token_s=0.001, step_base_s=0.01)
    assert SlowedPace(pace, 1.5).pass_s == pytest.approx(1.5 * pace.pass_s)
    assert pace.pass_s > 0
