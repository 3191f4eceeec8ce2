"""The base of every part of the configuration, so that parts may have their own files."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["Section"]


class Section(BaseModel):
    """Base of every part: immutable, and an unknown key is an error rather than a silent nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
