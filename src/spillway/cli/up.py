"""``spillway up``: run the gateway until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spillway.cli.hardware import with_known_hardware
from spillway.cli.profiles import Comparison, doubts_of, profiles_of

if TYPE_CHECKING:
    from spillway.api.assembly import Assembly
    from spillway.config.schema import Config
    from spillway.engines.identify import Found

__all__ = ["command", "serve"]

LOG_LEVELS = ("debug", "info", "warning", "error")


def command(
    config: Annotated[
        Path | None, typer.Option(help="Configuration; default ./spillway.yaml if any.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.", min=0, max=65535)] = None,
    write_config: Annotated[
        bool, typer.Option("--write-config", help="Write what was found to spillway.yaml and stop.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "warning",
) -> None:
    """Run the gateway: local while fast, good and cheaper; the rest spills to the cloud.

    Example: spillway up --port 4000
    """
    _log(log_level)
    _run(_main(config, host, port, write_config=write_config, force=force))


def _log(level: str) -> None:
    from spillway.errors import ConfigError

    if level.lower() not in LOG_LEVELS:
        raise ConfigError(f"--log-level {level!r} is no level: write {', '.join(LOG_LEVELS)}")
    logging.basicConfig(level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")


async def _main(
    path: Path | None, host: str | None, port: int | None, *, write_config: bool, force: bool
) -> None:
    from spillway.config.load import load_config

    loaded = load_config(path, os.environ)
    for warning in loaded.warnings:
        _warn(warning)
    settings = _with_listener(loaded.config, host, port)
    found: dict[str, Found] = {}
    if not settings.nodes and not settings.clouds:
        settings, found = await _discover(settings)
    if write_config:
        _write(settings, loaded.path or Path("spillway.yaml"), force=force)
        return
    from spillway.api.assembly import Assembly

    profiles = profiles_of(settings)
    for doubt in doubts_of(settings, profiles):
        _warn(doubt)
    paces = {name: profile.pace for name, profile in profiles.items()}
    assembly = Assembly(
        with_known_hardware(settings), found=found, profiles=paces, state_folder=_state_folder(settings)
    )
    assembly.nodes.on_probe.append(Comparison(profiles, _warn).note)
    await serve(assembly)


def _warn(sentence: str) -> None:
    typer.echo(f"spillway: {sentence}", err=True)


async def serve(assembly: Assembly) -> None:
    """Serves until a signal comes; prints what there is to talk to and how."""
    from spillway.api.server import GatewayServer, bind
    from spillway.cli.banner import banner

    server_settings = assembly.config.server
    sock = bind(server_settings.host, server_settings.port)
    try:
        await assembly.start()
        url = f"http://{server_settings.host}:{sock.getsockname()[1]}/v1"
        typer.echo(banner(assembly.fleet, url, needs_key=bool(server_settings.keys)))
        _calm_the_collector()
        await GatewayServer(assembly.gateway).serve(sockets=[sock])
    finally:
        sock.close()
        await assembly.close()


def _calm_the_collector() -> None:
    """What is loaded by now stays: the garbage collector need not walk through it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def _state_folder(config: Config) -> Path | None:
    """Where rows wait while a database elsewhere is away; ``None`` where the ledger is a file of its own.

    ConfigError where that cannot be made, as in a container whose files are read-only.
    """
    from spillway.errors import ConfigError
    from spillway.ledger.store import sqlite_path

    if sqlite_path(config.ledger) is not None:
        return None
    folder = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "spillway"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"cannot make {folder} ({error.strerror}): set XDG_STATE_HOME to a folder that can be written"
        ) from None
    return folder


def _with_listener(config: Config, host: str | None, port: int | None) -> Config:
    """The configuration with the command line's address; validated again, since a host may need keys."""
    from pydantic import ValidationError

    from spillway.errors import ConfigError

    server = {name: getattr(config.server, name) for name in type(config.server).model_fields}
    server |= {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    parts = {name: getattr(config, name) for name in type(config).model_fields}
    try:
        return type(config).model_validate({**parts, "server": server})
    except ValidationError as error:
        raise ConfigError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None


async def _discover(config: Config) -> tuple[Config, dict[str, Found]]:
    """What is running here and what there are keys for; ConfigError when that is nothing."""
    from spillway.errors import ConfigError
    from spillway.fleet.discover import discover_clouds, discover_nodes

    nodes = await discover_nodes(config.server.port)
    clouds = discover_clouds(os.environ)
    if not nodes and not clouds:
        raise ConfigError(
            "found no engine on the usual local ports and no cloud key in the environment: start one "
            "(for example ollama serve), set OPENAI_API_KEY, or write a spillway.yaml"
        )
    discovered = config.model_copy(
        update={"nodes": tuple(node for node, _ in nodes), "clouds": tuple(clouds)}
    )
    return discovered, {node.name: found for node, found in nodes}


def _write(config: Config, path: Path, *, force: bool) -> None:
    from spillway.config.write import render_config, write_config
    from spillway.engines.profiles import CLOUDS

    variables = {
        cloud.name: CLOUDS[cloud.name].key_variable for cloud in config.clouds if cloud.name in CLOUDS
    }
    write_config(path, render_config(config, variables), force=force)
    typer.echo(f"wrote {path}; run spillway check, then spillway up")


def _run(main: Coroutine[object, object, None]) -> None:
    try:
        import uvloop
    except ImportError:  # Windows
        asyncio.run(main)
    else:
        uvloop.run(main)
