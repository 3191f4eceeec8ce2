import json

import pytest

from bench.gateway.measure import Session, Used, add_used
from bench.gateway.report import as_json, as_markdown, make_row
from bench.gateway.stats import Pair, added, is_noisy, percentile


def test_percentile_is_the_nearest_rank() -> None:
    """Of 1 … 100 the p50 is 50, the p99 is 99 and the p100 is 100, whatever their order."""
    values = [float(n) for n in range(100, 0, -1)]
    assert [percentile(values, ratio) for ratio in (0.5, 0.99, 1.0)] == [50.0, 99.0, 100.0]


def test_percentile_of_nothing_is_unknown() -> None:
    """No values have no percentile, not zero."""
    assert percentile([], 0.5) is None


@pytest.mark.parametrize("ratio", [0.0, 1.01, 50.0])
def test_percentile_refuses_a_percent_number(ratio: float) -> None:
    """A ratio outside (0, 1], such as 50 for p50, is refused."""
    with pytest.raises(ValueError, match="ratio"):
        percentile([1.0], ratio)


def test_added_pools_all_pairs_before_the_percentile() -> None:
    """The value is the difference of pooled percentiles, not a mean of the pairs' own."""
    pairs = [Pair((0.003, 0.003), (0.001, 0.001)), Pair((0.003, 0.009), (0.001, 0.002))]
    assert added(pairs, 0.5) == pytest.approx(2.0)
    assert added(pairs, 1.0) == pytest.approx(7.0)


def test_added_keeps_the_slowest_request() -> None:
    """Nothing is excluded: one slow answer among a hundred is the p100 and moves nothing at the p50."""
    pairs = [Pair((*(0.001,) * 99, 1.0), (0.001,) * 100)]
    assert added(pairs, 1.0) == pytest.approx(999.0)
    assert added(pairs, 0.5) == pytest.approx(0.0)


@pytest.mark.parametrize("pairs", [[], [Pair((), (0.1,))], [Pair((0.1,), (0.1,)), Pair((0.1,), ())]])
def test_added_is_unknown_when_a_side_is_missing(pairs: list[Pair]) -> None:
    """A pair without one of its sides leaves the figure unknown instead of comparing what is left."""
    assert added(pairs, 0.5) is None


def test_added_may_be_negative() -> None:
    """A gateway measured faster than no gateway shows that, so that noise is seen."""
    assert added([Pair((0.001,), (0.002,))], 0.5) == pytest.approx(-1.0)


def test_noise_needs_two_known_passes_that_differ() -> None:
    """A spread above a quarter of the middle is noise, unless it is below the floor or alone."""
    assert is_noisy([1.0, 1.4])
    assert not is_noisy([1.0, 1.1])
    assert not is_noisy([0.01, 0.03], floor=0.05)
    assert not is_noisy([1.0, None])


def test_sums_of_use_forget_cpu_when_a_part_does() -> None:
    """CPU time is known for the sum only when it is known for every part."""
    assert add_used([Used(1, 2, 3.0, 4.0), Used(1, 2, 3.0, 4.0)]) == Used(2, 4, 6.0, 8.0)
    assert add_used([Used(1, 2, 3.0, 4.0), Used(1, 2, 3.0, None)]).cpu_s is None
    assert add_used([]).cpu_s is None


def test_a_row_divides_by_what_was_delivered_over_all_passes() -> None:
    """Requests per second and CPU per request weigh the passes by their length."""
    sessions = [
        Session(used={"saturated": Used(1000, 0, 1.0, 0.5)}),
        Session(used={"saturated": Used(3000, 0, 3.0, 1.5)}),
    ]
    row = make_row("x", "X", "1", sessions)
    assert row.values["max_rps"] == pytest.approx(1000.0)
    assert row.values["cpu_ms_per_request"] == pytest.approx(0.5)
    assert row.values["core_share_percent"] == pytest.approx(50.0)
    assert row.values["rss_idle_mib"] is None


def test_an_error_makes_its_measure_invalid_and_the_row_with_it() -> None:
    """Figures of a measure with an error are shown as invalid, the others stay."""
    used = {"saturated": Used(10, 0, 1.0, 0.1), "flat": Used(1, 9, 1.0, 0.1)}
    row = make_row("x", "X", "1", [Session(used=used, errors={"flat": ["gateway: 9 chunks instead of 10"]})])
    assert {"stream_chunks_per_s", "cpu_us_per_chunk"} <= row.invalid
    assert "max_rps" not in row.invalid
    text = as_markdown([row], {"date": "today"}, ())
    assert "| stream chunks/s on one core, flat out | invalid |" in text
    assert "9 chunks instead of 10" in text
    assert json.loads(json.dumps(as_json([row], {})))["rows"][0]["valid"] is False


def test_a_gateway_that_did_not_start_has_no_valid_figure() -> None:
    """Every figure of a failed start is invalid."""
    row = make_row("x", "X", "1", [Session(errors={"start": ["not ready"]})])
    assert row.invalid == set(row.values)
