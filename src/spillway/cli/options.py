"""Commands with many options: a dataclass lists them, the command gets one record."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from functools import wraps
from typing import Any, TypeVar, get_type_hints

import typer

__all__ = ["taking"]

T = TypeVar("T")


def taking(kind: type[T]) -> Callable[[Callable[[T], None]], Callable[..., None]]:
    """A decorator: what looks to typer like a function of all fields of ``kind`` is called with one ``kind``.

    ``kind`` is a dataclass whose fields are annotated as typer wants parameters.
    """
    hints = get_type_hints(kind, include_extras=True)
    parameters = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(kind)  # type: ignore[arg-type]
    ]

    def decorated(command: Callable[[T], None]) -> Callable[..., None]:
        @wraps(command)
        def called(**given: Any) -> None:
            _refuse_endless(given)
            command(kind(**given))

        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {}
        del called.__wrapped__
        return called

    return decorated


def _refuse_endless(given: Mapping[str, Any]) -> None:
    """``inf`` passes every lower bound and is no figure to reckon with."""
    for name, value in given.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise typer.BadParameter(f"{value} is no number", param_hint="--" + name.replace("_", "-"))
