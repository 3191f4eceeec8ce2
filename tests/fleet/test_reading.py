"""How fast a node reads is learned from first tokens, whether it reads prompts together or in turn."""

from __future__ import annotations

from itertools import pairwise

import pytest

from spillway.fleet.record import Entry, NodeRecord
from spillway.slo.pace import LinearPace
from spillway.vocabulary import Choice, RequestFacts, Usage

PACE = LinearPace(0.01, 0.001, 0.0, 0.004, 0.002)
CHOICE = Choice("box", "local", "m")


def entry(prompt_tokens: int, now_s: float = 0.0) -> Entry:
    """A request that was just decided."""
    facts = RequestFacts(request_id="r", operation="chat", model="auto", input_tokens=prompt_tokens)
    return Entry(facts, CHOICE, now_s)


def answered(record: NodeRecord, entries: list[Entry], first_s: list[float], until_s: float) -> None:
    """They are sent together, have their first tokens at those moments, and end."""
    for one in entries:
        record.send(one, first_s[0] - first_s[0] % 10.0)
    for one, at_s in zip(entries, first_s, strict=True):
        record.first_token(one, at_s)
    for one in entries:
        record.finish(one, until_s, 1, Usage(round(one.prompt_tokens), 1, cache_read_tokens=0))


@pytest.mark.parametrize("is_together", [True, False])
@pytest.mark.parametrize("slowness", [1.0, 3.0])
def test_speed_is_learned_however_prompts_are_read(is_together: bool, slowness: float) -> None:
    """Bursts of three: all first tokens at the end of one pass, or one after another."""
    record = NodeRecord(PACE)
    for burst in range(30):
        now_s = 10.0 * burst
        entries = [entry(tokens, now_s) for tokens in (50, 100, 150)]
        ends_s, spent_s = [], 0.0
        for one in entries:
            spent_s += slowness * PACE.prefill_s(one.prompt_tokens, 0.0)
            ends_s.append(now_s + spent_s)
        if is_together:
            ends_s = [ends_s[-1], ends_s[-1] + 0.0005, ends_s[-1] + 0.001]
        answered(record, entries, ends_s, ends_s[-1] + 1.0)
    pace = record.learner.pace(291.0)
    assert pace is not None
    assert pace.prefill_s(100.0, 0.0) == pytest.approx(slowness * PACE.prefill_s(100.0, 0.0), rel=0.1)


def test_one_reading_waits_for_all_that_the_engine_says_of_it() -> None:
    """Of three prompts read together one was cached: known only when its answer ends, and then it counts."""
    record = NodeRecord(PACE)
    record.prefixes.reports = True
    for burst in range(1, 30):
        now_s = 10.0 * burst
        entries = [entry(100, now_s) for _ in range(3)]
        for one in entries:
            record.send(one, now_s)
        for one in entries:
            record.first_token(one, now_s + 2 * 0.11 + 0.01)
        for cached, one in zip((0, 0, 99), entries, strict=True):
            record.finish(one, now_s + 1.0, 1, Usage(100, 1, cache_read_tokens=cached))
    pace = record.learner.pace(291.0)
    assert pace is not None
    assert pace.prefill_s(100.0, 0.0) == pytest.approx(0.11, rel=0.1)


def test_steps_beside_a_prompt_are_not_taken_for_reading() -> None:
    """While others write, a prompt takes longer by a step; one that is given up leaves nothing behind."""
    record = NodeRecord(PACE)
    writing = [entry(10), entry(10)]
    answered_s = 0.05
    for one in writing:
        record.send(one, 0.0)
    for one in writing:
        record.first_token(one, answered_s)
    for turn in range(1, 30):
        now_s = 10.0 * turn
        given_up, read = entry(500, now_s), entry(100, now_s + 1.0)
        record.send(given_up, now_s)
        record.leave(given_up, now_s + 0.1)
        record.send(read, now_s + 1.0)
        end_s = now_s + 1.0 + PACE.prefill_s(100.0, 0.0) + PACE.decode_step_s(2, 0.0)
        record.first_token(read, end_s)
        record.finish(read, end_s + 0.1, 1, Usage(100, 1, cache_read_tokens=0))
    pace = record.learner.pace(291.0)
    assert pace is not None
    assert pace.prefill_s(100.0, 0.0) == pytest.approx(PACE.prefill_s(100.0, 0.0), rel=0.1)


def test_prompts_that_wait_for_a_slot_are_still_to_be_read() -> None:
    """Also while all that were sent are being answered."""
    record = NodeRecord(PACE)
    running = entry(10)
    record.send(running, 0.0)
    record.first_token(running, 0.02)
    waiting = (entry(100), entry(200))
    load = record.load(1.0, 1, waiting)
    assert load.unread == 2
    assert load.unread_s == pytest.approx(PACE.prefill_s(100.0, 0.0) + PACE.prefill_s(200.0, 0.0), rel=0.05)
    assert load.unread_chunks == 2.0


def learned(record: NodeRecord, now_s: float) -> float:
    """Seconds it would take now to read 100 tokens."""
    pace = record.learner.pace(now_s)
    assert pace is not None
    return pace.prefill_s(100.0, 0.0)


def test_what_never_has_a_first_token_is_not_charged_to_others() -> None:
    """A long prompt that is given up, and embeddings that always overlap, teach nothing through the chats."""
    record = NodeRecord(PACE)
    for turn in range(20):
        now_s = 10.0 * turn
        long, short = entry(3000, now_s), entry(100, now_s + 0.1)
        record.send(long, now_s)
        record.send(short, now_s + 0.1)
        record.leave(long, now_s + 2.0)
        record.first_token(short, now_s + 2.11)
        record.finish(short, now_s + 2.2, 1, Usage(100, 1, cache_read_tokens=0))
    assert learned(record, 200.0) == pytest.approx(0.11, rel=0.05)
    previous = entry(50, 200.0)
    record.send(previous, 200.0)
    for turn in range(20):
        now_s = 210.0 + 10.0 * turn
        following = entry(50, now_s)
        record.send(following, now_s)
        record.leave(previous, now_s + 0.1)
        chat = entry(100, now_s + 1.0)
        record.send(chat, now_s + 1.0)
        record.first_token(chat, now_s + 1.2)
        record.finish(chat, now_s + 2.0, 1, Usage(100, 1, cache_read_tokens=0))
        previous = following
    assert learned(record, 410.0) == pytest.approx(0.11, rel=0.05)


def test_a_reading_ends_when_nothing_is_left_unread() -> None:
    """Also because the last unread request was given up: an unknown node is known from then on."""
    record = NodeRecord()
    first, given_up = entry(100), entry(100, 0.01)
    record.send(first, 0.0)
    record.send(given_up, 0.01)
    record.first_token(first, 0.11)
    record.leave(given_up, 0.2)
    assert learned(record, 0.2) == pytest.approx(0.11, rel=0.05)


def test_a_node_much_faster_than_believed_is_known_although_it_is_never_at_rest() -> None:
    """With a profile three times too slow each first token seems too soon for a reading of its own."""
    record = NodeRecord(PACE.scaled(3.0, 3.0))
    entries = [entry(100) for _ in range(300)]
    record.send(entries[0], 0.0)
    for turn, (one, following) in enumerate(pairwise(entries), 1):
        record.send(following, 0.11 * turn - 0.05)
        record.first_token(one, 0.11 * turn)
        record.finish(one, 0.11 * turn + 0.01, 1, Usage(100, 1, cache_read_tokens=0))
    assert learned(record, 33.0) == pytest.approx(0.11, rel=0.25)
