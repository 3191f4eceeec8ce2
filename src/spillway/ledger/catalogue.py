"""Prices out of the ``genai-prices`` catalogue, as dated spans of our own ``Rates``.

Run as ``python -m spillway.ledger.catalogue`` it reads a JSON list of [provider, model] from standard input
and prints a ``Resolved``: the catalogue takes 28 MB and 0.4 s, which a short-lived process gives back.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from spillway.vocabulary import Rates

if TYPE_CHECKING:
    from genai_prices.types import ConditionalPrice, ModelInfo, ModelPrice, Provider

__all__ = ["Entry", "Resolved", "Span", "catalogue_name", "resolve"]

PROVIDER_IDS = {
    "gemini": "google",
    "vertex": "google",
    "xai": "x-ai",
    "grok": "x-ai",
    "together-ai": "together",
    "togetherai": "together",
    "bedrock": "aws",
    "azure-openai": "azure",
    "moonshot": "moonshotai",
    "voyage": "voyageai",
}
"""Usual names of providers whose id in the catalogue is another. Its own matching takes any name that
contains ``openai``, a proxy's too, whose prices nobody knows."""
VERSION_SUFFIX = re.compile(
    r"(?:[-@:._]?(?:20\d{2}-?\d{2}-?\d{2}|\d{4}|latest|preview(?:-\d{2}-\d{2,4})?|v\d+(?::\d+)?))*"
)
"""What may follow a known name without making another model of it: a date, ``latest``, an API revision."""
VENDOR_PREFIX = re.compile(r"(?:[a-z][a-z0-9-]*[./])*")
DAY_IN_NAME = re.compile(r"(?<!\d)(20\d{2})-?(\d{2})-?(\d{2})(?!\d)")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LOOK_AHEAD = timedelta(days=8)
"""How far prices that change with the hour are written out."""
LOOK_BACK = timedelta(days=1)
REQUESTS_PER_PRICE = 1000
OWN_OUTPUT_PRICES = ("output_reasoning_mtok", "output_citation_mtok")
"""Kinds of output charged apart, which our rates cannot say: such a model's price stays unknown."""


class Span(Struct, frozen=True):
    """Rates and the time they hold, in seconds since the epoch; ``None`` is an open end."""

    from_s: float | None
    until_s: float | None
    rates: Rates | None


class Entry(Struct, frozen=True):
    """One model of one provider; no spans when the catalogue does not know it."""

    provider: str
    model: str
    spans: tuple[Span, ...]


class Resolved(Struct, frozen=True):
    """What the catalogue says of the models asked for."""

    catalogue: str
    entries: tuple[Entry, ...]


def catalogue_name() -> str:
    """``genai-prices`` and its version, without loading it."""
    from importlib.metadata import version

    return f"genai-prices {version('genai-prices')}"


def resolve(wanted: Iterable[tuple[str, str]], now_s: float) -> Resolved:
    """Spans for each provider and model; loads the catalogue into this process."""
    from genai_prices.data_snapshot import get_snapshot

    providers = {provider.id: provider for provider in get_snapshot().providers}
    source = catalogue_name()
    now = datetime.fromtimestamp(now_s, UTC)
    entries = []
    for provider_name, model_name in wanted:
        found = _find(providers, provider_name, model_name)
        spans = _since(_spans(found, now, source), _first_day(found, model_name)) if found else ()
        entries.append(Entry(provider_name, model_name, spans))
    return Resolved(source, tuple(entries))


def _find(providers: dict[str, Provider], provider_name: str, model_name: str) -> ModelInfo | None:
    """The catalogue's model, only where it means this very name and not just one that looks like it."""
    asked = model_name.lower()
    name = provider_name.lower()
    provider = providers.get(PROVIDER_IDS.get(name, name))
    if provider is None:
        return None
    model = provider.find_model(asked, all_providers=list(providers.values()))
    if model is None:
        return None
    return model if _means(model, asked) else None


def _means(model: ModelInfo, asked: str) -> bool:
    for known in (model.id.lower(), *_literals(model.match)):
        at = asked.find(known)
        if at < 0 or not known:
            continue
        if VENDOR_PREFIX.fullmatch(asked[:at]) and VERSION_SUFFIX.fullmatch(asked[at + len(known) :]):
            return True
    return any(re.fullmatch(pattern, asked) for pattern in _patterns(model.match))


def _literals(clause: Any) -> Iterator[str]:
    for kind in ("equals", "starts_with", "contains"):
        text = getattr(clause, kind, None)
        if text is not None:
            yield text.lower()
    for part in _parts(clause):
        yield from _literals(part)


def _patterns(clause: Any) -> Iterator[str]:
    pattern = getattr(clause, "regex", None)
    if pattern is not None:
        yield pattern
    for part in _parts(clause):
        yield from _patterns(part)


def _parts(clause: Any) -> list[Any]:
    """The alternatives of an "or"; the parts of an "and" each mean less than the whole."""
    return list(getattr(clause, "or_", ()))


