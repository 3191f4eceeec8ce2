"""Plans with a measured profile: what it may hold of one request, and how far it is to be relied on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from spillway.errors import ConfigError
from spillway.planner.node_figures import NodeFigures
from spillway.planner.plan import make_plan
from spillway.planner.plan_build import build_inputs
from spillway.planner.plan_inputs import NodeChoice
from spillway.planner.plan_node import Typical, choose_node
from spillway.planner.profile import FitErrors, Profile, profile_to_json
from spillway.slo.pace import LinearPace
from spillway.vocabulary import Objective
from tests.planner.plans import CHEAP
from tests.planner.test_profile import PROFILE as MEASURED

PROFILE = replace(
    MEASURED, best_slots=4, pace=LinearPace(0.01, 0.001, 1e-7, 0.01, 0.001, 1e-6), warnings=(), tok_s={}
)
TYPICAL = Typical(300.0, 60.0, Objective())


def figures(folder: Path, profile: Profile, slots: int | None = None) -> NodeFigures:
    """The Mac mini with that profile in a file."""
    path = folder / "box.json"
    path.write_text(json.dumps(profile_to_json(profile)))
    return NodeFigures("mac-mini-m4-pro", profile=path, slots=slots)


def chosen(folder: Path, profile: Profile, slots: int | None = None) -> NodeChoice:
    """The node to plan with."""
    return choose_node(figures(folder, profile, slots), TYPICAL)


def test_a_request_has_the_context_of_one_slot(tmp_path: Path) -> None:
    """All slots together hold as many contexts, one request one of them; speeds are told at such lengths."""
    node = chosen(tmp_path, PROFILE)
    assert (node.cache_tokens, node.context_tokens) == (2048, 512)
    assert node.fleet.context_tokens == 512
    said = {each.name: each for each in node.assumptions}
    assert said["prefill speed, 512 tokens"].value == round(512 / PROFILE.pace.prefill_s(512))
    long = chosen(tmp_path, replace(PROFILE, context_tokens=None))
    assert long.context_tokens == float("inf")
    assert "prefill speed, 2,000 tokens" in {each.name for each in long.assumptions}


def test_requests_that_no_slot_holds_are_refused_by_what_can_be_done(tmp_path: Path) -> None:
    """The sentence names the context, and no option that has no place beside a profile."""
    node = figures(tmp_path, replace(PROFILE, context_tokens=16))
    with pytest.raises(ConfigError, match="room for 16 tokens of prompt and answer and every request") as e:
        make_plan(build_inputs(replace(CHEAP, node=node)), workers=1)
    assert e.value.message.endswith("start its engine with a larger context and measure it again")


def test_the_share_that_no_slot_holds_is_said(tmp_path: Path) -> None:
    """Requests that stay in the cloud for their length are a warning of the plan and spilled for it."""
    inputs = build_inputs(replace(CHEAP, node=figures(tmp_path, PROFILE), sizes=(0, 1)))
    plan = make_plan(inputs, workers=1)
    assert any("need more than the 512 tokens that a node holds of one" in each for each in plan.warnings)
    ours = next(line for line in plan.policies if line.ran.run.policy == "ours")
    assert ours.ran.spills["context_too_small"] > 0


VALIDATED = "measured on 2026-11-24 with 60 requests (box.json)"


def test_a_profile_without_flaws_is_measured(tmp_path: Path) -> None:
    """Complete and validated figures are graded measured, without a word."""
    node = chosen(tmp_path, PROFILE)
    assert node.warnings == ()
    assert {(each.grade, each.source) for each in node.assumptions[:3]} == {("measured", VALIDATED)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"is_complete": False, "warnings": ("the 40 s were over",)}, "was cut short (the 40 s were over):"),
        ({"errors": FitErrors(0, None, None, None, None)}, "was never compared with probes:"),
        ({"tok_s": {1: 40.0}}, "never timed answers side by side:"),
        ({"errors": FitErrors(9, 9.0, 9.0, 0.1, 0.1)}, "foretold first tokens that were off by 900% in the"),
        ({"errors": FitErrors(9, 0.1, 0.1, 0.3, 0.4)}, "foretold steps that were off by 30% in the median:"),
    ],
)
def test_a_profile_that_is_not_validated_is_said_to_be(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    """What is wrong with it is one warning of the plan, and none of its figures is graded measured."""
    profile = replace(PROFILE, **change)  # type: ignore[arg-type]
    inputs = build_inputs(replace(CHEAP, node=figures(tmp_path, profile)))
    (warning,) = [each for each in inputs.warnings if "box.json" in each]
    assert said in warning
    assert warning.endswith("measure the node again")
    told = [each for each in inputs.node.assumptions if each.source == f"{VALIDATED}, not validated"]
    assert {each.grade for each in told} == {"derived"}
    assert {each.name for each in told} >= {"decode speed, one sequence", "prefill speed, 512 tokens"}


def test_warnings_of_a_measurement_are_repeated(tmp_path: Path) -> None:
    """A validated profile stays measured and its warnings are told, the first three of them."""
    node = chosen(tmp_path, replace(PROFILE, warnings=tuple("abcde")))
    (warning,) = node.warnings
    assert "box.json comes with warnings (a; b; c; 2 more): measure" in warning
    assert node.assumptions[0].grade == "measured"


def test_more_slots_than_were_measured_are_said(tmp_path: Path) -> None:
    """Steps beyond the measured slots are foretold, gaps between the stated ones included."""
    gaps = replace(PROFILE, pace=LinearPace(0.01, 0.001, step_sequence_s=0.01, step_gap_s=0.003, slots=4))
    node = chosen(tmp_path, gaps, slots=8)
    assert node.warnings[0].startswith("--slots 8 is more than the 4 that were measured")
    assert node.pace.decode_step_s(4, 0) == pytest.approx(0.04 + 0.003 * 1.5)
    assert node.pace.decode_step_s(8, 0) == pytest.approx(0.08)
    assert chosen(tmp_path, gaps, slots=4).warnings == ()
    assert chosen(tmp_path, gaps, slots=2).pace == gaps.pace
