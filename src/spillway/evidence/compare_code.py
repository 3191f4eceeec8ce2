"""Code compared without running it: by whether it is Python at all, and by its syntax tree."""

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
    """1 when both are the same program, 0 when only the reference is valid Python; ``None`` otherwise."""
    theirs = _tree(code_in(reference))
    if theirs is None:
        return None
    ours = _tree(code_in(local))
    if ours is None:
        return 0.0
    return 1.0 if ours == theirs else None


def examples_in(prompt: str) -> list[tuple[str, str]]:
    """Pairs of (expression, expected) from the doctest-like examples of a request."""
    return EXAMPLE.findall(prompt[:MAX_CHARACTERS])[:20]


def _tree(code: str | None) -> str | None:
    """The program without comments, docstrings and layout; ``None`` when it is no Python."""
    if not code or not code.strip():
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _bare(ast.parse(code))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _bare(tree: ast.Module) -> str:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            node.body = [item for item in node.body if not _is_text(item)] or [ast.Pass()]
    return ast.dump(tree)


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
