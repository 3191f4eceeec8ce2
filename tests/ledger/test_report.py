from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from spillway.errors import ConfigError
from spillway.ledger.nodes import NodeHardware
from spillway.ledger.period import Period, read_moment
from spillway.ledger.report import Report, make_report
from spillway.ledger.rows import LedgerRow, rows_of
from spillway.ledger.store import LedgerStore
from spillway.vocabulary import Bill, Usage

from .conftest import PostgresServer
from .samples import attempt_of, outcome_of

NIGHT_S = datetime(2026, 11, 2, 23, 59, 59, tzinfo=UTC).timestamp()
MORNING_S = NIGHT_S + 1
UNTIL_S = MORNING_S + 3599
EVER = Period(None, UNTIL_S)
LOCAL = Bill(Decimal("0.03"), None, Decimal("0.01"), Decimal("0.02"))
CLOUD = Bill(Decimal("0.5"), Decimal("0.5"))


def _row(name: str, at_s: float, bill: Bill, reference: str | None, **changes: Any) -> LedgerRow:
    outcome = outcome_of(name, accepted_wall_s=at_s, **changes)
    reference_usd = None if reference is None else Decimal(reference)
    return rows_of(outcome, [bill] * len(outcome.attempts), reference_usd, "openai/ref")


def _sample() -> list[LedgerRow]:
    """Two local answers, one cloud answer, one of unknown cost, one without reference, one failure."""
    usage, dear = Usage(100, 20), Usage(1000, 200)
    local, cloud = attempt_of(usage=usage), attempt_of(0, "cloud", usage=dear)
    failed = attempt_of(usage=None, status=None, error_code="upstream_timeout")
    return [
        _row("a", NIGHT_S, LOCAL, "0.1", attempts=[local], ttft_s=0.1, facts_task="extraction"),
        _row("b", MORNING_S, LOCAL, "0.1", attempts=[local], ttft_s=0.2, facts_task="extraction"),
        _row("c", MORNING_S, CLOUD, "0.4", attempts=[cloud], ttft_s=0.3),
        _row("d", MORNING_S, Bill(None), "0.1", attempts=[local], ttft_s=None),
        _row("e", MORNING_S, LOCAL, None, attempts=[local], ttft_s=None),
        _row("f", MORNING_S, LOCAL, None, attempts=[failed], ttft_s=None, result="error", status=504),
    ]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LedgerStore]:
    """The sample in each kind of database."""
    url = f"sqlite:///{tmp_path / 'a.db'}"
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.fresh_url("report_" + request.node.name.split("[")[0][-50:])
    store = LedgerStore.open(url)
    store.append(_sample())
    yield store
    store.close()


def _groups(report: Report) -> dict[str | None, int]:
    return {line.group: line.requests for line in report.groups}


def test_sums_are_those_of_the_requests(store: LedgerStore) -> None:
    """Counts, shares and money of a ledger small enough to add up by hand."""
    total = make_report(store, EVER).total
    assert (total.requests, total.ok, total.errors) == (6, 5, 1)
    assert (total.local, total.cloud, total.local_ratio) == (4, 1, 0.8)
    assert total.tokens == 4 * 120 + 1200
    assert total.local_tokens_ratio == pytest.approx(480 / 1680)
    assert (total.cost_usd, total.known_cost_usd, total.cost_unknown_requests) == (None, 0.62, 1)
    assert (total.price_usd, total.energy_usd, total.amortisation_usd) == (0.5, 0.04, 0.08)


def test_savings_count_only_what_can_be_compared(store: LedgerStore) -> None:
    """0.1 + 0.1 + 0.4 at the reference against 0.03 + 0.03 + 0.5; the other three are told apart."""
    report = make_report(store, EVER)
    total = report.total
    assert total.compared_requests == 3
    assert (total.reference_cost_usd, total.compared_cost_usd) == (0.6, 0.56)
    assert total.saved_usd == pytest.approx(0.04)
    assert total.excluded_requests == 3
    assert (total.excluded_unanswered, total.excluded_no_reference, total.excluded_unknown_cost) == (1, 1, 1)
    assert report.reference_models == ("openai/ref",)


def test_quantiles_are_nearest_ranks(store: LedgerStore) -> None:
    """Of 100, 200 and 300 ms the median is the second and the 95th percentile the third."""
    total = make_report(store, EVER).total
    assert (total.ttft_p50_ms, total.ttft_p95_ms) == (200.0, 300.0)


def test_days_are_utc_days(store: LedgerStore) -> None:
    """A second before midnight is another day; each day has its own sums and quantiles."""
    report = make_report(store, EVER, "day")
    assert _groups(report) == {"2026-11-02": 1, "2026-11-03": 5}
    assert [line.ttft_p95_ms for line in report.groups] == [100.0, 300.0]
    assert report.groups[0].cost_usd == 0.03


def test_tasks_and_upstreams_are_groups_too(store: LedgerStore) -> None:
    """Requests without a task are called unknown; those nobody answered stay with who was tried last."""
    assert _groups(make_report(store, EVER, "task")) == {"extraction": 2, "unknown": 4}
    report = make_report(store, EVER, "upstream")
    assert _groups(report) == {"mini": 5, "openai": 1}
    assert [(use.upstream, use.attempts, use.failed) for use in report.upstreams] == [
        ("openai", 1, 0),
        ("mini", 5, 1),
    ]
    assert (report.upstreams[1].cost_usd, report.upstreams[1].known_cost_usd) == (None, 0.12)


