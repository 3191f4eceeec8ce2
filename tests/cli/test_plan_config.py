"""``spillway plan`` beside a ``spillway.yaml``: what it takes from there, and what wins over it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from spillway.cli import run
from spillway.cli.plan_config import Stated, filled, life_of, notes_on, read_stated
from spillway.config.schema import NodeConfig
from spillway.errors import ConfigError
from spillway.planner.node_figures import NodeFigures
from spillway.planner.plan_cloud import CloudFigures, price_of_line_items
from spillway.planner.profile import save_profile
from spillway.planner.readers.line_items import read_line_item
from tests.planner.test_profile import PROFILE

NUMBERS = ("--requests-per-month", "600", "--input-tokens", "300", "--output-tokens", "60")
SMALL = ("--nodes", "0-1", "--workers", "1", "--draws", "20", "--json")
CONFIG = """
nodes:
  - {name: mini, url: "http://127.0.0.1:1", hardware: rtx-4090}
clouds:
  - {name: mine, url: "http://127.0.0.1:2/v1", provider: own, models: [model]}
slo:
  default: {ttft_ms: 1500, attainment: 0.9}
routing: {reference: mine/model, max_local_input_tokens: 5000, hedge_share: 0.02}
prices:
  mine/model: {input_usd_per_mtok: 3, output_usd_per_mtok: 12}
electricity_usd_per_kwh: 0.31
"""


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration but the test's own is found."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)


def planned(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    """The assumptions by name, and the warnings under ``warnings``."""
    code = run(["plan", *NUMBERS, *SMALL, *options])
    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    found = json.loads(out)
    return {each["name"]: each["value"] for each in found["assumptions"]} | {"warnings": found["warnings"]}


def test_configuration_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    """Electricity, objective, limit, machine and price come from the file in the folder, and that is said."""
    Path("spillway.yaml").write_text(CONFIG)
    found = planned(capsys)
    assert found["electricity"] == 0.31
    assert (found["objective: first token"], found["objective: last token"]) == (1500, "no limit")
    assert found["objective: share of requests in time"] == 0.9
    assert found["longest prompt a node may get"] == 5000
    assert found["requests that may be sent twice, at most"] == 0.02
    assert found["price of one node"] == 2399
    assert found["input price of own/model"] == 3
    assert any(each.startswith("taken from spillway.yaml unless given") for each in found["warnings"])


def test_every_price_of_ones_own_counts_in_a_bill(tmp_path: Path) -> None:
    """What writing to a cache costs is taken as stated, and as other input where it is not."""
    path = tmp_path / "c.yaml"
    head = "{input_usd_per_mtok: 3, output_usd_per_mtok: 12"
    path.write_text(
        f"prices:\n  openai/gpt-5.4: {head}, cache_write_usd_per_mtok: 4}}\n  openai/o3: {head}}}\n"
    )
    price = price_of_line_items(
        CloudFigures(date(2026, 11, 24), own=read_stated(path, is_preset=False).prices)
    )
    for item, usd in (("gpt-5.4, cache writes", 4), ("gpt-5.4, input", 3), ("o3, cache writes", 3)):
        assert price(read_line_item(item), 0.0) == usd


def test_options_win(capsys: pytest.CaptureFixture[str]) -> None:
    """What is given on the command line is not taken from the file; the rest still is."""
    Path("spillway.yaml").write_text(CONFIG)
    found = planned(
        capsys, "--usd-per-kwh", "0.1", "--slo-total-ms", "9000", "--hardware", "mac-mini-m4",
        "--cloud", "openai/gpt-4o-mini",
    )  # fmt: skip
    assert found["electricity"] == 0.1
    assert (found["objective: first token"], found["objective: last token"]) == (1500, 9000)
    assert found["price of one node"] == 999
    assert found["input price of openai/gpt-4o-mini"] == 0.15


def test_without_a_configuration_nothing_changes(capsys: pytest.CaptureFixture[str]) -> None:
    """No file, no note, the usual figures."""
    found = planned(capsys)
    assert (found["objective: first token"], found["objective: last token"]) == (2000, 20_000)
    assert not any("taken from" in each for each in found["warnings"])


def test_a_preset_takes_only_what_is_named(tmp_path: Path) -> None:
    """The article's figures stay its own beside a configuration, unless that is asked for."""
    path = tmp_path / "spillway.yaml"
    path.write_text(CONFIG)
    assert read_stated(None, is_preset=True) == Stated()
    assert read_stated(path, is_preset=True).usd_per_kwh == Decimal("0.31")


