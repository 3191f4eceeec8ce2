"""What the cloud would charge for the workload: dated list prices of its own models, or of a named one."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
from msgspec import structs

from spillway.errors import ConfigError
from spillway.ledger.catalogue import Span, catalogue_name, resolve
from spillway.planner.money import BATCH_DISCOUNT, MILLION
from spillway.planner.plan_inputs import Assumption, CloudChoice, PlanGrade, percent
from spillway.planner.readers.costs import Price
from spillway.planner.readers.line_items import Kind, LineItem
from spillway.planner.simulator import CloudModel
from spillway.planner.workload import Total, Workload
from spillway.vocabulary import Rates

__all__ = [
    "DEFAULT_CLOUD",
    "OWN_PRICE",
    "CloudFigures",
    "choose_cloud",
    "price_of_line_items",
    "provider_of",
    "refuse_unknown_tiers",
]

DEFAULT_CLOUD = "openai/gpt-4o-mini"
PER_MTOK = "USD/million tokens"
OWN_PRICE = "your own price"
"""Source of a price that the owner states."""
FIRST_SOLD = date(2020, 6, 11)
"""When OpenAI opened the first interface that sold a language model by the token (vendor's announcement)."""
FIRST_LISTED = date(2025, 7, 1)
"""About when the price catalogue began (guess): what it does not date was in force then, or later."""
MOST_OF_A_NAME = 60
"""Characters of a model's name that a sentence shows; no model's own name is as long."""
PROVIDERS: tuple[tuple[str, str], ...] = (
    (r"gpt-|chatgpt-|o\d(-|$)|text-embedding-|davinci|babbage", "openai"),
    (r"claude", "anthropic"),
    (r"gemini|gemma", "google"),
    (r"(open-)?(mi[sx]tral|ministral|codestral|magistral|devstral|pixtral)", "mistral"),
    (r"deepseek", "deepseek"),
    (r"grok", "x-ai"),
    (r"command", "cohere"),
)
"""Whose model a bare name is, by how it begins."""


@dataclass(frozen=True)
class CloudFigures:
    """What was said about the cloud; ``None`` leaves it to the workload's own models and the catalogue."""

    price_day: date
    """Prices in force on that day are taken."""
    cloud: str | None = None
    """``PROVIDER/MODEL``: everything is priced as if it had answered."""
    input_usd_per_mtok: Decimal | None = None
    output_usd_per_mtok: Decimal | None = None
    cached_usd_per_mtok: Decimal | None = None
    batch_ratio: Decimal | None = None
    """Share of traffic through the batch endpoint; ``None`` for what the usage says, or none."""
    first_token_s: float | None = None
    tok_s: float | None = None
    source: str = "given"
    """Who stated the price."""
    grade: PlanGrade = "given"
    own: Mapping[str, Rates] = field(default_factory=dict)
    """The owner's own prices by ``PROVIDER/MODEL``; they win over the catalogue."""
    usual: str | None = None
    """What usage that names no model is priced as; ``None`` for ``DEFAULT_CLOUD``."""


def choose_cloud(
    workload: Workload, figures: CloudFigures, batch: Sequence[Total] = ()
) -> tuple[CloudChoice, list[str]]:
    """The cloud to compare with, and what a person should know of it.

    ``batch`` is what the usage says went through the batch endpoint. ``ConfigError`` when a price that is
    needed is unknown: a saving over it would be made up.
    """
    rates, name, said, warnings = _priced(workload, figures)
    latency, timed = _latency(figures)
    choice = CloudChoice(name, rates, latency)
    whole_usd = choice.price_usd(workload)
    if whole_usd is None:
        raise ConfigError(
            f"{name} has no known price for some of the tokens (cached ones, most likely), so nothing can be "
            "said about savings: give --cached-usd-per-mtok beside --input-usd-per-mtok and "
            "--output-usd-per-mtok"
        )
    batch_ratio, batched = _batch(figures, _batch_used(choice, workload, batch, whole_usd))
    choice = replace(choice, batch_ratio=batch_ratio, assumptions=(*said, *timed, batched))
    return choice, warnings + _fees(workload, choice)


def refuse_unknown_tiers(tiers: Mapping[str, int], figures: CloudFigures) -> None:
    """``ConfigError`` for usage at a service tier whose price nobody knows, unless one is stated for all.

    ``tiers`` are requests by model and tier.
    """
    if not tiers or figures.cloud is not None or _stated(figures) is not None:
        return
    shown = ", ".join(f"{at} ({requests:,} requests)" for at, requests in list(tiers.items())[:5])
    more = f" and {len(tiers) - 5} more" if len(tiers) > 5 else ""
    raise ConfigError(
        f"the price of {shown}{more} is unknown, so nothing can be said about savings: state what you pay "
        "(--input-usd-per-mtok, --output-usd-per-mtok), price everything at the plain list price of a model "
        f"(--cloud {DEFAULT_CLOUD}), or take those rows out of the export"
    )


def price_of_line_items(figures: CloudFigures) -> Price:
    """What a bill's line items cost per million tokens when they were used: your own price, else the list's.

    A price stated for everything is that of every line item, whatever its terms. Batch is at its usual
    discount; other terms are unknown, except long prompts where the catalogue has a tier for them.
    """
    spans: dict[str, Sequence[Span]] = {}
    stated = _stated(figures)

    def price(item: LineItem, at_s: float) -> Decimal | None:
        rates = stated or _own(item.model, figures.own)
        if rates is None:
            if item.model not in spans:
                spans.update(look_up([item.model], figures.price_day))
            rates = _at_s(spans[item.model], at_s)
        if rates is not None and stated is None and item.terms:
            rates = rates.above[-1][1] if item.terms == ("long context",) and rates.above else None
        usd_per_mtok = None if rates is None else _rate_of(item.kind, rates)
        if usd_per_mtok is None or not item.is_batch:
            return usd_per_mtok
        return usd_per_mtok * (1 - BATCH_DISCOUNT)

    return price


def _rate_of(kind: Kind, rates: Rates) -> Decimal | None:
    """USD per million tokens of that kind; writing to a cache costs what reading does unless it is listed."""
    if kind == "output":
        return rates.output_usd_per_mtok
    if kind == "cached input":
        return rates.cache_read_usd_per_mtok
    if kind == "cache writes" and rates.cache_write_usd_per_mtok is not None:
        return rates.cache_write_usd_per_mtok
    return rates.input_usd_per_mtok


def _stated(figures: CloudFigures) -> Rates | None:
    """The price that was stated for everything; ``None`` without one, or with half of one."""
    given = (figures.input_usd_per_mtok, figures.output_usd_per_mtok)
    if given[0] is None or given[1] is None:
        return None
    return Rates(*given, figures.cached_usd_per_mtok, source=figures.source)


def _priced(
    workload: Workload, figures: CloudFigures
) -> tuple[tuple[Rates, ...], str, tuple[Assumption, ...], list[str]]:
    stated = _stated(figures)
    if stated is not None:
        name = figures.cloud or "the cloud at the stated price"
        shown = _shown(workload, (name,), (stated,), _Said(figures.source, figures.grade))
        return (stated,), name, shown, []
    halves = (figures.input_usd_per_mtok, figures.output_usd_per_mtok, figures.cached_usd_per_mtok)
    if halves != (None, None, None):
        raise ConfigError("a price needs both --input-usd-per-mtok and --output-usd-per-mtok")
    names = [figures.cloud] if figures.cloud else [name for name in workload.models if name]
    warnings = []
    if not names:
        names = [figures.usual or DEFAULT_CLOUD]
        warnings.append(
            f"the usage names no model: priced as {names[0]}; --cloud PROVIDER/MODEL says another"
        )
    spans = look_up([name for name in names if _own(name, figures.own) is None], figures.price_day)
    warnings += _hourly(spans, figures.price_day)
    found = {name: _own(name, figures.own) or _at(spans.get(name, ()), figures.price_day) for name in names}
    _refuse_unknown(workload, found, figures, spans)
    undated = _undated(spans, figures.price_day)
    warnings += [f"the price catalogue does not say since when {name} costs what it does" for name in undated]
    by_index = (names[0],) if len(names) == 1 else workload.models
    rates_by_index = tuple(known for name in by_index if (known := found[name]) is not None)
    if workload.start_wall_s is not None and not figures.cloud:
        warnings += _moved(spans, workload.start_wall_s, figures.price_day)
    day = figures.price_day.isoformat()
    said = _Said(
        f"{catalogue_name()}, list price on {day}",
        undated=undated,
        undated_source=f"{catalogue_name()}, list price of a later day, not of {day}",
    )
    shown = _shown(workload, by_index, rates_by_index, said)
    return rates_by_index, _name(workload, names), shown, warnings


def _name(workload: Workload, names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    counts = np.bincount(workload.model, minlength=len(workload.models))
    first = workload.models[int(np.argmax(counts))]
    others = len(names) - 1
    return f"{first} and {others} other{'s' if others > 1 else ''}, as used"


def look_up(names: Sequence[str], day: date) -> dict[str, tuple[Span, ...]]:
    """Dated prices by name, an empty tuple where the catalogue has none."""
    asked = {name: provider_of(name) for name in names}
    wanted = [pair for pair in asked.values() if pair is not None]
    entries = resolve(wanted, _noon_s(day)).entries if wanted else ()
    known = {(entry.provider, entry.model): entry.spans for entry in entries}
    return {name: known.get(pair, ()) if pair is not None else () for name, pair in asked.items()}


def provider_of(name: str) -> tuple[str, str] | None:
    """Provider and model of a name such as ``openai/gpt-4o`` or ``gpt-4o``; ``None`` when nobody can tell."""
    provider, slash, model = name.partition("/")
    if slash and model:
        return provider, model
    found = next((owner for start, owner in PROVIDERS if re.match(start, name.lower())), None)
    return None if found is None else (found, name)


def _own(name: str, own: Mapping[str, Rates]) -> Rates | None:
    """The owner's price of a model, whether the usage names its provider or not."""
    pair = provider_of(name)
    return own.get(name) or (own.get("/".join(pair)) if pair is not None else None)


def _noon_s(day: date) -> float:
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp()


def _at(spans: Sequence[Span], day: date) -> Rates | None:
    return _at_s(spans, _noon_s(day))


def _at_s(spans: Sequence[Span], moment_s: float) -> Rates | None:
    if moment_s < _noon_s(FIRST_SOLD):
        return None
    for span in spans:
        if (span.from_s is None or moment_s >= span.from_s) and (
            span.until_s is None or moment_s < span.until_s
        ):
            return span.rates
    return None


def _undated(spans: Mapping[str, Sequence[Span]], day: date) -> list[str]:
    """Models whose list price on a day that the catalogue never saw is only that of later."""
    if day >= FIRST_LISTED:
        return []
    found = [(name, each) for name, each in spans.items() if _at(each, day)]
    is_hourly = {name for name, each in found if each[-1].until_s is not None}  # written out around the day
    return [name for name, each in found if each[0].from_s is None or name in is_hourly]


def _refuse_unknown(
    workload: Workload,
    found: Mapping[str, Rates | None],
    figures: CloudFigures,
    spans: Mapping[str, Sequence[Span]],
) -> None:
    later = [name for name, rates in found.items() if rates is None and spans.get(name)]
    if later:
        raise ConfigError(_too_early(later[0], spans[later[0]], figures.price_day))
    unknown = [repr(_short(name)) for name, rates in found.items() if rates is None]
    nameless = 0
    if not figures.cloud and any(workload.models) and "" in workload.models:
        nameless = int((workload.model == workload.models.index("")).sum())
    if nameless:
        unknown.append(f"{nameless:,} requests without a model")
    if not unknown:
        return
    shown = ", ".join(unknown[:5])
    more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
    raise ConfigError(
        f"the price of {shown}{more} is unknown on {figures.price_day}, so nothing can be said about "
        f"savings: price everything as one model (--cloud {DEFAULT_CLOUD}), or state a price "
        "(--input-usd-per-mtok, --output-usd-per-mtok)"
    )


def _short(name: str) -> str:
    """A model's name as a sentence can hold it; usage may have a whole text in its place."""
    return name if len(name) <= MOST_OF_A_NAME else f"{name[:MOST_OF_A_NAME]}…"


def _too_early(name: str, spans: Sequence[Span], day: date) -> str:
    """What to do where the catalogue knows the model, but not on that day."""
    begins_s = spans[0].from_s
    begins = FIRST_SOLD if begins_s is None else datetime.fromtimestamp(begins_s, UTC).date()
    since = max(FIRST_SOLD, begins)
    return (
        f"the price of {name!r} is unknown on {day}, as no list price of it holds before {since}: give a "
        "later --price-date, or state a price (--input-usd-per-mtok, --output-usd-per-mtok)"
    )


def _hourly(spans: Mapping[str, Sequence[Span]], day: date) -> list[str]:
    """Models whose list price changes within the day."""
    noon_s = _noon_s(day)
    hours = (noon_s + 3600.0 * hour for hour in range(-12, 12))
    varied = {
        name for hour_s in hours for name, each in spans.items() if _at_s(each, hour_s) != _at(each, day)
    }
    return [
        f"{name} has another list price at other hours; the plan uses that of noon" for name in sorted(varied)
    ]


def _moved(spans: Mapping[str, Sequence[Span]], used_s: float, day: date) -> list[str]:
    """Models whose list price was another when the usage happened."""
    then = datetime.fromtimestamp(used_s, UTC).date().isoformat()
    moved = [name for name, each in spans.items() if _at_s(each, used_s) not in (None, _at(each, day))]
    return [f"{name} had another list price on {then}; the plan uses that of {day}" for name in moved]


def _batch_used(
    choice: CloudChoice, workload: Workload, batch: Sequence[Total], whole_usd: Decimal
) -> Decimal:
    """The share of the list price that is for batch; by tokens a cheap model would weigh like a dear one."""
    part_usd = Decimal(0)
    for total in batch:
        rates = choice.rates[0 if len(choice.rates) == 1 else workload.models.index(total.model)]
        cached = total.cached_tokens or 0
        for tokens, usd_per_mtok in (
            (total.input_tokens - cached, rates.input_usd_per_mtok),
            (cached, rates.cache_read_usd_per_mtok),
            (total.output_tokens, rates.output_usd_per_mtok),
        ):
            part_usd += tokens * (usd_per_mtok or Decimal(0)) / MILLION
    return min(part_usd / whole_usd, Decimal(1)) if whole_usd else Decimal(0)


def _batch(figures: CloudFigures, used: Decimal) -> tuple[Decimal, Assumption]:
    """The share through the batch endpoint: as stated, else as used."""
    name, stated = "share of traffic through the batch endpoint", figures.batch_ratio
    if stated is not None:
        return stated, Assumption(name, stated, "ratio", "given", "given")
    if used:
        return used, Assumption(
            name, round(used, 4), "ratio", "derived", "list price of what the usage marks as batch"
        )
    return used, Assumption(name, used, "ratio", "guess", "none unless stated")


@dataclass(frozen=True)
class _Said:
    """Who says a price, and with what right; a grade of ``None`` leaves it to the price itself."""

    source: str
    grade: PlanGrade | None = None
    undated: Collection[str] = ()
    """Models whose price is that of a later day."""
    undated_source: str = ""

    def of(self, name: str, rates: Rates) -> tuple[PlanGrade, str]:
        """Grade and source of what one model costs."""
        if rates.source == OWN_PRICE:
            return "given", OWN_PRICE
        if name in self.undated:
            return "guess", self.undated_source
        return self.grade or rates.grade, self.source


def _shown(
    workload: Workload, names: Sequence[str], rates: Sequence[Rates], said: _Said
) -> tuple[Assumption, ...]:
    """What each model costs: the plain prices, and the tiers that its prompts reach."""
    out = []
    for index, (name, known) in enumerate(zip(names, rates, strict=True)):
        used = workload if len(rates) == 1 else workload.only(workload.model == index)
        grade, source = said.of(name, known)
        longest = int(used.input_tokens.max(initial=0))
        tiers = [(name, known)]
        tiers += [(f"{name}, prompts above {at:,} tokens", tier) for at, tier in known.above if longest > at]
        lines = [line for whose, tier in tiers for line in _lines(used, whose, tier)]
        out += [Assumption(what, rate, unit, grade, source) for what, rate, unit in lines]
    return tuple(out)


def _lines(used: Workload, whose: str, rates: Rates) -> Iterator[tuple[str, Decimal | None, str]]:
    """Triples of what, rate and unit: input and output, cached input and a fee where there are any."""
    yield f"input price of {whose}", rates.input_usd_per_mtok, PER_MTOK
    yield f"output price of {whose}", rates.output_usd_per_mtok, PER_MTOK
    if used.cached_tokens is not None and used.cached_tokens.any():
        yield f"cached input price of {whose}", rates.cache_read_usd_per_mtok, PER_MTOK
    if rates.request_usd:
        yield f"fee per request of {whose}", rates.request_usd, "USD/request"


def _fees(workload: Workload, choice: CloudChoice) -> list[str]:
    """That the cloud charges by the request too, which the usual calculation never asks."""
    free = replace(choice, rates=tuple(_without_fees(rates) for rates in choice.rates))
    if free.rates == choice.rates:
        return []
    whole_usd, tokens_usd = choice.price_usd(workload), free.price_usd(workload)
    if not whole_usd or tokens_usd is None:
        return []
    fee_usd = float((whole_usd - tokens_usd) / len(workload))
    part = percent(float(1 - tokens_usd / whole_usd))
    return [f"{choice.name} charges ${fee_usd:.3g} a request besides its tokens, {part} of the bill"]


def _without_fees(rates: Rates) -> Rates:
    above = tuple((start, _without_fees(tier)) for start, tier in rates.above)
    return structs.replace(rates, request_usd=Decimal(0), above=above)


def _latency(figures: CloudFigures) -> tuple[CloudModel, tuple[Assumption, ...]]:
    usual = CloudModel()
    latency = CloudModel(
        figures.first_token_s if figures.first_token_s is not None else usual.first_token_s,
        figures.tok_s if figures.tok_s is not None else usual.tok_s,
    )
    source = "a small hosted model; the spread is log-normal with sigma 0.35"
    return latency, (
        Assumption(
            "cloud's time to first token, median", round(1000 * latency.first_token_s), "ms",
            "guess" if figures.first_token_s is None else "given", source,
        ),
        Assumption(
            "cloud's speed after that, median", latency.tok_s, "tok/s",
            "guess" if figures.tok_s is None else "given", source,
        ),
    )  # fmt: skip
