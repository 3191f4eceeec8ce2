"""How long answers get: what is believed before any, after few and after many, and what never happens."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spillway.slo.lengths import OutputLengths, Prompt, half_octaves, octaves


def taught(*answers: tuple[Prompt, float]) -> OutputLengths:
    """Lengths that have learned these answers, in this order."""
    lengths = OutputLengths()
    for prompt, tokens in answers:
        lengths.learn(prompt, tokens)
    return lengths


def test_before_any_answer_a_guess_is_made_and_capped() -> None:
    """200 and 400 tokens whatever the request, and never more than it allows."""
    lengths = OutputLengths()
    for prompt in (Prompt(10), Prompt(100_000, 90_000.0, 5.0, 7.0, "code")):
        assert lengths.expect(prompt) == pytest.approx((200, 400))
        assert lengths.expect(prompt, 50) == (50, 50)


@pytest.mark.parametrize(("count", "most"), [(1, 80), (3, 30), (10, 25)])
def test_a_few_answers_are_believed_at_once_and_never_overdone(count: int, most: float) -> None:
    """After one, three and ten answers of 20 tokens such answers are near 20, and others not far below."""
    lengths = taught(*[(Prompt(100), 20)] * count)
    usual, long = lengths.expect(Prompt(100))
    assert 15 < usual < most
    assert usual < long < 2.5 * usual
    for other in (Prompt(1), Prompt(100_000), Prompt(100, 90.0), Prompt(100, 0.0, 500.0, 500.0)):
        assert 10 < lengths.expect(other).usual < 200


def test_lengths_are_kept_by_task_class() -> None:
    """A class with answers of its own is judged by them: its mean, and what one in five exceeds."""
    random = np.random.default_rng(5)
    lengths, found = OutputLengths(), []
    for _ in range(600):
        lengths.learn(Prompt(100, task="classification"), 4)
        lengths.learn(Prompt(100, task="code"), float(random.integers(10, 1000)))
        found.append(lengths.expect(Prompt(100, task="code")))
    assert lengths.expect(Prompt(100, task="classification")) == pytest.approx((4, 4), rel=0.1)
    usual, long = np.mean(found[300:], axis=0)
    assert usual == pytest.approx(505, rel=0.1)
    assert long == pytest.approx(800, rel=0.1)


def test_lengths_are_told_by_the_size_of_the_prompt() -> None:
    """Long and short prompts have answers of their own, and so have those of which little is new."""
    lengths = taught(*[(Prompt(100), 10), (Prompt(4000), 1000), (Prompt(4000, 3900.0), 50)] * 100)
    assert lengths.expect(Prompt(110)).usual == pytest.approx(10, rel=0.2)
    assert lengths.expect(Prompt(3900)).usual == pytest.approx(1000, rel=0.2)
    assert lengths.expect(Prompt(3900, 3810.0)).usual == pytest.approx(50, rel=0.2)
    assert 50 < lengths.expect(Prompt(3900, 3000.0)).usual < 1000


def test_a_conversation_goes_on_as_it_was() -> None:
    """Where answers resemble the one before, the next is told by it, of equal prompts and in between."""
    lengths = OutputLengths()
    for tokens in (20.0, 2000.0) * 100:
        lengths.learn(Prompt(5000, 4500.0, tokens, tokens), tokens)
    usual = [lengths.expect(Prompt(5000, 4500.0, tokens, tokens)).usual for tokens in (20.0, 200.0, 2000.0)]
    assert usual == pytest.approx([20, 200, 2000], rel=0.3)


def test_usual_is_a_mean_and_one_in_five_is_longer_than_long() -> None:
    """Log-normal answers: the mean, far above the median, and the share that exceeds the long one."""
    random = np.random.default_rng(6)
    lengths, longer, usual = OutputLengths(), 0, 0.0
    for i in range(4000):
        tokens = float(random.lognormal(5.0, 1.0))
        found = lengths.expect(Prompt(1000))
        lengths.learn(Prompt(1000), tokens)
        if i >= 1000:
            longer += tokens > found.long
            usual += found.usual / 3000
    assert longer / 3000 == pytest.approx(0.2, abs=0.02)
    assert usual == pytest.approx(math.exp(5.5), rel=0.1)


def test_an_endless_answer_changes_little() -> None:
    """One answer of 100,000 tokens among such of 100 is soon forgotten, and hardly felt at once."""
    lengths = taught(*[(Prompt(1000), 100)] * 300, (Prompt(1000), 100_000))
    assert lengths.expect(Prompt(1000)) == pytest.approx((100, 100), rel=0.15)
    early = taught(*[(Prompt(1000), 100)] * 10, (Prompt(1000), 100_000))
    assert early.expect(Prompt(1000)).usual < 300


def test_a_day_of_equal_prompts_does_no_harm() -> None:
    """After 100,000 times the same nothing has run away, and something else is learned as from the start."""
    lengths = taught(*[(Prompt(700, 0.0, 90.0, 90.0), 90.0)] * 100_000)
    assert lengths.expect(Prompt(700, 0.0, 90.0, 90.0)) == pytest.approx((90, 90), rel=0.05)
    assert 10 < lengths.expect(Prompt(70_000)).usual < 1000
    for _ in range(30):
        lengths.learn(Prompt(70_000), 1500)
    assert lengths.expect(Prompt(70_000)).usual == pytest.approx(1500, rel=0.4)


COUNTS = st.one_of(st.integers(0, 2000), st.integers(0, 10**12))
ANSWERS = st.one_of(st.none(), st.floats(0, 1e12), st.just(math.nan), st.just(math.inf))
PROMPTS = st.builds(
    Prompt,
    COUNTS,
    st.floats(0, 1e12),
    ANSWERS,
    ANSWERS,
    st.sampled_from([None, "a", "b"]),
    st.sampled_from([None, 1, 2]),
)


@given(st.lists(st.tuples(PROMPTS, st.one_of(COUNTS, ANSWERS.filter(bool))), max_size=40), PROMPTS)
@settings(max_examples=200, deadline=None)
def test_whatever_is_learned_lengths_stay_sane(answers: list[tuple[Prompt, float]], prompt: Prompt) -> None:
    """Absurd counts, and what is no number, never end in more than a million tokens, none, or no number."""
    usual, long = taught(*answers).expect(prompt)
    assert 1.0 <= usual <= 1e6
    assert 1.0 <= long <= 1e6


def test_kinds_beyond_the_most_share_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers who name ever new classes cannot make the records grow, and are still answered."""
    monkeypatch.setattr("spillway.slo.lengths.MOST_KINDS", 30)
    lengths = taught(*[(Prompt(100, task=f"t{i}"), 50) for i in range(100)])
    assert lengths.expect(Prompt(100, task="t99")).usual == pytest.approx(50, rel=0.1)
    assert len(lengths._record.ratios) == 31


