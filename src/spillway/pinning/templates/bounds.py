"""Refuses single operations of a template whose result would be huge, before they allocate.

A process limit on memory stops them as well, but only Linux enforces one reliably; these checks work
everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any, NoReturn

from spillway.pinning.templates.failures import TemplateFailure

__all__ = [
    "OUTPUT_CHARACTERS",
    "SIZE_LIMIT",
    "check_format",
    "check_join",
    "check_numbers",
    "check_power",
    "check_product",
    "check_replace",
    "check_sum",
]

OUTPUT_CHARACTERS = 1_000_000
"""The longest prompt a conversation may become; those of the reference conversations stay below 20,000."""
SIZE_LIMIT = 100_000
"""Largest padding, repetition or number of slices that one operation may be asked for."""
BITS_LIMIT = 100_000
"""Largest integer that arithmetic may give, in bits."""

_LONG_NUMBER = re.compile(r"\d{6}")
_COMPUTED_WIDTH = re.compile(r"\{[^{}]*:[^{}]*\{|%[^a-zA-Z%]*\*")


def check_numbers(values: Iterable[Any]) -> None:
    """No argument of a padding or slicing operation is above ``SIZE_LIMIT``."""
    if any(isinstance(value, (int, float)) and abs(value) > SIZE_LIMIT for value in values):
        _refuse("pad or split text to more than 100,000 places")


def check_product(left: Any, right: Any) -> None:
    """Repeating text or a list, or multiplying integers, stays small."""
    for one, times in ((left, right), (right, left)):
        if isinstance(one, (str, list, tuple)) and isinstance(times, int) and len(one) * times > SIZE_LIMIT:
            _refuse("repeat text to more than 100,000 characters")
    if isinstance(left, int) and isinstance(right, int):
        _check_bits(left.bit_length() + right.bit_length())


def check_power(left: Any, right: Any) -> None:
    """An integer power stays small."""
    if isinstance(left, int) and isinstance(right, int) and right > 0:
        _check_bits(left.bit_length() * right)


def check_sum(left: Any, right: Any) -> None:
    """Joining two texts or lists stays within a prompt's size."""
    for kind in (str, list, tuple):
        if isinstance(left, kind) and isinstance(right, kind) and len(left) + len(right) > OUTPUT_CHARACTERS:
            _refuse("join text to more than 1,000,000 characters")


def check_format(text: str) -> None:
    """A format names no width above 99,999 and none computed from an argument."""
    if _LONG_NUMBER.search(text) or _COMPUTED_WIDTH.search(text):
        _refuse("format a value to an unbounded width")


def check_replace(text: str, old: str, new: str) -> None:
    """Replacing does not blow text up."""
    if len(new) > len(old) and len(text) + text.count(old) * len(new) > OUTPUT_CHARACTERS:
        _refuse("replace text by more than 1,000,000 characters")


def check_join(separator: str, items: Collection[Any]) -> None:
    """Joined text stays within a prompt's size."""
    if len(separator) * len(items) + sum(len(i) for i in items if isinstance(i, str)) > OUTPUT_CHARACTERS:
        _refuse("join text to more than 1,000,000 characters")


def _check_bits(bits: int) -> None:
    if bits > BITS_LIMIT:
        _refuse("compute an integer of more than 30,000 digits")


def _refuse(deed: str) -> NoReturn:
    raise TemplateFailure("memory", f"it wants to {deed}")
