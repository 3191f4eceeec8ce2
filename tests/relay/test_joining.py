"""Whatever the pieces are: texts that are put together or stitched are exactly what was said."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spillway.relay.assemble import assemble
from spillway.relay.seam import Seam
from spillway.relay.step import Method
from spillway.relay.stitch import Stitcher
from spillway.relay.tee import StreamTee
from spillway.relay.template import WINDOW_BYTES
from spillway.testing.bodies import event
from spillway.vocabulary import Usage

PIECES = st.lists(st.text(st.characters(codec="utf-8"), max_size=6), max_size=12)
ODD = st.lists(st.sampled_from(['"', "\\", '\\"', "\n\n", "data: ", "a", "é", "😀", '":"', "}"]), max_size=12)


def chunk(text: str, *, finish: str | None = None, escaped: bool = True, **more: Any) -> bytes:
    """One event of a chat stream."""
    choice = {"index": 0, "delta": {"content": text}, **more, "finish_reason": finish}
    body = json.dumps({"id": "a", "choices": [choice]}, ensure_ascii=escaped, separators=(",", ":"))
    return b"data: " + body.encode() + b"\n\n"


def read_by_tee(data: bytes, size: int) -> bytes:
    """The events as the relay keeps them for a whole answer, texts joined."""
    tee = StreamTee(joins_texts=True)
    return b"".join(tee.feed(data[at : at + size]) for at in range(0, len(data), size))


@given(PIECES | ODD, st.booleans(), st.integers(1, 600))
@settings(max_examples=150, deadline=None)
def test_a_text_is_the_sum_of_its_pieces(pieces: list[str], escaped: bool, size: int) -> None:
    """Quotes, backslashes, blank lines and any character survive, however they are escaped."""
    events = b"".join([*[chunk(piece, escaped=escaped) for piece in pieces], chunk("", finish="stop")])
    for read in (events, read_by_tee(events, size)):
        assert assemble(read, "chat")["choices"][0]["message"]["content"] == "".join(pieces)


@given(st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=8))
def test_equal_tokens_keep_all_their_log_probabilities(pieces: list[str]) -> None:
    """Pieces that are equal in everything are still as many as they are."""
    events = [chunk(p, logprobs={"content": [{"token": p, "logprob": -1.0}]}) for p in pieces]
    whole = assemble(read_by_tee(b"".join(events) + chunk("", finish="stop"), 10_000), "chat")
    assert [entry["token"] for entry in whole["choices"][0]["logprobs"]["content"]] == pieces
    assert whole["choices"][0]["message"]["content"] == "".join(pieces)


@given(PIECES | ODD, st.integers(1, 40), st.booleans())
@settings(max_examples=150, deadline=None)
def test_a_stream_may_arrive_in_any_pieces(pieces: list[str], size: int, crlf: bool) -> None:
    """However the bytes are cut, the tee lets the same events through and reads the same text."""
    data = b"".join([*[chunk(piece) for piece in pieces], chunk("", finish="stop"), b"data: [DONE]\n\n"])
    if crlf:
        data = data.replace(b"\n\n", b"\r\n\r\n")
    tee = StreamTee(keeps_text=True)
    passed = b"".join(tee.feed(data[at : at + size]) for at in range(0, len(data), size))
    assert tee.text == "".join(pieces)
    assert tee.is_done
    assert tee.has_finished
    assert passed + (b"data: [DONE]\r\n\r\n" if crlf else b"data: [DONE]\n\n") == data


@pytest.mark.parametrize("joins", [True, False])
def test_a_long_row_of_events_is_read_like_single_ones(joins: bool) -> None:
    """However many events come at once, each is counted and none of their text is lost or read twice."""
    pieces = [
        ['a"b', "line\n", "\\", "é", "😀", "", "/", "\u0001"][i % 8] if i % 5 else f" word{i}"
        for i in range(1500)
    ]
    data = b"".join(
        [*[chunk(piece, escaped=i % 3 > 0) for i, piece in enumerate(pieces)], chunk("", finish="stop")]
    )
    at_once, single = (StreamTee(joins_texts=joins, keeps_text=True) for _ in range(2))
    passed = at_once.feed(data)
    assert len(data) > 4 * WINDOW_BYTES
    assert b"".join(single.feed(event + b"\n\n") for event in data.split(b"\n\n")[:-1]) == data
    assert at_once.text == single.text == "".join(pieces)
    assert at_once.text_events == single.text_events == sum(map(bool, pieces))
    assert joins or passed == data
    assert assemble(passed, "chat")["choices"][0]["message"]["content"] == "".join(pieces)


def test_an_event_that_says_more_is_not_joined() -> None:
    """A row ends where an event differs in anything else than its text, and goes on behind it."""
    events = [chunk(f"w{i}") for i in range(10)]
    events[5] = chunk("w5", logprobs={"content": []})
    tee = StreamTee(joins_texts=True)
    passed = tee.feed(b"".join(events) + b": alive\n\n" + b"".join(events))
    assert passed.count(b"logprobs") == 2
    assert passed.count(b": alive\n\n") == 1
    assert tee.text_events == 20
    assert assemble(passed, "chat")["choices"][0]["message"]["content"] == 2 * "w0w1w2w3w4w5w6w7w8w9"


def stitched(begun: str, pieces: list[str], method: Method) -> str:
    """What the client reads in all."""
    stitcher = Stitcher(Seam(begun, "first", Usage(), "mini", "upstream_cut"), method, "cloud")
    events = b"".join([*[chunk(piece) for piece in pieces], chunk("", finish="stop")])
    out = stitcher.feed(events)
    texts = [json.loads(e[6:])["choices"][0]["delta"].get("content") or "" for e in out.split(b"\n\n") if e]
    assert "".join(texts) == stitcher.text
    return begun + stitcher.text


@given(PIECES, st.integers(0, 60))
@settings(max_examples=150, deadline=None)
def test_an_answer_made_again_is_read_once(pieces: list[str], cut: int) -> None:
    """Wherever the first stream broke, the same answer made again completes it, each word once."""
    text = "".join(pieces)
    assert stitched(text[:cut], pieces, "restart") == text


@given(PIECES, st.text("abcdefgh ", min_size=20, max_size=40))
@settings(max_examples=150, deadline=None)
def test_a_prefill_is_gone_on_from_or_repeated(pieces: list[str], begun: str) -> None:
    """Whether the engine repeats what it was given or only goes on, the client reads it once."""
    rest = "".join(pieces)
    assert stitched(begun, [begun, *pieces], "prefill") == begun + rest
    if not begun.startswith(rest[:1] or "x"):
        assert stitched(begun, pieces, "prefill") == begun + rest


@given(st.text("abc ", max_size=30), st.text("defg ", min_size=8, max_size=20), st.text("hij", max_size=100))
@settings(max_examples=150, deadline=None)
def test_an_overlap_is_cut(start: str, overlap: str, rest: str) -> None:
    """What the instructed model says again at the seam is read once."""
    assert stitched(start + overlap, [overlap, rest], "instruct") == start + overlap + rest


def test_reasoning_and_calls_pass_through_a_seam() -> None:
    """Chunks without text are not lost in a continuation."""
    stitcher = Stitcher(Seam("begun ", "first", Usage(), "mini", "upstream_cut"), "prefill", "cloud")
    call = {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{}"}}]}
    out = stitcher.feed(
        event({"id": "b", "choices": [{"index": 0, "delta": {"role": "assistant"}}]})
        + event({"id": "b", "choices": [{"index": 0, "delta": call}]})
        + event({"id": "b", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    )
    chunks = [json.loads(e[6:]) for e in out.split(b"\n\n") if e]
    assert [c["id"] for c in chunks] == ["first", "first"]
    assert chunks[0]["choices"][0]["delta"] == call
    assert chunks[0]["spillway"]["continued"] is True


@pytest.mark.parametrize("blank_line", [b"\n\n", b"\r\n\r\n"])
def test_usage_after_the_end_moves_to_the_usage_chunk(blank_line: bytes) -> None:
    """OpenRouter sends usage last, on a chunk with an empty piece; before the end it passes as it comes."""
    usage = {"prompt_tokens": 9, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 4}}
    said = {"index": 0, "delta": {"content": "hi"}, "finish_reason": None}
    ended = {"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}
    after = {"index": 0, "delta": {"content": ""}, "finish_reason": None}
    chunks = [
        {"id": "c", "choices": [said], "usage": usage},
        {"id": "c", "choices": [ended]},
        {"id": "c", "choices": [after], "usage": usage},
    ]
    events = [b"data: " + msgspec.json.encode(chunk) + blank_line for chunk in chunks]
    tee = StreamTee(takes_usage=True)
    passed = [tee.feed(event) for event in events]
    assert passed[:2] == events[:2]
    assert passed[2] == events[2].replace(msgspec.json.encode(usage), b"null")
    assert tee.end_usage == msgspec.json.encode({"id": "c", "choices": [], "usage": usage})
    assert tee.usage is not None
    assert tee.usage.cache_read_tokens == 4
