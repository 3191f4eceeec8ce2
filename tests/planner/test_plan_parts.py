"""The parts a plan is made of: uncertain figures, nodes and clouds."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from spillway.errors import ConfigError, WorkloadError
from spillway.planner.node_figures import NodeFigures
from spillway.planner.node_model import load_fit
from spillway.planner.plan_build import build_inputs
from spillway.planner.plan_cloud import CloudFigures, choose_cloud, provider_of
from spillway.planner.plan_costs import ARTICLE_COSTS, KNOWN, USUAL_COSTS, with_given
from spillway.planner.plan_inputs import CloudChoice, SlowedPace, percent_below
from spillway.planner.plan_node import Typical, choose_node
from spillway.planner.plan_runs import Run, World, carry_out, hours_covered
from spillway.planner.plan_traffic import from_numbers
from spillway.planner.workload import Total, Workload
from spillway.slo.pace import LinearPace
from spillway.vocabulary import Objective, Rates
from tests.planner.plans import CHEAP

D = Decimal
DAY = date(2026, 11, 24)
DAY_S = 86_400.0
TYPICAL = Typical(500.0, 100.0, Objective("default", 2.0, 20.0))


def workload(models: tuple[str, ...] = ("a",), count: int = 8, *, start_s: float | None = None) -> Workload:
    """Requests an hour apart of 1,000 + 100 tokens, taking turns at the models."""
    ones = np.ones(count, dtype=np.int32)
    model = (np.arange(count) % len(models)).astype(np.int32)
    times = np.linspace(0.0, (count - 1) * 3600.0, count, dtype=np.float64)
    return Workload(times, 1000 * ones, 100 * ones, None, model, models, count * 3600.0, start_s)


@pytest.mark.parametrize(
    ("ratio", "limit", "said"),
    [(0.9, 0.95, "90 %"), (0.9484, 0.95, "94.8 %"), (0.995879, 0.999, "99.6 %"), (0.94998, 0.95, "94.998 %")],
)
def test_a_share_that_misses_a_limit_reads_so(ratio: float, limit: float, said: str) -> None:
    """As many decimals as it takes to read as less."""
    assert percent_below(ratio, limit) == said


def test_months_are_a_twelfth_of_a_year() -> None:
    """Three numbers come out as exactly as many requests a month."""
    assert from_numbers(12_345, 100, 20).requests_per_month == 12_345


def test_numbers_must_be_there() -> None:
    """No traffic is no plan."""
    with pytest.raises(WorkloadError, match="at least 1"):
        from_numbers(0, 100, 20)


def test_given_figures_keep_what_was_uncertain_about_them() -> None:
    """A figure that is given moves its spread along, within what is possible."""
    found = with_given(USUAL_COSTS, {"usd_per_kwh": D("0.40"), "residual_ratio": D("0.02")})
    assert (found["usd_per_kwh"].low, found["usd_per_kwh"].high) == (D("0.33"), D("0.47"))
    assert found["residual_ratio"].low == 0
    assert found["growth_per_year"] == USUAL_COSTS["growth_per_year"]


@pytest.mark.parametrize(("growth", "said"), [("1", False), ("5", True)])
def test_growth_that_may_be_a_percentage_is_said(growth: str, said: bool) -> None:
    """Six times as much after a year is possible, and what is written so may be five percent."""
    inputs = build_inputs(replace(CHEAP, costs={"growth_per_year": D(growth)}))
    sentence = "6 times as much after each year: where only 5 % more was meant, write --growth 5%"
    assert any(each.endswith(sentence) for each in inputs.warnings) == said


def test_every_uncertain_figure_has_a_label_and_a_spread() -> None:
    """The tables name the same figures."""
    assert KNOWN.keys() == USUAL_COSTS.keys() == ARTICLE_COSTS.keys()


def test_slower_pace_takes_longer() -> None:
    """Every time is multiplied."""
    pace = LinearPace(prefill_token_s=0.001, step_base_s=0.01)
    slow = SlowedPace(pace, 1.5)
    assert slow.prefill_s(100) == pytest.approx(0.15)
    assert slow.decode_step_s(1.0, 0.0) == pytest.approx(0.015)


def test_default_node_comes_from_the_catalogue() -> None:
    """Without a word a node of the catalogue is taken, with its price, power and physics."""
    node = choose_node(NodeFigures(), TYPICAL)
    assert node.price_usd == 1999
    assert node.active_w == 65
    assert node.slots >= 1
    assert {"price of one node", "power when active", "memory bandwidth", "slots"} <= {
        each.name for each in node.assumptions
    }


def test_stated_speed_is_kept() -> None:
    """A stated speed is what one sequence gets; the rest stays physics."""
    node = choose_node(NodeFigures(decode_tok_s=80.0, prefill_tok_s=900.0), TYPICAL)
    assert node.decode_tok_s() == pytest.approx(80.0)
    assert node.prefill_tok_s(512) == pytest.approx(900.0)


def test_machine_by_its_figures() -> None:
    """Bandwidth and compute make a node; unknown idle power is taken as the active one, and said."""
    figures = NodeFigures(
        bandwidth_gb_s=400, tflops=12, weights_gb=4.9, hardware_usd=D(1500), active_w=D(120), slots=3
    )
    node = choose_node(figures, TYPICAL)
    assert [node.price_usd, node.idle_w, node.active_w, node.slots] == [1500, 120, 120, 3]
    idle = next(each for each in node.assumptions if each.name == "power when idle")
    assert (idle.grade, idle.source) == ("derived", "unknown, taken as when active")


def test_rented_node_draws_nothing_of_ours() -> None:
    """Rent by the hour becomes rent by the month, and power is the landlord's."""
    node = choose_node(NodeFigures(hardware="rental-rtx-4090"), TYPICAL)
    assert node.rent_usd_per_month == D("0.43") * D("730.5")
    assert [node.price_usd, node.active_w] == [0, 0]


