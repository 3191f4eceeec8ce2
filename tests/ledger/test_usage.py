"""A plan reads the ledger from a database server as it reads its file."""

from __future__ import annotations

import json

import pytest

from spillway.cli import run
from spillway.ledger.store import LedgerStore
from spillway.planner.readers import read_workload

from .conftest import PostgresServer
from .samples import row

pytestmark = pytest.mark.postgres


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    """A ledger of thirty requests, a minute apart."""
    address = postgres.fresh_url("usage")
    store = LedgerStore.open(address)
    store.append([row(f"r{i}", accepted_wall_s=1_790_000_000.0 + 60 * i) for i in range(30)])
    store.close()
    return address


def test_requests_come_out_of_postgres(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The server's ledger is recognised and planned from, and its password never shows."""
    workload, reports = read_workload([url])
    assert reports[0].format == "spillway-ledger"
    assert len(workload) == 30
    assert (workload.input_tokens == 100).all()
    small = ["--nodes", "0-1", "--workers", "1", "--draws", "20", "--simulate-requests", "30"]
    assert run(["plan", url, "--cloud", "openai/gpt-4o-mini", *small, "--json"]) == 0
    out, _ = capsys.readouterr()
    assert json.loads(out)["schema"] == "spillway.plan/1"
    assert url not in out
