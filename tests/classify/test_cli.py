from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

CODE = "import typer; from spillway.cli.classify import command; typer.run(command)"


def _run(text: str, *arguments: str, cwd: Path) -> tuple[int, list[dict[str, Any]], str]:
    done = subprocess.run(
        [sys.executable, "-c", CODE, *arguments],
        input=text.encode("utf-8", "surrogateescape"),
        capture_output=True,
        cwd=cwd,
        check=False,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith(b"{")]
    return done.returncode, lines, done.stderr.decode()


def test_one_line_in_one_line_out(tmp_path: Path) -> None:
    """Prompts and chat bodies are answered in order with the five agreed keys."""
    text = (
        '{"prompt": "Translate to French: good morning"}\n\n'
        '{"messages": [{"role": "user", "content": "Summarize this article: rain fell."}]}\n'
        '{"body": {"prompt": "What is 12 * 7?"}}\n'
    )
    code, rows, errors = _run(text, cwd=tmp_path)
    assert (code, errors) == (0, "")
    assert [row["task"] for row in rows] == ["translation", "summarization", "math"]
    assert set(rows[0]) == {"task", "confidence", "p_local_ok", "input_tokens", "flags"}


def test_bad_lines_are_named_and_the_rest_is_answered(tmp_path: Path) -> None:
    """A bad line gives one sentence with its number, a flagged row in its place, and exit code 1."""
    text = '{"prompt": "hi"}\nnonsense\n[1]\n{"x": 1}\n{"prompt": "\udcff"}\n{"prompt": "Write a poem"}\n'
    code, rows, errors = _run(text, cwd=tmp_path)
    assert code == 1
    assert len(rows) == 6
    assert ["bad_line" in row["flags"] for row in rows] == [False, True, True, True, True, False]
    assert [line.split(":")[1].strip() for line in errors.splitlines()] == [
        "line 2",
        "line 3",
        "line 4",
        "line 5",
    ]
    assert "nonsense" not in errors


def test_an_empty_prompt_is_unsure_rather_than_guessed(tmp_path: Path) -> None:
    """Nothing to read gives the safe default and says so."""
    code, rows, _ = _run('{"prompt": ""}\n{"messages": []}\n', cwd=tmp_path)
    assert code == 0
    for row in rows:
        assert (row["task"], row["confidence"], row["p_local_ok"]) == ("other", 0.0, None)
        assert {"empty", "unsure"} <= set(row["flags"])


def test_learned_classes_are_used_from_the_working_directory(tmp_path: Path) -> None:
    """--learn writes the file that the next run reads without being told."""
    lines = [{"prompt": f"Match invoice {i} with its purchase order", "task": "invoice"} for i in range(6)]
    (tmp_path / "examples.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    code, rows, _ = _run("", "--learn", "examples.jsonl", "--json", cwd=tmp_path)
    assert code == 0
    assert rows[0]["tasks"] == [{"task": "invoice", "examples": 6}]
    code, rows, _ = _run('{"prompt": "match invoice 77 with the purchase order"}\n', cwd=tmp_path)
    assert rows[0]["task"] == "invoice"
    assert "own_class" in rows[0]["flags"]


def test_the_guess_can_be_explained(tmp_path: Path) -> None:
    """--explain names the features that made the class."""
    _, rows, _ = _run('{"prompt": "Translate to French: good morning"}\n', "--explain", cwd=tmp_path)
    assert any("translate" in name for name, _ in rows[0]["because"])


def test_a_class_must_be_nameable(tmp_path: Path) -> None:
    """A name that no header could carry is refused with its line."""
    (tmp_path / "examples.jsonl").write_text('{"prompt": "a", "task": "My Class!"}')
    code, _, err = _run("", "--learn", "examples.jsonl", cwd=tmp_path)
    assert code != 0
    assert "must be lower-case letters, digits, _ and -, as in order_lines" in " ".join(err.split())
