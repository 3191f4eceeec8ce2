"""The files that ``spillway plan`` writes: refused beforehand where they would replace what it reads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from spillway.errors import ConfigError

if TYPE_CHECKING:
    from spillway.cli.plan_config import Stated
    from spillway.cli.plan_options import PlanOptions

__all__ = ["refuse_unwritable", "write"]


def refuse_unwritable(options: PlanOptions, stated: Stated) -> None:
    """What cannot be written, or must not be, is said before half a minute of work, not after it."""
    read = list(_read(options, stated))
    for option, path in (("--html", options.html), ("--png", options.png)):
        if path is None:
            continue
        if not path.absolute().parent.is_dir():
            raise ConfigError(f"{option} {path}: there is no folder {path.absolute().parent}; make it first")
        for what, other in read:
            if _is_same(path, other):
                raise ConfigError(f"{option} {path} would replace the {what} that is read: name another file")
    if options.html is not None and options.png is not None and _is_same(options.html, options.png):
        raise ConfigError(f"--png {options.png} is the file of --html too: name another one")
    if options.png is not None:
        from spillway.planner.report.png import refuse_without_matplotlib

        refuse_without_matplotlib()


def write(path: Path, content: bytes) -> None:
    """The file holds the content; ``ConfigError`` says why it cannot."""
    try:
        path.write_bytes(content)
    except OSError as fault:
        raise ConfigError(f"{path} cannot be written: {fault.strerror}") from None


def _read(options: PlanOptions, stated: Stated) -> Iterator[tuple[str, str | Path]]:
    """Pairs of what a file is to the plan, and the file."""
    from spillway.config.load import find_config
    from spillway.ledger.store import sqlite_path

    for place in options.usage or ():
        yield "usage", sqlite_path(place) or place
    profile = options.profile or stated.node.profile
    if profile is not None:
        yield "profile", profile
    config = options.config or find_config(os.environ)
    if config is not None:
        yield "configuration", config


def _is_same(one: Path, other: str | Path) -> bool:
    """Whether both are one file, by whatever names; a file that is not there is known by its name alone."""
    try:
        return one.samefile(other)
    except OSError:
        return os.path.realpath(one) == os.path.realpath(other)
