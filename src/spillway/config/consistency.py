"""What only makes sense together: aliases and what they lead to, prices and the clouds they belong to."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from spillway.config.complaints import nearest
from spillway.config.document import Location, Problem
from spillway.config.schema import RESERVED_NAMES, Config

__all__ = ["alias_ends", "oddities", "problems_of"]


def problems_of(config: Config, *, needs_secrets: bool = True) -> list[Problem]:
    """Everything that cannot work; without ``needs_secrets`` an empty key is no problem."""
    return [
        *_bad_urls(config),
        *_bad_reference(config),
        *_bad_prices(config),
        *_bad_judge(config),
        *_bad_aliases(config),
        *(_bad_keys(config) if needs_secrets else ()),
    ]


def oddities(config: Config, *, needs_secrets: bool = True) -> list[Problem]:
    """Everything that works, but perhaps not as meant."""
    odd: list[Problem] = []
    cloud_name, _, model = (config.routing.reference or "").partition("/")
    for cloud in config.clouds:
        listed = [entry.name for entry in cloud.model_entries]
        if cloud.name == cloud_name and listed and model not in listed:
            said = f"{model} is not among the models of {cloud_name}"
            odd.append((("routing", "reference"), said + nearest(model, listed)))
    if needs_secrets:
        odd += _empty_keys(config)
    return odd


def _empty_keys(config: Config) -> Iterator[Problem]:
    for part in ("nodes", "clouds"):
        for index, upstream in enumerate(getattr(config, part)):
            if upstream.api_key is not None and not upstream.api_key.get_secret_value():
                yield (part, index, "api_key"), "is empty, so no key is sent"


def _bad_urls(config: Config) -> Iterator[Problem]:
    for part in ("nodes", "clouds"):
        for index, upstream in enumerate(getattr(config, part)):
            if upstream.url is not None and (said := _wrong_with(upstream.url)):
                yield (part, index, "url"), said


def _wrong_with(url: str) -> str | None:
    """What is wrong with a base URL, without repeating it: it may hold a password."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return "is no URL"
    if parts.scheme == "unix":
        return None if parts.path else "must name a socket: unix:///path/to/socket"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "must be a URL that begins with http:// or https://"
    if parts.username or parts.password:
        return "may not hold credentials: use api_key"
    return None


def _is_discovered(config: Config) -> bool:
    """Whether the upstreams are found at start, so that no name can be called wrong before."""
    return not config.nodes and not config.clouds


def _bad_reference(config: Config) -> Iterator[Problem]:
    if config.routing.reference is not None and (said := _wrong_cloud(config, config.routing.reference)):
        yield ("routing", "reference"), said


def alias_ends(config: Config) -> dict[str, str]:
    """Alias → the model or NODE/MODEL it leads to in the end; those that go round are left out."""
    ends = {alias: _end_of(alias, config.aliases) for alias in config.aliases}
    return {alias: end for alias, end in ends.items() if end is not None}


def _bad_judge(config: Config) -> Iterator[Problem]:
    judge = config.quality.shadow.judge
    if judge is None or _is_discovered(config):
        return
    names = [node.name for node in config.nodes] + [cloud.name for cloud in config.clouds]
    name, _, model = judge.partition("/")
    if name not in names or not model:
        said = f"must be NODE/MODEL or CLOUD/MODEL; configured are {', '.join(names)}{nearest(name, names)}"
        yield ("quality", "shadow", "judge"), said


def _bad_prices(config: Config) -> Iterator[Problem]:
    for key in config.prices:
        if said := _wrong_cloud(config, key):
            yield ("prices", key), said


def _wrong_cloud(config: Config, cloud_and_model: str) -> str | None:
    name, _, model = cloud_and_model.partition("/")
    clouds = [cloud.name for cloud in config.clouds]
    if name and model and (name in clouds or _is_discovered(config)):
        return None
    known = f"configured are {', '.join(clouds)}" if clouds else "no cloud is configured"
    return f"must be CLOUD/MODEL of a configured cloud; {known}{nearest(name, clouds)}"


def _bad_aliases(config: Config) -> Iterator[Problem]:
    upstreams = [node.name for node in config.nodes] + [cloud.name for cloud in config.clouds]
    listed = {entry.name for cloud in config.clouds for entry in cloud.model_entries}
    for alias, target in config.aliases.items():
        at: Location = ("aliases", alias)
        if alias in RESERVED_NAMES:
            yield at, "that word chooses a side and cannot be an alias"
        elif (end := _end_of(alias, config.aliases)) is None:
            yield at, "leads back to itself"
        elif not target:
            yield at, "must name a model or NODE/MODEL"
        elif "/" in end and end not in listed and not _is_discovered(config):
            name = end.partition("/")[0]
            if name not in upstreams:
                hint = nearest(name, upstreams) or f"; a model of that name is NODE/{end}"
                yield at, f"no node or cloud is called {name!r}{hint}"


def _end_of(alias: str, aliases: dict[str, str]) -> str | None:
    """Where an alias leads in the end; ``None`` when it goes round."""
    seen = set()
    while alias in aliases:
        if alias in seen:
            return None
        seen.add(alias)
        alias = aliases[alias]
    return alias


def _bad_keys(config: Config) -> Iterator[Problem]:
    names: dict[str, str] = {}
    for index, key in enumerate(config.server.keys):
        at: Location = ("server", "keys", index, "key")
        secret = key.key.get_secret_value()
        if not secret:
            yield at, "is empty: nobody could present it"
        elif secret in names:
            yield at, f"is the same as the key of {names[secret]!r}"
        names.setdefault(secret, key.name)