@pytest.mark.parametrize(
    ("rent", "name"),
    [(None, "GeForce RTX 4090, 24 GB, in a desktop computer"), (D("0.4"), "GeForce RTX 4090, 24 GB")],
)
def test_what_is_rented_is_no_desktop_computer(rent: Decimal | None, name: str) -> None:
    """The computer around a graphics card belongs to its price; who rents it does not know it."""
    node = choose_node(NodeFigures(hardware="rtx-4090", rent_usd_per_hour=rent), TYPICAL)
    assert node.name.endswith(f" on {name}")


def test_prefill_alone_is_not_enough() -> None:
    """A stated speed of reading needs one of writing beside it."""
    with pytest.raises(ConfigError, match="--decode-tok-s"):
        choose_node(NodeFigures(prefill_tok_s=900.0), TYPICAL)


def test_figures_replace_those_of_the_catalogue() -> None:
    """What is given beside a name counts, is graded so, and shows in the node's name."""
    figures = NodeFigures(
        hardware="mac-mini-m4", model="qwen3-8b", memory_gb=16.0, tflops=8.0, weights_gb=8.5
    )
    node, listed = (choose_node(each, TYPICAL) for each in (figures, NodeFigures("mac-mini-m4", "qwen3-8b")))
    said = {each.name: (each.value, each.grade) for each in node.assumptions}
    assert said["memory"] == (16.0, "given")
    assert said["compute"] == (8.0, "given")
    assert said["weights"] == (8.5, "given")
    assert said["memory bandwidth"] == (120.0, "vendor")
    assert node.name == "Qwen 3 8B of 8.5 GB on Mac mini M4, 10-core GPU, 32 GB (given: 16 GB, 8 TFLOPS)"
    assert node.cache_tokens < listed.cache_tokens
    assert node.decode_tok_s() < listed.decode_tok_s()
    assert node.prefill_tok_s(500) > listed.prefill_tok_s(500)


@pytest.mark.parametrize("hardware", [None, "mac-mini-m4"])
def test_memory_counts_for_a_named_machine(hardware: str | None) -> None:
    """A stated memory that is too small is refused, also for the machine nobody had to name."""
    with pytest.raises(ConfigError, match="does not fit the 2 GB"):
        choose_node(NodeFigures(hardware=hardware, memory_gb=2.0), TYPICAL)


PROFILE = Path("never-read.json")


