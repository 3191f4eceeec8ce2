"""A plan as one picture, where matplotlib is installed."""

from __future__ import annotations

from importlib.util import find_spec

from spillway.errors import ConfigError

__all__ = ["refuse_without_matplotlib"]


def refuse_without_matplotlib() -> None:
    """``ConfigError`` when there is nothing to draw with."""
    if find_spec("matplotlib") is None:
        raise ConfigError("--png needs matplotlib; pip install 'spillway[plots]', or write --html instead")
