"""What a scrape says about forecasts, queues and drift."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from spillway.telemetry.metrics import MOST_TASKS, Metrics
from spillway.vocabulary import Attempt, Bill, NodeSnapshot, Objective, Outcome, RequestFacts

MINI = NodeSnapshot("mini", "local", (), waiting=3, drift=("template",), margins=((0.9, 0.8), (0.99, 0.4)))


def outcome(ttft_s: float, total_s: float, **changes: Any) -> Outcome:
    """One local answer with a forecast of half a second and a p95 of one."""
    attempt = {
        "index": 0, "upstream": "mini", "side": "local", "model": "m", "started_s": 0.0,
        "first_token_s": ttft_s, "ended_s": total_s, "forecast_ttft_s": 0.5,
        "forecast_ttft_p95_s": 1.0, "forecast_total_p95_s": 4.0,
    }  # fmt: skip
    facts = RequestFacts(
        request_id="r", operation="chat", model="auto", objective=Objective("x", ttft_s=2.0, total_s=5.0)
    )
    return Outcome(
        facts=facts, accepted_wall_s=0.0, total_s=total_s, attempts=(Attempt(**{**attempt, **changes}),),
        status=200, result="ok",
    )  # fmt: skip


def scraped(*outcomes: Outcome) -> str:
    """The scrape after these requests."""
    metrics = Metrics(lambda: [MINI], frozenset())
    for each in outcomes:
        metrics.note(each, [], None)
    return metrics.render().decode()


def test_calibration_is_counted_from_answers() -> None:
    """Each forecast p95 is held or not; each admitted request kept its objective or not."""
    text = scraped(outcome(0.4, 3.0), outcome(1.5, 4.5), outcome(2.5, 3.0))
    assert 'spillway_forecast_p95_total{held="true",quantity="ttft",upstream="mini"} 1.0' in text
    assert 'spillway_forecast_p95_total{held="false",quantity="ttft",upstream="mini"} 2.0' in text
    assert 'spillway_forecast_p95_total{held="true",quantity="total",upstream="mini"} 2.0' in text
    assert 'spillway_admitted_total{kept="true",upstream="mini"} 2.0' in text
    assert 'spillway_admitted_total{kept="false",upstream="mini"} 1.0' in text
    assert 'spillway_predicted_ttft_error_seconds_count{upstream="mini"} 3.0' in text


def test_classes_made_up_by_callers_do_not_pile_up() -> None:
    """The first are counted by name for ever, all later ones together."""
    one = outcome(0.4, 3.0)

    def of(task: str) -> Outcome:
        return msgspec.structs.replace(one, facts=msgspec.structs.replace(one.facts, task=task))

    text = scraped(*(of(f"task-{number}") for number in range(MOST_TASKS + 3)), of("task-0"))
    assert 'outcome="ok",side="local",task="task-0",upstream="mini"} 2.0' in text
    assert f'task="task-{MOST_TASKS - 1}"' in text
    assert f'task="task-{MOST_TASKS}"' not in text
    assert 'task="other",upstream="mini"} 3.0' in text


def test_what_was_not_forecast_is_not_counted() -> None:
    """Clouds and nodes without a pace say nothing about forecasts; a failed local attempt kept nothing."""
    text = scraped(
        outcome(0.4, 3.0, side="cloud"),
        outcome(0.4, 3.0, forecast_ttft_s=None),
        outcome(0.4, 3.0, first_token_s=None, error_code="upstream_timeout"),
    )
    assert "held=" not in text
    assert 'spillway_admitted_total{kept="false",upstream="mini"} 1.0' in text
    assert 'kept="true"' not in text


def test_comparisons_are_part_of_all_costs_and_save_nothing() -> None:
    """What they cost is added by kind, taken off the savings, and told by itself; outcomes are counted."""
    metrics = Metrics(lambda: [MINI], frozenset())
    metrics.shadow = lambda: {"compared": 2, "busy": 1}
    metrics.note(outcome(0.4, 3.0), [Bill(Decimal("0.25"), price_usd=Decimal("0.25"))], Decimal("0.75"))
    metrics.note_shadow([Bill(Decimal("0.5"), price_usd=Decimal("0.5")), Bill(None)])
    text = metrics.render().decode()
    assert 'spillway_cost_usd_total{kind="price"} 0.75' in text
    assert "spillway_saved_usd_total 0.25" in text
    assert "spillway_shadow_usd_total 0.5" in text
    assert "spillway_unpriced_total 1.0" in text
    assert 'spillway_shadow_total{outcome="compared"} 2.0' in text
    assert 'spillway_shadow_total{outcome="busy"} 1.0' in text


def test_queues_and_drift_are_gauges() -> None:
    """Waiting requests and drifted fields of a node."""
    text = scraped()
    assert 'spillway_waiting{upstream="mini"} 3.0' in text
    assert 'spillway_margin_ratio{attainment="0.9",upstream="mini"} 0.8' in text
    assert 'spillway_margin_ratio{attainment="0.99",upstream="mini"} 0.4' in text
    assert 'spillway_drift{field="template",node="mini"} 1.0' in text
