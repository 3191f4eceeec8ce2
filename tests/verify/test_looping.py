"""What goes round in circles, and what repeats for good reasons."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

import spillway
from spillway.verify.looping import is_looping, packs_too_small, repeats_at_end

LOOPS = {
    "sentence": "We need to factor. " + "We can rewrite this as 2x + 1 = 0, which is not what we want. " * 12,
    "cut in the middle": "Start. "
    + "The product is maximised when one factor is positive. " * 9
    + "The product is",
    "word": "The answer is " + "no " * 200,
    "letter": "Hm" + "m" * 400,
    "digits": "0." + "23" * 300,
    "spaces and a mark": "It follows that" + " - x" * 150,
    "chinese": "答案是" + "我们可以把它改写成另一种形式。" * 30,
    "lines": "1. Step\n" + "- not inserted, since it is not uppercase\n" * 20,
    "counted steps": "\n".join(
        f"## Step {i}: Calculate the total number of games played\nHowever, this is not the correct answer. "
        "We need to add the number of games played between players."
        for i in range(60)
    ),
}
REFRAIN = "\n".join(
    f"{verse}\nRoll on, roll on, you river wide,\nand carry me home on the evening tide.\n"
    for verse in (
        "I left my house when the sun was high,",
        "The heron stood where the reeds are dry,",
        "My father's boat had a broken oar,",
        "A lantern burned on the farther shore,",
        "And what I lost I shall lose no more,",
    )
)
TABLE = "| item | price | stock |\n|---|---|---|\n" + "\n".join(
    f"| part {i} | {i * 1.07:.2f} | {i * 7 % 13} |" for i in range(60)
)
FINE = {
    "refrain": REFRAIN,
    "table": TABLE,
    "rule": "Title\n" + "=" * 120 + "\nText",
    "table border at the end": "| a | b |\n|" + "-" * 300 + "|",
    "numbered list": "\n".join(
        f"{i}. {word}" for i, word in enumerate(["ash", "birch", "cedar", "elm", "fir", "oak"] * 4, 1)
    ),
    "zeros": json.dumps([[0] * 8] * 4),
    "short": "no no no no no no",
    "laughter": "Ha" + "ha" * 20 + "! That was a good one.",
}


@pytest.mark.parametrize("text", LOOPS.values(), ids=LOOPS)
def test_loops_are_found(text: str) -> None:
    """Texts that circle by sentence, word, letter, line or counted step are loops."""
    assert is_looping(text)


@pytest.mark.parametrize("text", FINE.values(), ids=FINE)
def test_honest_repetition_is_not_a_loop(text: str) -> None:
    """Refrains, tables, rules and lists are none."""
    assert not is_looping(text)


def test_our_own_code_is_not_a_loop() -> None:
    """No source file of the package looks like one."""
    for path in Path(spillway.__file__).parent.rglob("*.py"):
        assert not is_looping(path.read_text(encoding="utf-8")), path


def test_a_long_json_list_is_not_a_loop() -> None:
    """Records repeat their keys by design."""
    rng = random.Random(3)
    records = [
        {"id": i, "name": f"user{rng.randrange(10**6)}", "active": True, "roles": []} for i in range(400)
    ]
    for indent in (None, 2):
        assert not is_looping(json.dumps(records, indent=indent), is_structured=True)


def test_a_loop_in_the_middle_is_found() -> None:
    """A text that finds its way out of a long loop still went round."""
    assert is_looping(
        "Start. " + LOOPS["sentence"] * 8 + "\n".join(f"Finally {i} is done." for i in range(40))
    )


def test_parts_say_which_sign_they_saw() -> None:
    """An exact repeat at the end and a stretch that packs small are found separately."""
    assert repeats_at_end(LOOPS["sentence"])
    assert not repeats_at_end(LOOPS["counted steps"])
    assert packs_too_small(LOOPS["counted steps"][:4000])
    assert not packs_too_small("short" * 10)
