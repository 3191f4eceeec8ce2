"""Which of the cloud's prices a plan uses, who said them, and what went through batch."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pytest

from spillway.ledger.catalogue import Span
from spillway.planner import plan_cloud
from spillway.planner.plan_cloud import OWN_PRICE, CloudFigures, choose_cloud
from spillway.planner.plan_inputs import CloudChoice
from spillway.planner.workload import Total, Workload
from spillway.vocabulary import Rates

D = Decimal
DAY = date(2026, 11, 24)
DAY_S = 86_400.0
STATED = CloudFigures(
    DAY, input_usd_per_mtok=D(1), output_usd_per_mtok=D(2), cached_usd_per_mtok=D("0.1"),
)  # fmt: skip


def usage(*models: int, names: tuple[str, ...] = ("a",), start_s: float | None = None) -> Workload:
    """One request an hour of 1,000 + 100 tokens for each number, which is its model's place in ``names``."""
    count = len(models)
    ones = np.ones(count, dtype=np.int32)
    hours = np.arange(0.0, 3600.0 * count, 3600.0, dtype=np.float64)
    chosen = np.array(models, dtype=np.int32)
    return Workload(hours, 1000 * ones, 100 * ones, None, chosen, names, 3600.0 * count, start_s)


def grades(cloud: CloudChoice, words: str) -> set[str]:
    """How well the assumptions are known whose name holds these words."""
    return {each.grade for each in cloud.assumptions if words in each.name}


def test_cached_tokens_of_batch_are_at_their_own_price() -> None:
    """Half of the requests, all of them cached: their part of the list price is an eighth, not a half."""
    batch = [Total(0.0, DAY_S, 4, 4000, 400, 4000, "a")]
    cloud, _ = choose_cloud(usage(*[0] * 8), STATED, batch)
    assert cloud.batch_ratio == D("0.125")


def test_no_more_than_everything_went_through_batch() -> None:
    """Batch of more than the usage holds is all of it."""
    cloud, _ = choose_cloud(usage(0), STATED, [Total(0.0, DAY_S, 9, 9000, 900, None, "a")])
    assert cloud.batch_ratio == 1


def test_the_model_used_most_gives_the_cloud_its_name() -> None:
    """Wherever it stands among the names."""
    for names, models in ((("gpt-4o-mini", "gpt-4o"), (0, 1, 1)), (("gpt-4o", "gpt-4o-mini"), (0, 0, 1))):
        cloud, _ = choose_cloud(usage(*models, names=names), CloudFigures(DAY))
        assert cloud.name.startswith("gpt-4o and 1 ")


def test_an_own_price_is_given() -> None:
    """It is not graded as a vendor's, and the other model's is."""
    own = {"openai/gpt-4o": Rates(D(1), D(2), source=OWN_PRICE)}
    cloud, _ = choose_cloud(usage(0, 1, names=("gpt-4o", "gpt-4o-mini")), CloudFigures(DAY, own=own))
    assert grades(cloud, "price of gpt-4o-mini") == {"vendor"}
    own_only = {each.grade for each in cloud.assumptions if each.name.endswith("price of gpt-4o")}
    assert own_only == {"given"}


def test_a_stated_latency_is_given() -> None:
    """What nobody states is a guess."""
    cloud, _ = choose_cloud(usage(0), replace(STATED, first_token_s=0.3))
    assert grades(cloud, "first token") == {"given"}
    assert grades(cloud, "speed") == {"guess"}
    cloud, _ = choose_cloud(usage(0), replace(STATED, tok_s=90.0))
    assert grades(cloud, "first token") == {"guess"}
    assert grades(cloud, "speed") == {"given"}


def test_only_a_price_at_which_something_was_used_is_said_to_have_moved() -> None:
    """What a cloud that is named for the plan cost last year does not matter."""
    spring_s = 1_747_300_000.0
    _, used = choose_cloud(usage(0, names=("o3",), start_s=spring_s), CloudFigures(DAY))
    _, chosen = choose_cloud(usage(0, names=("o3",), start_s=spring_s), CloudFigures(DAY, "openai/o3"))
    assert len(used) == 1
    assert chosen == []


def test_a_price_by_the_hour_before_the_catalogue_is_a_guess() -> None:
    """Although its hours are written out with dates of that day."""
    early, _ = choose_cloud(usage(0, names=("deepseek-chat",)), CloudFigures(date(2025, 3, 1)))
    assert grades(early, "price of deepseek-chat") == {"guess"}
    recent, _ = choose_cloud(usage(0, names=("deepseek-chat",)), CloudFigures(DAY))
    assert grades(recent, "price of deepseek-chat") == {"vendor"}


@pytest.mark.parametrize(("changes_at", "says"), [(3, True), (20, True), (36, False)])
def test_a_price_that_changes_within_the_day_is_said(
    changes_at: int, says: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the morning or in the evening; what changes the day after is no matter of hours."""
    moment_s = datetime(2026, 11, 24, tzinfo=UTC).timestamp() + 3600 * changes_at
    spans = (Span(0.0, moment_s, Rates(D(1), D(2))), Span(moment_s, None, Rates(D(3), D(4))))
    monkeypatch.setattr(plan_cloud, "look_up", lambda names, day: dict.fromkeys(names, spans))
    _, warnings = choose_cloud(usage(0, names=("m",)), CloudFigures(DAY))
    assert bool(warnings) == says
