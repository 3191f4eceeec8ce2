"""A plan as a whole: its verdict, its figures, its assumptions, and the article's digits."""

from __future__ import annotations

import re
import runpy
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from spillway.errors import ConfigError
from spillway.planner import compiled
from spillway.planner.money import Naive
from spillway.planner.node_figures import NodeFigures
from spillway.planner.plan import make_plan, promised
from spillway.planner.plan_build import Asked, build_inputs
from spillway.planner.plan_cloud import CloudFigures
from spillway.planner.plan_inputs import Effort
from spillway.planner.plan_runs import POLICIES
from spillway.planner.plan_side import Side, loads_of, side_runs
from spillway.planner.report.as_json import dumps, to_json
from spillway.planner.report.page import page
from spillway.planner.report.terminal import printed
from spillway.vocabulary import Objective
from tests.planner.plans import CHEAP, DAY, DEAR, article, never, pays

D = Decimal
ROOT = Path(__file__).parents[2]


def test_article_digits() -> None:
    """The usual calculation comes out to the digit, and what it forgot beside it."""
    inputs = build_inputs(Asked(DAY, preset="article"))
    naive = Naive(inputs.naive)
    assert naive.cloud_usd_per_request == D("0.0006")
    assert naive.cloud_usd_per_month == 600
    assert round(naive.local_usd_per_request, 5) == D("0.00005")
    assert naive.break_even_months is not None
    assert round(naive.break_even_months, 1) == D("3.4")
    assert round(100 * naive.decode_utilisation) == 238
    assert naive.prefill_utilisation is not None
    assert naive.prefill_utilisation > 1
    assert inputs.traffic.requests_per_month == 1_000_000


def test_verdict_never_says_why_and_what_would_change_it() -> None:
    """Where nothing pays no node is recommended, no month is named, and the way out is."""
    plan = never()
    assert (plan.is_worth_it, plan.recommended_nodes, plan.shown_nodes) == (False, 0, 1)
    assert plan.reason is not None
    assert "with 1 node" in plan.reason
    assert plan.would_pay["hardware_usd"] is None or plan.would_pay["hardware_usd"] < D(1999)
    needed = plan.would_pay["cloud_usd_per_request"]
    assert needed is not None
    assert needed > plan.cloud_usd_per_request


def test_little_traffic_is_told_how_much_would_pay() -> None:
    """Where today's traffic is far too little, the traffic that would pay is found beyond any growth."""
    asked = replace(CHEAP, cloud=CloudFigures(CHEAP.price_day, "x/y", D(1), D(4)), sizes=(1,))
    plan = make_plan(build_inputs(asked), workers=1)
    needed = plan.would_pay["requests_per_month"]
    assert not plan.is_worth_it
    assert needed is not None
    assert needed > 64 * plan.inputs.traffic.requests_per_month


def test_verdict_pays_has_an_ordered_band() -> None:
    """Where it pays, the fleet is the cheapest and the quantiles ascend."""
    plan = pays()
    assert plan.is_worth_it
    assert plan.reason is None
    assert plan.recommended_nodes == plan.shown_nodes >= 1
    costs = {line.nodes: line.outcome.total_usd_per_month for line in plan.fleets if line.keeps_objective}
    assert costs[plan.recommended_nodes] == min(costs.values())
    assert plan.band.p10 is not None
    assert plan.band.p50 is not None
    assert plan.band.p10 <= plan.band.p50


def test_fleets_without_and_with_nodes() -> None:
    """No nodes, no local share and no local cost; a larger fleet never carries less."""
    none, one, two = pays().fleets
    assert none.ran.local_share == 0.0
    assert none.local_usd_per_month == 0
    assert 0 < one.ran.local_share <= two.ran.local_share + 0.01
    assert two.local_usd_per_month > one.local_usd_per_month > 0


def test_avoided_bill_is_that_of_the_local_requests() -> None:
    """What a fleet avoids of the bill is no more than all of it, and differs from the share of requests."""
    ran = pays().shown.ran
    assert 0 < ran.avoided_share <= 1


def test_every_policy_is_compared_with_the_best_known_run() -> None:
    """All policies are there, the clairvoyant without regret and the cloud alone with all of it."""
    regrets = {line.name: line.regret for line in pays().policies}
    assert tuple(regrets) == POLICIES
    assert regrets["clairvoyant"] == 0
    assert regrets["all-cloud"] == 1


def test_sensitivities_come_in_order_of_weight() -> None:
    """The figure that moves the savings most stands first, and what moves nothing is left out."""
    weights = [each.weight_usd for each in pays().sensitivities]
    assert weights == sorted(weights, reverse=True)
    assert all(weights)


