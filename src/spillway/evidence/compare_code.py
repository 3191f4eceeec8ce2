"""Code compared without running it: by whether it is Python at all."""

from __future__ import annotations

import ast
import re
import warnings

__all__ = ["code_in", "compare_code", "examples_in"]

FENCED = re.compile(r"^[ \t]*```([\w+#-]*)[^\n]*\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)
PYTHON = frozenset({"", "python", "py", "python3"})
MAX_CHARACTERS = 20_000
EXAMPLE = re.compile(r"^[ \t]*>>> ([^\n]+)\n[ \t]*([^\s>][^\n]*)$", re.MULTILINE)


def code_in(text: str) -> str | None:
    """The Python blocks of an answer, or all of it when it has no blocks; ``None`` for other languages."""
    blocks = FENCED.findall(text)
    if not blocks:
        return text[:MAX_CHARACTERS]
    own = [body for language, body in blocks if language.lower() in PYTHON]
    return "\n".join(own)[:MAX_CHARACTERS] if own else None


def compare_code(local: str, reference: str) -> float | None:
    """0 when only the reference is valid Python; ``None`` otherwise, also for twice the same program.

    Two programs that differ may do the same, so how often they do not differ says nothing.
    """
    return 0.0 if _is_python(code_in(reference)) and not _is_python(code_in(local)) else None


def examples_in(prompt: str) -> list[tuple[str, str]]:
    """Pairs of (expression, expected) from the doctest-like examples of a request."""
    return EXAMPLE.findall(prompt[:MAX_CHARACTERS])[:20]


def _is_python(code: str | None) -> bool:
    if not code or not code.strip():
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
