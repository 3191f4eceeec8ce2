"""What a comparison has found so far, in a file that a later run goes on with."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from bench.reality.cells import Cell, Load, cell_from_json
from bench.reality.mixes import MIXES
from spillway.planner.profile import Profile, profile_from_json, profile_to_json

__all__ = ["Record"]


class Record:
    """The profile and the cells; of several runs of one load the least disturbed is kept."""

    def __init__(self, path: Path | None) -> None:
        self.profile: Profile | None = None
        self._path = path
        self._cells: dict[tuple[str, float, bool], Cell] = {}

    @classmethod
    def read(cls, path: Path | None) -> Record:
        """What the file holds; nothing when there is none."""
        record = cls(path)
        if path is not None and path.exists():
            fields = json.loads(path.read_text())
            record.profile = profile_from_json(fields["profile"])
            for cell in map(cell_from_json, fields["cells"]):
                record._cells[_key(cell)] = cell
        return record

    @property
    def cells(self) -> list[Cell]:
        """Those of the node alone first, then by mix and rate."""
        places = {mix.name: place for place, mix in enumerate(MIXES)}
        order = sorted(self._cells, key=lambda key: (key[2], places.get(key[0], len(places)), key[1]))
        return [self._cells[key] for key in order]

    def has(self, load: Load, routed: bool) -> bool:
        """Whether an undisturbed run of that load is known."""
        cell = self._cells.get((load.mix.name, load.rate, routed))
        return cell is not None and cell.is_calm

    def keep(self, profile: Profile) -> None:
        """The profile on which all predictions rest; older cells rested on another."""
        self.profile = profile
        self._cells.clear()
        self._write()

    def add(self, cell: Cell) -> None:
        """One more run."""
        known = self._cells.get(_key(cell))
        if known is None or cell.disturbance < known.disturbance:
            self._cells[_key(cell)] = cell
        self._write()

    def _write(self) -> None:
        if self._path is None or self.profile is None:
            return
        fields = {
            "measured_on": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": f"{platform.machine()}, {platform.system()}",
            "profile": profile_to_json(self.profile),
            "cells": [asdict(cell) for cell in self.cells],
        }
        self._path.write_text(json.dumps(fields, indent=1))


def _key(cell: Cell) -> tuple[str, float, bool]:
    return cell.mix, cell.rate, cell.told_share is not None