def test_every_assumption_is_graded_and_sourced() -> None:
    """No figure goes without a grade and a source."""
    for each in (*never().assumptions, *pays().assumptions):
        assert each.name
        assert each.source
        assert each.grade in ("measured", "vendor", "derived", "guess", "given")


def test_bills_begin_at_what_the_hardware_loses() -> None:
    """The course begins with nothing paid to the cloud and the hardware less its resale, and never falls."""
    plan = pays()
    course = plan.course
    assert course.all_cloud[0].p50_usd == 0
    price_usd = plan.shown_nodes * plan.inputs.node.price_usd
    assert course.with_nodes[0].p50_usd == pytest.approx(price_usd * D("0.9"), rel=D("0.02"))
    assert len(course.all_cloud) == len(course.with_nodes) == plan.inputs.life_months + 1
    for points in (course.all_cloud, course.with_nodes):
        middle = [point.p50_usd for point in points]
        assert middle == sorted(middle)
        assert all(point.p10_usd <= point.p50_usd <= point.p90_usd for point in points)


def test_bills_cross_where_the_hardware_is_paid_back() -> None:
    """Also where most of the price comes back as resale, the curves say what the mark and the band do."""
    asked = replace(CHEAP, cloud=DEAR, costs={"residual_ratio": D("0.9")}, life_months=24, sizes=(1,))
    plan = make_plan(build_inputs(asked), workers=1)
    pairs = zip(plan.course.all_cloud, plan.course.with_nodes, strict=True)
    first = next(month for month, (cloud, local) in enumerate(pairs) if cloud.p50_usd >= local.p50_usd)
    assert plan.band.p50 is not None
    assert first - 1 <= plan.band.p50 <= first
    apart = plan.course.all_cloud[-1].p50_usd - plan.course.with_nodes[-1].p50_usd
    assert float(apart) == pytest.approx(float(plan.band.saved_p50_usd), rel=0.1)


def test_traffic_that_nearly_vanishes_is_still_planned() -> None:
    """However far traffic falls within a life, no fleet is simulated at less than a quarter of today's."""
    asked = replace(CHEAP, costs={"growth_per_year": D("-0.9")}, life_months=120)
    assert loads_of(build_inputs(asked)) == (0.25,)


def test_same_seed_same_plan() -> None:
    """Two plans from the same inputs are the same to the last digit; another seed gives another."""
    again = make_plan(build_inputs(replace(CHEAP, cloud=DEAR)), workers=1)
    assert dumps(again) == dumps(pays())
    other = make_plan(build_inputs(replace(CHEAP, cloud=DEAR, seed=1)), workers=1)
    assert dumps(other) != dumps(again)


def test_workers_do_not_change_the_plan() -> None:
    """Two processes give what one does."""
    again = make_plan(build_inputs(replace(CHEAP, cloud=DEAR)), workers=2)
    assert dumps(again) == dumps(pays())


def test_progress_reaches_its_total() -> None:
    """The bar is told of every run, from none to all."""
    told: list[tuple[int, int]] = []
    asked = replace(CHEAP, sizes=(1,))
    make_plan(build_inputs(asked), workers=1, on_progress=lambda done, total: told.append((done, total)))
    assert [done for done, _ in told] == list(range(len(told)))
    assert told[-1] == (len(told) - 1, len(told) - 1)


def test_impossible_objective_is_refused() -> None:
    """An objective that even an idle node misses every time is said in a sentence, with the way out."""
    asked = replace(CHEAP, objective=Objective("default", 0.001, 20.0))
    with pytest.raises(ConfigError, match=r"even an idle node misses .* raise --slo-ttft-ms above \d+"):
        make_plan(build_inputs(asked), workers=1)


def test_no_objective_at_all() -> None:
    """Without limits every request can be in time, and there is nothing to loosen."""
    plan = make_plan(build_inputs(replace(CHEAP, objective=Objective("default"), sizes=(1,))), workers=1)
    assert plan.ceiling.in_time_share == 1.0
    assert plan.patient is None


def test_rented_nodes_have_no_price_to_pay_back() -> None:
    """A rented node costs by the month: worth it from the first or never."""
    node = NodeFigures(hardware="rental-rtx-4090")
    plan = make_plan(build_inputs(replace(CHEAP, node=node, sizes=(1,))), workers=1)
    assert not plan.is_worth_it
    assert plan.inputs.node.price_usd == 0
    assert printed(plan).startswith("Do not rent GeForce RTX 4090: it never pays")
    assert plan.naive.local_usd_per_request == plan.inputs.node.rent_usd_per_month / 600
    assert plan.shown.outcome.months[0].rent_usd == plan.inputs.node.rent_usd_per_month > 300


