"""The two sides of ``spillway evidence --from-log``: who they are, how they are asked, what that costs."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spillway.errors import ConfigError, MeasureFailed

if TYPE_CHECKING:
    from spillway.config.schema import Config
    from spillway.engines.openai_compatible import OpenAICompatible
    from spillway.verify import GivenAnswer
    from spillway.vocabulary import Rates, Usage

__all__ = ["Asked", "Party", "most_usd", "node_of", "reference_of"]

CONNECT_S = 5.0
PATIENCE_S = 300.0
TRIES = 3
PAUSE_S = 1.0
MAX_ANSWER_BYTES = 8 * 1024 * 1024
ANSWER_TOKENS = 1024
"""Where a logged request sets no limit of its own."""
LIMITS = ("max_tokens", "max_completion_tokens")
UNREACHED = 0
"""Stands for the status of an upstream that cannot be reached, or breaks off."""
PASSING = frozenset({UNREACHED, 408, 429, 500, 502, 503, 504})
NOT_SENT = frozenset({"stream", "stream_options", "models", "usage", "expected", "task", "n", "user"})


@dataclass(frozen=True)
class Asked:
    """One answer, or why there is none."""

    body: bytes
    """What was sent."""
    answer: GivenAnswer | None
    problem: str = ""
    usage: Usage | None = None
    is_free: bool = False
    """Whether it surely cost nothing: it was refused."""


@dataclass
class Party:
    """One side, ready to be asked."""

    name: str
    engine: OpenAICompatible
    model: str
    rates: Rates | None = None
    spent_usd: float = 0.0
    """Known spending, and what is set aside for answers under way."""
    refuses_logprobs: bool = False

    async def ask(self, fields: Mapping[str, Any], *, with_logprobs: bool = False) -> Asked:
        """Asks, again after what passes by itself."""
        for left in reversed(range(TRIES)):
            wants = with_logprobs and not self.refuses_logprobs
            body = _body(fields, self.model, wants)
            status, raw = await self._send(body)
            if status == 400 and wants and left:
                self.refuses_logprobs = True
            elif status in PASSING and left:
                await asyncio.sleep(PAUSE_S * (TRIES - left))
            else:
                break
        return self._read(status, raw, body)

    def settle(self, reserved_usd: float, asked: Asked) -> None:
        """What was set aside becomes what it cost, where that is known."""
        from spillway.ledger.cost import price_of

        if self.rates is None:
            return
        usd = price_of(asked.usage, self.rates) if asked.usage is not None else None
        if usd is not None or asked.is_free:
            self.spent_usd += float(usd or 0) - reserved_usd

    async def _send(self, body: bytes) -> tuple[int, bytes]:
        from spillway.engines.wire import WireError

        try:
            exchange = await self.engine.open(
                "chat", body, is_stream=False, connect_s=CONNECT_S, head_s=PATIENCE_S
            )
            try:
                return exchange.status, await exchange.body(MAX_ANSWER_BYTES, PATIENCE_S)
            finally:
                exchange.abort()  # does nothing to a complete one
        except WireError as error:
            return UNREACHED, str(error).encode()

    def _read(self, status: int, raw: bytes, body: bytes) -> Asked:
        from spillway.engines.usage import parse_answer
        from spillway.verify import GivenAnswer

        if status != 200:
            said = "".join(c for c in raw[:200].decode("utf-8", "replace") if c.isprintable())
            what = f"answered {status}: {said}" if status else f"cannot be reached: {said}"
            return Asked(body, None, f"{self.name} {what}", is_free=status >= 400)
        parsed, answer = parse_answer(raw), GivenAnswer.of(raw)
        usage = parsed.usage.to_usage() if parsed is not None and parsed.usage is not None else None
        problem = "" if answer is not None else f"{self.name} answered 200 without an answer in it"
        return Asked(body, answer, problem, usage)


def _body(fields: Mapping[str, Any], model: str, with_logprobs: bool) -> bytes:
    import msgspec

    own = {name: value for name, value in fields.items() if name not in NOT_SENT}
    if not any(name in own for name in LIMITS):
        own["max_tokens"] = ANSWER_TOKENS
    if with_logprobs:
        own["logprobs"] = True
    return msgspec.json.encode({**own, "model": model})


def most_usd(fields: Mapping[str, Any], rates: Rates | None) -> float:
    """The most that asking this can cost; 0 where no price is known."""
    from spillway.ledger.cost import price_of
    from spillway.vocabulary import Usage

    if rates is None:
        return 0.0
    given = next((fields[name] for name in LIMITS if isinstance(fields.get(name), int)), ANSWER_TOKENS)
    usd = price_of(Usage(len(json.dumps(fields)) // 2, max(1, given)), rates)
    return float(usd or 0)


async def node_of(url: str, model: str | None, key_env: str | None) -> Party:
    """The node at ``url``, asked for ``model`` or the first it serves."""
    key = _key(key_env, "--local-key-env")
    engine = _engine(url, key, "--local")
    name = model or await _first_model(engine, url, key)
    return Party(f"{url} ({name})", engine, name)


async def reference_of(given: str, model: str | None, key_env: str | None, settings: Config) -> Party:
    """What ``given`` names: a URL, or CLOUD/MODEL of the configuration or of the clouds spillway knows."""
    key = _key(key_env, "--reference-key-env")
    if "://" in given or given.startswith("unix:"):
        engine = _engine(given, key, "--reference")
        name = model or await _first_model(engine, given, key)
        return Party(f"{given} ({name})", engine, name)
    cloud, _, own_model = given.partition("/")
    url, own_key = _cloud(cloud, settings)
    if url is None or not own_model:
        raise ConfigError(f"--reference {given!r} is neither a URL nor CLOUD/MODEL of a cloud spillway knows")
    if not (key or own_key):
        raise ConfigError(f"--reference {given}: there is no key; name its variable with --reference-key-env")
    rates = await _rates(cloud, own_model, settings)
    if rates is None:
        print(f"spillway: the price of {given} is unknown, so --max-usd cannot be kept", file=sys.stderr)
    return Party(given, _engine(url, key or own_key, "--reference"), own_model, rates)


def _cloud(name: str, settings: Config) -> tuple[str | None, str | None]:
    """Its URL and key."""
    from spillway.engines.profiles import CLOUDS

    profile = CLOUDS.get(name)
    known_key = os.environ.get(profile.key_variable) if profile else None
    for cloud in settings.clouds:
        if cloud.name == name:
            own_key = cloud.api_key.get_secret_value() if cloud.api_key else None
            return cloud.url or (profile.url if profile else None), own_key or known_key
    return (profile.url if profile else None), known_key


def _key(variable: str | None, option: str) -> str | None:
    if variable is None:
        return None
    key = os.environ.get(variable)
    if not key:
        raise ConfigError(f"{option} {variable}: this variable is not set")
    return key


def _engine(url: str, key: str | None, option: str) -> OpenAICompatible:
    from spillway.engines.openai_compatible import OpenAICompatible

    bare = url.rstrip("/")
    try:
        return OpenAICompatible(
            bare if url.startswith("unix:") or bare.endswith("/v1") else f"{bare}/v1",
            key,
            reuses_after_stream=False,
        )
    except ValueError as error:
        raise ConfigError(f"{option} {url}: {error}") from None


async def _first_model(engine: OpenAICompatible, url: str, key: str | None = None) -> str:
    from spillway.engines.http_client import fetch_json
    from spillway.engines.wire import WireError

    path = "/v1/models" if engine.client.origin.scheme == "unix" else "/models"
    headers = [(b"authorization", b"Bearer " + key.encode())] if key else []
    try:
        status, found = await fetch_json(engine.client, path, headers)
    except WireError as error:
        await engine.close()
        raise MeasureFailed(f"{url} does not answer: {error}") from None
    models = found.get("data") if isinstance(found, dict) else None
    if status != 200 or not isinstance(models, list) or not models or not isinstance(models[0], dict):
        await engine.close()
        raise MeasureFailed(
            f"{url} does not say which models it serves: use --local-model, --reference-model"
        )
    return str(models[0].get("id"))


async def _rates(cloud: str, model: str, settings: Config) -> Rates | None:
    from spillway.ledger.prices import default_cache_folder, flat_rates, load_prices

    own = settings.prices.get(f"{cloud}/{model}")
    book = await load_prices(
        [(cloud, model)],
        overrides={(cloud, model): flat_rates(**own.model_dump())} if own is not None else {},
        provider_by_cloud={each.name: each.provider or each.name for each in settings.clouds},
        cache_folder=default_cache_folder(),
    )
    return book.rates(cloud, model, time.time())