@pytest.mark.parametrize(
    ("figures", "sentence"),
    [
        (NodeFigures(rent_usd_per_hour=D(1), hardware_usd=D(9)), "--rent-usd-per-hour and --hardware-usd"),
        (NodeFigures(hardware="rtx-4090", idle_w=D(500)), r"idle \(500 W, by --idle-w .*active \(464 W\)"),
        (NodeFigures(hardware="rtx-4090", idle_w=D(90), active_w=D(9)), r"idle \(90 W, .*active \(9 W\)"),
        (NodeFigures(rent_usd_per_hour=D("0.4"), active_w=D(90)), "--active-w has no place beside a rent"),
        (NodeFigures(hardware="rental-rtx-4090", idle_w=D(9)), "--idle-w has no place beside a rent"),
        (NodeFigures(hardware="rental-rtx-4090", hardware_usd=D(9)), "--hardware rental-rtx-4090, which"),
        (
            NodeFigures(hardware="rental-rtx-4090", hardware_usd=D(9), active_w=D(9)),
            "--hardware-usd has no place beside",
        ),
        (NodeFigures(model="qwen3-8b", quant="q8", weights_gb=4.0), "--quant and --weights-gb"),
        (NodeFigures(model="qwen3-8b", params_b=4.0), "--model and --params-b"),
        (NodeFigures(params_b=4.0), "--params-b needs --weights-gb"),
        (NodeFigures(profile=PROFILE, model="qwen3-8b"), "--profile and --model"),
        (NodeFigures(profile=PROFILE, quant="q8"), "--profile and --quant"),
        (NodeFigures(profile=PROFILE, decode_tok_s=90.0), "--profile and --decode-tok-s"),
        (NodeFigures(profile=PROFILE, hardware="mac-mini-m4", memory_gb=1.0), "--profile and --memory-gb"),
    ],
)  # fmt: skip
def test_contradicting_figures_are_refused(figures: NodeFigures, sentence: str) -> None:
    """Where one of two figures would have to be ignored, both are named."""
    with pytest.raises(ConfigError, match=sentence):
        choose_node(figures, TYPICAL)


def test_a_node_is_as_uncertain_as_its_usual_request() -> None:
    """Long answers of a dense model are the fit's own error, prompts of mixtures and short ones are wider."""
    fit = load_fit()
    mixture = NodeFigures(model="qwen3-30b-a3b")
    usual, prompts = Typical(2000.0, 500.0, TYPICAL.objective), Typical(4000.0, 1.0, TYPICAL.objective)
    least = max(fit.decode_error_ratio, fit.prefill_error_ratio)
    assert choose_node(NodeFigures(slots=1), usual).error_ratio == least
    several = choose_node(NodeFigures(slots=4), usual).error_ratio
    assert least < several < fit.batch_errors["apple:dense"].ratio
    assert choose_node(mixture, prompts).error_ratio == pytest.approx(
        fit.mixture_prefill_error_ratio, rel=0.05
    )
    short = Typical(100.0, 1.0, TYPICAL.objective)
    assert least < choose_node(NodeFigures(), short).error_ratio < fit.short_prefill_error_ratio


def test_a_memory_that_holds_no_usual_request_is_one_slot() -> None:
    """Only shorter requests fit then, one at a time."""
    assert choose_node(NodeFigures(memory_gb=6.735), Typical(5000.0, 100.0, TYPICAL.objective)).slots == 1


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("openai/gpt-4o", ("openai", "gpt-4o")), ("gpt-4o-mini", ("openai", "gpt-4o-mini")),
        ("claude-sonnet-4-5", ("anthropic", "claude-sonnet-4-5")), ("o3-mini", ("openai", "o3-mini")),
        ("gemini-2.5-flash", ("google", "gemini-2.5-flash")), ("my-own-model", None), ("oddball", None),
    ],
)  # fmt: skip
def test_provider_of_a_name(name: str, found: tuple[str, str] | None) -> None:
    """A name with a slash says whose it is; well-known beginnings do; others do not."""
    assert provider_of(name) == found


