"""The commands as a user types them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}


def spillway(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """One finished command."""
    return subprocess.run(
        [sys.executable, "-m", "spillway", *arguments],
        cwd=folder,
        env={**ENVIRONMENT, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``spillway up`` on a free port, and its base URL."""
    (tmp_path / "spillway.yaml").write_text(
        "server: {port: 0}\n"
        "clouds: [{name: fake, url: 'http://127.0.0.1:9', models: [m], api_key: s3cret-key}]\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "spillway", "up"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    url = ""
    for line in process.stdout:
        if "OPENAI_BASE_URL=" in line:
            url = line.strip().partition("OPENAI_BASE_URL=")[2]
        if '"messages"' in line:
            break
    yield process, url
    if process.poll() is None:
        process.kill()
    process.communicate()


def test_up_says_where_it_is_and_stops_when_told(
    running: tuple[subprocess.Popen[str], str], tmp_path: Path
) -> None:
    """It prints a URL that answers, and ends cleanly on SIGTERM without having shown a secret."""
    process, url = running
    folder = tmp_path
    with urllib.request.urlopen(url.replace("/v1", "/health/ready"), timeout=5) as answer:
        assert json.load(answer) == {"status": "ready"}
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert not (folder / "spillway.db-wal").exists()  # the ledger was closed, not abandoned
    assert "s3cret" not in out + err
    assert "Traceback" not in err


def test_nothing_to_serve_says_what_to_do(tmp_path: Path) -> None:
    """On a machine without engines or keys, or with a wrong file, one sentence and exit code 2."""
    (tmp_path / "spillway.yaml").write_text("nodes: [{name: a, ulr: x}]")
    done = spillway("up", folder=tmp_path)
    assert done.returncode == 2
    assert "did you mean url?" in done.stderr
    assert "Traceback" not in done.stderr


def test_listening_elsewhere_needs_keys(tmp_path: Path) -> None:
    """Another address than loopback without keys is refused."""
    done = spillway("up", "--host", "0.0.0.0", folder=tmp_path, OPENAI_API_KEY="s3cret")
    assert done.returncode == 2
    assert "server.keys" in done.stderr


def test_write_config_then_check(tmp_path: Path) -> None:
    """What was found is written without secrets; check then finds that the cloud cannot be reached."""
    (tmp_path / "elsewhere").mkdir()
    assert spillway("up", "--write-config", folder=tmp_path, OPENAI_API_KEY="s3cret").returncode == 0
    text = (tmp_path / "spillway.yaml").read_text()
    assert "${OPENAI_API_KEY}" in text
    assert "s3cret" not in text
    path = tmp_path / "spillway.yaml"
    path.write_text(text.replace("- name: openai\n", "- name: openai\n    url: http://127.0.0.1:9/v1\n", 1))
    done = spillway("check", "--json", folder=tmp_path, OPENAI_API_KEY="s3cret")
    report = json.loads(done.stdout)
    assert done.returncode == 3
    assert report["schema"] == "spillway.check/1"
    assert any("nothing listens there" in finding["text"] for finding in report["findings"])
    assert "s3cret" not in done.stdout + done.stderr


def test_wrong_usage_exits_with_2(tmp_path: Path) -> None:
    """An unknown option or command is a usage error; help and version are not."""
    assert spillway("up", "--prot", "1", folder=tmp_path).returncode == 2
    assert spillway("upp", folder=tmp_path).returncode == 2
    assert spillway("--help", folder=tmp_path).returncode == 0
    assert spillway("--version", folder=tmp_path).stdout.startswith("spillway ")


@pytest.mark.engine
@pytest.mark.slow
def test_demo_prints_its_contract(tmp_path: Path) -> None:
    """The demo runs on its own, loses nothing, and its JSON has the keys scripts rely on."""
    done = spillway("demo", "--duration", "8", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["schema"] == "spillway.demo/1"
    assert summary["errors"] == 0
    assert summary["local"] > 0
    assert summary["cloud"] > 0
    assert summary["requests"] == summary["local"] + summary["cloud"] == summary["ledger_rows"]
    assert summary["saved_usd"] is not None
    assert set(summary["ttft_ms"]) == {"p50", "p95"}
    assert summary["answers_exact_ratio"] > 0.9
