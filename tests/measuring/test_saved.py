"""Where the command keeps what it measured when nobody says where."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from spillway.cli import run
from tests.measuring.test_held_back import Writer, served


async def test_models_of_one_server_have_profiles_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measuring a second model of an engine that serves several leaves the first one's profile as it is."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    async with served(Writer()) as url:
        for chosen in ([], ["--model", "m"]):
            assert await asyncio.to_thread(run, ["bench", url, "--duration", "3", *chosen]) == 0
    place = url.removeprefix("http://").replace(":", "-")
    assert _saved(tmp_path) == {place, f"{place}-m"}


def _saved(folder: Path) -> set[str]:
    return {path.stem for path in folder.rglob("*.json")}
