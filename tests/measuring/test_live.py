"""A real llama.cpp is measured: what is learned, what is left behind, and what the command prints."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import pytest

from spillway.cli import run
from spillway.engines.embedded import EmbeddedEngine
from spillway.measuring import campaign
from spillway.measuring.campaign import Campaign, Limits
from spillway.measuring.result import profile_of
from spillway.measuring.target import Target, find_target
from spillway.planner.profile import load_profile
from tests.engine_fixtures import build_micro_gguf, needs_engine

pytestmark = [pytest.mark.engine, needs_engine]

SLOTS = 4


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[EmbeddedEngine]:
    """A running engine with a random model."""
    model = build_micro_gguf(tmp_path / "m.gguf", context_tokens=1024)
    engine = EmbeddedEngine(model, name="micro", slots=SLOTS, context_tokens=1024, threads=1)
    await engine.start()
    yield engine
    await engine.stop()


@pytest.fixture
async def target(engine: EmbeddedEngine) -> AsyncIterator[Target]:
    """The engine as a target."""
    found = await find_target(engine.url, None, engine.api_key)
    yield found
    await found.close()


async def test_a_profile_comes_out(target: Target) -> None:
    """All figures are fitted from real answers, with slots and context as the engine says."""
    measured = await Campaign(target, Limits(duration_s=6), seed=5).run()
    profile = profile_of(measured, target, "micro", date(2026, 11, 24))
    assert (profile.slots, profile.engine, profile.model) == (SLOTS, "llamacpp", "micro")
    assert profile.context_tokens == 1024
    assert profile.is_complete
    assert profile.errors.probes > 0
    assert profile.errors.ttft_median_ratio is not None
    assert profile.pace.prefill_s(500) > profile.pace.prefill_s(50) > 0
    assert set(profile.tok_s or ()) == {1, 2, SLOTS}
    assert {(step.batch, step.gaps) for step in measured.steps} >= {(2, 0), (2, 1), (SLOTS, 0)}
    assert any(read.cached_tokens > 50 for read in measured.reads)
    assert all(len(wave) <= SLOTS + 1 for wave in measured.probes)


async def test_a_hidden_limit_of_slots_is_found(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that does not tell its slots shows them: further requests start when others end."""
    monkeypatch.setattr(campaign, "GROWTH_RATIO", 0.0)  # on a busy machine more at once may gain nothing
    target.slots = None
    measured = await Campaign(target, Limits(duration_s=6, max_concurrency=8), seed=5).run()
    assert measured.slots == SLOTS
    assert measured.tested_concurrency == SLOTS


async def test_stopping_leaves_nothing_running(target: Target) -> None:
    """A measurement that is cancelled in the middle closes its requests, and the slots are free again."""
    started = asyncio.Event()
    bench = Campaign(
        target, Limits(duration_s=30), lambda ratio, text: started.set() if "once" in text else None
    )
    task = asyncio.create_task(bench.run())
    async with asyncio.timeout(20):
        await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(5):
        while await target.others():  # noqa: ASYNC110 - the engine has no event to wait for
            await asyncio.sleep(0)


async def test_a_key_is_asked_for(engine: EmbeddedEngine) -> None:
    """Without the engine's key nothing is measured and the option is named."""
    code = await asyncio.to_thread(run, ["bench", engine.url])
    assert code == 1


def test_the_command_prints_one_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A model file is served for the time of the measurement; the profile stands where it says."""
    model = build_micro_gguf(tmp_path / "m.gguf", context_tokens=512)
    saved = tmp_path / "kept" / "p.json"
    arguments = [
        "bench",
        str(model),
        "--context-tokens",
        "512",
        "--duration",
        "3",
        "--save",
        str(saved),
        "--json",
    ]
    assert run(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "spillway.bench/1"
    assert found["grade"] == "measured"
    assert found["decode_tok_s"] > 0
    assert found["prefill_tok_s"] > 0
    assert found["saved_as"] == str(saved)
    assert load_profile(saved).name == "m"


def test_the_command_speaks_to_people(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Speeds, slots, error, and how to use what was saved, in the usual place when none was given."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    model = build_micro_gguf(tmp_path / "my box.gguf", context_tokens=512)
    assert run(["bench", str(model), "--context-tokens", "512", "--duration", "3"]) == 0
    text = capsys.readouterr().out
    for word in ("prefill", "decode", "slots", "error", "saved", "--profile"):
        assert word in text
    assert list(tmp_path.rglob("profiles/my-box.json"))


def test_ctrl_c_ends_it_at_once(tmp_path: Path) -> None:
    """SIGINT in the middle ends the command and its engine within seconds, and saves no profile."""
    model = build_micro_gguf(tmp_path / "m.gguf", context_tokens=512)
    saved = tmp_path / "p.json"
    arguments = ["bench", str(model), "--context-tokens", "512", "--duration", "60", "--save", str(saved)]
    # who starts the tests in the background hands down a SIGINT that is ignored
    heard = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{heard}; from spillway.cli import run; print('go', flush=True); sys.exit(run({arguments!r}))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while children.exists() and not children.read_text():
            assert process.poll() is None
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(15) == 130
    assert not saved.exists()
