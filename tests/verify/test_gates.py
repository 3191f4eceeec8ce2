"""Each gate, with answers that must fail it and answers that must not."""

from __future__ import annotations

import math
import time

import msgspec
import pytest

from spillway.verify import DEFAULT_GATES, GATES, GivenAnswer, ToolCall, Wish, check
from tests.verify.bodies import answer, schema_wish, tool_wish, wish

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def failed(
    given: GivenAnswer | None, asked: Wish, *gates: str, threshold: float | None = None
) -> tuple[str, ...]:
    """Codes of all gates that fail."""
    return check(given, asked, gates or tuple(GATES), threshold=threshold, all_failures=True).failed


def sure(*logprobs: float) -> GivenAnswer:
    """An answer whose tokens have these log-probabilities."""
    return GivenAnswer(text="yes", finish_reason="stop", logprobs=logprobs)


def test_a_good_answer_is_kept() -> None:
    """A plain answer passes every gate of every class."""
    for gates in DEFAULT_GATES.values():
        verdict = check(answer("Paris is the capital of France."), wish("Capital of France?"), gates)
        assert verdict.is_kept
        assert verdict.sentence is None


def test_an_unreadable_answer_is_not_kept() -> None:
    """What is no answer at all fails as empty."""
    assert failed(None, wish()) == ("gate_empty",)


@pytest.mark.parametrize(
    ("finish", "is_wrong"),
    [
        ("stop", False),
        ("tool_calls", False),
        ("eos", False),
        (None, True),
        ("content_filter", True),
        ("length", True),
    ],
)
def test_finish_reason(finish: str | None, is_wrong: bool) -> None:
    """A missing reason, a filter and a cut fail; ends do not."""
    assert bool(failed(answer("text", finish=finish), wish(), "finish")) is is_wrong


def test_a_cut_by_the_callers_own_limit_is_no_failure() -> None:
    """max_tokens reached would cut a cloud's text too; a shorter answer or cut JSON is a fault."""
    own = answer("one two", finish="length")
    assert own.output_tokens == 12
    assert not failed(own, wish(max_tokens=12), "finish")
    assert failed(own, wish(max_tokens=500), "finish")
    assert failed(own, schema_wish(PERSON, max_tokens=12), "finish")


@pytest.mark.parametrize("text", ["", "  \n\t", "\u200b\u200b", "<|im_end|>", "</s>\n", None])
def test_empty_answers(text: str | None) -> None:
    """Nothing, blanks, invisible characters and leaked end marks are empty."""
    assert failed(answer(text), wish(), "empty") == ("gate_empty",)


def test_what_is_not_empty() -> None:
    """A lone character, a tool call, a refusal field and max_tokens=0 are not empty; mere reasoning is."""
    assert not failed(answer("0"), wish(), "empty")
    call = [{"function": {"name": "weather", "arguments": "{}"}}]
    assert not failed(answer(None, tool_calls=call), wish(), "empty")
    assert not failed(answer(None, refusal="no"), wish(), "empty")
    assert not failed(answer(""), wish(max_tokens=0), "empty")
    assert failed(answer("", reasoning_content="let me think"), wish(), "empty")


def test_json_gate() -> None:
    """Broken, fenced, trailing and non-object JSON fail where JSON was asked for, and only there."""
    asked = wish(response_format={"type": "json_object"})
    assert not failed(answer(' {"a": 1}\n'), asked, "json")
    for text in (
        '{"a": 1',
        '```json\n{"a": 1}\n```',
        '{"a": 1} Hope this helps!',
        "[1]",
        '{"a": NaN}',
        "",
        "{" * 9000,
    ):
        assert failed(answer(text), asked, "json") == ("gate_json",)
    assert not failed(answer("no json"), wish(), "json")
    assert not failed(answer("7"), schema_wish({"type": "integer"}), "json")


def test_schema_gate() -> None:
    """A violating value fails and names the keyword, never the value."""
    asked = schema_wish(PERSON)
    assert not failed(answer('{"name": "Ann", "age": 3}'), asked, "schema")
    verdict = check(answer('{"name": "secret", "age": -1}'), asked, ("schema",))
    assert verdict.failed == ("gate_schema",)
    assert verdict.sentence == "the answer violates its schema (minimum)"
    assert failed(answer('{"name": "Ann"}'), asked, "schema")
    assert not failed(answer("not json: the json gate says that"), asked, "schema")


