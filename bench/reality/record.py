"""What a comparison has found so far, in a file that a later run goes on with."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from bench.reality.cells import Cell, Load, cell_from_json, middle
from bench.reality.mixes import MIXES
from spillway.planner.profile import Profile, profile_from_json, profile_to_json

__all__ = ["Record"]


class Record:
    """The first profile and every run of every load."""

    def __init__(self, path: Path | None) -> None:
        self.profile: Profile | None = None
        self._path = path
        self._runs: dict[tuple[str, float, bool], list[Cell]] = {}

    @classmethod
    def read(cls, path: Path | None) -> Record:
        """What the file holds; nothing when there is none."""
        record = cls(path)
        if path is not None and path.exists():
            fields = json.loads(path.read_text())
            record.profile = profile_from_json(fields["profile"])
            for cell in map(cell_from_json, fields["runs"]):
                record._runs.setdefault(_key(cell), []).append(cell)
        return record

    @property
    def cells(self) -> list[Cell]:
        """Each load's calm runs as one; those of the node alone first, then by mix and rate."""
        return [middle(runs) for runs in self._in_order()]

    def _in_order(self) -> list[list[Cell]]:
        places = {mix.name: place for place, mix in enumerate(MIXES)}
        order = sorted(self._runs, key=lambda key: (key[2], places.get(key[0], len(places)), key[1]))
        return [self._runs[key] for key in order]

    def times(self, load: Load, routed: bool) -> int:
        """How often that load has run in calm."""
        return sum(cell.is_calm for cell in self._runs.get((load.mix.name, load.rate, routed), ()))

    def keep(self, profile: Profile) -> None:
        """The profile whose capacity the rates are shares of; older runs had another's."""
        self.profile = profile
        self._runs.clear()
        self._write()

    def add(self, cell: Cell) -> None:
        """One more run."""
        self._runs.setdefault(_key(cell), []).append(cell)
        self._write()

    def _write(self) -> None:
        if self._path is None or self.profile is None:
            return
        fields = {
            "measured_on": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": f"{platform.machine()}, {platform.system()}",
            "profile": profile_to_json(self.profile),
            "runs": [asdict(cell) for runs in self._in_order() for cell in runs],
        }
        self._path.write_text(json.dumps(fields, indent=1))


def _key(cell: Cell) -> tuple[str, float, bool]:
    return cell.mix, cell.rate, cell.told_share is not None
