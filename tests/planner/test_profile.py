"""Profiles of measured nodes: there and back, and refused when they cannot be trusted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spillway.errors import ConfigError
from spillway.planner.profile import (
    FitErrors,
    Profile,
    doubt,
    load_profile,
    profile_from_json,
    profile_path,
    profile_to_json,
    refuse_place,
    save_profile,
)
from spillway.slo.pace import LinearPace

PROFILE = Profile(
    name="box",
    engine="llamacpp",
    engine_version="b1-abc",
    model="shop",
    measured_on="2026-11-24",
    slots=4,
    best_slots=2,
    tested_concurrency=4,
    context_tokens=512,
    pace=LinearPace(0.01, 0.002, 1e-7, 0.02, 0.003, 1e-6, 3e-7, step_gap_s=0.004, slots=4),
    errors=FitErrors(12, 0.05, 0.12, 0.03, 0.08),
    samples=60,
    warnings=("a warning",),
    tok_s={1: 40.0, 4: 90.5},
)


@pytest.mark.parametrize(
    "profile",
    [PROFILE, replace(PROFILE, slots=None, context_tokens=None, engine_version=None, tok_s=None,
                      pace=LinearPace(0.01, 0.002, step_sequence_s=0.01),
                      errors=FitErrors(0, None, None, None, None), is_complete=False)],
)  # fmt: skip
def test_there_and_back(tmp_path: Path, profile: Profile) -> None:
    """What was saved is what is loaded, unknown figures included, and nothing else stays in the folder."""
    path = tmp_path / "new" / "box.json"
    refuse_place(path)
    save_profile(profile, path)
    save_profile(profile, path)
    assert load_profile(path) == profile
    assert [file.name for file in path.parent.iterdir()] == ["box.json"]


def test_a_profile_of_fewer_figures_still_loads() -> None:
    """A tail attends like any prompt then, and gaps cost nothing; figures no longer used do no harm."""
    fields = profile_to_json(PROFILE)
    del fields["pace"]["tail_attention_s"], fields["pace"]["step_gap_s"]
    fields["pace"] |= {"mixed_ratio": 2.5, "cached_token_s": 1e-4}
    pace = profile_from_json(fields).pace
    assert pace.tail_attention_s == pace.attention_s == PROFILE.pace.attention_s
    assert pace.gaps_s(2) == 0.0 < PROFILE.pace.gaps_s(2)


def test_slots_to_plan_with() -> None:
    """The engine's slots where known, else what was seen to run at once."""
    assert PROFILE.usable_slots == 4
    assert replace(PROFILE, slots=None, tested_concurrency=16).usable_slots == 16


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": "spillway.plan/1"}, "is not a spillway.profile/1 object"),
        ({"pace": None}, "lacks the field 'pace'"),
        ({"errors": None}, "lacks the field 'errors' (a group of figures)"),
        ({"errors": [1]}, "has [1] as 'errors', which must be a group of figures"),
        ({"errors": {**profile_to_json(PROFILE)["errors"], "probes": -3}}, "has -3 as 'errors.probes'"),
        ({"samples": -5}, "has -5 as 'samples', which must be a whole number, at least 0"),
        ({"context_tokens": "x" * 99}, "…"),
        ({"pace": {**profile_to_json(PROFILE)["pace"], "step_base_s": -1}}, "has -1 as 'pace.step_base_s'"),
        ({"pace": {**profile_to_json(PROFILE)["pace"], "attention_s": "x"}}, "pace.attention_s"),
        ({"pace": {**profile_to_json(PROFILE)["pace"], "prefill_token_s": float("nan")}}, "prefill_token_s"),
        ({"pace": dict.fromkeys(profile_to_json(PROFILE)["pace"], 0)}, "takes no time"),
        ({"slots": 0}, "slots"),
        ({"slots": True}, "slots"),
        ({"name": ""}, "lacks the field 'name'"),
        ({"measured_on": "yesterday"}, "measured_on"),
        ({"errors": {**profile_to_json(PROFILE)["errors"], "itl_p90_ratio": -0.1}}, "itl_p90_ratio"),
        ({"tok_s": {"one": 1}}, "tok_s"),
        ({"warnings": 5}, "has 5 as 'warnings', which must be a list of texts"),
        ({"warnings": "cut short"}, "which must be a list of texts"),
        ({"warnings": [1]}, "which must be a list of texts"),
        ({"is_complete": "no"}, "has \"no\" as 'is_complete', which must be true or false"),
        ({"pace": {**profile_to_json(PROFILE)["pace"], "step_base_s": 10**400}}, "as 'pace.step_base_s'"),
    ],
)
def test_a_bad_file_is_one_sentence(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    """A field that is missing or impossible is named together with the file and what to do."""
    path = tmp_path / "bad.json"
    path.write_text(json.dumps({**profile_to_json(PROFILE), **change}))
    with pytest.raises(ConfigError) as caught:
        load_profile(path)
    assert said in caught.value.message
    assert str(path) in caught.value.message
    assert "measure the node again" in caught.value.message


@pytest.mark.parametrize("content", [b"", b"not json", b"[1]", b"\xff\xfe"])
def test_what_is_no_profile_is_said(tmp_path: Path, content: bytes) -> None:
    """A file of another kind is refused by name."""
    path = tmp_path / "other.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"other\.json"):
        load_profile(path)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    """The sentence ends with the command that would write it."""
    with pytest.raises(ConfigError, match="spillway bench URL --save"):
        load_profile(tmp_path / "none.json")


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """A folder that is a file cannot hold a profile, nor can a folder be one; what is there stays."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot be saved as .*box\.json: .*file is no folder"):
        save_profile(PROFILE, tmp_path / "file" / "box.json")
    with pytest.raises(ConfigError, match="that is a folder, name a file in it"):
        refuse_place(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_free_batch_is_a_flaw() -> None:
    """Where more than one slot is planned with, answers side by side must have been timed."""
    assert not PROFILE.flaws
    assert replace(PROFILE, tok_s={1: 40.0}).flaws == ("never timed answers side by side",)
    assert not replace(PROFILE, tok_s={1: 40.0}, slots=1).flaws
    assert not replace(PROFILE, tok_s=None).flaws, "nobody knows"


def test_a_doubt_is_one_line() -> None:
    """What a server called itself or said cannot break it."""
    assert doubt(replace(PROFILE, warnings=("a\nb",)), Path("box.json")) == (
        r"the profile box.json comes with warnings (a\nb): measure the node again"
    )


def test_its_usual_place() -> None:
    """Under the user's configuration, with a name that is safe as a file's."""
    found = profile_path("../a b:8080", {"HOME": "/home/x", "XDG_CONFIG_HOME": "/home/x/c"})
    assert found.name == "a-b-8080.json"
    assert found.parent.name == "profiles"