def test_a_schema_that_cannot_be_used_is_skipped_with_a_flag() -> None:
    """A broken schema is the request's fault: the answer is kept and the verdict says what was not judged."""
    verdict = check(answer("{}"), schema_wish({"type": 7}), ("schema",))
    assert verdict.is_kept
    assert verdict.skipped == ("schema_invalid",)


def called(arguments: str, name: str = "weather") -> GivenAnswer:
    """An answer with one tool call."""
    return GivenAnswer(tool_calls=(ToolCall(name, arguments),), finish_reason="tool_calls")


@pytest.mark.parametrize(
    ("given", "asked", "is_wrong"),
    [
        (called('{"city": "Rome"}'), tool_wish(), False),
        (called('{"city": "Rome", "days": 2}'), tool_wish(choice="required"), False),
        (called('{"city": "Rome"}', "wether"), tool_wish(), True),
        (called('{"city": 7}'), tool_wish(), True),
        (called("{}"), tool_wish(), True),
        (called('{"city": "Rome"'), tool_wish(), True),
        (called("[1]"), tool_wish(), True),
        (called('{"city": "Rome"}'), wish(), True),
        (called('{"city": "Rome"}'), tool_wish(choice="none"), True),
        (called(""), tool_wish(parameters={"type": "object", "properties": {}}), False),
        (answer("It is sunny."), tool_wish(), False),
        (answer("It is sunny."), tool_wish(choice="required"), True),
        (answer("", finish="tool_calls"), tool_wish(), True),
        (answer('<tool_call>{"name": "weather"}</tool_call>'), tool_wish(), True),
        (answer('{"name": "weather", "arguments": {"city": "Rome"}}'), tool_wish(), True),
        (answer("Use <tool_call> to call tools."), tool_wish(), False),
        (called('{"city": "Rome"}'), tool_wish(parameters={"type": "dict", "required": ["city"]}), False),
        (called('{"town": "Rome"}'), tool_wish(parameters={"type": "dict", "required": ["city"]}), True),
    ],
)
def test_tools_gate(given: GivenAnswer, asked: Wish, is_wrong: bool) -> None:
    """Unknown tools, wrong arguments, missing and forbidden calls and calls left in the text fail."""
    assert bool(failed(given, asked, "tools")) is is_wrong


def test_a_named_tool_and_single_calls_are_held_to() -> None:
    """Another tool than the named one, and two calls where one is allowed, fail."""
    named = tool_wish(choice={"type": "function", "function": {"name": "other"}})
    assert failed(called('{"city": "Rome"}'), named, "tools")
    two = msgspec.structs.replace(
        called('{"city": "Rome"}'), tool_calls=(ToolCall("weather", '{"city": "R"}'),) * 2
    )
    assert not failed(two, tool_wish(), "tools")
    assert failed(two, tool_wish(parallel_tool_calls=False), "tools")


GERMAN = "Kannst du mir bitte erklären, warum der Himmel am Abend rot ist und nicht blau wie am Tag?"
IN_ENGLISH = (
    "The light of the sun has to travel through more of the air in the evening, and the blue part of it "
    "is scattered away on the way to us, so that what is left is red."
)
IN_GERMAN = (
    "Das Licht der Sonne muss am Abend durch mehr Luft und das Blaue wird auf dem Weg zu uns gestreut."
)


def test_language_gate() -> None:
    """An answer surely in another language than the request surely is fails."""
    assert failed(answer(IN_ENGLISH), wish(GERMAN), "language") == ("gate_language",)
    assert not failed(answer(IN_GERMAN), wish(GERMAN), "language")
    assert failed(answer("太阳光在傍晚要穿过更多的空气，蓝光在途中被散射掉了。"), wish(GERMAN), "language")


