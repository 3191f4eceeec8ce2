"""The article's preset is a set of defaults: what is stated replaces them in both calculations."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from spillway.planner.money import ARTICLE, Naive
from spillway.planner.plan_build import Asked, build_inputs
from spillway.planner.plan_cloud import DEFAULT_CLOUD, CloudFigures
from spillway.planner.plan_inputs import PlanInputs
from spillway.vocabulary import Rates
from tests.planner.plans import DAY

D = Decimal
FEW = Asked(DAY, preset="article", requests_per_month=600)
"""The article's plan for a few requests."""


def rates(inputs: PlanInputs) -> set[tuple[Decimal | None, Decimal | None]]:
    """Input and output price of the usual calculation and of the replay."""
    naive, cloud = inputs.naive, inputs.cloud.rates[0]
    return {
        (naive.input_usd_per_mtok, naive.output_usd_per_mtok),
        (cloud.input_usd_per_mtok, cloud.output_usd_per_mtok),
    }


def test_the_plain_preset_is_the_article() -> None:
    """Every figure of the usual calculation is the article's own, and what was left out of it is there."""
    naive = build_inputs(Asked(DAY, preset="article")).naive
    assert replace(naive, prefill_tok_s=None) == ARTICLE
    assert naive.prefill_tok_s is not None


def test_stated_traffic_replaces_the_articles() -> None:
    """Requests and lengths are those that were stated, said to be given; the others stay the article's."""
    inputs = build_inputs(replace(FEW, output_tokens=100))
    naive, said = inputs.naive, {each.name: each.source for each in inputs.traffic.assumptions}
    assert inputs.traffic.requests_per_month == naive.requests_per_month == 600
    assert (naive.input_tokens, naive.output_tokens) == (2000, 100)
    assert said["requests a month"] == said["output tokens, mean"] == "given"
    assert said["input tokens, mean"] == "the article's own figure"


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        (CloudFigures(DAY, "openai/gpt-4o"), (D("2.5"), D(10))),
        (CloudFigures(DAY, input_usd_per_mtok=D(3), output_usd_per_mtok=D(15)), (D(3), D(15))),
        (CloudFigures(DAY, usual="openai/gpt-4o"), (D("2.5"), D(10))),
        (CloudFigures(DAY, own={DEFAULT_CLOUD: Rates(D(1), D(2))}), (D(1), D(2))),
        (CloudFigures(DAY, own={"x/y": Rates(D(1), D(2))}), (D("0.15"), D("0.6"))),
        (CloudFigures(DAY, batch_ratio=D("0.5"), tok_s=200.0), (D("0.15"), D("0.6"))),
    ],
)
def test_both_calculations_have_one_cloud(figures: CloudFigures, said: tuple[Decimal, Decimal]) -> None:
    """Another cloud or a stated price counts on both sides; other figures of the cloud leave its price."""
    assert rates(build_inputs(replace(FEW, cloud=figures))) == {said}


def test_what_is_no_price_leaves_the_articles_price() -> None:
    """A share through the batch endpoint is no reason to take another list, or to warn of it."""
    inputs = build_inputs(replace(FEW, cloud=CloudFigures(DAY, batch_ratio=D(1))))
    assert inputs.warnings == ()
    assert inputs.cloud.batch_ratio == 1


def test_both_calculations_have_one_life() -> None:
    """A stated life spreads the price of the node in the usual calculation too."""
    inputs = build_inputs(replace(FEW, life_months=24))
    assert inputs.life_months == inputs.naive.life_months == 24
    power = Naive(inputs.naive).power_usd_per_month
    assert Naive(inputs.naive).local_usd_per_request == (D(2000) / 24 + power) / 600
