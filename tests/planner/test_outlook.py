"""The simulated gateway knows of its traffic what the real one would, and no more."""

from __future__ import annotations

import math

import numpy as np
import pytest

from spillway.fleet.outlook import Outlook
from spillway.planner import outlook
from spillway.planner.catalogue import load_machines, load_models
from spillway.planner.events import Fates, Node, Patience, TabulatedPace
from spillway.planner.node_model import NodeModel, load_fit
from spillway.slo.forecast import work_s
from spillway.slo.pace import LinearPace
from spillway.vocabulary import Decision, Load, ModelFacts, NodeSnapshot, RequestFacts

PACE = LinearPace(0.01, 4e-4, 1e-8, 0.015, 0.001, 1e-7)
SLOTS = 4


def test_a_usual_request_is_what_the_gateway_says() -> None:
    """Over requests whose sizes change in the middle, both say the same of the usual work after each."""
    gateway, seen = Outlook(), list(outlook.NOTHING_SEEN)
    readings_s, tabulated = outlook.readings_of(PACE), TabulatedPace(PACE, SLOTS)
    idle = Load(0, SLOTS, 0.0, 0.0, 0, 0, 0.0, 0.0)
    node = NodeSnapshot("n", "local", (ModelFacts("m"),), slots=SLOTS, pace=PACE, load=idle)
    random = np.random.default_rng(1)
    for i in range(400):
        prompt = int(random.lognormal(6.0 if i < 200 else 8.0, 0.8)) + 1
        usual = float(random.lognormal(5.0, 0.7))
        work = work_s(PACE, SLOTS, prompt, prompt // 3, usual)
        facts = RequestFacts(
            request_id="", operation="chat", model="auto", input_tokens=prompt, usual_output_tokens=usual
        )
        gateway.see(facts, Decision((), (), work_s=work), [node])
        unit = outlook.unit_s(seen, readings_s, tabulated.steps_s, tabulated.context_s, SLOTS, prompt, usual)
        outlook.see(seen, work, unit, prompt, usual)
        unit = outlook.unit_s(seen, readings_s, tabulated.steps_s, tabulated.context_s, SLOTS, 0.0, 0.0)
        assert outlook.usual_work_s(seen, unit) == pytest.approx(gateway.usual_work_s(PACE, SLOTS), rel=2e-3)


def test_readings_lie_between_those_of_the_table() -> None:
    """Any size is read off as the pace says, but for the steps of a node model: one for each pass."""
    node = NodeModel(load_machines()["rtx-4090"].machine, load_models()["llama-3.1-8b"].shape(), load_fit())
    for pace, error in ((PACE, 2e-3), (node, 0.03)):
        readings_s = outlook.readings_of(pace)
        for tokens in (0.0, 1.0, 77.7, 3000.0, 130_000.0):
            expected_s = pace.prefill_s(max(tokens, 1.0))
            assert outlook.reading_s(readings_s, tokens) == pytest.approx(expected_s, rel=error)
        assert math.isfinite(outlook.reading_s(readings_s, 1e12))


def test_running_answers_hold_what_has_been_written_or_was_expected() -> None:
    """How long they will get, only the simulator knows: its forecasts count none of that."""
    for output in (100, 5000):
        node = Node(PACE, SLOTS, Fates.of(1))
        node.submit(0.0, 0, 1000, output, 0, Patience(usual_tokens=80.0))
        first_s = PACE.prefill_s(1000) + 1e-9
        step_s = (node.context_s * (1000 + output / 2)) + node.pace.steps_s[1]
        node.advance(first_s)
        assert node.load(first_s).running_tokens == pytest.approx(1040.0)
        node.advance(first_s + 59 * step_s)
        assert node.load(first_s + 59 * step_s).running_tokens == pytest.approx(1060.0)
