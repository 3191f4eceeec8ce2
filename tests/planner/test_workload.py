"""Parts and speeds of a workload keep all that is known of its requests."""

from __future__ import annotations

import numpy as np

from spillway.planner.workload import Workload

COUNT = np.arange(1, 5, dtype=np.int32)
REAL = COUNT.astype(np.float64)
WHOLE = Workload(
    time_s=10 * REAL,
    input_tokens=COUNT * 100,
    output_tokens=COUNT * 10,
    cached_tokens=COUNT * 50,
    model=COUNT * 0,
    models=("m",),
    span_s=40.0,
    last_answer_tokens=COUNT * 7,
    mean_answer_tokens=5 * REAL,
    form=COUNT + 1,
    knows_cached=COUNT > 2,
)


def test_a_part_has_all_columns_of_its_requests() -> None:
    """By slice or by mask; columns that nobody knew stay unknown."""
    for part in (WHOLE.only(slice(1, 3)), WHOLE.only(np.array([False, True, True, False]))):
        assert part.time_s.tolist() == [20, 30]
        assert part.output_tokens.tolist() == [20, 30]
        assert part.cached_tokens is not None
        assert part.last_answer_tokens is not None
        assert part.mean_answer_tokens is not None
        assert part.cached_tokens.tolist() == [100, 150]
        assert part.last_answer_tokens.tolist() == [14, 21]
        assert part.mean_answer_tokens.tolist() == [10, 15]
        assert part.form is not None
        assert part.form.tolist() == [3, 4]
        assert part.knows_cached is not None
        assert part.knows_cached.tolist() == [False, True]
    bare = Workload(REAL, COUNT, COUNT, None, COUNT * 0, ("m",), 4.0).only(slice(0, 2))
    assert (bare.cached_tokens, bare.last_answer_tokens, bare.mean_answer_tokens) == (None, None, None)
    assert (bare.form, bare.knows_cached) == (None, None)


def test_a_faster_workload_knows_its_conversations_still() -> None:
    """Only times change with the rate."""
    fast = WHOLE.at_rate(2.0)
    assert fast.last_answer_tokens is WHOLE.last_answer_tokens
    assert fast.mean_answer_tokens is WHOLE.mean_answer_tokens
    assert (fast.time_s * 2 == WHOLE.time_s).all()