def test_language_gate_keeps_out_of_what_it_cannot_know() -> None:
    """Short answers, code, JSON, named languages and a classifier that disagrees are not judged."""
    assert not failed(answer("Rayleigh scattering."), wish(GERMAN), "language")
    assert not failed(answer(f"```\n{IN_ENGLISH}\n```"), wish(GERMAN), "language")
    assert not failed(answer(IN_ENGLISH), wish(f"Auf Englisch: {GERMAN}"), "language")
    assert not failed(answer(IN_ENGLISH), wish("Pourquoi?"), "language")
    assert check(answer(IN_ENGLISH), wish(GERMAN), ("language",), language="fr").is_kept
    assert not check(answer(IN_ENGLISH), wish(GERMAN), ("language",), language="de").is_kept


def test_confidence_gate() -> None:
    """The least sure token decides; no threshold skips, infinity keeps nothing, missing figures fail."""
    assert not failed(sure(-0.01, -0.2), wish(), "confidence", threshold=0.8)
    assert failed(sure(-0.01, -0.3), wish(), "confidence", threshold=0.8) == ("gate_confidence",)
    assert failed(answer("yes"), wish(), "confidence", threshold=0.8) == ("gate_confidence",)
    assert failed(sure(0.0), wish(), "confidence", threshold=math.inf) == ("gate_confidence",)
    verdict = check(sure(-0.3), wish(), ("confidence",))
    assert verdict.is_kept
    assert verdict.skipped == ("no_threshold",)
    assert verdict.confidence == pytest.approx(math.exp(-0.3))


def test_refusal_field_and_text() -> None:
    """A refusal in its own field or in the text fails."""
    assert failed(answer(None, refusal="I can't."), wish(), "refusal") == ("gate_refusal",)
    assert failed(answer("I'm sorry, but I can't help with that."), wish(), "refusal") == ("gate_refusal",)


def test_every_choice_is_judged() -> None:
    """With several choices one bad one is enough, and the confidence is that of the least sure."""
    two = msgspec.structs.replace(answer("fine"), rest=(answer(""),))
    assert failed(two, wish(n=2), "empty") == ("gate_empty",)
    unsure = msgspec.structs.replace(sure(-0.1), rest=(sure(-0.9),))
    assert check(unsure, wish(n=2), ()).confidence == pytest.approx(math.exp(-0.9))


def test_stops_at_the_first_failure_unless_asked() -> None:
    """One failure settles it; all are named on request, in the order of the gates."""
    bad = answer("", finish=None)
    asked = wish(response_format={"type": "json_object"})
    assert check(bad, asked, ("finish", "empty", "json")).failed == ("gate_finish",)
    assert failed(bad, asked, "finish", "empty", "json") == ("gate_finish", "gate_empty", "gate_json")


def test_unknown_gates_are_flagged() -> None:
    """A name that is no gate judges nothing and is told."""
    assert check(answer("x"), wish(), ("typo",)).skipped == ("unknown_gate",)


@pytest.mark.parametrize(
    "text",
    [
        "a" * 2_000_000,
        "lorem ipsum dolor sit amet " * 75_000,
        "\u0000\ufffd" * 1_000_000,
        "[" * 2_000_000,
        '{"a": "' + "x" * 2_000_000 + '"}',
        "[" + "1," * 900_000 + "1]",
        " " * 2_000_000,
        "的" * 700_000,
        "<tool_call>" * 180_000,
        "I can't " * 250_000,
    ],
    ids=[
        "one letter",
        "words",
        "junk",
        "brackets",
        "string",
        "numbers",
        "blanks",
        "chinese",
        "tags",
        "refusing",
    ],
)
def test_two_megabytes_are_judged_in_bounded_time(text: str) -> None:
    """All gates together stay far below a second on hostile answers."""
    given = answer(text)
    asked = schema_wish({"type": "array", "items": {"type": "integer"}}, tools=[{"function": {"name": "f"}}])
    started_s = time.process_time()
    check(given, asked, tuple(GATES), all_failures=True)
    check(given, wish(GERMAN), tuple(GATES), all_failures=True)
    assert time.process_time() - started_s < 1.0


def test_lone_surrogates_do_not_raise() -> None:
    """Text that no encoding can write is judged like any other."""
    check(
        GivenAnswer(text="\ud800" * 2_000, finish_reason="stop"),
        schema_wish({}),
        tuple(GATES),
        all_failures=True,
    )
