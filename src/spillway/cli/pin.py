"""``spillway pin``: write down what local nodes serve, and tell what changed since."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spillway.errors import ConfigError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from spillway.config.schema import Config, NodeConfig
    from spillway.pinning.command import Report
    from spillway.pinning.survey import Target

__all__ = ["command"]

EXIT_FAILED = 1
EXIT_CHANGED = 3
SCOPES = ("loaded", "all", "none")
LOCK_NAME = "spillway.lock"


def command(
    config: Annotated[
        Path | None, typer.Option(help="Configuration; default ./spillway.yaml if any.")
    ] = None,
    nodes: Annotated[str | None, typer.Option(help="Only these nodes, separated by commas.")] = None,
    lock: Annotated[Path | None, typer.Option(help="The lock; default: as in the configuration.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; tell what changed.")] = False,
    update: Annotated[bool, typer.Option("--update", help="Accept what changed.")] = False,
    canaries: Annotated[
        str, typer.Option(help="Models that get canaries: loaded, all (loads each), none.")
    ] = "loaded",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Pin what local nodes serve in spillway.lock; with --check tell what changed, and exit with 3 if it did.

    Example: spillway pin --check --nodes mini
    """
    if check and update:
        raise ConfigError("--check writes nothing and --update writes: give one of them")
    if canaries not in SCOPES:
        raise ConfigError(f"--canaries must be one of {', '.join(SCOPES)}, not {canaries!r}")
    report = asyncio.run(_run(config, nodes, lock, canaries, check=check, update=update, quiet=as_json))
    if as_json:
        import json

        typer.echo(json.dumps(report.to_json()))
    else:
        _print(report, is_check=check)
    if not report.is_equal:
        raise typer.Exit(EXIT_CHANGED)
    if report.unreachable:
        raise typer.Exit(EXIT_CHANGED if check else EXIT_FAILED)


async def _run(
    path: Path | None,
    names: str | None,
    lock: Path | None,
    scope: Any,
    *,
    check: bool,
    update: bool,
    quiet: bool,
) -> Report:
    from spillway.config.load import load_config
    from spillway.ledger.prices import default_cache_folder
    from spillway.pinning.command import Mode, run
    from spillway.pinning.weights import WeightFiles

    settings = load_config(path, os.environ, needs_variables=False).config
    place = lock or Path(settings.pins.lock or LOCK_NAME)
    mode: Mode = "check" if check else ("update" if update else "pin")
    files = WeightFiles(default_cache_folder() / "weights.json")
    async with AsyncExitStack() as stack:
        with _working(quiet):
            targets, down = await _targets(settings, names, stack)
            stack.push_async_callback(files.close)
            return await run(
                mode, place, targets, down, _canaries_of(settings), scope, files, is_part=names is not None
            )


def _working(quiet: bool) -> AbstractContextManager[Any]:
    """A sign of life on a terminal: reading 40 GB and asking a slow model both take a while."""
    import sys

    if quiet or not sys.stderr.isatty():
        return nullcontext()
    from rich.console import Console

    return Console(stderr=True).status("asking the nodes, reading weights, running canaries")


async def _targets(
    settings: Config, names: str | None, stack: AsyncExitStack
) -> tuple[list[Target], dict[str, str]]:
    """The nodes to look at, embedded ones started for it, and why some could not be."""
    from spillway.errors import EngineUnavailable
    from spillway.fleet.discover import discover_nodes
    from spillway.pinning.survey import Target

    configured = list(settings.nodes)
    if not settings.nodes and not settings.clouds:
        configured = [node for node, _ in await discover_nodes(settings.server.port)]
    targets: list[Target] = []
    down: dict[str, str] = {}
    for node in _chosen(configured, names):
        if node.model is None:
            key = node.api_key.get_secret_value() if node.api_key else None
            targets.append(Target(node.name, node.url or "", node.engine, key))
            continue
        try:
            targets.append(await _embedded(node, stack))
        except EngineUnavailable as error:
            down[node.name] = error.message
    return targets, down


def _chosen(configured: list[NodeConfig], names: str | None) -> list[NodeConfig]:
    known = [node.name for node in configured]
    if names is None:
        if not configured:
            raise ConfigError("there is nothing to pin: no node is configured, and none was found")
        return configured
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if name not in known:
            raise ConfigError(f"--nodes: no node is called {name!r}; known are {', '.join(known) or 'none'}")
    return [node for node in configured if node.name in wanted]


async def _embedded(node: NodeConfig, stack: AsyncExitStack) -> Target:
    """Serves the model as ``spillway up`` would, until the command ends."""
    from spillway.api.nodes import embedded
    from spillway.pinning.survey import Target

    engine = embedded(node)
    stack.push_async_callback(engine.stop)
    await engine.start()
    return Target(node.name, engine.url, "llamacpp", engine.api_key, is_embedded=True)


def _canaries_of(settings: Config) -> Any:
    from spillway.pinning.canaries import own_canaries

    pins = settings.pins
    return own_canaries([one.model_dump() for one in pins.canaries], with_defaults=pins.default_canaries)


def _print(report: Report, *, is_check: bool) -> None:
    for line in report.lines():
        typer.echo(line)
    if not report.is_equal:
        many = f"{report.differences} difference{'s' if report.differences != 1 else ''}"
        hint = "accept with spillway pin --update" if is_check or report.is_refused else ""
        typer.echo(f"{many} to {report.path}{': ' + hint if hint else ''}")
    elif report.is_written:
        typer.echo(f"{report.path} written: {report.pinned}")
    elif not report.unreachable:
        typer.echo(f"{report.path}: nothing changed")
