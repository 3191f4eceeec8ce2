"""``spillway up`` before it serves: what it keeps where."""

from __future__ import annotations

from pathlib import Path

import pytest

from spillway.cli.up import _state_folder
from spillway.config.schema import Config
from spillway.errors import ConfigError


def test_only_a_ledger_elsewhere_needs_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file has its rows beside it, so a home that cannot be written stops no gateway; else it is named."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert _state_folder(Config()) is None
    with pytest.raises(ConfigError, match=r"cannot make .*file/spillway \(.*\): set XDG_STATE_HOME"):
        _state_folder(Config(ledger="postgresql://u@h/d"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "new"))
    assert _state_folder(Config(ledger="postgresql://u@h/d")) == tmp_path / "new" / "spillway"
    assert (tmp_path / "new" / "spillway").is_dir()
