"""Renders Jinja chat templates as transformers and llama.cpp do; runs inside the sandbox process only.

Jinja's own sandbox keeps templates away from Python. Added here: a forbidden attribute ends the rendering
instead of printing nothing, no single operation may ask for a huge result, nothing random, no other files.
The limits of the process (``lockdown``) stand behind all of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import wraps
from typing import Any

from jinja2 import Template, TemplateSyntaxError, Undefined, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.filters import make_attrgetter
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment, modifies_known_mutable

from spillway.pinning.templates import bounds
from spillway.pinning.templates.failures import TemplateFailure
from spillway.pinning.templates.rendered import Rendered

__all__ = ["JinjaTemplate"]

DATE_FORMAT_CHARACTERS = 200

_NUMBERED_FILTERS = ("batch", "center", "indent", "slice", "truncate", "wordwrap")
_NUMBERED_METHODS = frozenset({"center", "expandtabs", "ljust", "rjust", "zfill"})
_OTHER_FILES = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)


class JinjaTemplate:
    """One compiled template; ``TemplateFailure`` when the text is none."""

    def __init__(self, text: str) -> None:
        self._template = _compiled(text)

    def render(self, context: Mapping[str, Any], now_s: float) -> Rendered:
        """The text printed for a context when it is ``now_s`` (UTC); may change the context."""
        clock = _Clock(now_s)
        _ENVIRONMENT.liberties.clear()
        names = {
            "raise_exception": _raise_exception,
            "strftime_now": clock.strftime,
            "datetime": clock.spelled_out,  # llama.cpp gives it to templates that ask
            **context,
        }
        try:
            text = _bounded_text(self._template.generate(names))
            is_dated = clock.was_asked or clock.spelled_out in text
            return Rendered(text, is_dated=is_dated, liberties=tuple(sorted(_ENVIRONMENT.liberties)))
        except TemplateFailure:
            raise
        except Exception as error:
            raise _failure(error) from error


class _RaisedByTemplate(Exception):
    """The template called ``raise_exception``."""


class _Clock:
    """Tells a template a fixed date and remembers that it asked."""

    def __init__(self, now_s: float) -> None:
        self._now = datetime.fromtimestamp(now_s, UTC)
        self.spelled_out = self._now.strftime("%b %d %Y")
        self.was_asked = False

    def strftime(self, form: object) -> str:
        """The date in the form wanted, in UTC."""
        self.was_asked = True
        return self._now.strftime(str(form)[:DATE_FORMAT_CHARACTERS])


class _GenerationTag(Extension):
    """Lets ``{% generation %}`` pass: it marks what models are trained on and prints its content as it is."""

    tags = {"generation"}  # noqa: RUF012 - declared so by the base class

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """What stands between the tags."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _ChatEnvironment(ImmutableSandboxedEnvironment):
    """Jinja as chat templates expect it: blocks eat their white space, nothing is escaped, nothing loaded."""

    intercepted_binops = frozenset({"*", "**", "%", "+"})

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, loopcontrols])
        for name in _NUMBERED_FILTERS:
            self.filters[name] = _with_small_numbers(self.filters[name])
        self.liberties: set[str] = set()
        self.filters |= {"tojson": _to_json, "format": _format, "replace": _replace, "join": _join}
        del self.filters["random"], self.globals["lipsum"]  # the same template must give the same text

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Jinja's rule, except that lists and mappings may be changed, which is noted.

        llama.cpp allows it and templates made for it do so; transformers and vLLM refuse. All values are
        fresh copies, so nothing outside the rendering changes.
        """
        if modifies_known_mutable(obj, attr) and not attr.startswith("_"):
            self.liberties.add("changes a list or mapping in place")
            return True
        return super().is_safe_attribute(obj, attr, value)

    def unsafe_undefined(self, obj: Any, attribute: str) -> Undefined:
        """Never returns: asking for a forbidden attribute ends the rendering."""
        raise SecurityError(repr(attribute))

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Jinja's guarded ``str.format``, refused when it pads without bound."""
        wrapped = super().wrap_str_format(value)
        if wrapped is not None:
            bounds.check_format(value.__self__)
        return wrapped

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """What the operator gives, unless that would be huge."""
        if operator == "*":
            bounds.check_product(left, right)
        elif operator == "**":
            bounds.check_power(left, right)
        elif operator == "+":
            bounds.check_sum(left, right)
        elif isinstance(left, str):
            bounds.check_format(left)
        return super().call_binop(context, operator, left, right)

    def call(*args: Any, **kwargs: Any) -> Any:
        """What a function or method gives; methods of text that pad or multiply it are bounded."""
        called, given = args[2], args[3:]
        owner, name = getattr(called, "__self__", None), getattr(called, "__name__", "")
        if isinstance(owner, str):
            if name in _NUMBERED_METHODS:
                bounds.check_numbers((*given, *kwargs.values()))
            elif name == "replace" and len(given) > 1:
                bounds.check_replace(owner, str(given[0]), str(given[1]))
            elif name == "join" and given:
                return _join(given[0], owner)
        return ImmutableSandboxedEnvironment.call(*args, **kwargs)


