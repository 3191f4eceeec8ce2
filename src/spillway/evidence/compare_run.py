"""Code compared by running the request's own examples in a process that may do next to nothing.

Off unless the owner turns it on (``quality.shadow.runs_code``): a model wrote that code. Only programs are
run that import a few pure modules, touch no underscored name and call nothing that reaches outside; the
process has no environment, no files to write, little memory and two seconds. That is a filter and a fence,
not a proof: do not turn it on where strangers write prompts.
"""

from __future__ import annotations

import ast
import asyncio
import json
import sys
import warnings

__all__ = ["can_run", "compare_runs", "passed_ratio"]

PURE_MODULES = frozenset(
    {"math", "re", "string", "itertools", "functools", "collections", "typing", "statistics", "datetime"}
)
REACHING = frozenset(
    {
        *("open", "exec", "eval", "compile", "input", "breakpoint", "globals", "locals", "vars", "getattr"),
        *("setattr", "delattr", "dir", "help", "memoryview", "exit", "quit", "print", "type", "object"),
    }
)
WALL_S = 5.0
MAX_OUTPUT_BYTES = 4096
RUNNER = """
import json, resource, sys
for kind, limit in ((resource.RLIMIT_CPU, 2), (resource.RLIMIT_AS, 512 << 20), (resource.RLIMIT_FSIZE, 0),
                    (resource.RLIMIT_NPROC, 0), (resource.RLIMIT_CORE, 0)):
    resource.setrlimit(kind, (limit, limit))
sys.setrecursionlimit(2000)
given = json.load(sys.stdin)
space = {"__name__": "answer"}
passed = 0
exec(compile(given["code"], "answer", "exec"), space)
for expression, expected in given["examples"]:
    try:
        passed += repr(eval(expression, space)) == expected
    except Exception:
        pass
print(passed)
"""


async def compare_runs(local: str, reference: str, examples: list[tuple[str, str]]) -> float | None:
    """1 less what the node's code fails of the examples that the reference's passes; ``None`` if not run."""
    if sys.platform == "win32" or not examples:
        return None
    theirs = await passed_ratio(reference, examples)
    ours = await passed_ratio(local, examples)
    if theirs is None or ours is None:
        return None
    return min(2.0, 1.0 - (theirs - ours))


async def passed_ratio(code: str, examples: list[tuple[str, str]]) -> float | None:
    """Share of examples the code passes, 0 when it breaks; ``None`` when it is of no kind that is run."""
    if not can_run(code) or not all(can_run(expression) for expression, _ in examples):
        return None
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", "-c", RUNNER),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={},
        cwd="/",
    )
    try:
        async with asyncio.timeout(WALL_S):
            out, _ = await child.communicate(json.dumps({"code": code, "examples": examples}).encode())
    except TimeoutError:
        return 0.0
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    said = out[:MAX_OUTPUT_BYTES].strip()
    return int(said) / len(examples) if said.isdigit() else 0.0


def can_run(code: str) -> bool:
    """Whether it is Python that imports only pure modules and names nothing that reaches outside."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(_is_harmless(node) for node in ast.walk(tree))


def _is_harmless(node: ast.AST) -> bool:
    match node:
        case ast.Import(names=names):
            return all(alias.name in PURE_MODULES for alias in names)
        case ast.ImportFrom(module=module, level=level):
            return level == 0 and module in PURE_MODULES
        case ast.Name(id=name):
            return name not in REACHING and not name.startswith("__")
        case ast.Attribute(attr=name):
            return not name.startswith("_") and name not in ("format", "format_map")
        case ast.Global() | ast.Nonlocal() | ast.AsyncFunctionDef() | ast.Await():
            return False
    return True
