from __future__ import annotations

from decimal import Decimal

from spillway.ledger.rows import rows_of, total_bill
from spillway.vocabulary import Bill, Usage

from .samples import ACCEPTED_S, attempt_of, attempts_in, named, outcome_of

LOCAL = Bill(Decimal("0.3"), None, Decimal("0.1"), Decimal("0.2"))
CLOUD = Bill(Decimal("0.5"), Decimal("0.5"))


def test_one_attempt_fills_the_request() -> None:
    """Side, upstream, model, tokens and money of the only attempt are those of the request."""
    usage = Usage(100, 20, cache_read_tokens=64, reasoning_tokens=5)
    outcome = outcome_of(
        "req_1",
        [attempt_of(usage=usage, model_reported="qwen3-4b-q4")],
        facts_task="extraction",
        facts_client_request_id="mine",
        facts_body_bytes=321,
        response_bytes=654,
    )
    row = rows_of(outcome, [LOCAL], Decimal("0.9"), "openai/gpt-4o-mini")
    request = named(row)
    assert request["request_id"] == "req_1"
    assert request["client_request_id"] == "mine"
    assert request["accepted_at"] == ACCEPTED_S
    assert (request["side"], request["upstream"]) == ("local", "mini")
    assert (request["model"], request["model_reported"]) == ("qwen3-4b", "qwen3-4b-q4")
    assert (request["input_tokens"], request["input_tokens_grade"]) == (100, "reported")
    assert (request["output_tokens"], request["output_tokens_grade"]) == (20, "reported")
    assert (request["cache_read_tokens"], request["cache_write_tokens"]) == (64, None)
    assert (request["cost_usd"], request["price_usd"]) == (0.3, None)
    assert (request["energy_usd"], request["amortisation_usd"]) == (0.1, 0.2)
    assert (request["reference_cost_usd"], request["reference_model"]) == (0.9, "openai/gpt-4o-mini")
    assert (request["request_bytes"], request["response_bytes"]) == (321, 654)
    assert request["reasons"] == "task_trusted_local"
    assert (request["prompt_text"], request["completion_text"]) == (None, None)
    (attempt,) = attempts_in(row)
    assert attempt["request_id"] == "req_1"
    assert (attempt["attempt_index"], attempt["kind"], attempt["in_flight"]) == (0, "first", 1)
    assert (attempt["cost_usd"], attempt["energy_usd"]) == (0.3, 0.1)


def test_failover_pays_for_both_and_describes_the_last() -> None:
    """A failed local attempt's cost is added to the cloud's, whose answer the client saw."""
    failed = attempt_of(0, status=None, usage=None, error_code="upstream_timeout", finish_reason=None)
    second = attempt_of(1, "cloud", kind="failover")
    row = rows_of(outcome_of("req_2", [failed, second]), [LOCAL, CLOUD])
    request = named(row)
    assert (request["side"], request["upstream"], request["attempts"]) == ("cloud", "openai", 2)
    assert (request["cost_usd"], request["price_usd"], request["energy_usd"]) == (0.8, 0.5, 0.1)
    assert [attempt["error_code"] for attempt in attempts_in(row)] == ["upstream_timeout", None]
    assert [attempt["tokens_grade"] for attempt in attempts_in(row)] == [None, "reported"]


def test_one_unknown_attempt_makes_the_request_unknown() -> None:
    """A sum with an unknown part is unknown; the parts that are known stay."""
    bill = total_bill([attempt_of(0), attempt_of(1, "cloud")], [LOCAL, Bill(None)])
    assert bill == Bill(None, None, Decimal("0.1"), Decimal("0.2"))


def test_nothing_tried_costs_nothing() -> None:
    """A request that no upstream could take has no side and a cost of zero."""
    request = named(rows_of(outcome_of("req_3", [], status=503, result="error", ttft_s=None), []))
    assert (request["cost_usd"], request["side"], request["attempts"]) == (0.0, None, 0)
    assert request["ttft_s"] is None


def test_tokens_nobody_reported_are_our_estimate() -> None:
    """The input falls back to the estimate and says so; the output stays unknown."""
    outcome = outcome_of("req_4", [attempt_of(usage=None)], facts_input_tokens=77)
    request = named(rows_of(outcome, [LOCAL]))
    assert (request["input_tokens"], request["input_tokens_grade"]) == (77, "estimated")
    assert (request["output_tokens"], request["output_tokens_grade"]) == (None, None)


def test_captured_texts_are_kept() -> None:
    """Texts arrive only where the owner turned capture on, and are stored as they are."""
    request = named(rows_of(outcome_of("req_5", prompt_text="[…]", completion_text="ok"), [LOCAL]))
    assert (request["prompt_text"], request["completion_text"]) == ("[…]", "ok")
