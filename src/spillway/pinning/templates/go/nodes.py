"""What a Go template consists of once parsed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = [
    "Action",
    "Argument",
    "Branch",
    "Chain",
    "Command",
    "Field",
    "Function",
    "Invoke",
    "Jump",
    "Literal",
    "Node",
    "Pipe",
    "Text",
    "Variable",
    "field_names",
]


@dataclass(frozen=True, slots=True)
class Literal:
    """A text, number, truth value or ``nil``."""

    value: str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Field:
    """``.A.B`` of the current value; no names: the value itself."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """``$x.A.B``."""

    name: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Function:
    """A function by name."""

    name: str


@dataclass(frozen=True, slots=True)
class Chain:
    """``(pipeline).A.B``; without names just the parentheses."""

    pipe: Pipe
    names: tuple[str, ...]


Argument = Literal | Field | Variable | Function | Chain


@dataclass(frozen=True, slots=True)
class Command:
    """A function with its arguments, or one value."""

    arguments: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class Pipe:
    """Commands, each handing its value to the next; ``names`` are variables set to the result."""

    commands: tuple[Command, ...]
    names: tuple[str, ...] = ()
    declares: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """Printed as it is."""

    text: str


@dataclass(frozen=True, slots=True)
class Action:
    """Prints a pipeline's value, unless it only sets a variable."""

    pipe: Pipe


@dataclass(frozen=True, slots=True)
class Branch:
    """``if``, ``with`` or ``range``."""

    kind: str
    pipe: Pipe
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Jump:
    """``break`` or ``continue``."""

    kind: str


@dataclass(frozen=True, slots=True)
class Invoke:
    """``template "name" pipeline``."""

    name: str
    pipe: Pipe | None


Node = Text | Action | Branch | Jump | Invoke


def field_names(nodes: tuple[Node, ...]) -> Iterator[str]:
    """Every field and variable name that stands in the template."""
    for node in nodes:
        if isinstance(node, (Action, Branch, Invoke)) and node.pipe is not None:
            yield from _pipe_names(node.pipe)
        if isinstance(node, Branch):
            yield from field_names(node.body)
            yield from field_names(node.otherwise)


def _pipe_names(pipe: Pipe) -> Iterator[str]:
    for command in pipe.commands:
        for argument in command.arguments:
            if isinstance(argument, (Field, Variable)):
                yield from argument.names
            elif isinstance(argument, Chain):
                yield from argument.names
                yield from _pipe_names(argument.pipe)
