"""One sandbox for all tests here: starting one takes longer than most tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from spillway.pinning.templates.sandbox import TemplateSandbox


@pytest.fixture(scope="session")
def sandbox() -> Iterator[TemplateSandbox]:
    """A running template sandbox."""
    with TemplateSandbox() as running:
        yield running


@pytest.fixture(scope="session")
def impatient() -> Iterator[TemplateSandbox]:
    """A running template sandbox that waits for half a second."""
    with TemplateSandbox(budget_s=0.5) as running:
        yield running
