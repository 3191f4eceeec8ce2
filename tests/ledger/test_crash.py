"""What is left after the process or the disk gives out, with real processes on real files."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

ROUNDS = 20
ACKNOWLEDGE = """
import asyncio, sys
from tests.ledger.samples import row
from spillway.ledger.writer import LedgerWriter

async def caller(writer, name):
    number = 0
    while True:
        key = f"{name}_{number}"
        await writer.record(row(key))
        sys.stdout.write(key + "\\n")
        sys.stdout.flush()
        number += 1

async def main():
    writer = LedgerWriter.at("sqlite:///" + sys.argv[1])
    await writer.start()
    await asyncio.gather(*[caller(writer, f"{sys.argv[2]}_{name}") for name in range(16)])

asyncio.run(main())
"""
FILL = """
import asyncio, resource, sys
from pathlib import Path
from tests.ledger.samples import row
from spillway.ledger.writer import LedgerWriter

async def main():
    states = asyncio.Queue()
    writer = LedgerWriter.at("sqlite:///" + sys.argv[1], on_state=states.put_nowait)
    await writer.start()
    await writer.record(row("before"))
    log = Path(sys.argv[1] + "-wal")
    limit = log.stat().st_size + 20_000
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    number = 0
    while states.empty():
        await writer.record(row(f"full_{number}"))
        number += 1
    print("degraded:", (await states.get()).last_error)
    for more in range(number, number + 5):
        await writer.record(row(f"full_{more}"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    while (state := await states.get()).state != "ok":
        pass
    await writer.record(row("after"))
    await writer.close()
    print("rows:", number + 5 + 2, "lost:", state.lost_rows)

asyncio.run(main())
"""


def _ids(path: Path) -> set[str]:
    connection = sqlite3.connect(path)
    found = {name for (name,) in connection.execute("SELECT request_id FROM requests")}
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    return found


def _start(program: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


@pytest.mark.slow
def test_acknowledged_rows_survive_sigkill(tmp_path: Path) -> None:
    """A process killed at any moment, twenty times over, loses no row it had acknowledged."""
    path = tmp_path / "spillway.db"
    chance = random.Random(20261124)
    acknowledged: set[str] = set()
    for number in range(ROUNDS):
        child = _start(ACKNOWLEDGE, str(path), str(number))
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(chance.randint(1, 2000))]
        child.kill()
        rest, errors = child.communicate(timeout=60)
        assert all(lines), errors
        complete = rest[: rest.rfind("\n") + 1]
        acknowledged |= {line.strip() for line in lines} | set(complete.splitlines())
    assert acknowledged <= _ids(path)
    assert len(acknowledged) > ROUNDS


@pytest.mark.skipif(sys.platform == "win32", reason="limits on file sizes are POSIX")
def test_a_full_disk_holds_nobody_up_and_loses_nothing(tmp_path: Path) -> None:
    """When files cannot grow, requests go on and their rows wait; with room again, all arrive.

    The limit on the size of files stands for the full disk: the kernel refuses writes in the same way.
    """
    path = tmp_path / "spillway.db"
    child = _start(FILL, str(path))
    output, errors = child.communicate(timeout=60)
    assert child.returncode == 0, errors
    said = dict(line.split(": ", 1) for line in output.splitlines())
    assert "cannot write the ledger" in said["degraded"]
    count, lost = said["rows"].split(" lost: ")
    assert len(_ids(path)) == int(count)
    assert lost == "0"
    assert {"before", "after"} <= _ids(path)