def _first_day(model: ModelInfo, asked: str) -> date | None:
    """The day in the name that was asked for, else the first in the model's own names; ``None`` without one.

    Prices without a date would otherwise hold for years in which the model was not there.
    """
    for names in ((asked,), (model.id, *_literals(model.match))):
        days = [day for name in names for parts in DAY_IN_NAME.findall(name) if (day := _day(*parts))]
        if days:
            return min(days)
    return None


def _day(year: str, month: str, day: str) -> date | None:
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None


def _since(spans: tuple[Span, ...], first: date | None) -> tuple[Span, ...]:
    """The spans from that day on; what begins before any price changed has an open end without one."""
    first_s = None if first is None else _at(first, time_of_day(0)).timestamp()
    kept = [span for span in spans if first_s is None or span.until_s is None or span.until_s > first_s]
    if not kept or (kept[0].from_s is not None and (first_s is None or kept[0].from_s >= first_s)):
        return tuple(kept)
    return (msgspec.structs.replace(kept[0], from_s=first_s), *kept[1:])


def _spans(model: ModelInfo, now: datetime, source: str) -> tuple[Span, ...]:
    """Pieces of time with one price each, oldest first."""
    from genai_prices.types import ModelPrice

    if isinstance(model.prices, ModelPrice):
        rates = _rates(model.prices, source)
        return (Span(None, None, rates),) if rates else ()
    points, is_hourly = _change_points(model.prices, now)
    first = now - LOOK_BACK if is_hourly else EPOCH
    last = now + LOOK_AHEAD if is_hourly else None
    starts = [first, *sorted(point for point in points if point > first and (last is None or point < last))]
    spans: list[Span] = []
    for start, end in zip(starts, [*starts[1:], last], strict=True):
        rates = _rates(model.get_prices(start), source)
        until_s = None if end is None else end.timestamp()
        if spans and spans[-1].rates == rates:
            spans[-1] = Span(spans[-1].from_s, until_s, rates)
        else:
            spans.append(Span(start.timestamp() if start > EPOCH else None, until_s, rates))
    return tuple(spans)


def _change_points(prices: list[ConditionalPrice], now: datetime) -> tuple[set[datetime], bool]:
    """Moments at which the price may change, and whether it does so by the hour."""
    from genai_prices.types import StartDateConstraint, TimeOfDateConstraint

    points: set[datetime] = set()
    is_hourly = False
    for price in prices:
        constraint = price.constraint
        if isinstance(constraint, StartDateConstraint):
            points.add(_at(constraint.start_date, time_of_day(0)))
        elif isinstance(constraint, TimeOfDateConstraint):
            is_hourly = True
            days = range(-LOOK_BACK.days - 1, LOOK_AHEAD.days + 2)
            for day in (now.date() + timedelta(days=offset) for offset in days):
                points |= {_at(day, constraint.start_time), _at(day, constraint.end_time)}
    return points, is_hourly


def _at(day: date, hour: time_of_day) -> datetime:
    return datetime.combine(day, hour if hour.tzinfo else hour.replace(tzinfo=UTC)).astimezone(UTC)


def _rates(price: ModelPrice, source: str) -> Rates | None:
    """Our form of a catalogue price; ``None`` when it is not by the token or cannot be said in it.

    Where the catalogue lists no rate for cached tokens, the provider charges them as any input; where it
    lists none for output (embeddings), there is none.
    """
    listed = {name: value for name, value in price.__dict__.items() if value is not None}
    if "input_mtok" not in listed or any(name in listed for name in OWN_OUTPUT_PRICES):
        return None
    base = _rates_above(listed, -1, source)
    above = tuple((start, _rates_above(listed, start, source)) for start in _tier_starts(listed))
    return msgspec.structs.replace(base, above=above)


def _tier_starts(listed: dict[str, Any]) -> list[int]:
    starts = {tier.start for price in listed.values() for tier in getattr(price, "tiers", ())}
    return sorted(starts)


def _rates_above(listed: dict[str, Any], start: int, source: str) -> Rates:
    def rate(name: str) -> Decimal | None:
        price = listed.get(name)
        if price is None or isinstance(price, Decimal):
            return price
        reached: Decimal = price.base
        for tier in price.tiers:
            if tier.start <= start:
                reached = tier.price
        return reached

    fresh = rate("input_mtok")
    read, write, output = rate("cache_read_mtok"), rate("cache_write_mtok"), rate("output_mtok")
    return Rates(
        input_usd_per_mtok=fresh,
        output_usd_per_mtok=Decimal(0) if output is None else output,
        cache_read_usd_per_mtok=fresh if read is None else read,
        cache_write_usd_per_mtok=fresh if write is None else write,
        request_usd=(rate("requests_kcount") or Decimal(0)) / REQUESTS_PER_PRICE,
        source=source,
    )


def main() -> None:
    """Answers the request on standard input on standard output."""
    wanted = msgspec.json.decode(sys.stdin.buffer.read(), type=list[tuple[str, str]])
    sys.stdout.buffer.write(msgspec.json.encode(resolve(wanted, time.time())))


if __name__ == "__main__":
    main()