def test_an_attempt_that_was_given_up_did_not_fail(tmp_path: Path) -> None:
    """An upstream is not blamed for a caller who left, nor for a hedge that was faster."""
    given_up = [
        attempt_of(index, usage=None, status=None, error_code=code)
        for index, code in enumerate(("hedge_lost", "client_closed", "upstream_closed"))
    ]
    store = LedgerStore.open(f"sqlite:///{tmp_path / 'given_up.db'}")
    store.append([_row("a", MORNING_S, LOCAL, None, attempts=given_up, ttft_s=None, result="cancelled")])
    assert [(use.attempts, use.failed) for use in make_report(store, EVER, "upstream").upstreams] == [(3, 1)]
    store.close()


def test_a_period_ends_before_its_end(store: LedgerStore) -> None:
    """From midnight takes the five, up to midnight only the one before it."""
    assert make_report(store, Period(MORNING_S, UNTIL_S)).total.requests == 5
    assert make_report(store, Period(None, MORNING_S)).total.requests == 1
    nothing = make_report(store, Period(None, 1.0))
    assert (nothing.total.requests, nothing.total.saved_usd, nothing.groups) == (0, None, ())
    assert nothing.total.local_ratio is None


def test_a_node_costs_whether_used_or_not(store: LedgerStore) -> None:
    """One hour of a $1,262.304 machine over 48 months is $0.036 of wear, of which five requests used 7.5 s.

    Busy: 5 × 1.499 s. Power at $0.36: 10 W idle are a millionth of a dollar a second, 100 W ten millionths.
    """
    machine = NodeHardware(Decimal("1262.304"), Decimal(48), Decimal(10), Decimal(100))
    (node,) = make_report(store, EVER, "day", {"mini": machine}, 0.36).nodes
    assert (node.node, node.attempts) == ("mini", 5)
    assert node.busy_s == pytest.approx(5 * 1.499)
    assert node.busy_ratio == pytest.approx(5 * 1.499 / 3600)
    assert node.amortisation_usd == pytest.approx(0.036)
    idle_s = 3600 - 5 * 1.499
    assert node.energy_usd == pytest.approx(idle_s * 1e-6 + 5 * 1.499 * 1e-5)
    assert node.unattributed_usd == pytest.approx(idle_s * (1e-5 + 1e-6))
    # avoided: 0.1 (a) + 0.1 (b) + 0.1 (d, whose own cost is unknown but whose power is counted here)
    assert node.energy_usd is not None
    assert node.paid_back_usd == pytest.approx(0.3 - node.energy_usd)
    assert node.breaks_even is True
    assert node.months_to_break_even == pytest.approx(1262 / (0.2963 * 730.5), rel=0.01)


def test_a_node_may_never_pay_for_itself(store: LedgerStore) -> None:
    """A machine whose power costs more than the reference would have has no month of break-even."""
    hungry = NodeHardware(Decimal(2000), Decimal(48), Decimal(5000), Decimal(5000))
    (node,) = make_report(store, EVER, "day", {"mini": hungry}, 0.36).nodes
    assert (node.breaks_even, node.months_to_break_even) == (False, None)


def test_a_node_without_figures_stays_unknown(store: LedgerStore) -> None:
    """No price, no watts, no tariff: no figure, and no zero."""
    (node,) = make_report(store, EVER).nodes
    assert node.attempts == 5
    assert (node.amortisation_usd, node.energy_usd, node.unattributed_usd) == (None, None, None)
    assert (node.paid_back_usd, node.breaks_even) == (None, None)


def test_without_a_reference_nobody_knows_whether_a_node_pays(tmp_path: Path) -> None:
    """Answers whose price at the reference is unknown avoided an unknown sum, not nothing."""
    machine = NodeHardware(Decimal(2000), Decimal(48), Decimal(10), Decimal(100))
    store = LedgerStore.open(f"sqlite:///{tmp_path / 'no_reference.db'}")
    store.append([_row("a", MORNING_S, LOCAL, None, attempts=[attempt_of(usage=Usage(100, 20))])])
    (node,) = make_report(store, EVER, "day", {"mini": machine}, 0.36).nodes
    assert node.energy_usd is not None
    assert (node.paid_back_usd, node.paid_back_ratio, node.breaks_even) == (None, None, None)
    store.close()


def test_an_unused_node_is_shown(store: LedgerStore) -> None:
    """A machine that answered nothing wears out all the same."""
    spare = NodeHardware(Decimal("1262.304"), Decimal(48), Decimal(10), Decimal(100))
    nodes = make_report(store, EVER, "day", {"spare": spare}, 0.36).nodes
    assert [node.node for node in nodes] == ["mini", "spare"]
    assert nodes[1].attempts == 0
    assert nodes[1].unattributed_usd == pytest.approx(3600 * 1.1e-5)


@pytest.mark.parametrize(
    ("text", "expected_s"),
    [
        ("7d", UNTIL_S - 7 * 86400),
        ("24h", UNTIL_S - 86400),
        ("90M", UNTIL_S - 5400),
        ("2w", UNTIL_S - 14 * 86400),
        ("2026-11-03", MORNING_S),
        ("2026-11-03T01:00+01:00", MORNING_S),
    ],
)
def test_moments_as_people_write_them(text: str, expected_s: float) -> None:
    """A span ago, a day, a time with its zone."""
    assert read_moment(text, "--since", UNTIL_S) == expected_s


@pytest.mark.parametrize("text", ["yesterday", "7", "", "2026-13-01", "999999d", "-1d"])
def test_no_moment_is_explained(text: str) -> None:
    """Anything else is refused with the option's name and the forms it takes."""
    with pytest.raises(ConfigError, match=r"--since .* is no time: write 7d"):
        read_moment(text, "--since", UNTIL_S)
