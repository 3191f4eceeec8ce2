from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

DEBIAN = Path("/usr/lib/postgresql")
OWNER = "postgres"
"""PostgreSQL refuses to run as root; Debian's package brings this user."""


class PostgresServer:
    """A private PostgreSQL server on a socket in a temporary folder; databases are made by name."""

    def __init__(self, binaries: Path, folder: Path, owner: str | None) -> None:
        self._binaries, self._folder, self._owner = binaries, folder, owner
        self._run("initdb", "-D", f"{folder}/data", "-A", "trust", "-U", "spillway", "--no-sync")
        self.start()

    def start(self) -> None:
        """The server answers."""
        options = f"-k {self._folder} -c listen_addresses='' -c fsync=off"
        data, log = f"{self._folder}/data", f"{self._folder}/log"
        self._run("pg_ctl", "-D", data, "-w", "-l", log, "-o", options, "start")

    def stop(self) -> None:
        """The server is gone, connections are cut."""
        self._run("pg_ctl", "-D", f"{self._folder}/data", "-w", "-m", "immediate", "stop")

    def fresh_url(self, name: str) -> str:
        """The URL of a new, empty database."""
        self._run("createdb", "-h", str(self._folder), "-U", "spillway", name)
        return f"postgresql://spillway@/{name}?host={self._folder}"

    def _run(self, program: str, *arguments: str) -> None:
        user = {"user": self._owner, "group": self._owner} if self._owner else {}
        done = subprocess.run(
            [self._binaries / program, *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            cwd=self._folder,
            check=False,
            **user,  # type: ignore[call-overload]
        )
        assert done.returncode == 0, f"{program}: {done.stderr}"


def _binaries() -> Path | None:
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    versions = sorted(DEBIAN.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    return versions[-1].parent if versions else None


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A running server, or a skipped test where PostgreSQL is not installed."""
    binaries = _binaries()
    if binaries is None:
        pytest.skip("PostgreSQL's initdb is not installed (Debian: apt install postgresql)")
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'spillway[postgres]'")
    owner = OWNER if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="spillway-pg-"))
    try:
        if owner:
            shutil.chown(folder, owner, owner)
        server = PostgresServer(binaries, folder, owner)
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
