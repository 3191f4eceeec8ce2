"""When an upstream is left alone, and when it gets another chance."""

from __future__ import annotations

from spillway.fleet.breaker import LONGEST_COOLDOWN_S, Breaker


def opened(cooldown_s: float = 5.0) -> Breaker:
    """A breaker that opened at time 0."""
    breaker = Breaker(threshold=3, cooldown_s=cooldown_s)
    for _ in range(3):
        breaker.fail(breaker.admit(0.0), 0.0)
    return breaker


def test_opens_after_failures_in_a_row() -> None:
    """Two failures, a success, two failures leave it closed; a third in a row opens it."""
    breaker = Breaker(threshold=3)
    for good in (False, False, True, False, False):
        generation = breaker.admit(0.0)
        breaker.succeed(generation, 0.0) if good else breaker.fail(generation, 0.0)
    assert breaker.state(0.0) == "closed"
    breaker.fail(breaker.admit(0.0), 0.0)
    assert breaker.state(0.0) == "open"
    assert breaker.retry_after_s(2.0) == 3.0


def test_half_open_lets_one_through() -> None:
    """After the pause one request may try; the others wait for how it ends."""
    breaker = opened()
    assert breaker.state(5.1) == "half_open"
    trial = breaker.admit(5.1)
    assert breaker.state(5.2) == "open"
    breaker.succeed(trial, 5.2)
    assert breaker.state(5.3) == "closed"


def test_a_trial_that_tells_nothing_frees_the_next() -> None:
    """When the caller of the trial hangs up, or the trial never ends, another one may try."""
    breaker = opened()
    breaker.release(breaker.admit(5.1))
    assert breaker.state(5.2) == "half_open"
    breaker.admit(5.2)
    assert breaker.state(15.3) == "half_open"


def test_pauses_grow_up_to_a_limit() -> None:
    """Every trial that fails doubles the pause, up to half a minute; a success makes it short again."""
    breaker, now_s, pauses_s = opened(), 0.0, []
    for _ in range(5):
        before_s = now_s
        while breaker.state(now_s) != "half_open":
            now_s += 0.5
        pauses_s.append(now_s - before_s)
        breaker.fail(breaker.admit(now_s), now_s)
    assert pauses_s == [5.0, 10.0, 20.0, 30.0, LONGEST_COOLDOWN_S]
    breaker.succeed(breaker.generation, now_s)
    assert breaker.state(now_s) == "closed"
    for _ in range(3):
        breaker.fail(breaker.admit(now_s), now_s)
    assert breaker.state(now_s + 5.1) == "half_open"


def test_late_results_of_an_older_time_do_not_count() -> None:
    """A request from before the breaker opened can neither close nor extend it."""
    breaker = Breaker(threshold=1, cooldown_s=5.0)
    old = breaker.admit(0.0)
    breaker.fail(breaker.admit(0.0), 0.0)
    breaker.succeed(old, 0.0)
    breaker.fail(old, 4.0)
    assert breaker.state(4.0) == "open"
    assert breaker.state(5.1) == "half_open"


def test_metadata_comes_first() -> None:
    """While metadata cannot be had nobody is sent there; a server that comes back is trusted at once."""
    breaker = opened()
    breaker.note_probe(is_well=False)
    assert breaker.state(6.0) == "open"
    breaker.note_probe(is_well=True)
    assert breaker.state(6.0) == "closed"


def test_metadata_that_always_worked_proves_nothing() -> None:
    """A server whose generation hangs may answer its probes all the time: the pause holds."""
    breaker = opened()
    breaker.note_probe(is_well=True)
    assert breaker.state(1.0) == "open"
    assert breaker.state(5.1) == "half_open"


def test_a_few_failures_under_much_traffic_are_chance() -> None:
    """Where most requests succeed, three failures in a row leave it closed; many in a row open it."""
    breaker = Breaker(threshold=3)
    for _ in range(30):
        breaker.succeed(breaker.admit(0.0), 0.0)
    for _ in range(9):
        breaker.fail(breaker.admit(1.0), 1.0)
    assert breaker.state(1.0) == "closed"
    breaker.fail(breaker.admit(1.0), 1.0)
    assert breaker.state(1.0) == "open"


def test_old_successes_do_not_excuse_new_failures() -> None:
    """What went well a while ago says nothing of now: three failures in a row open it."""
    breaker = Breaker(threshold=3)
    for _ in range(30):
        breaker.succeed(breaker.admit(0.0), 0.0)
    for _ in range(3):
        breaker.fail(breaker.admit(11.0), 11.0)
    assert breaker.state(11.0) == "open"
