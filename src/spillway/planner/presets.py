"""Plans that have a name: the calculation everybody shows, with all its own figures."""

from __future__ import annotations

from dataclasses import replace

from spillway.planner.money import ARTICLE
from spillway.planner.node_figures import NodeFigures
from spillway.planner.plan_cloud import DEFAULT_CLOUD, CloudFigures
from spillway.planner.plan_inputs import Traffic
from spillway.planner.plan_traffic import GIVEN, from_numbers

__all__ = ["ARTICLE_NODE", "PRESETS", "article_cloud", "article_traffic"]

PRESETS = ("article",)
SOURCE = "the article's own figure"

ARTICLE_NODE = NodeFigures(
    decode_tok_s=float(ARTICLE.decode_tok_s),
    hardware_usd=ARTICLE.hardware_usd,
    idle_w=ARTICLE.active_w,
    active_w=ARTICLE.active_w,
    source=SOURCE,
    grade="guess",
)
"""A 2,000-dollar node of 80 tok/s that draws 40 W; how fast it reads prompts the article never asks, so that
is taken from the machine one buys for that money."""


def article_cloud(figures: CloudFigures) -> CloudFigures:
    """The article's cloud, its prices fixed whatever the day, unless the figures name another or a price."""
    stated = (figures.input_usd_per_mtok, figures.output_usd_per_mtok, figures.cached_usd_per_mtok)
    if figures.cloud or figures.usual or DEFAULT_CLOUD in figures.own or stated != (None, None, None):
        return figures
    return replace(
        figures,
        cloud=DEFAULT_CLOUD,
        input_usd_per_mtok=ARTICLE.input_usd_per_mtok,
        output_usd_per_mtok=ARTICLE.output_usd_per_mtok,
        source=SOURCE,
        grade="vendor",
    )


def article_traffic(
    requests_per_month: int | None = None,
    input_tokens: float | None = None,
    output_tokens: float | None = None,
    shape: str = "consumer",
    *,
    seed: int = 0,
) -> Traffic:
    """A million requests a month of 2,000 + 500 tokens, or as stated, arriving as real ones do."""
    return from_numbers(
        int(ARTICLE.requests_per_month) if requests_per_month is None else requests_per_month,
        float(ARTICLE.input_tokens) if input_tokens is None else input_tokens,
        float(ARTICLE.output_tokens) if output_tokens is None else output_tokens,
        shape,
        seed=seed,
        sources=(
            SOURCE if requests_per_month is None else GIVEN,
            SOURCE if input_tokens is None else GIVEN,
            SOURCE if output_tokens is None else GIVEN,
        ),
    )
