"""``spillway bench --predict`` as scripts see it."""

from __future__ import annotations

import json
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from spillway.cli.bench import command
from spillway.errors import ConfigError

FIGURES = ["--bandwidth-gb-s", "360", "--tflops", "26.73", "--weights-gb", "4.92"]


def run(*arguments: str) -> str:
    """Standard output of the command; its error when it raises one."""
    app = typer.Typer()
    app.command()(command)
    outcome = CliRunner().invoke(app, arguments, catch_exceptions=True)
    if isinstance(outcome.exception, ConfigError):
        raise outcome.exception
    assert outcome.exit_code == 0, outcome.output
    return outcome.stdout


def predict(*arguments: str) -> dict[str, Any]:
    """The JSON object of one prediction."""
    found = json.loads(run("--predict", "--json", *arguments))
    assert isinstance(found, dict)
    return found


def test_json_has_the_promised_keys() -> None:
    """The three promised keys are there, the speeds near the measured 59 and 2,452 tokens per second."""
    found = predict(*FIGURES)
    assert found["grade"] == "derived"
    assert found["decode_tok_s"] == pytest.approx(59, rel=0.09)
    assert found["prefill_tok_s"] == pytest.approx(2452, rel=0.2)


def test_batch_context_and_cache_matter() -> None:
    """Context slows decode, a batch raises the sum and lowers each, a cached prefix shortens the prompt."""
    base = predict(*FIGURES)
    assert predict(*FIGURES, "--context", "16000")["decode_tok_s"] < base["decode_tok_s"]
    batch = predict(*FIGURES, "--batch", "8")
    assert batch["decode_tok_s"] > base["decode_tok_s"] > batch["decode_tok_s_per_sequence"]
    cached = predict(*FIGURES, "--prompt-tokens", "4000", "--cached-tokens", "3000")
    assert cached["prefill_ms"] < predict(*FIGURES, "--prompt-tokens", "4000")["prefill_ms"]


def test_cache_bytes_per_token_count() -> None:
    """A model with a larger cache per token decodes slower at the same context."""
    small, large = (
        predict(*FIGURES, "--context", "8000", "--kv-bytes-per-token", size)["decode_tok_s"]
        for size in ("50000", "500000")
    )
    assert large < small


def test_catalogue_keys_replace_figures() -> None:
    """Machine and model may be named; a known memory gives slots."""
    found = predict("--hardware", "mac-mini-m4-pro", "--model", "qwen3-8b", "--context", "4096")
    assert found["family"] == "apple"
    assert found["slots"] > 1
    assert found["assumptions"] == []


def test_text_names_error_and_assumptions() -> None:
    """A person reads the speeds with their error and what had to be assumed."""
    text = run("--predict", *FIGURES)
    assert "±" in text
    assert "assumed: weights of this size taken for Llama 3.1 8B at q4" in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "bench needs the URL"),
        (["--predict"], "needs --bandwidth-gb-s and --tflops"),
        (["--predict", "--bandwidth-gb-s", "1", "--tflops", "1"], "needs --weights-gb"),
        (["--predict", "--hardware", "abacus"], "'abacus' is not in the catalogue"),
        (["--predict", "--hardware", "rtx-4090", "--model", "eliza"], "'eliza' is not in the catalogue"),
        (["--predict", *FIGURES, "--family", "intel"], "'intel' is unknown"),
        (["--predict", *FIGURES, "--quant", "q3"], "'q3' is unknown"),
        (["--predict", *FIGURES, "--active-params-b", "3"], "needs --params-b"),
        (["--predict", *FIGURES, "--params-b", "3", "--active-params-b", "4"], "must not exceed"),
    ],
)
def test_wrong_input_is_one_sentence(arguments: list[str], sentence: str) -> None:
    """Missing or unknown input is refused with a sentence that names the option."""
    with pytest.raises(ConfigError, match=sentence):
        run(*arguments)
