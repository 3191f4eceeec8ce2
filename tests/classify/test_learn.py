from __future__ import annotations

from pathlib import Path

import pytest

from spillway.classify import facts_of, load_model, read_own_tasks, write_own_tasks
from spillway.classify.learn import learn_tasks
from spillway.errors import ConfigError

INVOICES = [
    "Check whether invoice 4471 matches purchase order 22 and list every mismatch.",
    "Match the invoice below against its purchase order and report differences in quantity.",
    "Does invoice 93 agree with the purchase order? Report the mismatches.",
    "Compare this invoice with purchase order 7 and flag price mismatches.",
    "Purchase order 81 against invoice 1200: report each mismatch.",
    "Reconcile invoice 55 and its purchase order, listing mismatches only.",
]
RECIPES = [
    "Scale this recipe to eight portions and convert cups to grams.",
    "Convert the recipe to metric and scale it to two portions.",
    "Scale the recipe below to twelve portions.",
    "Halve this recipe, portions for two, in grams.",
    "Recipe for four, scale to ten portions, metric units.",
    "Scale to six portions and give grams for this recipe.",
]


def _examples() -> list[tuple[str, dict[str, object]]]:
    rows: list[tuple[str, dict[str, object]]] = [("invoice_match", {"prompt": text}) for text in INVOICES]
    return rows + [("recipe_scaling", {"prompt": text}) for text in RECIPES]


def test_an_owners_class_is_recognised_and_ordinary_requests_are_not(tmp_path: Path) -> None:
    """Learned from six examples each, new wordings are told; other requests keep their class."""
    path = tmp_path / "tasks.json"
    write_own_tasks(path, learn_tasks(_examples()))
    model = load_model(read_own_tasks(path))
    guess = model.guess(facts_of({"prompt": "Report mismatches between invoice 8 and purchase order 3."}))
    assert guess.task == "invoice_match"
    assert "own_class" in guess.flags
    assert model.guess(facts_of({"prompt": "Scale my recipe to five portions"})).task == "recipe_scaling"
    for text in (
        "Translate to French: good morning",
        "What is the capital of Peru?",
        "Write a poem about rain",
    ):
        assert "own_class" not in model.guess(facts_of({"prompt": text})).flags


def test_learning_again_replaces_one_class_and_keeps_the_other() -> None:
    """New examples of a class replace it; classes not named stay."""
    first = learn_tasks(_examples())
    again = learn_tasks([("recipe_scaling", {"prompt": text}) for text in RECIPES[:5]], first)
    assert [(task.name, task.examples) for task in again.tasks] == [
        ("invoice_match", 6),
        ("recipe_scaling", 5),
    ]


def test_learning_is_deterministic() -> None:
    """The same examples give the same file."""
    assert learn_tasks(_examples()).tasks == learn_tasks(_examples()).tasks


def test_too_few_examples_are_refused() -> None:
    """Four examples cannot be told from chance, and the error says how many are needed."""
    with pytest.raises(ConfigError, match=r"'tiny' needs at least 5 examples and has 4"):
        learn_tasks([("tiny", {"prompt": "x"})] * 4)
    with pytest.raises(ConfigError, match="there are no examples"):
        learn_tasks([])


@pytest.mark.parametrize("content", [b"not json", b"[]", b'{"schema": "other/9", "tasks": []}'])
def test_a_wrong_file_is_named(tmp_path: Path, content: bytes) -> None:
    """A file that is no file of classes is refused by name."""
    path = tmp_path / "tasks.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"tasks\.json"):
        read_own_tasks(path)
