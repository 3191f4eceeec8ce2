"""``spillway check``: is the configuration right, and does everything it names answer."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spillway.cli.hardware import with_known_hardware
from spillway.cli.profiles import difference, doubts_of, profiles_of
from spillway.errors import printable

if TYPE_CHECKING:
    from spillway.config.schema import Config, NodeConfig
    from spillway.engines.identify import Found
    from spillway.fleet.examine import Finding
    from spillway.planner.profile import Profile

__all__ = ["command"]

SCHEMA = "spillway.check/1"
EXIT_PROBLEMS = 3
PATIENCE_S = 10.0
"""Longest time for one upstream, whatever it does; one that is silent is given up after five."""
MEMORY = ":memory:"
MARKS = {"ok": "ok     ", "note": "note   ", "problem": "PROBLEM"}


def command(
    config: Annotated[
        Path | None, typer.Option(help="Configuration; default ./spillway.yaml if any.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Validate the configuration and reach every upstream; exits with 3 when something is wrong.

    Example: spillway check --config spillway.yaml
    """
    findings = asyncio.run(_check(config))
    problems = sum(1 for finding in findings if finding.level == "problem")
    if as_json:
        rows = [{"level": f.level, "subject": f.subject, "text": f.text} for f in findings]
        typer.echo(json.dumps({"schema": SCHEMA, "problems": problems, "findings": rows}))
    else:
        for finding in findings:
            typer.echo(f"{MARKS[finding.level]}  {printable(f'{finding.subject}: {finding.text}')}")
        typer.echo(f"{problems} problem{'s' if problems != 1 else ''} found" if problems else "all is well")
    if problems:
        raise typer.Exit(EXIT_PROBLEMS)


async def _check(path: Path | None) -> list[Finding]:
    from spillway.config.load import load_config
    from spillway.fleet.discover import discover_clouds, discover_nodes
    from spillway.fleet.examine import Finding

    loaded = load_config(path, os.environ)
    settings = with_known_hardware(loaded.config)
    origin = (
        str(loaded.path)
        if loaded.path
        else "nothing configured; looked on the usual ports and for cloud keys"
    )
    findings = [Finding("ok", "configuration", origin)]
    findings += [Finding("note", "configuration", warning) for warning in loaded.warnings]
    if not settings.nodes and not settings.clouds:
        nodes = await discover_nodes(settings.server.port)
        clouds = discover_clouds(os.environ)
        settings = settings.model_copy(
            update={"nodes": tuple(node for node, _ in nodes), "clouds": tuple(clouds)}
        )
    profiles, measured = _profiles(settings)
    reached, prices, ledger = await asyncio.gather(
        _reach(settings, profiles), _prices(settings), asyncio.to_thread(_ledger, settings)
    )
    return [*findings, *_files(settings), *measured, *reached, *prices, ledger]


def _files(settings: Config) -> list[Finding]:
    """Findings on the files that belong to the configuration: the lock, and classes of the owner's own."""
    from spillway.classify import read_own_tasks
    from spillway.errors import SpillwayError
    from spillway.fleet.examine import Finding
    from spillway.pinning.lock_file import load_lock

    findings = []
    wanted = (
        ("lock", settings.pins.lock, load_lock),
        ("task classes", settings.routing.task_file, read_own_tasks),
    )
    for subject, place, read in wanted:
        if place is None:
            continue
        try:
            read(Path(place))
        except SpillwayError as error:
            findings.append(Finding("problem", subject, error.message))
        else:
            findings.append(Finding("ok", subject, f"{place} can be used"))
    return findings


def _profiles(settings: Config) -> tuple[dict[str, Profile], list[Finding]]:
    """Node → its profile where that can be used, and findings on each of them."""
    from spillway.errors import ConfigError
    from spillway.fleet.examine import Finding

    profiles: dict[str, Profile] = {}
    findings = []
    for node in settings.nodes:
        subject, alone = f"node {node.name}", settings.model_copy(update={"nodes": (node,)})
        try:
            read = profiles_of(alone)
        except ConfigError as error:
            findings.append(Finding("problem", subject, error.message))
            continue
        doubts = doubts_of(alone, read)
        if read and not doubts:
            findings.append(Finding("ok", subject, f"the profile {node.profile} can be used"))
        findings += [Finding("note", subject, doubt) for doubt in doubts]
        profiles |= read
    return profiles, findings


async def _reach(settings: Config, profiles: Mapping[str, Profile]) -> list[Finding]:
    """Findings on every upstream at once, each with its own limit: one that trickles stops no other."""
    alone = [
        *(settings.model_copy(update={"nodes": (node,), "clouds": ()}) for node in settings.nodes),
        *(settings.model_copy(update={"nodes": (), "clouds": (cloud,)}) for cloud in settings.clouds),
    ]
    groups = await asyncio.gather(*[_examine(one, profiles) for one in alone or [settings]])
    return [finding for group in groups for finding in group]


async def _examine(one: Config, profiles: Mapping[str, Profile]) -> list[Finding]:
    from spillway.fleet.examine import Finding, examine

    def compare(node: NodeConfig, found: Found | None) -> str | None:
        return difference(node, profiles[node.name], found) if node.name in profiles else None

    try:
        async with asyncio.timeout(PATIENCE_S):
            return await examine(one, compare)
    except TimeoutError:
        subjects = [f"node {node.name}" for node in one.nodes] + [f"cloud {c.name}" for c in one.clouds]
        said = f"no complete answer within {PATIENCE_S:g} s: is it overloaded, or no model server at all?"
        return [Finding("problem", subject, said) for subject in subjects]


async def _prices(settings: Config) -> list[Finding]:
    from spillway.api.price_watch import PriceWatch
    from spillway.clock import SystemClock
    from spillway.fleet.examine import Finding
    from spillway.ledger.prices import default_cache_folder

    wanted = [(cloud.name, entry.name) for cloud in settings.clouds for entry in cloud.model_entries]
    if not wanted:
        return []
    watch = PriceWatch(settings, SystemClock(), default_cache_folder(), lambda: None)
    watch.want(wanted)
    run = asyncio.create_task(watch.run())
    await watch.is_known.wait()
    run.cancel()
    return [
        Finding(
            "note", f"cloud {cloud}", f"the price of {model} is unknown: its cost will be too; set prices"
        )
        for cloud, model in wanted
        if watch.rates(cloud, model) is None
    ]


def _ledger(settings: Config) -> Finding:
    from spillway.errors import LedgerError
    from spillway.fleet.examine import Finding
    from spillway.ledger.store import LedgerStore, sqlite_path

    place = sqlite_path(settings.ledger)
    if place and place != MEMORY and not Path(place).exists() and Path(place).parent.is_dir():
        return _ledger_to_come(Path(place))
    if place and Path(place).is_file() and not os.access(place, os.W_OK):
        return Finding(
            "problem", "ledger", f"the ledger {place} is read-only: make it writable, or name another"
        )
    try:
        store = LedgerStore.open(settings.ledger)
    except LedgerError as error:
        return Finding("problem", "ledger", error.message)
    place = store.place
    store.close()
    return Finding("ok", "ledger", f"{place} can be written")


def _ledger_to_come(place: Path) -> Finding:
    """A check makes no ledger: an empty one would look as if the gateway had run."""
    from spillway.fleet.examine import Finding

    folder = place.absolute().parent
    if os.access(folder, os.W_OK | os.X_OK):
        return Finding("ok", "ledger", f"{place} does not exist yet; spillway up makes it")
    return Finding("problem", "ledger", f"cannot make the ledger {place}: {folder} cannot be written in")
