"""Logged prompts through the real embedded engine and a labelled fake reference."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from spillway.classify import write_own_tasks
from spillway.classify.learn import learn_tasks
from spillway.cli.evidence_log import LogOptions, replay_log
from spillway.cli.evidence_safe import LogReport
from spillway.config.schema import CloudConfig, Config, PriceConfig, RoutingConfig
from spillway.demo.cloud import SimulatedCloud
from spillway.demo.model import demo_model_path
from spillway.demo.shop import ANSWER_SCHEMA, SYSTEM_PROMPT, answer_text, messages
from spillway.engines.embedded import EmbeddedEngine
from spillway.errors import ConfigError, MeasureFailed
from spillway.testing.fake_upstream import FakeUpstream, Fault, Reply
from tests.engine_fixtures import needs_engine

TRUTHS = messages(seed=77, count=120)
MODEL = "gpt-4o-mini"
PRICED = Config(
    clouds=(CloudConfig(name="fake", url="http://127.0.0.1:1/v1", api_key="k"),),
    prices={"fake/m": PriceConfig(input_usd_per_mtok=Decimal(10), output_usd_per_mtok=Decimal(10))},
)


def shop_line(text: str, **more: Any) -> dict[str, Any]:
    """A request as the demo shop sends it."""
    schema = {"type": "json_schema", "json_schema": {"name": "shop", "schema": ANSWER_SCHEMA}}
    chat = [{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": text}]
    fields = {"messages": chat, "max_tokens": 64, "temperature": 0, "response_format": schema}
    return {**fields, "task": "extraction", **more}


def log_at(folder: Path, lines: list[Any]) -> Path:
    """A log file."""
    path = folder / "sample.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def options_of(log: Path, local: str, reference: str, **changes: Any) -> LogOptions:
    """Options with what the test changes."""
    values: dict[str, Any] = {
        **dict.fromkeys(("local_model", "local_key_env", "reference_model", "reference_key_env", "limit")),
        "judges": False,
        "parallel": 4,
        "max_usd": 1.0,
    }
    return LogOptions(log=log, local=local, reference=reference, **(values | changes))


async def run(options: LogOptions, settings: Config | None = None) -> LogReport:
    """The report."""
    return await replay_log(options, settings or Config(), lambda done, total: None)


@pytest.fixture
async def engine(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EmbeddedEngine]:
    """The shipped demo model in the real engine; its key is in a variable."""
    engine = EmbeddedEngine(demo_model_path(), name="shop", slots=4, context_tokens=512, threads=1)
    await engine.start()
    monkeypatch.setenv("NODE_KEY", engine.api_key)
    yield engine
    await engine.stop()


@needs_engine
@pytest.mark.engine
async def test_a_node_that_agrees_is_safe_to_buy(engine: EmbeddedEngine, tmp_path: Path) -> None:
    """On the kind it was trained for, the demo model keeps (nearly) all of the log, with its bound."""
    log = log_at(tmp_path, [shop_line(truth.text) for truth in TRUTHS])
    async with SimulatedCloud(TRUTHS, time_scale=0) as cloud:
        options = options_of(log, engine.url, cloud.url, local_key_env="NODE_KEY", reference_model=MODEL)
        report = await run(options)
    (line,) = report.classes
    assert (report.answered, line.task) == (120, "extraction")
    assert line.verdict in ("safe", "partly")
    assert line.agreement is not None
    assert line.agreement > 0.95
    assert report.quality_limit_ratio > 0.8


@needs_engine
@pytest.mark.engine
async def test_a_node_out_of_its_depth_is_found_out(engine: EmbeddedEngine, tmp_path: Path) -> None:
    """On questions it cannot answer nothing may be kept, and the other class is not held responsible."""
    sums = [(f"What is {a} plus {b}?", str(a + b)) for a in range(3, 11) for b in range(11, 15)]
    lines = [shop_line(truth.text) for truth in TRUTHS]
    lines += [{"prompt": question, "task": "math", "max_tokens": 48} for question, _ in sums]
    async with SimulatedCloud(TRUTHS, time_scale=0) as cloud:
        cloud.register_texts(dict(sums))
        options = options_of(
            log_at(tmp_path, lines), engine.url, cloud.url, local_key_env="NODE_KEY", reference_model=MODEL
        )
        report = await run(options)
    kept = {line.task: line.keep_ratio for line in report.classes}
    verdicts = {line.task: line.verdict for line in report.classes}
    assert kept["math"] == 0.0
    assert verdicts["math"] in ("unsafe", "undecided")
    assert kept["extraction"] > 0.8


@needs_engine
@pytest.mark.engine
async def test_the_command_prints_what_the_planner_needs(engine: EmbeddedEngine, tmp_path: Path) -> None:
    """One JSON object with a versioned schema and the quality limit; nothing but that on stdout."""
    log = log_at(tmp_path, [shop_line(truth.text) for truth in TRUTHS[:10]])
    async with SimulatedCloud(TRUTHS, time_scale=0) as cloud:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "spillway", "evidence", "--from-log", str(log), "--json"),
            *("--local", engine.url, "--local-key-env", "NODE_KEY"),
            *("--reference", cloud.url, "--reference-model", MODEL),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=tmp_path,
        )
        out, err = await child.communicate()
    assert child.returncode == 0, err
    found = json.loads(out)
    assert found["schema"] == "spillway.evidence.log/1"
    assert 0.0 <= found["quality_limit_ratio"] <= 1.0
    assert {"task", "compared", "agreement", "gap_upper", "verdict"} <= found["classes"][0].keys()


async def test_expected_answers_are_the_yardstick(tmp_path: Path) -> None:
    """With the right answer in the log, a reference that is wrong is not taken as right."""
    lines = [shop_line(truth.text, expected=truth.answer) for truth in TRUTHS[:60]]
    async with SimulatedCloud(TRUTHS, time_scale=0) as local, FakeUpstream() as reference:
        reference.default = Reply(text=answer_text(TRUTHS[0].answer))
        report = await run(options_of(log_at(tmp_path, lines), local.url, reference.url, local_model=MODEL))
    (line,) = report.classes
    assert line.gap is not None
    assert line.gap < 0
    assert line.verdict == "safe"


async def test_bad_lines_are_named_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each with its number; a log without a usable line is an error."""
    bad = ["{", "[]", '{"messages": []}', '{"input": "embed me"}', '"text"', "[" * 50_000]
    async with FakeUpstream() as both:
        good = {"body": {"prompt": "Is the sky blue?", "stream": True, "n": 3}}
        report = await run(options_of(log_at(tmp_path, [*bad, good]), both.url, both.url))
        assert (report.unusable_lines, report.answered) == (6, 1)
        said = capsys.readouterr().err
        assert all(f"sample.jsonl:{number}:" in said for number in range(1, 7))
        with pytest.raises(ConfigError, match="holds no prompt"):
            await run(options_of(log_at(tmp_path, bad), both.url, both.url))
        sent = both.received[0].json
    assert "stream" not in sent
    assert "n" not in sent
    assert sent["messages"] == [{"role": "user", "content": "Is the sky blue?"}]


