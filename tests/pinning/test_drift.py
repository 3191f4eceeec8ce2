"""What follows from drift, by the owner's policy."""

from __future__ import annotations

import pytest

from spillway.config.pins import DriftConfig
from spillway.pinning.compare import FIELDS, Change, Field
from spillway.pinning.drift import USUAL_POLICY, DriftState, OnDrift, action_of, judge, sentence


def change(field: Field, model: str = "m") -> Change:
    """Some change of that field."""
    return Change(model, field, "old", "new")


def test_configuration_and_code_agree() -> None:
    """The defaults of the configuration are the usual policy, field by field."""
    assert {field: getattr(DriftConfig(), field) for field in FIELDS} == USUAL_POLICY


def test_nothing_differs() -> None:
    """A node as pinned has no drift and nothing withheld."""
    assert judge([], USUAL_POLICY, ["m"]) == DriftState()


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("action", ["warn", "quarantine", "refuse"])
def test_every_field_with_every_action(field: Field, action: OnDrift) -> None:
    """Warn only tells, refuse takes the node out, quarantine withholds tools for a template and takes the
    node out for the rest; the field is always named."""
    state = judge([change(field)], {**USUAL_POLICY, field: action}, ["m"])
    assert state.fields == (field,)
    only_tools = field == "template" and action == "quarantine"
    assert state.withheld == ({"tools"} if only_tools else set())
    assert state.is_quarantined == (action != "warn" and not only_tools)


def test_one_of_two_models() -> None:
    """One drifted model does not take its node out; all of them do."""
    changes = [change("adapters"), change("template", "n")]
    state = judge(changes, USUAL_POLICY, ["m", "n"])
    assert not state.is_quarantined
    assert state.withheld == frozenset()
    assert state.models["m"].is_excluded
    assert state.models["n"].withheld == {"tools"}
    assert judge([change("adapters"), change("adapters", "n")], USUAL_POLICY, ["m", "n"]).is_quarantined


def test_nothing_pinned_is_left() -> None:
    """A node that serves only what was never pinned is out; one that lost one of two models is not."""
    gone = Change("m", "model", "m", "other")
    assert judge([gone], USUAL_POLICY, []).is_quarantined
    assert not judge([gone], USUAL_POLICY, ["n"]).is_quarantined


def test_what_holds_for_the_whole_node() -> None:
    """A change of the node itself, such as its engine, is one of all its models."""
    assert judge([change("engine", "*")], USUAL_POLICY, ["m", "n"]).is_quarantined


def test_canaries_count_when_nothing_explains_them() -> None:
    """Other answers after other weights are no further news; by themselves they are an alarm."""
    canary = change("canary")
    assert action_of(canary, [canary], USUAL_POLICY) == "quarantine"
    assert action_of(canary, [canary, change("weights")], USUAL_POLICY) == "warn"
    assert action_of(canary, [canary, change("weights", "n")], USUAL_POLICY) == "quarantine"
    assert action_of(canary, [canary, change("engine_version", "*")], USUAL_POLICY) == "warn"
    assert action_of(canary, [canary, change("sampling")], USUAL_POLICY) == "quarantine"


def test_sentences() -> None:
    """A change is one line without control characters."""
    assert sentence("n", Change("*", "slots", "2", "1")) == "n: slots changed: 2 -> 1"
    assert sentence("n", Change("m", "canary", "a\nb", "c")) == "n/m: canary changed: a\\nb -> c"
