"""Marks find the beginning that two requests share: up to their grain, and never more than is shared."""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise, takewhile

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from spillway.fleet.marks import LARGEST_BYTES, POSITIONS, Beginning, beginning_of, shared_marks

SPLIT = msgspec.json.Decoder(dict[str, msgspec.Raw])


def begun(messages: object, model: str = "auto", **fields: object) -> Beginning:
    """The beginning of a chat request."""
    raw = msgspec.json.encode({"model": model, "messages": messages, **fields})
    found = beginning_of(SPLIT.decode(raw), model, len(raw) / 4)
    assert found is not None
    return found


def said(text: str, role: str = "user") -> dict[str, str]:
    """One message."""
    return {"role": role, "content": text}


def test_positions_are_few_and_fixed() -> None:
    """About a hundred marks serve the largest body, a twelfth apart and never closer than 64 bytes."""
    assert len(POSITIONS) < 105
    gaps = [after - before for before, after in pairwise(POSITIONS)]
    assert min(gaps) == 64
    assert all(gap <= max(64, at / 12) for gap, at in zip(gaps, POSITIONS, strict=False))


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=900), st.text(max_size=900), st.text(max_size=900))
def test_what_is_shared_is_found_up_to_the_grain(shared: str, one: str, other: str) -> None:
    """The last mark that agrees is the last that lies within the bytes both have in common."""
    first = Beginning(memoryview(("[" + shared + one).encode("utf-8", "replace")), 1, 0, 1.0)
    second = Beginning(memoryview(("[" + shared + other).encode("utf-8", "replace")), 1, 0, 1.0)
    pairs = zip(first._text, second._text, strict=False)
    common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    assert shared_marks(first.marks, second.marks) == bisect_right(POSITIONS, common)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=3000), st.integers(0, 3000), st.binary(max_size=100))
def test_a_whole_beginning_is_told_to_the_byte(text: bytes, size: int, more: bytes) -> None:
    """A request begins with another exactly when all the other's bytes come first in it."""
    size = min(size, len(text))
    whole = Beginning(memoryview(text), 7, 0, 1.0)
    other = Beginning(memoryview(text[:size] + more), 7, 0, 1.0)
    assert whole.begins_with(other.size_bytes, other.end) == text.startswith(text[:size] + more)


def test_the_next_turn_begins_with_the_one_before() -> None:
    """Appending an answer and a question keeps the beginning; changing one letter of it does not."""
    history = [said("You help.", "system"), said("What is it?")]
    before = begun(history)
    after = begun([*history, said("A cat.", "assistant"), said("And this?")])
    other = begun([history[0], said("What is on?"), said("A cat.", "assistant"), said("And this?")])
    assert after.begins_with(before.size_bytes, before.end)
    assert not other.begins_with(before.size_bytes, before.end)
    assert not before.begins_with(after.size_bytes, after.end)


def test_white_space_before_the_bracket_is_no_text() -> None:
    """Bodies written over several lines go on where the last message ended."""
    pretty = SPLIT.decode(b'{"messages": [\n {"role": "user", "content": "a"}\n ]}')
    longer = SPLIT.decode(b'{"messages": [\n {"role": "user", "content": "a"},\n {"role": "x"}\n]}')
    before, after = beginning_of(pretty, "m", 1), beginning_of(longer, "m", 2)
    assert before is not None
    assert after is not None
    assert after.begins_with(before.size_bytes, before.end)


def test_what_stands_before_the_messages_counts() -> None:
    """Other tools or another model are another beginning; other sampling is the same."""
    messages = [said("x" * 500)]
    plain = begun(messages)
    assert not shared_marks(plain.marks, begun(messages, tools=[{"type": "function"}]).marks)
    assert not shared_marks(plain.marks, begun(messages, model="local").marks)
    assert begun(messages, temperature=0.5).marks == plain.marks


def test_prompts_are_read_as_messages_are() -> None:
    """A completion that repeats an earlier prompt and its answer begins with it."""
    before = beginning_of(SPLIT.decode(b'{"prompt":"Once upon a time"}'), "m", 4)
    after = beginning_of(SPLIT.decode(b'{"prompt":"Once upon a time there was"}'), "m", 6)
    assert before is not None
    assert after is not None
    assert after.begins_with(before.size_bytes, before.end)
    assert beginning_of(SPLIT.decode(b'{"input":"x"}'), "m", 1) is None


def test_the_largest_body_has_marks_to_its_bound_and_no_end() -> None:
    """What follows a megabyte is not read, so that nobody waits; such a request is no whole beginning."""
    text = b"a" * (LARGEST_BYTES + 10)
    one, other = (Beginning(memoryview(text + end), 1, 0, 1.0) for end in (b"", b"b"))
    assert one.marks == other.marks
    assert len(one.marks) <= len(POSITIONS)
    assert one.end is None
    assert not other.begins_with(one.size_bytes, one.end)
