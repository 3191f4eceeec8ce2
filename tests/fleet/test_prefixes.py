"""What a node is believed to hold of a prompt: found, trusted by what the engine says, bounded, forgotten."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spillway.engines.openai_compatible import OpenAICompatible
from spillway.fleet.marks import Beginning
from spillway.fleet.prefixes import MOST_HELD, PrefixMemory
from spillway.fleet.registry import Fleet, Upstream
from spillway.testing.fake_clock import FakeClock
from spillway.vocabulary import Choice, ModelFacts, RequestFacts, Usage

CHOICE = Choice("mini", "local", "m")


def prompt(text: str, tokens: float | None = None) -> Beginning:
    """A prompt of that text, four bytes to a token."""
    raw = text.encode()
    return Beginning(memoryview(raw), 1, 0, len(raw) / 4 if tokens is None else tokens)


def memory(kind: str = "llamacpp", slots: int | None = 2, context: int | None = None) -> PrefixMemory:
    """What a fresh engine holds."""
    found = PrefixMemory()
    found.fit(kind, slots, context)
    return found


def answer(of: PrefixMemory, text: str, answer_tokens: float = 0.0) -> None:
    """One request from its beginning to its end."""
    mine = prompt(text)
    held = of.hold(mine, of.take(mine))
    held.is_busy, held.answer_tokens = False, answer_tokens


def believed(of: PrefixMemory, text: str) -> float:
    """Tokens of that prompt before any doubt."""
    match = of.find(prompt(text))
    return 0.0 if match is None else match.tokens


A, B, C = "a" * 2000, "b" * 2000, "c" * 2000


def test_a_conversation_goes_on_where_it_ended() -> None:
    """The next turn has the prompt and, where it grew by as much, the answer before it."""
    node = memory()
    answer(node, A, answer_tokens=50)
    assert believed(node, A + "x" * 400) == 550
    assert believed(node, A + "x" * 100) == 500  # too short to repeat the answer
    assert believed(node, A) == 500
    assert believed(node, B) == 0
    answer(node, A + "x" * 400)
    assert len(node) == 1


def test_a_common_beginning_is_shared_up_to_the_last_mark() -> None:
    """Another question to the same instructions has those, less than a twelfth of them lost."""
    node = memory()
    answer(node, A + B)
    assert 460 < believed(node, A + C) <= 500


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 1500)), max_size=12), st.integers(0, 1500))
def test_never_more_is_believed_than_there_is(sent: list[tuple[str, int]], size: int) -> None:
    """Whatever was sent, what is believed never exceeds the prompt, nor what was ever shared with it."""
    node = memory(slots=4)
    for letter, count in sent:
        answer(node, "S" * 300 + letter * count)
    most = max((count for letter, count in sent if letter == "a"), default=0)
    found = believed(node, "S" * 300 + "a" * size)
    assert found <= (300 + min(size, most)) / 4 + 1e-9 if sent else found == 0


def test_slots_hold_the_last_ones() -> None:
    """What fits into the slots is trusted, what was used before that less, and much older ones are gone."""
    node = memory(slots=2)
    for letter in "abcdefgh" * 3:
        answer(node, letter * 2000)
    assert len(node) == 8
    match_h, match_e = node.find(prompt("h" * 2000)), node.find(prompt("e" * 2000))
    assert match_h is not None
    assert match_e is not None
    assert node.believed(match_h) == 0.9 * 500
    assert node.believed(match_e) < node.believed(match_h)
    for number in range(40):
        answer(node, f"{number:04}" * 500)
    assert len(node) == 16
    assert believed(node, "h" * 2000) == 0


def test_a_pool_is_bounded_by_tokens() -> None:
    """vLLM holds at least one longest prompt; beyond eight times that nothing is remembered."""
    node = memory("vllm", None, context=1000)
    for number in range(40):
        answer(node, f"{number:04}" * 500)
    assert len(node) == 16
    assert len(node) <= MOST_HELD
    newest, oldest = node.find(prompt("0039" * 500)), node.find(prompt("0024" * 500))
    assert newest is not None
    assert oldest is not None
    assert node.believed(newest) == 0.9 * 500
    assert 0 < node.believed(oldest) < 100


def test_a_busy_slot_takes_no_other_request() -> None:
    """While a turn is answered its sequence is not there for others, but it is in a pool, or after a wait."""
    node, pool = memory(), memory("vllm", None)
    for one in (node, pool):
        one.hold(prompt(A), None)
    assert node.find(prompt(A)) is None
    assert node.find(prompt(A), True) is not None
    assert pool.find(prompt(A)) is not None


def test_trust_follows_what_the_engine_reports() -> None:
    """Without a cache an engine is soon not credited, and credited again when it has one."""
    node = memory()
    for _ in range(6):
        answer(node, A)
        node.learn(node.find(prompt(A)), 500, 0.0)
    assert node.reports
    assert node.believed(node.find(prompt(A))) < 0.2 * 500
    for _ in range(12):
        node.learn(node.find(prompt(A)), 500, 1.0)
    assert node.believed(node.find(prompt(A))) > 0.9 * 500


def test_what_was_used_since_tells_how_sure_it_is() -> None:
    """An engine that lost a recent one has older ones even less; one that had an old one has recent ones."""
    lossy, keeping = memory(slots=1), memory(slots=1)
    for node in (lossy, keeping):
        for letter in (A, B, C):
            answer(node, letter)
    for _ in range(20):
        lossy.learn(lossy.find(prompt(C)), 500, 0.0)
        keeping.learn(keeping.find(prompt(A)), 500, 1.0)
    assert lossy.believed(lossy.find(prompt(A))) < 10
    assert keeping.believed(keeping.find(prompt(C))) > 490


def test_an_engine_that_says_nothing_keeps_its_prior() -> None:
    """A kind known to keep prompts is believed to; one of unknown kind half as much, and only the last."""
    for kind, share in (("ollama", 0.9), ("openai", 0.5)):
        node = memory(kind, 1)
        answer(node, A)
        assert node.believed(node.find(prompt(A))) == share * 500
        answer(node, B)
        assert node.believed(node.find(prompt(A))) == 0
        assert not node.reports


# with leases


def fleet_of(slots: int = 2, kind: str = "llamacpp") -> tuple[Fleet, Upstream, FakeClock]:
    """One node of that kind."""
    clock = FakeClock()
    engine = OpenAICompatible("http://127.0.0.1:9/v1", None)
    node = Upstream("mini", "local", engine, (ModelFacts("m", 4096),), slots=slots, kind=kind)
    return Fleet([node], clock), node, clock


def facts(mine: Beginning, fleet: Fleet, **changes: object) -> RequestFacts:
    """What the gateway knows of that prompt."""
    return RequestFacts(
        request_id="r", operation="chat", model="auto", input_tokens=int(mine.tokens),
        cached_on=fleet.recall(mine), **changes,  # type: ignore[arg-type]
    )  # fmt: skip


async def ask(fleet: Fleet, clock: FakeClock, text: str, seconds: float, usage: Usage | None) -> None:
    """One request whose prompt takes so long, and the engine's word on it."""
    mine = prompt(text)
    lease = await fleet.admit(facts(mine, fleet), CHOICE, beginning=mine)
    clock.advance(seconds)
    lease.first_token()
    clock.advance(0.01)
    lease.succeed(10, usage)


