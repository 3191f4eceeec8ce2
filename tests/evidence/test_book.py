"""What is trusted, what is demoted, and how each finds its way back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from spillway.evidence import Event, EvidenceBook, Key, QualityLimits, key_of, share_of
from spillway.evidence.book import MAX_KEYS

KEY = key_of("extraction", "mini", "qwen3-4b", "id-1")
CLOUD = key_of("extraction", "openai", "gpt-4o-mini", None)


@dataclass
class Told:
    """A book that writes down which standings changed."""

    standings: list[str] = field(default_factory=list)
    book: EvidenceBook = field(init=False)
    limits: QualityLimits = field(default_factory=QualityLimits)

    def __post_init__(self) -> None:
        self.book = EvidenceBook(
            self.limits,
            local_tasks=["extraction"],
            reference=("openai", "gpt-4o-mini"),
            on_change=lambda key, record: self.standings.append(record.standing),
        )

    def see(self, count: int, score: float, kind: Any = "shadow", key: Key = KEY, side: Any = "local") -> int:
        """Shows the same event until a standing changes; returns after how many, or ``count``."""
        for number in range(1, count + 1):
            event = Event(request_id=f"r{number}", key=key, kind=kind, score=score, at_s=1.0, side=side)
            if self.book.take(event):
                return number
        return count

    def allows(self, identity: str | None = "id-1") -> bool | None:
        """What routing hears."""
        return self.book.allows_local("extraction", "mini", "qwen3-4b", identity)


def test_without_evidence_configuration_decides() -> None:
    """A key nobody has seen, and one with little evidence, leave it to configuration."""
    told = Told()
    assert told.allows() is None
    told.see(5, 1.0)
    assert told.allows() is None


def test_disagreement_demotes_at_once() -> None:
    """Ten comparisons that all go against the node are enough, and the standing changes once."""
    told = Told()
    assert told.see(50, 0.0) <= 12
    assert told.allows() is False
    assert told.standings == ["demoted"]


def test_agreement_earns_trust() -> None:
    """About a hundred comparisons without a difference show that the gap is within five hundredths."""
    told = Told()
    assert 60 <= told.see(500, 1.0) <= 130
    assert told.allows() is True


def test_a_demoted_key_can_earn_its_way_back_with_fresh_counts() -> None:
    """What led to demotion has had its say; a new stage needs more evidence than the first."""
    told = Told()
    told.see(50, 0.0)
    needed = told.see(1000, 1.0)
    assert told.allows() is True
    assert needed > 100
    assert told.standings == ["demoted", "trusted"]


def test_every_change_asks_for_more_evidence() -> None:
    """A model that keeps alternating is believed more slowly each time, so it does not flap."""
    told = Told()
    needed = [(told.see(100, 0.0), told.see(1000, 1.0)) for _ in range(3)]
    assert needed[0][0] < needed[1][0] <= needed[2][0]
    assert needed[0][1] < needed[1][1] < needed[2][1]


def test_a_new_identity_starts_over() -> None:
    """Another template or quantisation of the same model has no evidence; the old rows stay."""
    told = Told()
    told.see(50, 0.0)
    assert told.allows("id-2") is None
    assert told.allows("id-1") is False


def test_an_unknown_identity_is_the_model_name() -> None:
    """A model whose identity is not known is kept by its name."""
    told = Told()
    told.see(50, 0.0, key=key_of("extraction", "mini", "qwen3-4b", None))
    assert told.allows(None) is False


def test_an_identity_not_known_yet_is_the_last_one_that_was() -> None:
    """While a model file is still being read, what was demoted before the restart stays demoted."""
    told = Told()
    told.see(50, 0.0)
    book = EvidenceBook(QualityLimits())
    book.load(told.book.records)
    assert book.allows_local("extraction", "mini", "qwen3-4b", None) is False


def test_gates_demote_only_what_mostly_fails_and_take_it_back() -> None:
    """Gates did no harm, so their limit is wider; after demotion good gates lead back to configuration."""
    told = Told()
    assert told.see(200, 1.0, "gate") == 200
    assert told.see(60, 0.0, "gate") < 60
    assert told.allows() is False
    assert told.book.records[KEY].cause == "gate"
    assert told.see(400, 1.0, "gate") < 60
    assert told.allows() is None


def test_gates_cannot_undo_what_comparisons_showed() -> None:
    """Passing gates says nothing of answers that are wrong but well formed."""
    told = Told()
    told.see(50, 0.0)
    assert told.see(1000, 1.0, "gate") == 1000
    assert told.allows() is False


def test_bad_ratings_demote() -> None:
    """Users who are not content are believed within a few ratings while the reference has none."""
    told = Told()
    assert told.see(20, 0.0, "feedback") <= 6
    assert told.allows() is False


def test_ratings_are_measured_against_those_of_the_reference() -> None:
    """Where the reference is rated badly too, the same ratings do not demote the node."""
    told = Told()
    told.see(400, 0.0, "feedback", CLOUD, "cloud")
    assert told.see(100, 0.0, "feedback") == 100
    assert told.allows() is None
    assert told.book.allows_local("extraction", "openai", "gpt-4o-mini") is None


def test_escalations_are_noted_but_judge_nothing_twice() -> None:
    """The gate already counted the failure that made the gateway ask a cloud."""
    told = Told()
    assert told.see(100, 0.0, "escalation") == 100
    assert told.allows() is None


def test_exploring_is_worth_while_only_where_something_can_be_learnt() -> None:
    """Without comparisons or ratings it would only be a risk; gates can take back what they did."""
    told = Told()
    asked = ("extraction", "mini", "qwen3-4b", "id-1")
    assert not told.book.can_learn(*asked)
    told.see(60, 0.0, "gate")
    assert told.book.can_learn(*asked)
    rated = Told()
    rated.see(1, 1.0, "feedback")
    assert rated.book.can_learn(*asked)
    assert not rated.book.can_learn("math", "mini", "qwen3-4b", "id-1")
    assert EvidenceBook(QualityLimits(), can_compare=True).can_learn(*asked)


def test_a_corrected_rating_counts_as_corrected() -> None:
    """The tally is as if only the second rating had been given, and may demote at once."""
    told = Told()
    told.see(3, 1.0, "feedback")
    event = Event(request_id="r2", key=KEY, kind="feedback", score=0.0, at_s=2.0)
    assert not told.book.correct(event, 1.0, 0, 1)
    record = told.book.records[KEY]
    assert record.feedback.mean == pytest.approx(1 / 3)
    assert record.totals["feedback"].mean == pytest.approx(1 / 3)
    assert record.feedback.n == 3


def test_task_names_from_outside_cannot_fill_the_memory() -> None:
    """Callers may name any class; beyond a bound new ones are not learnt, known ones are."""
    told = Told()
    for number in range(MAX_KEYS + 10):
        told.see(1, 1.0, key=key_of(f"class-{number}", "mini", "m", None))
    assert len(told.book.records) == MAX_KEYS
    assert told.see(50, 0.0, key=key_of("class-1", "mini", "m", None)) < 50


def test_shares_are_even_and_differ_by_purpose() -> None:
    """The same request is not always the one that is both explored and shadowed."""
    shares = [(share_of(f"r{i}", "explore"), share_of(f"r{i}", "shadow")) for i in range(2000)]
    assert sum(a < 0.5 for a, _ in shares) == pytest.approx(1000, abs=120)
    assert sum(a < 0.5 and b < 0.5 for a, b in shares) == pytest.approx(500, abs=100)
