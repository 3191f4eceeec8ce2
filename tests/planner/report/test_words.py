"""Figures as people write them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from spillway.planner.report.words import (
    months,
    objective_of,
    paid,
    share,
    short_months,
    usd,
    value_of,
    whole_usd,
)
from spillway.vocabulary import Objective


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        ("0.0006", "$0.0006"), ("0.0000495560666667", "$0.00005"), ("600", "$600"), ("44.26", "$44.26"),
        ("1234.5", "$1,234"), ("-529.6", "−$530"), ("0", "$0"), (None, "unknown"), ("0.00323", "$0.0032"),
    ],
)  # fmt: skip
def test_dollars(amount: str | None, said: str) -> None:
    """As many digits as matter, thousands apart, unknown said."""
    assert usd(None if amount is None else Decimal(amount)) == said


@pytest.mark.parametrize(
    ("ratio", "said"),
    [(0.0, "0 %"), (1.0, "100 %"), (0.123, "12 %"), (0.0123, "1.2 %"), (0.0001, "< 0.1 %"), (-0.001, "0 %"),
     (2.3766, "238 %"), (None, "unknown")],
)  # fmt: skip
def test_shares(ratio: float | None, said: str) -> None:
    """Whole percents, a decimal where they are few."""
    assert share(ratio) == said


def test_months() -> None:
    """Months to one decimal, and never where there are none."""
    assert months(Decimal("3.3777")) == "3.4 months"
    assert months(Decimal("120.2")) == "120 months"
    assert months(None) == "never"
    assert months(Decimal(0)) == short_months(0) == "at once"
    assert paid(None) == "but never be paid back"
    assert paid(Decimal(0)) == "and cost less from the first month"
    assert paid(Decimal(7)) == "and be paid back in 7.0 months"


def test_objectives() -> None:
    """An objective reads as a phrase, also without limits."""
    assert (
        objective_of(Objective("x", 2.0, 20.0, 0.95)) == "first token within 2 s, last within 20 s for 95 %"
    )
    assert objective_of(Objective("x")) == "no objective"


def test_values() -> None:
    """Values of assumptions lose their trailing zeros; unknown is said."""
    assert value_of(Decimal("2000.0")) == "2,000"
    assert value_of(0.27) == "0.27"
    assert value_of(None) == "unknown"
    assert value_of("consumer") == "consumer"


def test_table_dollars() -> None:
    """Tables carry whole dollars, minus before the sign, and no minus zero."""
    assert whole_usd(Decimal("-0.2")) == "$0"
    assert whole_usd(Decimal("-12.6")) == "−$13"
