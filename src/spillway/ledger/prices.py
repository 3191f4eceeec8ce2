"""What clouds charge, looked up once and then held: configuration first, the catalogue second, else unknown.

The catalogue is read by a short-lived process of its own and what it said is kept in a file, so that the
usual start of the gateway neither waits for it nor carries it in memory.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path

import msgspec
from msgspec import Struct

from spillway.ledger.catalogue import Entry, Resolved, Span, catalogue_name
from spillway.vocabulary import Rates

__all__ = ["PriceBook", "default_cache_folder", "flat_rates", "load_prices"]

Wanted = tuple[str, str]
"""Provider and model."""
CHILD_TIMEOUT_S = 60.0
DAY_S = 86_400.0
FORM = 1
"""Part of the cache file's name: a file in an older form is not read."""

log = logging.getLogger("spillway.ledger")


class PriceBook(Struct, frozen=True):
    """Rates of cloud models by time."""

    overrides: Mapping[Wanted, Rates] = {}
    """The owner's own prices, by cloud and model."""
    provider_by_cloud: Mapping[str, str] = {}
    """Whose price list applies to a cloud that is not called like its provider."""
    spans: Mapping[Wanted, tuple[Span, ...]] = {}
    """What the catalogue says, by provider and model."""
    problem: str | None = None
    """Why the catalogue could not be asked, for a person; its prices are then unknown."""

    def rates(self, cloud: str, model: str, at_s: float) -> Rates | None:
        """What ``cloud`` charges for ``model`` at a time in seconds since the epoch; ``None`` is unknown."""
        own = self.overrides.get((cloud, model))
        if own is not None:
            return own
        for span in self.spans.get((self.provider_by_cloud.get(cloud, cloud), model), ()):
            if (span.from_s is None or at_s >= span.from_s) and (span.until_s is None or at_s < span.until_s):
                return span.rates
        return None


def flat_rates(
    input_usd_per_mtok: Decimal,
    output_usd_per_mtok: Decimal,
    cache_read_usd_per_mtok: Decimal | None = None,
    cache_write_usd_per_mtok: Decimal | None = None,
) -> Rates:
    """The owner's own price; cached tokens without a rate of their own cost what other input does."""
    read, write = cache_read_usd_per_mtok, cache_write_usd_per_mtok
    return Rates(
        input_usd_per_mtok,
        output_usd_per_mtok,
        input_usd_per_mtok if read is None else read,
        input_usd_per_mtok if write is None else write,
        source="configuration",
    )


async def load_prices(
    models: Iterable[tuple[str, str]],
    *,
    overrides: Mapping[Wanted, Rates] | None = None,
    provider_by_cloud: Mapping[str, str] | None = None,
    cache_folder: Path | None = None,
) -> PriceBook:
    """Prices for pairs of cloud and model; never fails: what cannot be found out is unknown, and said once.

    With a ``cache_folder`` the catalogue is asked only for models it was not asked for before, and again when
    its version changes or prices that vary by the hour run out.
    """
    overrides, provider_by_cloud = overrides or {}, provider_by_cloud or {}
    wanted = {
        (provider_by_cloud.get(cloud, cloud), model)
        for cloud, model in models
        if (cloud, model) not in overrides
    }
    spans, problem = await _resolve(wanted, cache_folder) if wanted else ({}, None)
    if problem:
        log.error("%s: what clouds charge is unknown, so no cost is shown for them", problem)
    return PriceBook(overrides, provider_by_cloud, spans, problem)


def default_cache_folder() -> Path:
    """Where this user's programs keep what they can make again."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "spillway"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spillway"


async def _resolve(
    wanted: set[Wanted], folder: Path | None
) -> tuple[dict[Wanted, tuple[Span, ...]], str | None]:
    path = folder / f"rates-{FORM}-{catalogue_name().replace(' ', '-')}.json" if folder else None
    known = _read(path, time.time()) if path else {}
    missing = sorted(wanted - known.keys())
    if missing:
        try:
            known |= {(entry.provider, entry.model): entry.spans for entry in await _ask(missing)}
        except (OSError, TimeoutError, msgspec.MsgspecError, RuntimeError) as error:
            found = {key: known[key] for key in wanted & known.keys()}
            return found, f"the price catalogue cannot be read ({error or type(error).__name__})"
        if path:
            _write(path, known)
    return {key: known[key] for key in wanted}, None


async def _ask(wanted: list[Wanted]) -> tuple[Entry, ...]:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # never takes modules from the working directory
        "-m",
        "spillway.ledger.catalogue",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(CHILD_TIMEOUT_S):
            answer, errors = await child.communicate(msgspec.json.encode(wanted))
    except BaseException:
        child.kill()
        await child.wait()
        raise
    if child.returncode != 0:
        lines = errors.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise RuntimeError(lines[-1])
    return msgspec.json.decode(answer, type=Resolved).entries


def _read(path: Path, now_s: float) -> dict[Wanted, tuple[Span, ...]]:
    """What the file holds and is still good; nothing when it is missing or damaged."""
    try:
        entries = msgspec.json.decode(path.read_bytes(), type=Resolved).entries
    except (OSError, msgspec.MsgspecError):
        return {}
    return {
        (entry.provider, entry.model): entry.spans
        for entry in entries
        if not entry.spans or entry.spans[-1].until_s is None or entry.spans[-1].until_s > now_s + DAY_S
    }


def _write(path: Path, known: Mapping[Wanted, tuple[Span, ...]]) -> None:
    """Replaces the file as a whole; a cache that cannot be written only costs time."""
    entries = tuple(Entry(*key, spans) for key, spans in known.items())
    draft = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(msgspec.json.encode(Resolved(catalogue_name(), entries)))
        draft.replace(path)
    except OSError as error:
        log.warning("cannot keep prices in %s: %s", path, error)