def test_a_price_without_a_speed_is_not_planned_with(tmp_path: Path) -> None:
    """What a node costs alone is no machine to plan with, and that is said."""
    path = tmp_path / "c.yaml"
    path.write_text('nodes: [{name: a, url: "http://127.0.0.1:1", hardware: {price_usd: 900}}]')
    stated = read_stated(path, is_preset=False)
    assert stated.node.hardware_usd is None
    assert "node a says what it costs and not how fast it is" in noted(stated)[0]
    assert not noted(stated, NodeFigures(hardware="rtx-4090"))


def noted(stated: Stated, given: NodeFigures | None = None) -> tuple[str, ...]:
    """The notes of a plan with those options beside the configuration."""
    given = given or NodeFigures()
    return notes_on(given, filled(given, stated.node), stated)


def test_the_first_node_that_names_a_machine_is_planned_with(capsys: pytest.CaptureFixture[str]) -> None:
    """Nodes before it that do not say enough are passed over, with a note on each."""
    Path("spillway.yaml").write_text(
        """
nodes:
  - {name: a, url: "http://127.0.0.1:1", hardware: {price_usd: 700, idle_w: 10, active_w: 60}}
  - {name: b, url: "http://127.0.0.1:2", profile: b.json}
  - {name: c, url: "http://127.0.0.1:3"}
  - {name: d, url: "http://127.0.0.1:4", hardware: rtx-4090}
"""
    )
    found = planned(capsys)
    assert found["price of one node"] == 2399
    for said in ("node a says what it costs and not how fast", "node b says how fast it is and not what it"):
        assert any(said in each for each in found["warnings"])
    assert not any("nobody named a machine" in each for each in found["warnings"])


def own_machine(life_months: object) -> str:
    """A configuration with a node of its own price, power and profile, and that life."""
    hardware = f"{{price_usd: 1500, life_months: {life_months}, idle_w: 8, active_w: 90}}"
    return f'nodes: [{{name: box, url: "http://127.0.0.1:1", profile: mini.json, hardware: {hardware}}}]'


ALL_OF_IT = "hardware, profile, life of the hardware"


def test_the_life_of_the_hardware_is_taken(tmp_path: Path) -> None:
    """The configured machine's life is the plan's; that of another or a rented machine is not."""
    save_profile(PROFILE, Path("mini.json"))
    path = tmp_path / "c.yaml"
    path.write_text(own_machine(24))
    stated = read_stated(path, is_preset=False)
    assert noted(stated) == (f"taken from {path} unless given as options: {ALL_OF_IT}",)
    assert life_of(filled(NodeFigures(), stated.node), stated) == 24
    assert life_of(filled(NodeFigures(hardware="rtx-4090"), stated.node), stated) is None
    assert life_of(filled(NodeFigures(rent_usd_per_hour=Decimal("0.4")), stated.node), stated) is None


def test_only_what_was_taken_is_said_to_be(tmp_path: Path) -> None:
    """A rented node has neither the configured price nor its life, and another machine has nothing of it."""
    save_profile(PROFILE, Path("mini.json"))
    path, profile = tmp_path / "c.yaml", tmp_path / "mini.json"
    path.write_text(own_machine(36))
    stated = read_stated(path, is_preset=False)
    rented = noted(stated, NodeFigures(rent_usd_per_hour=Decimal("0.1")))
    assert rented == (f"taken from {path} unless given as options: profile",)
    other = noted(stated, NodeFigures(hardware="rental-rtx-4090"))
    assert other == (f"the configuration's profile {profile} was left out: options describe another node",)


def test_a_life_that_no_plan_can_count_is_left_out(tmp_path: Path) -> None:
    """Half months and centuries do in a ledger and not in a plan, and a note says so."""
    save_profile(PROFILE, Path("mini.json"))
    path = tmp_path / "c.yaml"
    for months in ("30.5", "1200", "0.2"):
        path.write_text(own_machine(months))
        stated = read_stated(path, is_preset=False)
        assert life_of(stated.node, stated) is None
        assert f"node box has a life of {months} months, which was left out" in noted(stated)[-1]


def test_a_configuration_that_is_not_there_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    """A file named and missing ends with one sentence."""
    assert run(["plan", *NUMBERS, "--config", "none.yaml"]) == 2
    assert "there is no configuration file none.yaml" in capsys.readouterr().err


