from __future__ import annotations

import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from spillway.ledger.catalogue import Span, resolve
from spillway.ledger.prices import PriceBook, flat_rates, load_prices
from spillway.vocabulary import Rates

NOW_S = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
DAY_S = 86_400


def _book(*wanted: tuple[str, str]) -> PriceBook:
    entries = resolve(wanted, NOW_S).entries
    return PriceBook(spans={(entry.provider, entry.model): entry.spans for entry in entries})


def _rates(provider: str, model: str) -> Rates | None:
    return _book((provider, model)).rates(provider, model, NOW_S)


def test_a_known_model_has_its_list_price() -> None:
    """The price sheet of a model that has not changed since its launch."""
    rates = _rates("openai", "gpt-4o-mini")
    assert rates is not None
    assert (rates.input_usd_per_mtok, rates.output_usd_per_mtok) == (Decimal("0.15"), Decimal("0.6"))
    assert rates.cache_read_usd_per_mtok == Decimal("0.075")
    assert rates.source.startswith("genai-prices ")


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-4o-mini-2024-07-18"),
        ("OpenAI", "GPT-4o-mini"),
        ("anthropic", "claude-sonnet-4-5-20250929"),
        ("gemini", "gemini-2.5-flash"),
        ("xai", "grok-4"),
        ("azure", "gpt-4o-mini"),
        ("openrouter", "openai/gpt-4o-mini"),
    ],
)
def test_usual_spellings_are_understood(provider: str, model: str) -> None:
    """A date behind a name, another case, and a provider's everyday name mean the same model."""
    assert _rates(provider, model) is not None


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-4o-mini-foo"),
        ("openai", "my-gpt-4o-mini"),
        ("anthropic", "claude-sonnet-4-5-turbo"),
        ("anthropic", "claude-haiku-99"),
        ("deepseek", "deepseek-chat-uncensored"),
        ("openai", "qwen3-4b"),
        ("my-openai-proxy", "gpt-4o-mini"),
        ("nobody", "gpt-4o-mini"),
        ("openai", ""),
    ],
)
def test_a_name_that_only_looks_like_another_is_unknown(provider: str, model: str) -> None:
    """The catalogue would guess for some of these; no price is better than another model's."""
    assert _rates(provider, model) is None


def test_tiers_are_carried_over() -> None:
    """A long prompt's dearer rates come along with their threshold."""
    rates = _rates("google", "gemini-2.5-pro")
    assert rates is not None
    ((start, dearer),) = rates.above
    assert start == 200_000
    assert (dearer.input_usd_per_mtok, dearer.output_usd_per_mtok) == (Decimal("2.5"), Decimal(15))


def test_embeddings_have_no_price_for_output() -> None:
    """Where nothing is generated, nothing is charged, which is known and not unknown."""
    rates = _rates("openai", "text-embedding-3-small")
    assert rates is not None
    assert rates.output_usd_per_mtok == 0


def test_output_of_several_kinds_is_unknown() -> None:
    """A model that charges reasoning apart cannot be priced by input and output alone."""
    assert _rates("perplexity", "sonar-deep-research") is None


def test_a_price_by_the_character_is_unknown() -> None:
    """Speech models are not billed by tokens."""
    assert _rates("openai", "tts-1") is None


def test_prices_by_the_hour_change_by_the_hour() -> None:
    """A model with a cheap time of day has both prices, for the eight days that are written out."""
    book = _book(("deepseek", "deepseek-reasoner"))
    inputs = set()
    for hour in range(24):
        rates = book.rates("deepseek", "deepseek-reasoner", NOW_S + hour * 3600)
        assert rates is not None
        inputs.add(rates.input_usd_per_mtok)
    assert len(inputs) == 2
    assert book.rates("deepseek", "deepseek-reasoner", NOW_S + 8 * DAY_S - 1) is not None
    assert book.rates("deepseek", "deepseek-reasoner", NOW_S + 8 * DAY_S) is None


def test_spans_meet_at_their_ends() -> None:
    """At the moment of a change the new price holds, and never none."""
    old, new = flat_rates(Decimal(1), Decimal(1)), flat_rates(Decimal(2), Decimal(2))
    book = PriceBook(spans={("p", "m"): (Span(None, 100.0, old), Span(100.0, None, new))})
    assert book.rates("p", "m", 99.9) is old
    assert book.rates("p", "m", 100.0) is new
    assert book.rates("p", "m", 1e12) is new


async def test_the_owners_price_wins(tmp_path: Path) -> None:
    """A price in the configuration is used whatever the catalogue says, and says where it is from."""
    own = flat_rates(Decimal("0.01"), Decimal("0.02"))
    book = await load_prices(
        [("openai", "gpt-4o-mini"), ("acme", "gpt-4o-mini")],
        overrides={("openai", "gpt-4o-mini"): own},
        provider_by_cloud={"acme": "openai"},
        cache_folder=tmp_path,
    )
    assert book.problem is None
    mine = book.rates("openai", "gpt-4o-mini", NOW_S)
    assert mine is own
    assert mine.source == "configuration"
    assert mine.cache_read_usd_per_mtok == Decimal("0.01")
    theirs = book.rates("acme", "gpt-4o-mini", NOW_S)
    assert theirs is not None
    assert theirs.input_usd_per_mtok == Decimal("0.15")


async def test_what_was_asked_once_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second start takes prices from the file, unknown ones too, and starts no process."""
    models = [("openai", "gpt-4o-mini"), ("openai", "nothing-like-it")]
    first = await load_prices(models, cache_folder=tmp_path / "cache")
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    second = await load_prices(models, cache_folder=tmp_path / "cache")
    assert second == first
    assert second.rates("openai", "gpt-4o-mini", NOW_S) is not None


async def test_a_damaged_file_is_made_anew(tmp_path: Path) -> None:
    """Half a file, or somebody else's, is no reason to go without prices."""
    await load_prices([("openai", "gpt-4o-mini")], cache_folder=tmp_path)
    (kept,) = list(tmp_path.iterdir())  # noqa: ASYNC240 - a listing of one file
    kept.write_bytes(kept.read_bytes()[:50])
    book = await load_prices([("openai", "gpt-4o-mini")], cache_folder=tmp_path)
    assert book.rates("openai", "gpt-4o-mini", NOW_S) is not None


@pytest.mark.parametrize("program", ["/nowhere/python", "/bin/false"])
async def test_without_a_catalogue_prices_are_unknown_and_it_is_said(
    program: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A process that cannot start or fails costs no more than the prices."""
    monkeypatch.setattr(sys, "executable", program)
    book = await load_prices([("openai", "gpt-4o-mini")])
    assert book.rates("openai", "gpt-4o-mini", NOW_S) is None
    assert book.problem is not None
    assert "price catalogue" in book.problem
    assert len(caplog.records) == 1


async def test_nothing_wanted_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without clouds there is nothing to look up."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert await load_prices([]) == PriceBook()
