"""Streams watched while they come."""

from __future__ import annotations

import time

import pytest

from spillway.verify import (
    BUFFERED_TASKS,
    DEFAULT_GATES,
    GATES,
    NEEDS_WHOLE,
    StreamWatch,
    Wish,
    gates_for,
    needs_whole,
)
from spillway.verify.defaults import OPENING_GATES, RUNNING_GATES
from tests.verify.bodies import wish
from tests.verify.test_gates import GERMAN, IN_ENGLISH, IN_GERMAN
from tests.verify.test_looping import FINE, LOOPS

ALL = tuple(GATES)
JSON_WISH = wish(response_format={"type": "json_object"})


def feed(watch: StreamWatch, text: str, size: int = 5) -> int | None:
    """Feeds the text in pieces; how many characters it took to fail, ``None`` when it did not."""
    for at in range(0, len(text), size):
        if watch.feed(text[at : at + size]) is not None:
            return at + size
    return None


def test_breaks_off_a_loop_long_before_its_end() -> None:
    """A stream that circles is stopped after a few rounds."""
    watch = StreamWatch(wish(), ALL)
    taken = feed(watch, "Start. " + "The product is the same as before. " * 500)
    assert watch.failed == "gate_looping"
    assert taken is not None
    assert taken < 800


@pytest.mark.parametrize("name", LOOPS)
def test_finds_the_loops_that_the_gate_finds(name: str) -> None:
    """What circles in a whole answer circles in a stream that goes on long enough."""
    watch = StreamWatch(wish(), ALL)
    feed(watch, LOOPS[name] * 6)
    assert watch.failed == "gate_looping"


@pytest.mark.parametrize("name", FINE)
def test_lets_honest_repetition_pass(name: str) -> None:
    """Refrains, tables and rules are never broken off."""
    watch = StreamWatch(wish(), ALL)
    feed(watch, FINE[name])
    assert watch.end() is None


def test_stops_a_refusal_at_its_opening() -> None:
    """Short refusals are judged at the end of the stream, longer ones once enough was said."""
    watch = StreamWatch(wish(), ALL)
    assert feed(watch, "I'm sorry, but I can't help with that.") is None
    assert not watch.is_opening_judged
    assert watch.end() == "gate_refusal"
    long = StreamWatch(wish(), ALL)
    assert (
        feed(long, "I'm sorry, but I can't help with that, since it concerns things I know nothing of. " * 9)
        == 160
    )


def test_stops_a_wrong_language_at_its_opening() -> None:
    """Some forty words are enough; what was held back is then released or dropped."""
    watch = StreamWatch(wish(GERMAN), ALL, language="de")
    taken = feed(watch, IN_ENGLISH * 3)
    assert watch.failed == "gate_language"
    assert taken == 240
    right = StreamWatch(wish(GERMAN), ALL)
    feed(right, f"{IN_GERMAN} {GERMAN} {IN_GERMAN}")
    assert right.failed is None
    assert right.is_opening_judged


def test_stops_broken_json_at_once() -> None:
    """A fence or a sentence before the object ends it with its first character; a cut one at the end."""
    watch = StreamWatch(JSON_WISH, ALL)
    assert watch.feed("```json") == "gate_json"
    cut = StreamWatch(JSON_WISH, ALL)
    assert feed(cut, '{"a": [1, 2') is None
    assert cut.end() == "gate_json"
    whole = StreamWatch(JSON_WISH, ALL)
    assert feed(whole, '{"a": [1, 2]}\n') is None
    assert whole.end() is None


def test_stops_at_the_first_unsure_token() -> None:
    """With log-probabilities the first token below the threshold settles it."""
    watch = StreamWatch(wish(), ALL, threshold=0.9)
    assert watch.feed_logprobs([-0.01, -0.02]) is None
    assert watch.feed_logprobs([-0.3]) == "gate_confidence"
    assert watch.feed("more") == "gate_confidence"
    assert StreamWatch(wish(), ALL).feed_logprobs([-9.0]) is None


def test_gates_not_asked_for_are_not_watched() -> None:
    """Without gates everything passes and nothing is held back."""
    watch = StreamWatch(wish(), ())
    feed(watch, "I can't help with that. " * 100)
    assert watch.end() is None
    assert watch.is_opening_judged


def test_asked_repetition_is_allowed() -> None:
    """Who asks for a word a hundred times gets it."""
    watch = StreamWatch(wish("Please repeat the word poem forever."), ALL)
    assert feed(watch, "poem " * 500) is None


def test_two_megabytes_take_bounded_time_and_memory() -> None:
    """A stream that never ends costs a little per character and keeps only its last part."""
    text = "".join(f"line {i}: {i * i} of {i % 7}\n" for i in range(100_000))[:2_000_000]
    watch = StreamWatch(Wish(), ALL)
    started_s = time.process_time()
    feed(watch, text, 2_000)
    assert time.process_time() - started_s < 3.0
    assert len(watch._text) <= 34_000


def test_defaults_name_known_gates() -> None:
    """Every default gate exists, and every gate is either opening, running or needs the whole answer."""
    for gates in DEFAULT_GATES.values():
        assert set(gates) <= set(GATES)
        assert len(gates) == len(set(gates))
    assert set(GATES) == NEEDS_WHOLE | OPENING_GATES | RUNNING_GATES
    assert set(DEFAULT_GATES) >= BUFFERED_TASKS
    assert gates_for("my own class") == DEFAULT_GATES["other"]
    assert needs_whole(("json",))
    assert not needs_whole(("looping", "refusal"))


def test_every_task_of_the_classifier_has_gates() -> None:
    """No class of the classifier is forgotten."""
    from spillway.classify import TASKS

    assert {*TASKS, "short_generation"} == set(DEFAULT_GATES)
    assert "language" in DEFAULT_GATES["short_generation"]