def test_options_describe_another_node_than_the_profile() -> None:
    """Another model on the configured machine leaves its profile out and says so; a rent leaves its price."""
    profile = Path("mini.json")
    stated = NodeFigures(
        hardware="mac-mini-m4", profile=profile, hardware_usd=Decimal(900), active_w=Decimal(40)
    )
    node = filled(NodeFigures(model="qwen3-8b"), stated)
    assert (node.hardware, node.profile, node.hardware_usd) == ("mac-mini-m4", None, Decimal(900))
    named = Stated(node=stated, origin=NodeConfig(name="mini", url="http://127.0.0.1:1"))
    assert "mini.json was left out" in noted(named, NodeFigures(model="qwen3-8b"))[-1]
    rented = filled(NodeFigures(rent_usd_per_hour=Decimal("0.4")), stated)
    assert (rented.profile, rented.hardware_usd, rented.active_w) == (profile, None, None)


def test_the_profile_of_another_model_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """What the configuration's node serves is compared with its profile, which the plan says it takes."""
    save_profile(PROFILE, Path("mini.json"))
    text = "nodes: [{name: mini, model: %s.gguf, slots: 4, hardware: rtx-4090, profile: mini.json}]"
    Path("spillway.yaml").write_text(text % "shop")
    fitting = planned(capsys)["warnings"]
    assert "taken from spillway.yaml unless given as options: hardware, profile" in fitting
    assert not any("measured with" in each for each in fitting)
    Path("spillway.yaml").write_text(text % "other")
    said = f"its profile {Path('mini.json').absolute()} was measured with shop, and it serves other"
    assert f"node mini: {said}: measure it again" in planned(capsys)["warnings"]


def test_a_profile_without_a_machine_takes_no_other_model() -> None:
    """Nothing says how fast the machine runs another model than the measured one."""
    with pytest.raises(ConfigError, match=r"--model and the configuration's profile mini.json contradict"):
        filled(
            NodeFigures(model="qwen3-8b"), NodeFigures(profile=Path("mini.json"), hardware_usd=Decimal(900))
        )


@pytest.mark.parametrize(
    ("hardware", "options", "said"),
    [
        ("rtx-9090", (), "hardware 'rtx-9090' is not in the catalogue; did you mean rtx-5090?"),
        ("rental-rtx-4090", ("--hardware-usd", "500"), "--hardware-usd has no place beside its hardware"),
        ("rental-rtx-4090", ("--idle-w", "5"), "--idle-w has no place beside its hardware"),
    ],
)
def test_faults_of_the_configuration_are_told_as_its_own(
    hardware: str, options: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """File and node are named, not an option that nobody gave; what is not taken is no fault."""
    Path("c.yaml").write_text(f'nodes: [{{name: box, url: "http://127.0.0.1:1", hardware: {hardware}}}]')
    assert run(["plan", *NUMBERS, "--config", "c.yaml", *options]) == 2
    assert capsys.readouterr().err.startswith(f"spillway: c.yaml: node box: {said}")
    assert planned(capsys, "--config", "c.yaml", "--hardware", "rtx-4090")["price of one node"] == 2399


def test_the_configured_context_is_planned_with(capsys: pytest.CaptureFixture[str]) -> None:
    """What the gateway keeps from a node as too long does not fit it in a plan either."""
    save_profile(replace(PROFILE, context_tokens=4096), Path("mini.json"))
    node = "{name: box, model: shop, profile: mini.json, context_tokens: %d, hardware: rtx-4090}"
    Path("spillway.yaml").write_text(f"nodes: [{node % 300}]")
    found = planned(capsys)
    assert found["prompt and answer of one request, at most"] == 300
    assert any("need more than the 300 tokens" in each for each in found["warnings"])
    assert any(each.endswith("hardware, profile, context") for each in found["warnings"])
    other = planned(capsys, "--hardware", "rtx-4090")
    assert "prompt and answer of one request, at most" not in other
    Path("spillway.yaml").write_text(f"nodes: [{node % 9000}]")
    assert "prompt and answer of one request, at most" not in planned(capsys)
    Path("spillway.yaml").write_text(f"nodes: [{node % 3}]")
    assert run(["plan", *NUMBERS, *SMALL]) == 2
    assert "raise the node's context_tokens in the configuration" in capsys.readouterr().err
