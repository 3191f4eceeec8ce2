"""Counts kept as plain numbers on the request path, given their Prometheus form only when scraped.

A labelled counter of the client library costs about two microseconds an increment and a histogram four; a
request touches ten of them. Here a request costs a few dictionary additions, and ``collect`` does the rest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from spillway.telemetry.calibration import Calibration
from spillway.telemetry.histogram import Histogram
from spillway.vocabulary import Bill, NodeSnapshot, Outcome

__all__ = ["Metrics"]

MOST_TASKS = 200
"""Task classes counted by name (guess): callers may make up any number, and each is kept for ever."""
BREAKER_VALUE = {"closed": 0.0, "half_open": 1.0, "open": 2.0}


class Metrics(Collector):
    """All counts of one gateway; ``render`` is the body of ``/metrics``."""

    def __init__(
        self, snapshots: Callable[[], Sequence[NodeSnapshot]], spill_reasons: frozenset[str]
    ) -> None:
        """``spill_reasons`` are the codes that say why a request which might have gone local did not."""
        self._snapshots = snapshots
        self._spill_reasons = spill_reasons
        self._requests: dict[tuple[str, str, str, str], int] = defaultdict(int)
        self._tasks: set[str] = set()
        self._spills: dict[str, int] = defaultdict(int)
        self._cost_usd: dict[str, Decimal] = defaultdict(Decimal)
        self._saved_usd = Decimal(0)
        self._shadow_usd = Decimal(0)
        self._unpriced = 0
        self._ttft: dict[str, Histogram] = defaultdict(Histogram)
        self._total: dict[str, Histogram] = defaultdict(Histogram)
        self._refused: dict[str, int] = defaultdict(int)
        self._hedges: dict[str, int] = defaultdict(int)
        self._calibration = Calibration()
        self.ledger: Callable[[], tuple[int, int]] = lambda: (0, 0)
        """Requests not yet in the ledger, and requests that never will be."""
        self.shadow: Callable[[], Mapping[str, int]] = dict
        """Requests sampled for a comparison, by what became of it."""
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def note(self, outcome: Outcome, bills: Sequence[Bill], saved_usd: Decimal | None) -> None:
        """Counts one finished request."""
        last = outcome.last
        side, upstream = (last.side, last.upstream) if last else ("none", "none")
        self._requests[side, upstream, self._task(outcome.facts.task), outcome.result] += 1
        self._total[side].observe(outcome.total_s)
        if outcome.ttft_s is not None:
            self._ttft[side].observe(outcome.ttft_s)
        if side == "cloud":
            for reason in outcome.reasons:
                if reason in self._spill_reasons:
                    self._spills[reason] += 1
        self._calibration.note(outcome)
        for bill in bills:
            self._add_bill(bill)
        if saved_usd is not None:
            self._saved_usd += saved_usd

    def _task(self, task: str | None) -> str:
        """The class as it is counted: ``other`` where it is new after very many."""
        if task is None:
            return "unknown"
        if task not in self._tasks:
            if len(self._tasks) >= MOST_TASKS:
                return "other"
            self._tasks.add(task)
        return task

    def note_shadow(self, bills: Sequence[Bill]) -> None:
        """Counts what one comparison cost: it is part of all costs, and saves nothing."""
        for bill in bills:
            self._add_bill(bill)
            self._shadow_usd += bill.cost_usd or 0
            self._saved_usd -= bill.cost_usd or 0

    def note_refused(self, code: str) -> None:
        """Counts one request that ended before it reached an upstream."""
        self._refused[code] += 1

    def note_hedge(self, outcome: str) -> None:
        """Counts one second attempt that won or lost its race, or that the cap did not allow."""
        self._hedges[outcome] += 1

    def render(self) -> bytes:
        """Everything in Prometheus' text form."""
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        """Called by the client library at each scrape."""
        yield from self._collect_requests()
        yield from self._collect_money()
        yield from self._collect_upstreams()
        yield from self._calibration.collect()

    def _add_bill(self, bill: Bill) -> None:
        if bill.cost_usd is None:
            self._unpriced += 1
            return
        if bill.price_usd is not None:
            self._cost_usd["price"] += bill.price_usd
        if bill.energy_usd is not None:
            self._cost_usd["energy"] += bill.energy_usd
        if bill.amortisation_usd is not None:
            self._cost_usd["amortisation"] += bill.amortisation_usd

    def _collect_requests(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "spillway_requests", "Finished requests.", labels=("side", "upstream", "task", "outcome")
        )
        for labels, count in self._requests.items():
            requests.add_metric(labels, count)
        yield requests
        yield _counter("spillway_hedges", "Second attempts beside a late first.", "outcome", self._hedges)
        yield _counter("spillway_refused", "Requests refused before an upstream.", "code", self._refused)
        yield _counter("spillway_spill", "Requests sent to a cloud, by reason.", "reason", self._spills)
        yield _histogram("spillway_ttft_seconds", "Time to first token as the client saw it.", self._ttft)
        yield _histogram("spillway_request_seconds", "Time to the end of the answer.", self._total)

    def _collect_money(self) -> Iterator[Metric]:
        yield _counter("spillway_cost_usd", "Cost of all attempts, where known.", "kind", self._cost_usd)
        saved = GaugeMetricFamily(
            "spillway_saved_usd_total", "Reference cost less cost, where both are known; may be negative."
        )
        saved.add_metric((), float(self._saved_usd))
        yield saved
        yield CounterMetricFamily(
            "spillway_shadow_usd", "Cost of comparisons, part of all costs.", value=float(self._shadow_usd)
        )
        yield _counter("spillway_shadow", "Requests sampled for comparison.", "outcome", self.shadow())
        yield CounterMetricFamily(
            "spillway_unpriced", "Attempts whose cost is unknown.", value=self._unpriced
        )
        backlog = GaugeMetricFamily("spillway_ledger_backlog", "Requests not yet in the ledger.")
        waiting, lost = self.ledger()
        backlog.add_metric((), waiting)
        yield backlog
        yield CounterMetricFamily("spillway_ledger_lost", "Requests the ledger could not keep.", value=lost)

    def _collect_upstreams(self) -> Iterator[Metric]:
        in_flight = GaugeMetricFamily("spillway_inflight", "Requests in flight.", labels=("upstream",))
        breaker = GaugeMetricFamily(
            "spillway_breaker_state", "0 closed, 1 half open, 2 open.", labels=("upstream",)
        )
        up = GaugeMetricFamily("spillway_upstream_up", "1 when its probe answers.", labels=("upstream",))
        waiting = GaugeMetricFamily(
            "spillway_waiting", "Requests waiting in the gateway for a slot.", labels=("upstream",)
        )
        margin = GaugeMetricFamily(
            "spillway_margin_ratio",
            "Share of an objective that forecasts may use.",
            labels=("upstream", "attainment"),
        )
        drift = GaugeMetricFamily(
            "spillway_drift",
            "1 for each field in which the node differs from its pin.",
            labels=("node", "field"),
        )
        for node in self._snapshots():
            if node.side == "local":
                waiting.add_metric((node.name,), node.waiting)
                for attainment, share in node.margins:
                    margin.add_metric((node.name, str(attainment)), share)
                for field in node.drift or ("none",):
                    drift.add_metric((node.name, field), float(bool(node.drift)))
            in_flight.add_metric((node.name,), node.in_flight)
            breaker.add_metric((node.name,), BREAKER_VALUE[node.breaker])
            up.add_metric((node.name,), float(node.is_up))
        yield from (in_flight, breaker, up, waiting, margin, drift)


def _counter(name: str, text: str, label: str, values: Mapping[str, int] | Mapping[str, Decimal]) -> Metric:
    family = CounterMetricFamily(name, text, labels=(label,))
    for key, value in values.items():
        family.add_metric((key,), float(value))
    return family


def _histogram(name: str, text: str, by_side: dict[str, Histogram]) -> Metric:
    family = HistogramMetricFamily(name, text, labels=("side",))
    for side, histogram in by_side.items():
        family.add_metric((side,), histogram.buckets(), histogram.sum_s)
    return family
