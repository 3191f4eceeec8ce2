"""How good the forecasts are: counted for metrics from finished requests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from spillway.telemetry.histogram import Histogram
from spillway.vocabulary import Attempt, Objective, Outcome

__all__ = ["Calibration"]


class Calibration:
    """Per node: forecast errors, how often the p95 held, how many of the admitted kept their objective."""

    def __init__(self) -> None:
        self._errors: dict[str, Histogram] = defaultdict(Histogram)
        self._covered: dict[tuple[str, str, str], int] = defaultdict(int)
        self._admitted: dict[tuple[str, str], int] = defaultdict(int)

    def note(self, outcome: Outcome) -> None:
        """Counts the first attempt of a finished request, if it was local and there had been a forecast."""
        first = next((attempt for attempt in outcome.attempts if attempt.index == 0), None)
        if first is None or first.side != "local" or first.forecast_ttft_s is None:
            return
        if first.first_token_s is not None:
            self._errors[first.upstream].observe(abs(first.first_token_s - first.forecast_ttft_s))
            self._note_covered(first, "ttft", first.first_token_s, first.forecast_ttft_p95_s)
            if first.error_code is None:
                self._note_covered(first, "total", first.ended_s, first.forecast_total_p95_s)
        objective = outcome.facts.objective
        if objective is not None:
            self._admitted[first.upstream, _told(_keeps(first, objective))] += 1

    def collect(self) -> Iterator[Metric]:
        """The families for a scrape."""
        errors = HistogramMetricFamily(
            "spillway_predicted_ttft_error_seconds",
            "Forecast less observed time to first token of local answers, without sign.",
            labels=("upstream",),
        )
        for upstream, histogram in self._errors.items():
            errors.add_metric((upstream,), histogram.buckets(), histogram.sum_s)
        yield errors
        covered = CounterMetricFamily(
            "spillway_forecast_p95",
            "Local answers by whether they stayed below the forecast's 95th percentile.",
            labels=("upstream", "quantity", "held"),
        )
        for labels, count in self._covered.items():
            covered.add_metric(labels, count)
        yield covered
        admitted = CounterMetricFamily(
            "spillway_admitted",
            "Requests admitted to a node by forecast, by whether they kept their objective there.",
            labels=("upstream", "kept"),
        )
        for pair, count in self._admitted.items():
            admitted.add_metric(pair, count)
        yield admitted

    def _note_covered(self, attempt: Attempt, quantity: str, seen_s: float, limit_s: float | None) -> None:
        if limit_s is not None:
            self._covered[attempt.upstream, quantity, _told(seen_s <= limit_s)] += 1


def _keeps(attempt: Attempt, objective: Objective) -> bool:
    if attempt.error_code is not None or attempt.first_token_s is None:
        return False
    return (objective.ttft_s is None or attempt.first_token_s <= objective.ttft_s) and (
        objective.total_s is None or attempt.ended_s <= objective.total_s
    )


def _told(is_so: bool) -> str:
    return "true" if is_so else "false"