async def test_cached_prompts_do_not_make_reading_look_fast() -> None:
    """A node reads 1,000 tokens a second; turns of which it has nine tenths leave that as it is."""
    fleet, _, clock = fleet_of()
    history = "h" * 4000
    for turn in range(20):
        cached = 0 if turn == 0 else int(len(history) / 4) - 100
        await ask(
            fleet, clock, history, (len(history) / 4 - cached) / 1000, Usage(len(history) // 4, 0, cached)
        )
        history += chr(97 + turn) * 400
    snapshot = fleet.snapshots()[0]
    assert snapshot.pace is not None
    assert snapshot.pace.prefill_s(3000, 0) == pytest.approx(3.0, rel=0.1)
    (held,) = facts(prompt(history), fleet).cached_on
    assert held[0] == "mini"
    assert held[1] == pytest.approx(len(history) / 4 - 100, rel=0.03)


async def test_what_waits_or_is_read_counts_without_what_is_there() -> None:
    """A node with a pace owes only the reading of what it does not hold."""
    fleet, node, clock = fleet_of()
    assert node.record is not None
    await ask(fleet, clock, A, 0.5, Usage(500, 0, 0))
    mine = prompt(A + "x" * 400)
    lease = await fleet.admit(facts(mine, fleet), CHOICE, beginning=mine)
    load = fleet.snapshots()[0].load
    assert load is not None
    assert load.unread_s < 0.25  # of 0.6 s for the whole prompt
    assert load.unread_tokens == 600
    lease.release()


async def test_private_requests_are_remembered_like_others_and_no_text_is_kept() -> None:
    """After a private answer the memory holds digests and sizes, and nothing that holds the prompt."""
    fleet, node, _ = fleet_of()
    mine = prompt(A)
    lease = await fleet.admit(facts(mine, fleet, is_private=True), CHOICE, beginning=mine)
    lease.first_token()
    lease.succeed(10)
    assert facts(prompt(A), fleet).cached_on == (("mini", 450.0),)
    assert node.prefixes is not None
    (held,) = node.prefixes._held
    values = [getattr(held, name) for name in held.__struct_fields__]
    assert all(isinstance(value, int | float | tuple) for value in values)
    assert all(isinstance(mark, int) for mark in held.marks)
    assert lease._entry.beginning is None


async def test_it_is_gone_when_the_engine_may_be_another() -> None:
    """A lost connection empties the memory, a refusal or a late answer does not."""
    fleet, node, clock = fleet_of()
    await ask(fleet, clock, A, 0.5, None)
    for is_lost, left in ((False, 1), (True, 0)):
        mine = prompt(B)
        lease = await fleet.admit(facts(mine, fleet), CHOICE, beginning=mine)
        lease.fail(clock.monotonic_s(), is_lost=is_lost)
        assert node.prefixes is not None
        assert len(node.prefixes) == left


async def test_an_answer_that_was_given_up_leaves_its_prompt() -> None:
    """Cancelled before its first token it was perhaps never read; afterwards it is there."""
    fleet, _, _ = fleet_of()
    for has_spoken, left in ((False, ()), (True, (("mini", 450.0),))):
        mine = prompt(A)
        lease = await fleet.admit(facts(mine, fleet), CHOICE, beginning=mine)
        if has_spoken:
            lease.first_token()
        lease.release()
        assert facts(prompt(A), fleet).cached_on == left
