"""Answers are compared by kind, and what cannot be compared is not scored."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spillway.evidence.compare import Comparison, Reply, compare, final_number, number_in, plain_words
from spillway.evidence.compare_code import code_in, compare_code, examples_in
from spillway.evidence.compare_json import compare_json, json_in

LONG = "Cats sleep a lot because they are hunters by nature and save their strength for the hunt."


def score(local: str, reference: str, task: str | None = None, wants_json: bool = False) -> float | None:
    """The score alone."""
    found = compare(Reply(local), Reply(reference), task, wants_json=wants_json)
    return None if found is None else found.score


@pytest.mark.parametrize(
    ("local", "reference", "expected"),
    [
        ('{"a": 1, "b": "x"}', '{"b":"X","a":1.0}', 1.0),
        ('{"a": 1, "b": "x"}', '{"a": 1, "b": "y"}', 0.5),
        ('{"a": 1}', '{"a": 1, "b": null}', 1.0),
        ('{"a": true}', '{"a": 1}', 0.0),
        ('{"a": "5"}', '{"a": 5}', 0.0),
        ('{"tags": ["b", "a"]}', '{"tags": ["a", "b"]}', 1.0),
        ('{"tags": ["a", "a"]}', '{"tags": ["a", "b"]}', 0.5),
        ('```json\n{"a": 1}\n```', '{"a": 1}', 1.0),
        ("[]", "[]", 1.0),
        ("{}", '{"a": 1}', 0.0),
        ('{"l": [{"x": 1}, {"x": 2}]}', '{"l": [{"x": 1}, {"x": 3}]}', 0.5),
    ],
)
def test_structured_answers_field_by_field(local: str, reference: str, expected: float) -> None:
    """Order, case, spacing, missing nulls and fences do not count; types and values do."""
    assert score(local, reference) == expected


def test_text_fields_are_left_to_a_judge() -> None:
    """Long texts inside JSON are not held to be equal word by word."""
    local, reference = {"n": 1, "summary": LONG}, {"n": 1, "summary": LONG.replace("Cats", "They")}
    assert score(json.dumps(local), json.dumps(reference)) == 1.0
    assert score(json.dumps({"s": LONG}), json.dumps({"s": LONG + " Indeed."})) is None
    assert score(json.dumps({"s": LONG}), json.dumps({"s": LONG})) is None


def test_an_answer_that_is_no_json_is_bad_only_where_json_was_asked_for() -> None:
    """A schema asked for and not kept is a failure; else the texts are compared as texts."""
    assert score("red", '{"a": "red"}', wants_json=True) == 0.0
    assert score(LONG, '{"a": "red"}') != 1.0


def test_tool_calls_by_name_and_arguments() -> None:
    """The right function with half of its arguments is half right; a text instead of a call is wrong."""
    reference = Reply("", (("f", '{"a": 1, "b": 2}'),))
    assert compare(Reply("", (("f", '{"b": 2, "a": 1}'),)), reference, None).score == 1.0  # type: ignore[union-attr]
    assert compare(Reply("", (("f", '{"a": 1, "b": 3}'),)), reference, None).score == 0.5  # type: ignore[union-attr]
    assert compare(Reply("", (("g", '{"a": 1, "b": 2}'),)), reference, None).score == 0.0  # type: ignore[union-attr]
    assert compare(Reply("I would call f"), reference, None).score == 0.0  # type: ignore[union-attr]
    assert compare(Reply("", (("f", "{"),)), Reply("", (("f", "{"),)), None).score == 1.0  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("local", "reference", "expected"),
    [
        ("Positive", "positive.", 1.0),
        ("**Answer:** Paris", "Paris", 1.0),
        ("The capital of France is Paris.", "Paris", 1.0),
        ("It is not Paris.", "Paris", 0.0),
        ("negative", "positive", 0.0),
        ("$1,200.50", "1200.5 USD", 1.0),
        ("12 %", "12%", 1.0),
        ("12", "13", 0.0),
        ("not 12", "12", 0.0),
        ("No. 12", "12", 1.0),
        ("2 months", "2 years", 0.0),
        ("March 5", "April 5", 0.0),
        ("€5", "$5", 0.0),
        ("1 day", "1 days", 1.0),
        ("12 dollars", "$12", 1.0),
        ("about 12", "12 km", 0.0),
        ("12", "12 km", 1.0),
        ("It isn’t Paris.", "Paris", 0.0),
        ("It wasn't Paris", "Paris", 0.0),
        ("Das ist nicht Paris", "Paris", 0.0),
        ("Ce n'est pas Paris", "Paris", 0.0),
        ("Paris or London", "Paris", 0.0),
        ("Das ist Paris", "Paris", 1.0),
        ("", "Paris", 0.0),
        ("Straße", "STRASSE", 1.0),
    ],
)
def test_short_answers_by_words_and_numbers(local: str, reference: str, expected: float) -> None:
    """Spelling, markup and wrapping do not count; a denial or another value does."""
    assert score(local, reference) == expected


def test_texts_need_a_judge() -> None:
    """Two long answers are never scored by their words, same or not, nor a short one in a long one."""
    assert score(LONG, LONG) is None
    assert score(f"The review is negative. {LONG}", "negative") is None
    assert score(LONG, LONG.replace("hunters", "predators")) is None
    assert score("", "") is None
    assert score("Yes.", LONG) is None


def test_solutions_by_their_last_number() -> None:
    """How a solution gets there is not compared, only where."""
    local = "3 times 4 makes 12, and 5 more: \\boxed{17}"
    assert score(local, "Adding up gives 17.\n#### 17", "math") == 1.0
    assert score("So it is 18.", "#### 17", "math") == 0.0
    assert score("I do not know", "#### 17", "math") == 0.0
    assert final_number("no number") is None
    assert (number_in("1 or 2"), number_in("7 apples"), number_in("version 1.2.3")) == (None, 7.0, None)


def test_code_by_whether_it_parses() -> None:
    """Code that does not parse is bad; the rest is open, the same program too."""
    reference = 'def f(x):\n    """Doubles."""\n    return x * 2\n'
    assert score(reference, reference, "code") is None
    assert score("Here:\n```python\ndef f(x):  # twice\n    return x*2\n```", reference, "code") is None
    assert score("def f(x: return", reference, "code") == 0.0
    assert score("def f(x):\n    return x + x", reference, "code") is None
    assert compare_code("def f(): pass", "fn main() {}") is None
    assert code_in("```rust\nfn main() {}\n```") is None
    assert examples_in("Write f.\n>>> f(2)\n4\n>>> f(0)\n0\n") == [("f(2)", "4"), ("f(0)", "0")]


def test_hostile_answers_are_bounded_in_time() -> None:
    """Deep nesting, huge lists, endless digits and huge texts end quickly and without a crash."""
    hostile = [
        "[" * 100_000 + "]" * 100_000,
        json.dumps(list(range(200_000))),
        "9" * 150_000,
        "a " * 90_000,
        "```" * 50_000,
        ">>> " * 40_000,
        "(" * 90_000,
        "\\boxed{" * 20_000,
        "-" * 150_000,
        "\x00\ud800" * 1000,
    ]
    start_s = time.monotonic()
    for text in hostile:
        for task in (None, "code", "math"):
            compare(Reply(text), Reply(text), task)
            compare(Reply(text), Reply("yes"), task)
    assert time.monotonic() - start_s < 20


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("abc", max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("xyz", max_size=1), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(JSON, JSON)
@settings(max_examples=200, deadline=None)
def test_field_scores_are_symmetric_and_bounded(a: object, b: object) -> None:
    """Whichever answer is called the reference, agreement is the same; with itself it is full."""
    assert compare_json(a, b) == compare_json(b, a)
    assert compare_json(a, a) == 1.0  # its texts are short
    found = compare_json(a, b)
    assert found is None or 0.0 <= found <= 1.0


def test_words_and_json_are_found() -> None:
    """Small cases of the helpers."""
    assert plain_words("The final answer is: the Blue one!") == ["blue", "one"]
    assert json_in("true") is None
    assert json_in(" [1] ") == ([1],)


@pytest.mark.parametrize("task", ["short_generation", "brainstorming", "translation", "conversation"])
def test_short_answers_that_may_differ_take_a_judge(task: str) -> None:
    """Two slogans are both fine; the same one twice is no score either, or only agreement would count."""
    one, other = Reply("Rain or shine."), Reply("Warm feet, dry head.")
    assert compare(one, other, task) is None
    assert compare(one, one, task) is None
    assert compare(one, one, "closed_qa") == Comparison(1.0, "short")
    assert compare(one, other, "closed_qa") == Comparison(0.0, "short")