async def test_failures_are_counted_and_passing_ones_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rate limit passes by itself; an endless one is told, not compared."""
    monkeypatch.setattr("spillway.cli.evidence_parties.PAUSE_S", 0.0)
    log = log_at(tmp_path, [{"prompt": "Is the sky blue?"}] * 2)
    async with FakeUpstream() as local, FakeUpstream() as reference:
        reference.script(Fault.RATE_LIMITED, Fault.ERROR_500, Fault.HEALTHY)
        report = await run(options_of(log, local.url, reference.url, parallel=1))
        assert (report.answered, report.reference_failures) == (2, 0)
        reference.default = Reply(fault=Fault.RATE_LIMITED)
        with pytest.raises(MeasureFailed, match="answered 429"):
            await run(options_of(log, local.url, reference.url))


async def test_an_engine_that_refuses_log_probabilities_is_asked_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answers are compared all the same."""
    log = log_at(tmp_path, [{"prompt": "Is the sky blue?"}] * 3)
    async with FakeUpstream() as local, FakeUpstream() as reference:
        local.script(Fault.BAD_REQUEST)
        report = await run(options_of(log, local.url, reference.url, parallel=1))
        asked = [received.json.get("logprobs") for received in local.received]
    assert report.answered == 3
    assert asked == [True, None, None, None]