def test_what_one_program_asks_is_told_apart_from_what_another_does() -> None:
    """Prompts of one size have short or long answers by their form; an unknown form has what all have."""
    answers = [(Prompt(100, form=1), 5), (Prompt(100, form=2), 800)] * 50
    lengths = taught(*answers)
    assert lengths.expect(Prompt(100, form=1)).usual < 40
    assert lengths.expect(Prompt(100, form=2)).usual > 750
    unknown = lengths.expect(Prompt(100, form=3))
    assert unknown == lengths.expect(Prompt(100))
    assert 200 < unknown.usual < 600


def test_forms_make_room_for_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one not learned from for longest is forgotten, and what comes in its place begins anew."""
    monkeypatch.setattr("spillway.slo.lengths.MOST_FORMS", 3)
    lengths = taught(*[(Prompt(100, form=form), 5.0 if form == 1 else 800.0) for form in (1, 2, 3) * 40])
    size = len(lengths._record.ratios)
    lengths.learn(Prompt(100, form=4), 800.0)
    assert lengths.expect(Prompt(100, form=1)) == lengths.expect(Prompt(100))
    assert lengths.expect(Prompt(100, form=4)).usual > 500
    for form in range(5, 50):
        lengths.expect(Prompt(100, form=form))
    assert lengths.expect(Prompt(100, form=2)).usual == pytest.approx(800, rel=0.2)
    assert len(lengths._record.ratios) == size


def test_sizes_are_told_apart_in_even_steps() -> None:
    """Octaves and half octaves begin at powers of 2 and of its root."""
    assert [octaves(n) for n in (1, 2, 3, 4, 1023, 1024)] == [0, 1, 1, 2, 9, 10]
    assert [half_octaves(n) for n in (1, 2, 3, 4, 5, 6, 1448, 1449)] == [0, 2, 3, 4, 4, 5, 20, 21]
