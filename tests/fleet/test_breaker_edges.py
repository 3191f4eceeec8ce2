"""Where a breaker's rules end: just half of the results, results of another time, and what it forgets."""

from __future__ import annotations

from spillway.fleet.breaker import LEAST_WAIT_S, SURE_FAILURES, Breaker
from tests.fleet.test_breaker import opened


def note(breaker: Breaker, at_s: float, good: int = 0, bad: int = 0) -> None:
    """So many results at that time, the good ones first."""
    for _ in range(good):
        breaker.succeed(breaker.admit(at_s), at_s)
    for _ in range(bad):
        breaker.fail(breaker.admit(at_s), at_s)


def test_half_of_the_latest_results_are_enough() -> None:
    """As many failures as successes, the failures last: that is an outage that has begun."""
    breaker = Breaker(threshold=3)
    note(breaker, 0.0, good=3, bad=3)
    assert breaker.state(0.0) == "open"
    lucky = Breaker(threshold=3)
    note(lucky, 0.0, good=4, bad=3)
    assert lucky.state(0.0) == "closed"


def test_what_went_well_before_it_opened_excuses_nothing_afterwards() -> None:
    """Trusted again after a trial, it opens at the third failure in a row, however busy it was before."""
    breaker = Breaker(threshold=3)
    note(breaker, 1.0, good=30, bad=SURE_FAILURES)
    note(breaker, 6.1, good=1)
    assert breaker.state(6.1) == "closed"
    note(breaker, 6.2, bad=3)
    assert breaker.state(6.2) == "open"


def test_a_caller_of_an_older_time_who_hangs_up_does_not_let_a_second_one_through() -> None:
    """Only the trial's own end frees its place."""
    breaker = Breaker(threshold=1, cooldown_s=5.0)
    old = breaker.admit(0.0)
    note(breaker, 0.0, bad=1)
    breaker.admit(5.1)
    breaker.release(old)
    assert breaker.state(5.2) == "open"


def test_while_a_trial_is_out_others_are_not_told_to_come_back_at_once() -> None:
    """The pause is over, and how long the trial takes nobody knows: a moment at least."""
    breaker = opened()
    breaker.admit(5.1)
    assert breaker.retry_after_s(5.2) == LEAST_WAIT_S


def test_an_answer_makes_up_for_a_probe_that_failed_meanwhile() -> None:
    """The next time that it opens, its pause ends by itself again."""
    breaker = opened()
    trial = breaker.admit(5.1)
    breaker.note_probe(is_well=False)
    breaker.succeed(trial, 5.2)
    note(breaker, 6.0, bad=3)
    assert breaker.state(6.1) == "open"
    assert breaker.state(11.1) == "half_open"