async def test_money_is_a_limit(tmp_path: Path) -> None:
    """A priced reference is asked only while the dearest answer still fits; the rest is told."""
    log = log_at(tmp_path, [{"prompt": "Is the sky blue?", "max_tokens": 100}] * 20)
    async with FakeUpstream() as both:
        cloud = PRICED.clouds[0].model_copy(update={"url": both.url})
        settings = PRICED.model_copy(update={"clouds": (cloud,)})
        options = options_of(log, both.url, "fake/m", local_model="m", max_usd=0.004, parallel=2)
        report = await run(options, settings)
    assert report.not_asked > 0
    assert report.answered + report.not_asked == 20
    assert report.reference_cost_usd is not None
    assert 0 < report.reference_cost_usd <= 0.004


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("nowhere", "neither a URL nor CLOUD/MODEL"),
        ("unheard/of", "neither a URL nor CLOUD/MODEL"),
        ("openai/gpt-4o-mini", "--reference-key-env"),
    ],
)
async def test_a_reference_that_cannot_be_asked_is_said(
    reference: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is asked of anybody."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    async with FakeUpstream() as local:
        with pytest.raises(ConfigError, match=said):
            await run(options_of(log_at(tmp_path, [{"prompt": "Hi"}]), local.url, reference))
        assert local.received == []


async def test_a_node_that_is_down_is_said(tmp_path: Path) -> None:
    """In one sentence with its address."""
    log = log_at(tmp_path, [{"prompt": "Hi"}])
    with pytest.raises(MeasureFailed, match=r"127\.0\.0\.1:1 does not answer"):
        await run(options_of(log, "http://127.0.0.1:1", "http://127.0.0.1:1"))
    with pytest.raises(ConfigError, match="cannot be read"):
        await run(options_of(tmp_path / "none.jsonl", "http://127.0.0.1:1", "http://127.0.0.1:1"))


async def test_classes_are_those_of_the_running_gateway(tmp_path: Path) -> None:
    """A schema tells what vague words do not, and the owner's own classes are known."""
    vague = {key: value for key, value in shop_line("hm, the blue one").items() if key != "task"}
    say = [f"file ticket number {i} about the broken lift" for i in range(12)]
    other = [f"what is the capital of country {i}" for i in range(12)]
    examples = [("lift", {"prompt": text}) for text in say] + [("quiz", {"prompt": text}) for text in other]
    place = tmp_path / "tasks.json"
    write_own_tasks(place, learn_tasks(examples))
    settings = Config(routing=RoutingConfig(task_file=str(place)))
    log = log_at(tmp_path, [vague, {"prompt": "file ticket number 77 about the broken lift"}])
    async with FakeUpstream() as both:
        report = await run(options_of(log, both.url, both.url), settings)
    assert {line.task for line in report.classes} == {"extraction", "lift"}


LONG = "The sky looks blue since short waves of light are scattered more by the air than the long ones are."


async def test_texts_can_be_judged_by_the_reference(tmp_path: Path) -> None:
    """With --judge a verdict counts; without one, or with nonsense, the class stays undecided."""
    log = log_at(tmp_path, [{"prompt": "Why is the sky blue?", "task": "open_qa"}])
    async with FakeUpstream() as local, FakeUpstream() as reference:
        local.default = Reply(text=LONG + " That is all.")
        reference.script(Reply(text=LONG), Reply(text='{"better": "tie"}'), Reply(text='{"better": "tie"}'))
        judged = await run(options_of(log, local.url, reference.url, judges=True))
        reference.default = Reply(text=LONG)
        nonsense = await run(options_of(log, local.url, reference.url, judges=True))
    assert (judged.classes[0].compared, judged.classes[0].gap) == (1, 0.0)
    assert (nonsense.classes[0].compared, nonsense.classes[0].verdict) == (0, "undecided")
