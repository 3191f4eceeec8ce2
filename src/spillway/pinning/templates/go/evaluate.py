"""Runs a parsed Go template over values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from spillway.pinning.templates import bounds
from spillway.pinning.templates.failures import TemplateFailure
from spillway.pinning.templates.go.functions import FUNCTIONS
from spillway.pinning.templates.go.nodes import (
    Action,
    Argument,
    Branch,
    Command,
    Field,
    Function,
    Invoke,
    Jump,
    Literal,
    Node,
    Pipe,
    Text,
    Variable,
)
from spillway.pinning.templates.go.parser import ParsedTemplate
from spillway.pinning.templates.go.values import field_of, is_true, printed

__all__ = ["evaluate"]

_LAZY = ("and", "or")


def evaluate(
    template: ParsedTemplate,
    values: Mapping[str, Any],
    functions: Mapping[str, Callable[..., Any]],
) -> str:
    """The text printed for ``values``; ``functions`` come on top of Go's own."""
    run = _Run(template.named, {**FUNCTIONS, **functions})
    run.walk(template.body, values, _Scope({"$": values}))
    return "".join(run.printed)


class _Jumped(Exception):
    """Unwinds to the loop around a ``break`` or ``continue``."""

    def __init__(self, kind: str) -> None:
        self.kind = kind


@dataclass(slots=True)
class _Scope:
    """Variables; assigning reaches the scope that declared the name."""

    names: dict[str, Any] = field(default_factory=dict)
    outer: _Scope | None = None

    def find(self, name: str) -> _Scope:
        scope: _Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope
            scope = scope.outer
        raise TemplateFailure("syntax", f"the variable {name} is not defined")


@dataclass(slots=True)
class _Run:
    named: Mapping[str, tuple[Node, ...]]
    functions: Mapping[str, Callable[..., Any]]
    printed: list[str] = field(default_factory=list)
    size: int = 0

    def walk(self, nodes: Sequence[Node], dot: Any, scope: _Scope) -> None:
        """Prints the nodes; declarations among them end with them."""
        inner = _Scope(outer=scope)
        for node in nodes:
            if isinstance(node, Text):
                self._print(node.text)
            elif isinstance(node, Action):
                value = self._pipe(node.pipe, dot, inner)
                if not node.pipe.names:
                    self._print(printed(value))
            elif isinstance(node, Branch):
                self._branch(node, dot, inner)
            elif isinstance(node, Jump):
                raise _Jumped(node.kind)
            else:
                self._invoke(node, dot, inner)

    def _print(self, text: str) -> None:
        self.size += len(text)
        if self.size > bounds.OUTPUT_CHARACTERS:
            raise TemplateFailure(
                "output", "it prints more than 1,000,000 characters for a short conversation"
            )
        self.printed.append(text)

    def _branch(self, node: Branch, dot: Any, scope: _Scope) -> None:
        inner = _Scope(outer=scope)
        if node.kind == "range":
            self._range(node, dot, inner)
            return
        value = self._pipe(node.pipe, dot, inner)
        if is_true(value):
            self.walk(node.body, value if node.kind == "with" else dot, inner)
        else:
            self.walk(node.otherwise, dot, inner)

    def _range(self, node: Branch, dot: Any, scope: _Scope) -> None:
        plain = Pipe(node.pipe.commands)
        rounds = list(_rounds(self._pipe(plain, dot, scope)))
        if not rounds:
            self.walk(node.otherwise, dot, scope)
        for key, item in rounds:
            inner = _Scope(outer=scope)
            names = node.pipe.names
            given = (item,) if len(names) == 1 else (key, item)
            for name, value in zip(names, given, strict=False):
                (inner if node.pipe.declares else scope.find(name)).names[name] = value
            try:
                self.walk(node.body, item, inner)
            except _Jumped as jump:
                if jump.kind == "break":
                    return

    def _invoke(self, node: Invoke, dot: Any, scope: _Scope) -> None:
        if node.name not in self.named:
            raise TemplateFailure("error", f"it names a template {node.name!r} that it does not define")
        value = None if node.pipe is None else self._pipe(node.pipe, dot, scope)
        self.walk(self.named[node.name], value, _Scope({"$": value}))

    def _pipe(self, pipe: Pipe, dot: Any, scope: _Scope) -> Any:
        handed: tuple[Any, ...] = ()
        for command in pipe.commands:
            handed = (self._command(command, dot, scope, handed),)
        value = handed[0]
        for name in pipe.names:
            (scope if pipe.declares else scope.find(name)).names[name] = value
        return value

    def _command(self, command: Command, dot: Any, scope: _Scope, handed: tuple[Any, ...]) -> Any:
        first, *rest = command.arguments
        if not isinstance(first, Function):
            if rest or handed:
                raise TemplateFailure("error", "it gives arguments to something that is no function")
            return self._value(first, dot, scope)
        if first.name in _LAZY:
            return self._lazily(first.name, rest, dot, scope, handed)
        function = self.functions.get(first.name)
        if function is None:
            raise TemplateFailure("syntax", f"the function {first.name!r} is not defined")
        given = [self._value(argument, dot, scope) for argument in rest]
        try:
            return function(*given, *handed)
        except TypeError as error:
            raise TemplateFailure("error", f"{first.name}: {error}") from error

    def _lazily(
        self, name: str, arguments: list[Argument], dot: Any, scope: _Scope, handed: tuple[Any, ...]
    ) -> Any:
        """``and`` and ``or`` stop at the argument that settles them; later ones may not even be valid."""
        value: Any = None
        for argument in arguments:
            value = self._value(argument, dot, scope)
            if is_true(value) == (name == "or"):
                return value
        return handed[0] if handed else value

    def _value(self, argument: Argument, dot: Any, scope: _Scope) -> Any:
        if isinstance(argument, Literal):
            return argument.value
        if isinstance(argument, Function):
            return self._command(Command((argument,)), dot, scope, ())
        if isinstance(argument, Field):
            value = dot
        elif isinstance(argument, Variable):
            value = scope.find(argument.name).names[argument.name]
        else:
            value = self._pipe(argument.pipe, dot, scope)
        for name in argument.names:
            value = field_of(value, name)
        return value


def _rounds(value: Any) -> Iterator[tuple[Any, Any]]:
    """Key and item of each round of a ``range``, maps in key order."""
    if isinstance(value, list):
        yield from enumerate(value)
    elif isinstance(value, Mapping):
        yield from ((key, value[key]) for key in sorted(value))
    elif isinstance(value, int) and not isinstance(value, bool):
        yield from ((number, number) for number in range(value))
    elif value is not None:
        raise TemplateFailure("error", "it ranges over something that has no items")