def test_every_model_is_priced_at_its_own_rate() -> None:
    """Requests of two models cost what each model charges, also when only some are chosen."""
    two = workload(("gpt-4o-mini", "gpt-4o"))
    cloud, warnings = choose_cloud(two, CloudFigures(DAY))
    small, large = (rates.input_usd_per_mtok for rates in cloud.rates)
    assert small is not None
    assert large is not None
    assert small < large
    first = np.arange(8) == 0
    whole, one = cloud.price_usd(two), cloud.price_usd(two, first)
    assert whole is not None
    assert one == (1000 * small + 100 * D("0.6")) / 1_000_000
    assert whole > 8 * one
    assert warnings == []
    assert cloud.name == "gpt-4o-mini and 1 other, as used"


def test_every_price_that_is_used_is_listed() -> None:
    """All models, however many, and the tiers that a model's own prompts reach."""
    names = ("gpt-4o", "gpt-4o-mini", "gpt-4.1", "o3", "o3-mini", "gemini-2.5-pro", "gemini-2.5-flash")
    many = workload(names, 14)
    prompts = np.where(many.model == 5, 250_000, many.input_tokens).astype(np.int32)
    cloud, _ = choose_cloud(replace(many, input_tokens=prompts), CloudFigures(DAY))
    priced = [each.name for each in cloud.assumptions if each.name.startswith("input price of ")]
    tier = "input price of gemini-2.5-pro, prompts above 200,000 tokens"
    assert priced == [*(f"input price of {name}" for name in names[:6]), tier, f"input price of {names[6]}"]
    short, _ = choose_cloud(many, CloudFigures(DAY))
    assert tier not in [each.name for each in short.assumptions]


def test_a_fee_per_request_is_listed_and_said() -> None:
    """What is charged besides the tokens is an assumption, and a warning says how much of the bill it is."""
    cloud, warnings = choose_cloud(workload(), CloudFigures(DAY, "perplexity/sonar"))
    fee = next(each for each in cloud.assumptions if each.name == "fee per request of perplexity/sonar")
    assert (fee.value, fee.unit, fee.grade) == (D("0.012"), "USD/request", "vendor")
    said = "perplexity/sonar charges $0.012 a request besides its tokens, 92 % of the bill"
    assert warnings == [said]


def test_a_price_that_has_changed_since_is_said() -> None:
    """The plan uses the price of its day, and says which model had another when the usage happened."""
    spring = 1_747_300_000.0
    cloud, warnings = choose_cloud(workload(("o3",), start_s=spring), CloudFigures(DAY))
    assert cloud.rates[0].input_usd_per_mtok == 2
    assert warnings == ["o3 had another list price on 2025-05-15; the plan uses that of 2026-11-24"]


@pytest.mark.parametrize(
    ("model", "day", "since"),
    [
        ("openai/gpt-4.1", date(2020, 1, 1), "2025-04-14"),
        ("openai/gpt-4o-mini", date(2024, 7, 17), "2024-07-18"),
        ("openai/gpt-4o-2024-11-20", date(2024, 11, 19), "2024-11-20"),
        ("o3", date(2025, 4, 15), "2025-04-16"),
        ("anthropic/claude-3-haiku", date(2020, 1, 1), "2020-06-11"),
        ("deepseek/deepseek-chat", date(2020, 1, 1), "2020-06-11"),
    ],
)
def test_no_model_has_a_price_before_it_was_there(model: str, day: date, since: str) -> None:
    """The price of a model is unknown on days before its own; the sentence says since when it is known."""
    said = rf"unknown on {day}, .* before {since}: give a later --price-date"
    with pytest.raises(ConfigError, match=said):
        choose_cloud(workload(("",)), CloudFigures(day, model))


def test_a_model_has_a_price_from_its_first_day() -> None:
    """On the day in a model's name its list price holds, with the vendor's grade."""
    cloud, _ = choose_cloud(workload(("",)), CloudFigures(date(2024, 7, 18), "openai/gpt-4o-mini"))
    assert {each.grade for each in cloud.assumptions if each.name.startswith("input price")} == {"vendor"}


def test_an_undated_price_of_long_ago_is_a_guess() -> None:
    """What the catalogue does not date is a guess on days before the catalogue, and said to be."""
    old = CloudFigures(date(2024, 5, 1), "anthropic/claude-3-haiku")
    cloud, warnings = choose_cloud(workload(("",)), old)
    assert {each.grade for each in cloud.assumptions if "price of" in each.name} == {"guess"}
    assert any("does not say since when anthropic/claude-3-haiku costs" in each for each in warnings)
    recent, warnings = choose_cloud(workload(("",)), CloudFigures(DAY, "anthropic/claude-3-haiku"))
    assert {each.grade for each in recent.assumptions if "price of" in each.name} == {"vendor"}
    assert warnings == []


