"""What a call of a recorded session knows of the answers before it."""

from __future__ import annotations

import numpy as np
import pytest

from bench.planner.traces import Call, Forms, _answers_in, _beginnings, _next_call, side_by_side


def test_answers_are_known_until_a_session_begins_anew() -> None:
    """A call that grew repeats the ones before; a shorter one repeats none, and what follows only it."""
    calls: list[Call] = []
    for read, said in ((100, 4), (150, 16), (300, 64), (90, 5), (120, 6)):
        calls.append(_next_call(calls, 0.0, read, said))
    assert [call.answers for call in calls] == [(), (4,), (4, 16), (), (5,)]
    assert [call.cached_tokens for call in calls] == [0, 104, 166, 0, 95]


def test_texts_tell_which_call_another_goes_on_from() -> None:
    """The newest whose text it begins with; the same text again has the same answers before it."""
    calls = [(Call(0.0, 1, 4, 0), "one"), (Call(1.0, 1, 5, 0), "two"), (Call(2.0, 2, 6, 0, (4,)), "one more")]
    assert _answers_in("one more thing", calls) == (4, 6)
    assert _answers_in("one other", calls) == (4,)
    assert _answers_in("two", calls) == ()
    assert _answers_in("three", calls) == ()


def test_columns_hold_the_last_answer_and_the_geometric_mean() -> None:
    """0 for a first call; an answer without a token counts as one."""
    workload = side_by_side(
        [[Call(0.0, 10, 4, 0), Call(1.0, 20, 16, 0, (4,)), Call(2.0, 30, 1, 0, (4, 16, 0))]]
    )
    last, mean = workload.last_answer_tokens, workload.mean_answer_tokens
    assert last is not None
    assert mean is not None
    assert set(zip(workload.input_tokens.tolist(), last.tolist(), strict=True)) == {(10, 0), (20, 4), (30, 1)}
    assert np.unique(mean) == pytest.approx([0.0, 4.0])


def test_a_form_that_one_session_alone_has_is_none() -> None:
    """Sessions are drawn more than once: what only one has would tell each copy what the other answered."""
    forms = Forms()
    for session, form in (("a", "x"), ("a", "y"), ("a", "y"), ("b", "x"), ("b", "z"), ("c", "z")):
        forms.see(session, form)
    assert [forms.number(form) for form in ("x", "y", "z", "x")] == [1, 0, 2, 1]
    workload = side_by_side([[Call(0.0, 10, 4, 0, (), 3), Call(1.0, 20, 16, 0, (4,))]])
    assert workload.form is not None
    assert set(zip(workload.input_tokens.tolist(), workload.form.tolist(), strict=True)) == {(10, 3), (20, 0)}


def test_the_first_and_the_last_message_of_a_text_begin_somewhere() -> None:
    """The last one where a line names a role; a text without any is both."""
    text = "system: " + "s" * 100 + "\nassistant: no\nuser: " + "u" * 100
    assert _beginnings(text) == ("system: " + "s" * 56, "user: " + "u" * 26)
    assert _beginnings("hello") == ("hello", "hello")
