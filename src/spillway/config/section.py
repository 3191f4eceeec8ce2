"""The base of every part of the configuration, so that parts may have their own files."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

__all__ = ["Section"]


class Section(BaseModel):
    """Base of every part: immutable, and an unknown key is an error rather than a silent nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _is_no_truth(cls, value: Any, info: ValidationInfo) -> Any:
        """YAML reads ``yes`` as true, which would pass for 1: all requests, or port 1."""
        if isinstance(value, bool) and info.field_name is not None:
            annotation = cls.model_fields[info.field_name].annotation
            if not {int, float}.isdisjoint((annotation, *get_args(annotation))):
                raise ValueError("must be a number, not true, false, yes, no, on or off")
        return value
