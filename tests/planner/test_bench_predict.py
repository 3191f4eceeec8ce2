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
    ("arguments", "name", "sentence"),
    [
        ([], "prefill", "prompts of 512 tokens and more, on machines the fit has not seen"),
        (["--prompt-tokens", "100"], "prefill", "prompts of fewer than 512 tokens, on one machine"),
        (
            ["--prompt-tokens", "1000", "--cached-tokens", "900"],
            "prefill",
            "prompts of fewer than 512 tokens",
        ),
        (["--params-b", "8", "--active-params-b", "3"], "prefill", "prompts of mixtures on four machines"),
        (["--params-b", "8", "--active-params-b", "3"], "decode", "one sequence of mixtures, each machine"),
        ([], "decode", "one sequence, on machines the fit has not seen"),
        (["--batch", "4"], "decode", "batches of 2 to 32 with 4 models on GB10, RTX 3090, RTX 4090"),
    ],
)
def test_each_error_says_where_it_holds(arguments: list[str], name: str, sentence: str) -> None:
    """The figure behind ± is that of the prompt asked about, and says what it is the mean of."""
    found, plain = predict(*FIGURES, *arguments), predict(*FIGURES)
    assert sentence in found[f"{name}_error_basis"]
    assert f"± of {name}: {found[f'{name}_error_basis']}" in run("--predict", *FIGURES, *arguments)
    is_wider = found[f"{name}_error_ratio"] > plain[f"{name}_error_ratio"]
    assert is_wider == bool(arguments)


def test_figures_of_several_kinds_of_machine_ask_for_the_kind() -> None:
    """An RTX 3060 is no Mac, but its two figures alone do not say so for sure; an RTX 4080's do."""
    doubtful = predict("--bandwidth-gb-s", "360", "--tflops", "12.74", "--weights-gb", "4.92")
    assert doubtful["family"] == "nvidia-gddr"
    assert "but another kind of machine can have them" in doubtful["assumptions"][0]
    clear = predict("--bandwidth-gb-s", "717", "--tflops", "48.7", "--weights-gb", "4.92")
    assert clear["assumptions"][0] == "these figures look like nvidia-gddr; --family says otherwise"


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


NAMED = ["--hardware", "rtx-4090", "--model", "qwen3-14b"]


@pytest.mark.parametrize(
    ("given", "key", "value"),
    [
        (["--memory-gb", "16"], "memory_gb", 16), (["--bandwidth-gb-s", "10"], "bandwidth_gb_s", 10),
        (["--tflops", "3"], "tflops", 3), (["--family", "apple"], "family", "apple"),
        (["--weights-gb", "16"], "weights_gb", 16),
        (["--kv-bytes-per-token", "9000"], "kv_bytes_per_token", 9000),
    ],
)  # fmt: skip
def test_figures_replace_those_of_the_catalogue(given: list[str], key: str, value: float | str) -> None:
    """A figure beside a name is used, changes what is predicted, and the rest stays the catalogue's."""
    plain, found = predict(*NAMED), predict(*NAMED, *given)
    assert found[key] == value != plain[key]
    kept = {"bandwidth_gb_s", "tflops", "memory_gb", "family", "params_b", "weights_gb"} - {key}
    assert {name: found[name] for name in kept} == {name: plain[name] for name in kept}
    speeds = ("decode_tok_s", "prefill_tok_s", "slots")
    assert [found[name] for name in speeds] != [plain[name] for name in speeds]


def test_less_memory_holds_fewer_sequences() -> None:
    """Slots follow the memory that was given, not the catalogue's."""
    assert predict(*NAMED, "--memory-gb", "12")["slots"] < predict(*NAMED)["slots"] / 5


@pytest.mark.parametrize(("memory", "said"), [("512", "256        or more"), ("24", "what the memory holds")])
def test_the_most_slots_are_not_called_what_memory_holds(memory: str, said: str) -> None:
    """Where no estimate counts further the line says so; else the memory is what sets the number."""
    assert said in run("--predict", *NAMED, "--memory-gb", memory)


def test_a_quantisation_decides_what_weights_are() -> None:
    """4.92 GB of 16-bit floats are a model of 2.5 billion parameters, not one of 8."""
    found = predict(*FIGURES, "--quant", "f16")
    assert found["params_b"] == pytest.approx(2.46, abs=0.01)
    assert not found["is_quantised"]
    assert "16-bit" in found["assumptions"][1]