def test_a_price_by_the_hour_is_said() -> None:
    """Where a provider charges by the hour the plan takes noon's price and says so."""
    _, warnings = choose_cloud(workload(("deepseek-chat",)), CloudFigures(DAY))
    assert warnings == ["deepseek-chat has another list price at other hours; the plan uses that of noon"]


def test_without_a_model_a_default_is_taken_and_said() -> None:
    """Usage that names no model is priced as a usual one, with a warning."""
    cloud, warnings = choose_cloud(workload(("",)), CloudFigures(DAY))
    assert cloud.name == "openai/gpt-4o-mini"
    assert "names no model" in warnings[0]


def test_cached_tokens_need_their_price() -> None:
    """A stated price without one for cached tokens does where there are none; else it is refused."""
    cached = workload()
    figures = CloudFigures(DAY, input_usd_per_mtok=D(1), output_usd_per_mtok=D(2))
    cloud, _ = choose_cloud(cached, figures)
    assert not any("cached" in each.name for each in cloud.assumptions)
    unknown = CloudChoice("x", (Rates(D(1), D(2), None),))
    with_cache = Workload(
        cached.time_s, cached.input_tokens, cached.output_tokens, np.full(8, 10, dtype=np.int32),
        cached.model, cached.models, cached.span_s,
    )  # fmt: skip
    assert unknown.price_usd(with_cache) is None
    with pytest.raises(ConfigError, match="--cached-usd-per-mtok"):
        choose_cloud(with_cache, figures)
    told, _ = choose_cloud(with_cache, replace(figures, cached_usd_per_mtok=D("0.1")))
    assert any(each.name.startswith("cached input price") for each in told.assumptions)


def test_batch_traffic_is_cheaper() -> None:
    """What goes through the batch endpoint costs half."""
    figures = CloudFigures(DAY, input_usd_per_mtok=D(1), output_usd_per_mtok=D(2), batch_ratio=D("0.5"))
    cloud, _ = choose_cloud(workload(), figures)
    plain = CloudChoice("x", cloud.rates).price_usd(workload())
    assert plain is not None
    assert cloud.price_usd(workload()) == plain * D("0.75")


def test_batch_share_comes_from_the_usage_unless_stated() -> None:
    """What the usage marks as batch is priced so, a cheap model's as a cheap one's; a stated share wins."""
    two = workload(("gpt-4o-mini", "gpt-4o"))
    batch = [Total(0.0, DAY_S, 4, 4000, 400, None, "gpt-4o-mini")]
    plain, _ = choose_cloud(two, CloudFigures(DAY))
    used, _ = choose_cloud(two, CloudFigures(DAY), batch)
    stated, _ = choose_cloud(two, CloudFigures(DAY, batch_ratio=D(0)), batch)
    assert (plain.batch_ratio, stated.batch_ratio) == (D(0), D(0))
    cheap = (4000 * D("0.15") + 400 * D("0.6")) / 10**6
    whole, less = plain.price_usd(two), used.price_usd(two)
    assert whole is not None
    assert less is not None
    assert float(whole - less) == pytest.approx(float(cheap / 2))
    assert [each.grade for each in used.assumptions if "batch" in each.name] == ["derived"]


def test_mean_rates_weigh_by_tokens() -> None:
    """The usual calculation's two rates are those of the whole traffic."""
    cloud = CloudChoice("x", (Rates(D(1), D(10)), Rates(D(3), D(30))))
    assert cloud.mean_rates(workload(("a", "b"))) == (D(2), D(20))


