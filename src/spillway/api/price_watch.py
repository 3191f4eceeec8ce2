"""Keeps the list prices a gateway needs at hand, looking them up off the request path."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

from spillway.clock import Clock
from spillway.config.schema import Config
from spillway.ledger.prices import PriceBook, flat_rates, load_prices
from spillway.vocabulary import Rates

__all__ = ["PriceWatch"]

RENEW_S = 3600.0
"""How often prices that change with time are looked up again."""
MOST_WANTED = 1000
"""A cloud may be asked for any model, so callers can name as many as they like; each look-up is a process."""


class PriceWatch:
    """Answers at once with what is known; what is asked for the first time is looked up for the next time."""

    def __init__(
        self, config: Config, clock: Clock, cache_folder: Path | None, on_news: Callable[[], None]
    ) -> None:
        """``on_news`` is called after each look-up."""
        self._overrides = {
            (name.partition("/")[0], name.partition("/")[2]): flat_rates(**price.model_dump())
            for name, price in config.prices.items()
        }
        self._providers = {cloud.name: cloud.provider or cloud.name for cloud in config.clouds}
        self._cache_folder = cache_folder
        self._clock = clock
        self._on_news = on_news
        self._book = PriceBook(self._overrides, self._providers)
        self._wanted: set[tuple[str, str]] = set()
        self._has_new = asyncio.Event()
        self.is_known = asyncio.Event()
        """Set once the first look-up is done."""

    def rates(self, cloud: str, model: str) -> Rates | None:
        """What that cloud charges for that model now; ``None`` while or where it is unknown, and for models
        that are asked for the first time after very many others."""
        if (cloud, model) not in self._wanted and len(self._wanted) < MOST_WANTED:
            self.want([(cloud, model)])
        return self._book.rates(cloud, model, self._clock.wall_s())

    def want(self, models: Iterable[tuple[str, str]]) -> None:
        """Has these looked up soon."""
        self._wanted.update(models)
        self._has_new.set()

    async def run(self) -> None:
        """Looks up whatever is new, and everything again now and then; ends when cancelled."""
        while True:
            self._has_new.clear()
            if self._wanted:
                self._book = await load_prices(
                    set(self._wanted),
                    overrides=self._overrides,
                    provider_by_cloud=self._providers,
                    cache_folder=self._cache_folder,
                )
                self._on_news()
            self.is_known.set()
            try:
                await asyncio.wait_for(self._has_new.wait(), RENEW_S)
            except TimeoutError:
                continue
