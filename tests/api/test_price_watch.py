"""List prices are looked up for what callers name, within bounds."""

from __future__ import annotations

from decimal import Decimal

import pytest

from spillway.api import price_watch
from spillway.api.price_watch import PriceWatch
from spillway.config.schema import CloudConfig, Config, PriceConfig
from spillway.testing.fake_clock import FakeClock


def test_names_without_end_are_not_looked_up_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers may name any model of a cloud; beyond a bound a new name's price is unknown, and the owner's
    own prices stay known."""
    monkeypatch.setattr(price_watch, "MOST_WANTED", 5)
    config = Config(
        clouds=(CloudConfig(name="far", url="http://far.test/v1", models=("big",)),),
        prices={"far/big": PriceConfig(input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(2))},
    )
    watch = PriceWatch(config, FakeClock(), None, lambda: None)
    for number in range(50):
        assert watch.rates("far", f"typo-{number}") is None
    assert len(watch._wanted) == 5
    rates = watch.rates("far", "big")
    assert rates is not None
    assert rates.output_usd_per_mtok == 2