@pytest.mark.parametrize("form", [[], ["--json"]])
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--hardware", "rtx-4090", "--model", "llama-3.3-70b"], "takes 42.52 GB and does not fit the 24 GB"),
        ([*NAMED, "--memory-gb", "8"], "takes 9 GB and does not fit the 8 GB of GeForce RTX 4090"),
        ([*NAMED, "--batch", "500"], "--batch 500 with 512 tokens each needs"),
        ([*NAMED, "--context", "900000"], "--batch 1 with 900,000 tokens each"),
        ([*NAMED, "--params-b", "3"], "--model and --params-b contradict each other"),
        ([*NAMED, "--weights-gb", "9", "--quant", "q4"], "--quant and --weights-gb contradict each other"),
        ([*FIGURES, "--params-b", "8", "--quant", "f16"], "--quant f16 and --weights-gb 4.92 contradict"),
        ([*FIGURES, "--params-b", "8", "--quant", "q8"], "8 billion parameters at q8 take about 8.5 GB"),
        ([*FIGURES, "--params-b", "4", "--quant", "q4"], "4 billion parameters at q4 take about 2.42 GB"),
        ([*FIGURES[:4], "--weights-gb", "0.5", "--params-b", "70"], "0.057 bits for each"),
        ([*FIGURES[:4], "--weights-gb", "500", "--params-b", "7"], "correct one of them"),
        ([*NAMED, "--weights-gb", "0.5"], "--weights-gb 0.5 and 14.77 billion parameters contradict"),
        (
            ["--hardware", "mac-mini-m4-pro", "--model", "llama-3.3-70b"],
            "does not fit the 48 GB of Mac mini M4 Pro, 20-core GPU, 48 GB, of which 78% can be used",
        ),
        ([*FIGURES, "--duration", "5"], "--duration is for measuring a node; leave it out"),
        ([*FIGURES, "--save", "x.json"], "--save is for measuring a node; leave it out"),
        ([*FIGURES, "--force"], "--force is for measuring a node; leave it out"),
        ([*FIGURES, "--prompt-tokens", "50", "--cached-tokens", "100"], "--cached-tokens 100 is more than"),
    ],
)
def test_what_cannot_be_is_refused(form: list[str], arguments: list[str], sentence: str) -> None:
    """No speed is printed for a model that does not fit, nor for figures of which one would be ignored."""
    with pytest.raises(ConfigError, match=sentence):
        run("--predict", *form, *arguments)


@pytest.mark.parametrize("quant", [["--quant", "q4"], []])
def test_a_small_model_may_be_larger_than_usual(quant: list[str]) -> None:
    """Gemma 3 1B at q4 is 0.81 GB, a third more than larger models take for each parameter."""
    machine = ["--bandwidth-gb-s", "360", "--tflops", "26.73"]
    assert predict(*machine, "--weights-gb", "0.806", "--params-b", "1", *quant)["params_b"] == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--predict"], "a URL and --predict exclude each other"),
        (["--memory-gb", "8"], "--memory-gb is for --predict"),
        (["--quant", "q4"], "--quant is for --predict"),
        (["--batch", "4"], "--batch is for --predict"),
        (["--batch", "1"], "--batch is for --predict"),
        (["--context", "8192", "--prompt-tokens", "50"], "--context is for --predict"),
        (["--prompt-tokens", "50"], "--prompt-tokens is for --predict"),
        (["--cached-tokens", "0"], "--cached-tokens is for --predict"),
        (["--slots", "4"], "--slots is for serving a GGUF file"),
        (["--context-tokens", "4096"], "--context-tokens is for serving a GGUF file"),
    ],
)
def test_measuring_takes_no_figures_and_no_estimate(arguments: list[str], sentence: str) -> None:
    """A URL excludes ``--predict`` and the options that only an estimate or a file would use."""
    with pytest.raises(ConfigError, match=sentence):
        run("http://127.0.0.1:1", *arguments)


def test_a_file_takes_no_key() -> None:
    """What is served here is asked with a key of its own."""
    with pytest.raises(ConfigError, match="--api-key is for a node that runs"):
        run("model.gguf", "--api-key", "k")


def test_a_key_in_the_environment_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """An estimate is made although the variable is set for measurements."""
    monkeypatch.setenv("SPILLWAY_NODE_KEY", "k")
    assert predict(*FIGURES)["grade"] == "derived"
