"""Every kind of mistake in ``spillway plan``: one sentence, and the right exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from spillway.cli import run
from tests.cli.test_plan import MINI_COSTS, SMALL, Write, costs, plan


def file_of(text: str) -> Write:
    """A function that writes a file with that text."""

    def write(folder: Path) -> Path:
        path = folder / "usage.csv"
        path.write_text(text)
        return path

    return write


ROWS = "".join(f"{600 * i},100,10,{{0}}\n{600 * i + 60},100,10,{{1}}\n" for i in range(8))
NAMED = f"time,input_tokens,output_tokens,model\n{ROWS}"
GOOD = NAMED.format("gpt-4o-mini", "gpt-4o-mini")
BAD: dict[str, tuple[Write | None, tuple[object, ...], str]] = {
    "nothing": (None, (), "nothing to plan from"),
    "missing": (None, ("no-such-file.csv",), "does not exist"),
    "empty": (file_of(""), (), "is empty"),
    "only a header": (file_of("time,input_tokens,output_tokens\n"), (), "no usable request"),
    "only negative": (
        file_of("time,input_tokens,output_tokens\n0,-1,5\n"), (), "input tokens is negative (line 2)"),
    "unknown columns": (file_of("a,b\n1,2\n"), (), "--map COLUMN="),
    "mixed currency": (
        file_of("time,input_tokens,output_tokens,cost,currency\n0,1,1,1,USD\n1,1,1,1,EUR\n"), (),
        "convert them to USD"),
    "mixed clocks": (
        file_of("time,input_tokens,output_tokens\n2026-11-02T12:00:00Z,1,1\n5,1,1\n"), (),
        "plan them separately"),
    "unknown model": (file_of(NAMED.format("wonder-1", "gpt-4o")), (), "the price of 'wonder-1' is unknown"),
    "some without a model": (file_of(NAMED.format("gpt-4o", "")), (), "8 requests without a model"),
    "unknown cloud": (file_of(NAMED.format("", "")), ("--cloud", "nobody/wonder-1"), "is unknown on"),
    "half a price": (file_of(GOOD), ("--input-usd-per-mtok", 1), "--output-usd-per-mtok"),
    "too large": (file_of(GOOD), ("--model", "qwen3-32b", "--hardware", "rtx-4000-ada", "--quant", "q8"),
                  "does not fit the 20 GB"),
    "impossible": (file_of(GOOD), ("--slo-ttft-ms", 1), "even an idle node misses the objective"),
    "impossible whole": (file_of(GOOD), ("--slo-total-ms", 1), "raise --slo-total-ms above"),
    "first after last": (file_of(GOOD), ("--slo-ttft-ms", 30_000),
                         "--slo-ttft-ms 30000 allows the first token to come after the last"),
    "a day for a stated price": (
        file_of(GOOD), ("--price-date", "2025-09-01", "--input-usd-per-mtok", 1, "--output-usd-per-mtok", 2),
        "--price-date has no place beside --input-usd-per-mtok"),
    "unknown machine": (file_of(GOOD), ("--hardware", "rtx-40900"), "did you mean rtx-4090?"),
    "unknown price of a node": (file_of(GOOD), ("--bandwidth-gb-s", 300, "--tflops", 10),
                                "what the node costs is unknown"),
    "unknown power": (file_of(GOOD), ("--bandwidth-gb-s", 300, "--tflops", 10, "--hardware-usd", 900),
                      "power draw is unknown"),
    "half a machine": (file_of(GOOD), ("--tflops", 10), "--bandwidth-gb-s and --tflops"),
    "half a pair": (file_of(GOOD), ("--map", "time"), "COLUMN=FIELD"),
    "one column twice": (file_of(GOOD), ("--map", "time=time", "--map", "time=input_tokens"),
                         "--map names 'time' twice"),
    "one field twice": (file_of(GOOD), ("--map", "time=time", "--map", "model=time"),
                        "--map names both 'time' and 'model' as time"),
    "a needed column left out": (file_of(GOOD), ("--map", "input_tokens="),
                                 "no column looks like input_tokens"),
    "a text for a model": (file_of(NAMED.format("x" * 9999, "gpt-4o")), (),
                           f"the price of '{'x' * 60}…' is unknown"),
    "no fleet": (file_of(GOOD), ("--nodes", "0"), "at least one fleet"),
    "sizes descend": (file_of(GOOD), ("--nodes", "5-2"), "sizes ascend"),
    "sizes are words": (file_of(GOOD), ("--nodes", "many"), "no set of fleet sizes"),
    "unknown shape": (file_of(GOOD), ("--shape", "odd"), "--shape 'odd' is unknown"),
    "unknown preset": (None, ("--preset", "odd"), "--preset 'odd' is unknown"),
    "preset and file": (file_of(GOOD), ("--preset", "article"), "--preset brings its own traffic"),
    "preset and columns": (None, ("--preset", "article", "--map", "at=time"), "are about usage files"),
    "preset and kind of file": (None, ("--preset", "article", "--format", "litellm"), "about usage files"),
    "preset and day": (None, ("--preset", "article", "--price-date", "2026-11-01"), "name a --cloud too"),
    "numbers and file": (file_of(GOOD), ("--requests-per-month", 5), "not both"),
    "too long prompts": (None, ("--requests-per-month", 1000, "--input-tokens", 1e12, "--output-tokens", 5),
                         "--input-tokens 1e+12: no model reads more than 2,000,000 tokens a request"),
    "too long answers": (None, ("--requests-per-month", 1000, "--output-tokens", 3_000_000),
                         "--output-tokens 3,000,000: no model writes more than 2,000,000 tokens a request"),
    "too many requests": (None, ("--requests-per-month", 10**12), "is more than a plan can hold"),
    "absurd growth": (file_of(GOOD), ("--growth", "100000%"),
                      "--growth: growth of traffic must be between -0.9 and 10, not 1000"),
    "absurd tariff": (file_of(GOOD), ("--usd-per-kwh", 500),
                      "--usd-per-kwh: electricity must be between 0 and 100"),
    "lengths and file": (file_of(GOOD), ("--input-tokens", 5), "usage files tell the tokens"),
    "costs alone": (lambda folder: costs(folder, *MINI_COSTS), (), "costs, which do not tell how many"),
    "costs by the day": (lambda folder: costs(folder, ("", "1")), ("--requests-per-month", 500),
                         "grouped by line item"),
    "costs at an unknown price": (lambda folder: costs(folder, ("gpt-99, input", "1")),
                                  ("--requests-per-month", 500), "price of 'gpt-99, input' on 2026-07-01"),
    "costs and numbers that cannot be": (lambda folder: costs(folder, *MINI_COSTS),
                                         ("--requests-per-month", 2), "check the number"),
    "profile is none": (file_of(GOOD), ("--profile", "no-such.json"), "there is no profile"),
    "no folder": (file_of(GOOD), ("--html", "no/such/folder/report.html"), "there is no folder"),
    "no cluster": (file_of(GOOD), ("--backend", "dask"), "--backend dask needs"),
    "unknown backend": (file_of(GOOD), ("--backend", "odd"), "--backend 'odd' is unknown"),
    "resale above all": (file_of(GOOD), ("--residual", "1.5"), "--residual: resale value at the end must be"),
    "a moment": (file_of("time,input_tokens,output_tokens\n5,1,1\n"), (), "says nothing about a month"),
    "batch above all": (file_of(GOOD), ("--batch-ratio", "3"), "a share between 0 and 1"),
    "no ledger": (None, ("sqlite:///no-such.db",), "does not exist"),
}  # fmt: skip


@pytest.mark.parametrize("value", ["1e400", "1e-400", "-5", "nan"])
def test_absurd_amounts_are_refused_as_other_options_are(
    value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A price beyond all bounds names the option and what it may be; no digits fill the screen."""
    code, out, err = plan(capsys, "--requests-per-month", 100, f"--hardware-usd={value}")
    assert (code, out) == (2, "")
    assert err.startswith("spillway plan: --hardware-usd: ")
    assert len(err) < 200


@pytest.mark.parametrize("case", BAD)
def test_mistakes_are_one_sentence(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each bad input ends with code 2 and one line on stderr that says what is wrong and what to do."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    write, options, expected = BAD[case]
    paths = [write(tmp_path)] if write else []
    later = [] if case == "no fleet" or case.startswith("sizes") else SMALL[:2]
    code = run(["plan", *map(str, [*paths, *later, *SMALL[2:], *options])])
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert expected in err
    assert len(err.strip().splitlines()) == 1
    assert "Traceback" not in err
