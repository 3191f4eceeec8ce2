"""Bodies in the shapes that providers and engines document, priced by hand once (see ``arithmetic``)."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from spillway.engines.usage import parse_answer
from spillway.ledger.cost import price_of
from spillway.vocabulary import Rates

CASES: list[dict[str, Any]] = json.loads(Path(__file__).with_name("bodies.json").read_text())


def _rates(sheet: list[str], above: tuple[tuple[int, Rates], ...] = ()) -> Rates:
    fresh, output, read, write = map(Decimal, sheet)
    return Rates(fresh, output, read, write, above=above)


def _rates_of(case: dict[str, Any]) -> Rates:
    tiers = [case["above"]] if "above" in case else []
    return _rates(case["rates"], tuple((start, _rates(sheet)) for start, sheet in tiers))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_body_costs_what_was_worked_out_by_hand(case: dict[str, Any]) -> None:
    """From the bytes of an answer to its price, with pinned rates, to the last digit."""
    answer = parse_answer(json.dumps(case["body"]).encode())
    assert answer is not None
    assert answer.usage is not None
    expected = None if case["cost_usd"] is None else Decimal(case["cost_usd"])
    assert price_of(answer.usage.to_usage(), _rates_of(case)) == expected
