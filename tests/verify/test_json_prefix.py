"""JSON checked while it arrives, against the parser that sees it whole."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from spillway.verify.json_prefix import JsonPrefix

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def fed(text: str, cuts: list[int]) -> JsonPrefix:
    """A prefix fed the text in pieces of the given sizes, the rest at once."""
    prefix, at = JsonPrefix(), 0
    for size in cuts:
        prefix.feed(text[at : at + size])
        at += size
    prefix.feed(text[at:])
    return prefix


def is_json(text: str) -> bool:
    """Whether the standard parser takes it, constants like NaN refused."""

    def refuse(constant: str) -> Any:
        raise ValueError(constant)

    try:
        json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError):
        return False
    return True


@given(VALUES, st.booleans(), st.lists(st.integers(1, 5), max_size=30))
def test_valid_json_is_never_broken(value: Any, is_ascii: bool, cuts: list[int]) -> None:
    """However it is cut, JSON passes and is whole at its end."""
    prefix = fed(json.dumps(value, ensure_ascii=is_ascii), cuts)
    assert not prefix.is_broken
    assert prefix.is_whole


@given(
    VALUES, st.integers(0, 60), st.sampled_from(["", ",", "}", "]", '"', "x", "\\", ":", "-", ".", "e", "0"])
)
def test_damaged_json_is_judged_like_the_parser_does(value: Any, at: int, damage: str) -> None:
    """After one character was put in, it is whole exactly when the parser takes it."""
    text = json.dumps(value, indent=1)
    text = text[:at] + damage + text[at + 1 :]
    assert fed(text, []).is_whole is is_json(text)


def test_says_so_as_soon_as_nothing_can_help() -> None:
    """A fence, a word or a wrong bracket breaks it at that character."""
    assert not JsonPrefix().feed("```json")
    assert not JsonPrefix().feed("Here is")
    prefix = JsonPrefix()
    assert prefix.feed('{"a": [1, {"b": "x')
    assert not prefix.is_whole
    assert prefix.feed("y\\u00")
    assert prefix.feed('e9"}]')
    assert not prefix.feed("]")
    assert prefix.is_broken
    assert not prefix.feed("}")


def test_text_after_the_value_breaks_it() -> None:
    """White space may follow, words may not."""
    assert fed('{"a": 1}\n ', []).is_whole
    assert fed('{"a": 1} ok', []).is_broken


def test_depth_is_bounded() -> None:
    """Endless opening brackets are given up on."""
    assert fed("[" * 100_000, []).is_broken