def _compiled(text: str) -> Template:
    environment = _ENVIRONMENT
    try:
        tree = environment.parse(text)
        _check_tree(tree)
        return environment.from_string(tree)
    except TemplateSyntaxError as error:
        raise TemplateFailure("syntax", f"line {error.lineno}: {error.message}") from error
    except (RecursionError, MemoryError) as error:
        raise TemplateFailure("memory", "it is nested too deeply") from error
    except SecurityError as error:
        raise _failure(error) from error
    except TemplateFailure:
        raise
    except Exception as error:  # Jinja also lets through what Python's compiler says
        raise TemplateFailure("syntax", str(error)) from error


def _check_tree(tree: nodes.Template) -> None:
    """Refuses before anything runs what no chat template needs: double-underscore names and other files."""
    if next(tree.find_all(_OTHER_FILES), None) is not None:
        raise TemplateFailure("unsafe", "it asks for another file, which chat templates cannot have")
    for node in tree.find_all(nodes.Getattr):
        if node.attr.startswith("__"):
            raise SecurityError(repr(node.attr))


def _bounded_text(pieces: Iterator[str]) -> str:
    kept: list[str] = []
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > bounds.OUTPUT_CHARACTERS:
            raise TemplateFailure(
                "output", "it prints more than 1,000,000 characters for a short conversation"
            )
        kept.append(piece)
    return "".join(kept)


def _failure(error: Exception) -> TemplateFailure:
    if isinstance(error, _RaisedByTemplate):
        return TemplateFailure("refused", str(error))
    if isinstance(error, SecurityError):
        return TemplateFailure("unsafe", f"it reaches for Python internals ({error})")
    if isinstance(error, PermissionError):  # from the audit hook of ``lockdown``
        return TemplateFailure("unsafe", "it tries to leave the sandbox")
    if isinstance(error, RecursionError):
        return TemplateFailure("memory", "it calls itself without end")
    if isinstance(error, MemoryError):
        return TemplateFailure("memory", "it needs more memory than the sandbox has")
    if isinstance(error, OverflowError) and "Range too big" in str(error):
        return TemplateFailure("time", "it counts further than 100,000")
    return TemplateFailure("error", f"{type(error).__name__}: {error}")


def _raise_exception(message: object = "") -> None:
    raise _RaisedByTemplate(str(message))


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON without HTML escapes, which Jinja's own filter adds because it is made for pages."""

    def plain(item: object) -> object:
        if isinstance(item, Iterator):
            _ENVIRONMENT.liberties.add("prints a filter's result as JSON without making it a list")
            return list(item)
        raise TypeError(f"Object of type {type(item).__name__} is not JSON serializable")

    if indent is not None:
        bounds.check_numbers((indent,) if isinstance(indent, int) else (len(indent),))
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
        default=plain,
    )


def _with_small_numbers(plain: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(plain)  # also carries over what Jinja wants to be passed first
    def bounded(*args: Any, **kwargs: Any) -> Any:
        skipped = 2 if hasattr(plain, "jinja_pass_arg") else 1
        bounds.check_numbers((*args[skipped:], *kwargs.values()))
        return plain(*args, **kwargs)

    return bounded


def _format(text: object, *args: Any, **kwargs: Any) -> str:
    bounds.check_format(str(text))
    return str(text) % (kwargs or args)


def _replace(text: object, old: object, new: object, count: int | None = None) -> str:
    bounds.check_replace(str(text), str(old), str(new))
    return str(text).replace(str(old), str(new), -1 if count is None else count)


def _join(items: Any, separator: object = "", attribute: str | int | None = None) -> str:
    picked = items if attribute is None else map(make_attrgetter(_ENVIRONMENT, attribute), items)
    texts = [str(item) for item in picked]
    bounds.check_join(str(separator), texts)
    return str(separator).join(texts)


_ENVIRONMENT = _ChatEnvironment()