def test_growth_is_simulated_at_the_loads_it_leads_to() -> None:
    """Where traffic is expected to grow, every fleet's share is known at larger loads as well."""
    asked = replace(CHEAP, sizes=(1, 2), costs={"growth_per_year": D("0.5")})
    plan = make_plan(build_inputs(asked), workers=1)
    one, two = (line.outcome for line in plan.fleets if line.nodes)
    assert len(one.case.share.points) > 2
    assert one.case.share.points[-1][0] > 5 * one.case.requests_per_month
    assert one.months[-1].local_share <= two.months[-1].local_share + D("0.01")


def test_only_fleets_asked_about_are_recommended() -> None:
    """One node is always shown for comparison, and not recommended where nobody asked: it is said to do."""
    plan = make_plan(build_inputs(replace(CHEAP, cloud=DEAR, sizes=(2,))), workers=1)
    assert [line.nodes for line in plan.fleets] == [0, 1, 2]
    assert plan.recommended_nodes == 2
    assert plan.alone == plan.fleets[1]
    assert printed(plan).startswith("Buy 2 nodes: it pays")
    assert re.search(r"→ 1 node would cost \$\S+ a month altogether instead of \$", printed(plan))
    assert to_json(plan)["better_nodes"] == 1
    assert pays().alone is None


def test_no_larger_fleet_is_suggested_where_nothing_is_left_for_it() -> None:
    """A fleet that takes all but what a node costs more than leaves a larger one nothing to save."""
    plan = make_plan(build_inputs(replace(CHEAP, cloud=DEAR, sizes=(2,))), workers=1)
    assert plan.recommended_nodes == max(plan.inputs.sizes)
    assert not any("largest fleet" in warning for warning in plan.warnings)


