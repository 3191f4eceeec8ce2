import json
import random
import re
from itertools import product

import pytest

from spillway.demo import shop
from spillway.demo.shop_unseen import UNSEEN_ADJECTIVES, UNSEEN_CORES, UNSEEN_NOUNS

KINDS: tuple[shop.Kind, ...] = ("trained", "unseen_phrasings", "unseen_items")


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_gives_the_same_messages(kind: shop.Kind) -> None:
    """A seed names its messages: the same again, others for another seed."""
    assert shop.messages(7, 50, kind) == shop.messages(7, 50, kind)
    assert shop.messages(7, 50, kind) != shop.messages(8, 50, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_longer_draw_starts_with_the_shorter_one(kind: shop.Kind) -> None:
    """Asking for more messages extends the list and changes none."""
    assert shop.messages(7, 60, kind)[:20] == shop.messages(7, 20, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_named_fields_are_copied_from_the_text(kind: shop.Kind) -> None:
    """Every order, item and day of an answer stands in its message, and no other long number does."""
    for message in shop.messages(11, 500, kind):
        order, item, day = (message.answer[name] for name in ("order", "item", "day"))
        assert order is None or str(order) in message.text
        assert item is None or str(item) in message.text
        assert day is None or str(day) in message.text.lower()
        numbers = re.findall(r"\d{4,}", message.text)
        assert numbers == ([] if order is None else [order])
        assert "{" not in message.text
        assert "[" not in message.text


@pytest.mark.parametrize("kind", KINDS)
def test_all_intents_and_both_urgencies_occur(kind: shop.Kind) -> None:
    """A few hundred messages cover every intent, and every field is sometimes null and sometimes not."""
    answers = [message.answer for message in shop.messages(3, 500, kind)]
    assert {answer["intent"] for answer in answers} == set(shop.INTENTS)
    assert {answer["urgent"] for answer in answers} == {True, False}
    always_named = {"item"} if kind == "unseen_items" else set()
    for field in {"order", "item", "day"} - always_named:
        assert {answer[field] is None for answer in answers} == {True, False}


def test_every_day_a_message_speaks_of_is_the_answers_day() -> None:
    """No message names two weekdays, so the true day is never ambiguous."""
    for message in shop.messages(5, 2000) + shop.messages(5, 2000, "unseen_phrasings"):
        spoken = [day for day in shop.DAYS if day in message.text.lower()]
        assert spoken == ([] if message.answer["day"] is None else [message.answer["day"]])


def test_there_are_hundreds_of_trained_forms_per_intent() -> None:
    """Each intent has 200 or more trained request sentences before slots, courtesies and typing habits."""
    for intent, patterns in shop.phrases()["cores"].items():
        forms = sum(_count_forms(pattern) for pattern in patterns)
        assert forms >= 200, f"{intent}: {forms}"


def test_at_least_six_unseen_phrasings_per_intent() -> None:
    """The held-out list is large enough to speak of each intent."""
    assert set(UNSEEN_CORES) == set(shop.phrases()["cores"])
    assert all(len(set(cores)) >= 6 for cores in UNSEEN_CORES.values())


def test_no_trained_request_occurs_in_an_unseen_phrasing() -> None:
    """No request sentence that training can produce is, or is part of, any held-out phrasing."""
    unseen = [_plain(core) for cores in UNSEEN_CORES.values() for core in cores]
    for patterns in shop.phrases()["cores"].values():
        for pattern in patterns:
            trained = re.compile(_as_regex(_plain(pattern)))
            clashes = [core for core in unseen if trained.search(core)]
            assert not clashes, f"{pattern} occurs in {clashes}"


def test_unseen_phrasings_never_come_up_in_training() -> None:
    """Ten thousand training messages contain no held-out phrasing."""
    held_out = [
        re.compile(re.sub(r"\\{(order|item|day)\\}", ".+?", re.escape(_plain(core))))
        for cores in UNSEEN_CORES.values()
        for core in cores
    ]
    for message in shop.training_messages(1, 10_000):
        text = message.text.lower()
        assert not any(pattern.search(text) for pattern in held_out), message.text


def test_unseen_item_words_are_not_trained_words() -> None:
    """The held-out nouns and adjectives share no word with the trained ones."""
    trained = {word for words in shop.trained_words() for word in words}
    assert not trained & {*UNSEEN_NOUNS, *UNSEEN_ADJECTIVES}


def test_invented_words_occur_in_training_only() -> None:
    """The trained kind uses real item words; the training mix makes some up."""
    known = {word for words in shop.trained_words() for word in words}
    served = {word for m in shop.messages(1, 500) for word in str(m.answer["item"] or "").split()}
    trained = {word for m in shop.training_messages(1, 500) for word in str(m.answer["item"] or "").split()}
    assert served <= known
    assert trained - known


def test_exactness_wants_every_field_and_nothing_else() -> None:
    """An answer is exact when it is a JSON object with the five true values, white space aside."""
    message = shop.messages(1, 1)[0]
    truth = message.answer
    assert shop.is_exact(shop.answer_text(truth), message)
    assert shop.is_exact(json.dumps(truth, indent=2), truth)
    assert not shop.is_exact(shop.answer_text({**truth, "order": "1"}), truth)
    assert not shop.is_exact(shop.answer_text({**truth, "more": None}), truth)
    assert not shop.is_exact(json.dumps({**truth, "urgent": int(bool(truth["urgent"]))}), truth)
    assert not shop.is_exact(shop.answer_text(truth)[:-1], truth)
    assert not shop.is_exact("[]", truth)


def test_schema_names_the_answers_fields_in_order() -> None:
    """The schema and the answers agree on fields, intents and days."""
    answer = shop.messages(1, 1)[0].answer
    assert list(shop.ANSWER_SCHEMA["properties"]) == list(answer) == shop.ANSWER_SCHEMA["required"]
    assert shop.ANSWER_SCHEMA["properties"]["intent"]["enum"] == list(shop.INTENTS)


def test_expansion_takes_one_alternative_at_each_bracket() -> None:
    """Nested brackets expand to one of the written-out forms."""
    wanted = {f"{a} {b}" for a, b in product(("a", "b x", "b y"), ("", "c"))}
    drawn = {shop.expand(random.Random(seed), "[a|b [x|y]] [|c]") for seed in range(200)}
    assert drawn == wanted


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text.rstrip(".?!").lower())


def _as_regex(pattern: str) -> str:
    """A pattern of the phrase grammar as a regular expression that finds all its forms."""
    marks = {"[": "(?:", "|": "|", "]": ")"}
    written = "".join(marks.get(character, re.escape(character)) for character in pattern)
    things = [thing for forms in shop.phrases()["things"].values() for thing in forms]
    if re.escape("{thing}") in written:
        anything = "|".join(f"(?:{_as_regex(_plain(thing))})" for thing in things)
        written = written.replace(re.escape("{thing}"), f"(?:{anything})")
    return rf"(?<!\w)(?:{written})(?!\w)"


def _count_forms(pattern: str) -> int:
    """How many forms a pattern has, counted without writing them out."""
    total, at = _count_alternatives(pattern, 0)
    assert at == len(pattern)
    return total


def _count_alternatives(pattern: str, at: int) -> tuple[int, int]:
    total, product_so_far = 0, 1
    while at < len(pattern) and pattern[at] != "]":
        if pattern[at] == "[":
            inside, at = _count_alternatives(pattern, at + 1)
            product_so_far *= inside
        elif pattern[at] == "|":
            total, product_so_far = total + product_so_far, 1
        at += 1
    return total + product_so_far, at