def test_energy_of_a_month() -> None:
    """An idle node draws its idle watts all month; what a rented or another machine draws is not told."""
    traffic = from_numbers(300, 200, 40).workload
    node, cloud = choose_node(NodeFigures(), TYPICAL), CloudChoice("x", (Rates(D(1), D(10)),))
    world = World(
        traffic, traffic, node.fleet, TYPICAL.objective, cloud, 0, {"other": node.fleet}, idle_w=100.0,
        active_w=300.0,
    )  # fmt: skip
    assert carry_out(world, Run(2, "all-cloud")).kwh_per_month == pytest.approx(2 * 0.1 * 730, rel=0.001)
    used = carry_out(world, Run(2, "all-local"))
    watts = 100 + used.busy_ratio * 200
    assert used.busy_ratio > 0
    assert used.kwh_per_month == pytest.approx(2 * watts / 1000 * 730, rel=0.001)
    busy = carry_out(world, Run(1, "all-local", load=1e6))
    assert busy.busy_ratio == 1.0
    assert busy.kwh_per_month == pytest.approx(0.3 * 730.5)  # what piled up is not worked off in the month
    assert carry_out(world, Run(1, machine="other")).kwh_per_month is None
    assert carry_out(replace(world, idle_w=0.0, active_w=0.0), Run(1)).kwh_per_month is None
    assert carry_out(replace(world, idle_w=0.0, active_w=0.0), Run(0)).kwh_per_month == 0.0


def test_a_busier_part_needs_no_more_energy() -> None:
    """What a run over a part of the traffic tells is for the rate of all of it, as the bill is."""
    traffic = from_numbers(30_000, 200, 40).workload
    node, cloud = choose_node(NodeFigures(), TYPICAL), CloudChoice("x", (Rates(D(1), D(10)),))
    world = World(
        traffic, traffic.at_rate(3.0), node.fleet, TYPICAL.objective, cloud, 0, idle_w=100.0, active_w=300.0,
        requests_per_s=len(traffic) / traffic.span_s,
    )  # fmt: skip
    whole, part = (carry_out(world, Run(1, on_sample=on_sample)) for on_sample in (False, True))
    assert part.busy_ratio > 2 * whole.busy_ratio
    assert part.kwh_per_month == pytest.approx(whole.kwh_per_month, rel=0.02)
    twice = carry_out(world, Run(1, load=2.0))
    assert twice.kwh_per_month is not None
    assert part.kwh_per_month is not None
    idle_kwh = 0.1 * 730.5
    assert twice.kwh_per_month - idle_kwh == pytest.approx(2 * (part.kwh_per_month - idle_kwh), rel=0.1)


def test_a_run_is_the_same_wherever_it_is_worked_out() -> None:
    """Every figure of a run is a function of the world and the run."""
    traffic = from_numbers(300, 200, 40).workload
    node = choose_node(NodeFigures(), TYPICAL)
    cloud = CloudChoice("x", (Rates(D(1), D(10)),))
    world = World(traffic, traffic, node.fleet, TYPICAL.objective, cloud, 0)
    assert carry_out(world, Run(1)) == carry_out(world, Run(1))
    alone, doubled = carry_out(world, Run(1)), carry_out(world, Run(1, load=2.0))
    assert doubled.requests_per_s == pytest.approx(2 * alone.requests_per_s)
    a_day = sum(alone.local_by_hour) + sum(alone.cloud_by_hour)
    assert a_day == pytest.approx(alone.requests * DAY_S / traffic.span_s, rel=0.05)
    patient = carry_out(world, Run(1, patience=2.5))
    assert patient.useful_share >= alone.useful_share


def test_hours_are_counted_as_often_as_they_were_there() -> None:
    """Traffic of one request an hour over a day and a half shows one in every hour."""
    steady = workload(count=36, start_s=1_700_000_000.0 - 1_700_000_000.0 % DAY_S + 5 * 3600.0)
    node = choose_node(NodeFigures(), TYPICAL)
    cloud = CloudChoice("x", (Rates(D(1), D(10)),))
    ran = carry_out(World(steady, steady, node.fleet, TYPICAL.objective, cloud, 0), Run(0))
    assert ran.cloud_by_hour == pytest.approx([1.0] * 24)
    assert ran.local_by_hour == pytest.approx([0.0] * 24)


def test_a_row_with_a_wrong_year_is_counted_at_once() -> None:
    """Eight thousand years of hours are not gone through one by one: each day has each hour once."""
    covered = hours_covered(5 * 3600.0, 3_000_000 * DAY_S + 1.5 * 3600.0)
    assert covered[5:7] == [3_000_001.0, 3_000_000.5]
    assert sum(covered) == pytest.approx(24 * 3_000_000 + 1.5)