@pytest.mark.parametrize(("most", "said"), [(3, "--nodes 0-3"), (2, "equal part of the traffic")])
def test_only_fleets_that_may_be_asked_about_are_suggested(
    most: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more nodes are suggested than a plan tries."""
    monkeypatch.setattr("spillway.planner.plan.MOST_NODES", most)
    busy = replace(CHEAP, requests_per_month=5000, input_tokens=900, output_tokens=200)
    plan = make_plan(build_inputs(replace(busy, cloud=DEAR, sizes=(2,))), workers=1)
    assert any(said in warning for warning in plan.warnings)


@pytest.mark.parametrize(
    ("cloud", "requests", "least"),
    [(1.0, 100, 0.95 - 0.0218), (1.0, 250_000, 0.95 - 0.00044), (0.9, 10_000, 0.9 - 0.003)],
)
def test_a_promise_is_kept_within_what_chance_may_do(cloud: float, requests: int, least: float) -> None:
    """What was promised, or what the cloud alone manages, less the standard error of so many requests."""
    inputs, ran = never().inputs, never().fleets[0].ran
    assert promised(inputs, replace(ran, attainment=cloud, requests=requests)) == pytest.approx(
        least, abs=1e-4
    )


def test_other_machines_are_held_to_the_same_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was simulated over a shorter stretch is compared with the cloud over that stretch."""
    held: list[float] = []
    monkeypatch.setattr(Side, "better", lambda side, lines, least: held.append(least))
    plan = make_plan(build_inputs(CHEAP), workers=1)
    alone = next(line.ran for line in plan.policies if line.name == "all-cloud")
    assert held == [promised(plan.inputs, alone)] != [promised(plan.inputs, plan.fleets[0].ran)]


@pytest.mark.parametrize(
    ("requests", "total_s", "missed"),
    [
        (3000, 20.0, r"99\.\d % of the requests are in time"),
        (600, 6.3, r"8\d % of the requests are in time \(91\.\d % with the cloud alone\)"),
    ],
)
def test_a_missed_promise_is_said_to_be(requests: int, total_s: float, missed: str) -> None:
    """Half a point too few is too few, told with the digits that show it and with the cloud's share."""
    asked = replace(
        CHEAP, requests_per_month=requests, input_tokens=900, output_tokens=200, sizes=(1,),
        objective=Objective("default", 2.0, total_s, 0.999), effort=Effort(requests, 300, 10),
    )  # fmt: skip
    plan = make_plan(build_inputs(asked), workers=1)
    assert not plan.shown.keeps_objective
    assert re.fullmatch(f"no fleet keeps the objective: with 1 node {missed}", plan.reason or "")
    said = rf"with 1 node\(s\) only {missed}, 99\.9 % were promised"
    assert any(re.fullmatch(said, warning) for warning in plan.warnings)


def test_long_prompts_are_planned_for_and_said() -> None:
    """Prompts beyond the gateway's usual limit go local where they are in time, with a warning; or not."""
    node = NodeFigures(hardware="rtx-5090")
    asked = replace(CHEAP, node=node, input_tokens=9000, sizes=(1,))
    plan = make_plan(build_inputs(asked), workers=1)
    assert any("longer than 8,000 tokens" in warning for warning in plan.warnings)
    limited = make_plan(build_inputs(replace(asked, most_input_tokens=8000)), workers=1)
    assert not any("longer than 8,000 tokens" in warning for warning in limited.warnings)
    assert limited.shown.ran.local_share < plan.shown.ran.local_share
    assert "input_over_local_budget" in limited.shown.ran.spills


def test_foresight_obeys_the_limit_on_prompts() -> None:
    """Every policy leaves prompts beyond the limit to the cloud, so keeping to it is no regret."""
    node = NodeFigures(hardware="rtx-5090")
    asked = replace(CHEAP, node=node, input_tokens=6000, sizes=(1,), most_input_tokens=5000)
    plan = make_plan(build_inputs(asked), workers=1)
    is_short = plan.inputs.sampled.input_tokens <= 5000
    short = float(is_short.mean())
    lines = {line.name: line for line in plan.policies}
    assert lines["all-local"].ran.local_share == pytest.approx(short)
    assert lines["clairvoyant"].ran.useful_share <= short
    assert lines["clairvoyant"].ran.spills["input_over_local_budget"] == int((~is_short).sum())
    assert 0 <= (lines["ours"].regret or 0) < 0.1


def test_only_suitable_requests_go_local() -> None:
    """Where a local model may answer only some requests, no fleet carries more, and the rest says why."""
    asked = replace(CHEAP, cloud=DEAR, sizes=(1, 2), suitable_ratio=0.4)
    plan = make_plan(build_inputs(asked), workers=1)
    shares = [line.ran.local_share for line in plan.fleets if line.nodes]
    assert all(0.2 < each <= 0.5 for each in shares)
    assert plan.ceiling.in_time_share <= 0.4
    assert not any("even on an idle node" in warning for warning in plan.warnings)
    assert plan.shown.ran.spills["task_not_local"] == pytest.approx(360, rel=0.15)
    assert sum(plan.shown.ran.spills.values()) == 600 - round(plan.shown.ran.local_share * 600)


def test_each_part_of_the_objective_is_said_for_itself() -> None:
    """What was not stated is still the default and a guess, and no limit is none that nobody knows."""
    asked = replace(CHEAP, sizes=(1,), objective=Objective("default", 3.0, None, 0.95))
    plan = make_plan(build_inputs(asked), workers=1)
    told = {each.name: (each.value, each.unit, each.grade) for each in plan.assumptions}
    assert told["objective: first token"] == (3000, "ms", "given")
    assert told["objective: last token"] == ("no limit", "", "given")
    assert told["objective: share of requests in time"] == (0.95, "ratio", "guess")
    assert "unknown ms" not in page(plan)


def test_unknown_memory_is_said() -> None:
    """A figure that nobody knows is null among the assumptions, and a warning."""
    node = NodeFigures(bandwidth_gb_s=300, tflops=10, weights_gb=4.9, hardware_usd=D(900), active_w=D(40))
    plan = make_plan(build_inputs(replace(CHEAP, node=node, sizes=(1,))), workers=1)
    assert next(each for each in plan.assumptions if each.name == "memory").value is None
    assert "memory is unknown, taken as large enough for any request" in plan.warnings


def test_one_of_each_machine_is_tried() -> None:
    """Machines come in the order of what they save, and those that cannot hold the model are left out."""
    plan = pays()
    saved = [line.outcome.saved_usd for line in plan.machines]
    assert saved == sorted(saved, reverse=True)
    big = NodeFigures(hardware="mac-studio-m3-ultra", model="qwen3-32b", quant="f16")
    keys = build_inputs(replace(CHEAP, node=big)).machines.keys()
    assert "rtx-4090" not in keys
    assert "mac-studio-m3-ultra" in keys


@pytest.mark.parametrize("growth", ["0", "0.5", "-0.3"])
def test_the_own_machine_is_told_as_the_fleets_tell_it(growth: str) -> None:
    """The plan's machine stands among the machines with one node's share, money and month of the fleets."""
    node = NodeFigures(hardware="rtx-3090", hardware_usd=D(700))
    asked = replace(CHEAP, cloud=DEAR, node=node, costs={"growth_per_year": D(growth)})
    plan = make_plan(build_inputs(asked), workers=1)
    own = next(line for line in plan.machines if line.key == "rtx-3090")
    assert plan.inputs.machine == "rtx-3090"
    assert (own.ran, own.outcome) == (plan.fleets[1].ran, plan.fleets[1].outcome)
    assert own.node.price_usd == 700


def test_machines_and_patience_grow_with_the_traffic() -> None:
    """What grows is simulated at the loads it grows to, for other machines and objectives as for fleets."""
    plan = make_plan(build_inputs(replace(CHEAP, costs={"growth_per_year": D("0.5")})), workers=1)
    loads = [load for load, _ in plan.fleets[1].outcome.case.share.points]
    assert len(loads) > 2
    assert plan.patient is not None
    for outcome in (plan.patient.outcome, *(line.outcome for line in plan.machines)):
        assert [load for load, _ in outcome.case.share.points] == loads
        assert outcome.months[-1].all_cloud_usd == plan.fleets[0].outcome.months[-1].all_cloud_usd


def test_another_machine_that_pays_is_found_by_the_same_measure() -> None:
    """Where the plan's own machine never pays, one is named that does when it is asked about."""
    named = {}
    for usd in (150, 300):
        cloud = CloudFigures(DAY, "openai/dear", D(usd), D(4 * usd))
        node = NodeFigures(hardware="mac-mini-m4-pro", hardware_usd=D(50_000))
        plan = make_plan(build_inputs(replace(CHEAP, cloud=cloud, node=node)), workers=1)
        own = replace(CHEAP, cloud=cloud, node=NodeFigures(hardware="rtx-3090"))
        named[usd] = plan.better and plan.better.key
        assert not plan.is_worth_it
        assert make_plan(build_inputs(own), workers=1).is_worth_it == (named[usd] is not None)
    assert named == {150: None, 300: "rtx-3090"}


def test_a_machine_that_nobody_named_is_said() -> None:
    """The plan says which machine it took where none was named, and says nothing where one was."""
    said = "nobody named a machine: planned with Mac mini M4 Pro"
    assert any(said in warning for warning in never().warnings)
    named = build_inputs(replace(CHEAP, node=NodeFigures(hardware="mac-mini-m4-pro")))
    assert not any("nobody named" in warning for warning in named.warnings)


def test_steady_traffic_asks_machines_at_one_load() -> None:
    """Where nothing grows, each machine but the plan's own is simulated once."""
    inputs = build_inputs(CHEAP)
    asked = [run.machine for run in side_runs(inputs, 1) if run.machine is not None]
    assert sorted(asked) == sorted(inputs.machines.keys() - {inputs.machine})


@pytest.mark.parametrize(
    "node", [NodeFigures(decode_tok_s=80), NodeFigures(bandwidth_gb_s=300, tflops=10, weights_gb=4.9,
                                                       hardware_usd=D(900), idle_w=D(5), active_w=D(40))]
)  # fmt: skip
def test_a_node_by_figures_is_no_machine_of_the_catalogue(node: NodeFigures) -> None:
    """Where figures describe the node, every machine of the catalogue is another one."""
    assert build_inputs(replace(CHEAP, node=node)).machine is None


@pytest.mark.slow
def test_article_in_full() -> None:
    """The honest article: one node carries a fifth, which moves the break-even from months to years."""
    plan = article()
    one = plan.fleets[1]
    assert 0.1 < one.ran.local_share < 0.4
    assert one.ran.attainment >= 0.95
    assert one.outcome.break_even_months is None or one.outcome.break_even_months > 15
    assert plan.ceiling.in_time_share < 0.6
    assert plan.nodes_of_work == 4


@pytest.mark.slow
def test_readme_shows_what_the_command_prints() -> None:
    """The README's picture is today's: ``python docs/article.py`` renews it."""
    if not compiled.can_run():
        pytest.skip("without numba fewer requests are simulated, so figures differ in the last digit")
    script = runpy.run_path(str(ROOT / "docs" / "article.py"))
    shown = script["block"](printed(article(), script["WIDTH"]))
    told = (ROOT / "README.md").read_text().partition(script["BEGIN"])[2].partition(script["END"])[0]
    assert NUMBER.split(shown) == NUMBER.split(told)
    pairs = zip(NUMBER.findall(shown), NUMBER.findall(told), strict=True)
    assert all(
        float(a.replace(",", "")) == pytest.approx(float(b.replace(",", "")), rel=0.1) for a, b in pairs
    )


NUMBER = re.compile(r"\d[\d,]*\.?\d*")
"""Another processor rounds logarithms otherwise, and a simulated month then differs in the last digits."""
