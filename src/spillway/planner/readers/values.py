"""Cells of usage files as token counts and money; ``ValueError`` says in words what is wrong."""

from __future__ import annotations

import math
import re
from decimal import Decimal, InvalidOperation
from typing import Any

__all__ = [
    "MOST_PER_PERIOD",
    "MOST_TOKENS_PER_REQUEST",
    "NO_VALUE",
    "Ambiguous",
    "AmbiguousNumber",
    "currency_named",
    "currency_of",
    "is_nothing",
    "read_money",
    "read_number",
    "read_tokens",
]

NO_VALUE = frozenset({"", "null", "none", "nan", "undefined", "\\n", "-", "n/a"})
"""Cells that hold nothing, as databases, scripts and spreadsheets write it, in lower case."""
MOST_TOKENS_PER_REQUEST = 2_000_000
"""The longest context that any model is sold with (vendor: Google, 2026)."""
MOST_PER_PERIOD = 10**15
"""Tokens or requests that a row of totals may hold; far above what anybody uses in a month."""
MOST_USD = Decimal(10) ** 12
"""Far above any bill."""
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(?P<rest>\.\d*)?")
"""1,000 or 1,000.50; a nought before the comma tells a decimal comma instead."""
DECIMAL_COMMA = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d+),\d*|,\d+")
POINTS = re.compile(r"[+-]?\d{1,3}(\.\d{3})+")
"""1.000, which may be a thousand or one."""
CURRENCIES = frozenset(
    ("aed", "aud", "brl", "cad", "chf", "clp", "cny", "cop", "czk", "dkk", "eur", "gbp", "hkd", "huf", "idr",
     "ils", "inr", "jpy", "krw", "mxn", "myr", "ngn", "nok", "nzd", "php", "pln", "ron", "rub", "sar", "sek",
     "sgd", "thb", "try", "twd", "uah", "usd", "vnd", "zar", "€", "£", "¥", "₹")
)  # fmt: skip
"""What a column's name may say of its amounts."""
DOLLARS = frozenset({"", "$", "usd", "us$", "usd$"})
BESIDE_NUMBER = re.compile(
    r"(?i)(?P<before>[^\w\s.,+-]|[a-z]{2,3}\$?)?\s*[\d.,+-]+\s*(?P<after>[^\w\s.,+-]|[a-z]{3})?"
)


class Ambiguous(ValueError):
    """What means one thing or another, so that no row of its file can be trusted."""


class AmbiguousNumber(Ambiguous):
    """A number that is one in some countries and another elsewhere."""

    def __init__(self, what: str, text: str) -> None:
        """``what`` is the number's meaning, ``text`` how it is written."""
        super().__init__(
            f"{what} is written {text!r}, which means different numbers in different countries; write "
            "numbers with a decimal point and without separators of thousands, as in 2000 and 0.01"
        )


def is_nothing(cell: Any) -> bool:
    """Whether a cell holds no value, or a word for none."""
    if cell is None:
        return True
    if isinstance(cell, str):
        # Nearly every cell begins with a digit; the rest is for the others.
        return not "0" <= cell[:1] <= "9" and cell.strip().lower() in NO_VALUE
    return bool(cell != cell)  # not a number is not even itself


def read_tokens(cell: object, what: str, most: int = MOST_TOKENS_PER_REQUEST) -> int:
    """A token count from 0 to ``most``; ``what`` names it in the error."""
    if isinstance(cell, str):
        if cell.isdecimal() and len(cell) < 7:
            return int(cell)  # nearly every cell; the rest of this function is for the others
        cell = _plain_count(cell.strip(), what)
    if cell is None or cell == "":
        raise ValueError(f"no {what}")
    number = read_number(cell, what)
    if not math.isfinite(number) or number != int(number):
        raise ValueError(f"{what} is not a whole number")
    if number < 0:
        raise ValueError(f"{what} is negative")
    if number > most:
        raise ValueError(f"{what} is impossibly large")
    return int(number)


def _plain_count(text: str, what: str) -> str:
    """The count without commas between thousands; points between them may be decimal points."""
    if THOUSANDS.fullmatch(text):
        return text.replace(",", "")
    if POINTS.fullmatch(text) or DECIMAL_COMMA.fullmatch(text):
        raise AmbiguousNumber(what, text)
    return text


def read_number(cell: object, what: str) -> float:
    """Any number, also one that is not finite; ``what`` names it in the error."""
    if isinstance(cell, bool):
        raise ValueError(f"{what} is not a number")
    try:
        return float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ValueError(f"{what} is not a number") from None
    except OverflowError:  # JSON has integers of any length
        raise ValueError(f"{what} is impossibly large") from None


def currency_of(cell: object) -> str:
    """The currency that a cell names (``usd`` when it names none): ``€1.20``, ``1.20 EUR``."""
    if not isinstance(cell, str) or cell.replace(".", "", 1).isdecimal():
        return "usd"
    found = BESIDE_NUMBER.fullmatch(cell.strip())
    name = (found["before"] or found["after"] or "").lower() if found else ""
    return "usd" if name in DOLLARS else name


def currency_named(column: str) -> str:
    """The currency that a column's name carries, ``""`` without one: ``cost_eur``, ``Spend (€)``."""
    words = re.findall(
        r"[a-z]+|[^\w\s]", re.sub(r"([a-z])([A-Z])", r"\1 \2", column).lower().replace("_", " ")
    )
    return next((word for word in words if word in CURRENCIES), "")


def read_money(cell: object) -> Decimal | None:
    """An amount, or ``None`` for an empty cell; a dollar sign or ``USD`` beside it is fine."""
    if cell is None or cell == "":
        return None
    text = str(cell).strip()
    if text[:1] in "$Uu" or text[-1:] in "$Dd":
        text = re.sub(r"(?i)usd?|\$", "", text).strip()
    try:
        amount = Decimal(_plain_amount(text))
    except InvalidOperation:
        raise ValueError("cost is not a number") from None
    if not amount.is_finite():
        raise ValueError("cost is not a number")
    if amount < 0:
        raise ValueError("cost is negative")
    if amount > MOST_USD:
        raise ValueError("cost is impossibly large")
    return amount


def _plain_amount(text: str) -> str:
    """The amount without commas between thousands, where nothing but thousands can be meant."""
    if "," not in text:
        if text.count(".") > 1 and POINTS.fullmatch(text):
            raise AmbiguousNumber("cost", text)
        return text
    found = THOUSANDS.fullmatch(text)
    if found and (found["rest"] or text.count(",") > 1):
        return text.replace(",", "")
    if found or DECIMAL_COMMA.fullmatch(text):
        raise AmbiguousNumber("cost", text)
    return text
