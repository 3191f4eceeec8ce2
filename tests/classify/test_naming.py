"""The class that rules and evidence go by, from the guess and the shape of the payload."""

from __future__ import annotations

import pytest

from spillway.classify import TaskGuess, facts_of, routed_as


def body_with_schema(*fields: str) -> dict[str, object]:
    """A request whose words say nothing, with a schema of these fields."""
    schema = {"type": "object", "properties": {name: {"type": "string"} for name in fields}}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    return {"messages": [{"role": "user", "content": "hm"}], "response_format": wanted}


@pytest.mark.parametrize(
    ("guess", "body", "task"),
    [
        (TaskGuess("conversation", 0.8, 0.5), body_with_schema("a", "b"), "extraction"),
        (TaskGuess("math", 0.2, 0.5, ("unsure",)), body_with_schema("a"), "classification"),
        (TaskGuess("math", 0.9, 0.5), body_with_schema("a", "b"), "math"),
        (TaskGuess("math", 0.2, 0.5, ("unsure",)), {"prompt": "hm"}, "other"),
        (TaskGuess("generation", 0.9, 0.5), {"prompt": "hm", "max_tokens": 100}, "short_generation"),
        (TaskGuess("generation", 0.9, 0.5), {"prompt": "hm", "max_tokens": 900}, "generation"),
        (TaskGuess("generation", 0.9, 0.5), {"prompt": "hm"}, "generation"),
    ],
)
def test_shape_decides_where_words_are_vague(guess: TaskGuess, body: dict[str, object], task: str) -> None:
    """A schema tells what vague words do not, unsure is ``other``, short generations are a class."""
    assert routed_as(guess, facts_of(body)) == task
