"""What becomes of answers that still run when the gateway is told to stop."""

from __future__ import annotations

import json
import logging
from contextlib import AsyncExitStack

import pytest

from spillway.routing import Policy
from spillway.testing.fake_upstream import FakeUpstream, Fault, Reply
from spillway.testing.raw_client import MESSAGES, raw_connection
from spillway.vocabulary import Deadlines

from .conftest import serve, upstream_of

BOTH = pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
PATIENT = Policy(deadlines={"mini": Deadlines(stall_s=60.0)})


@BOTH
@pytest.mark.parametrize("at_once", [False, True], ids=["after the grace", "at once"])
async def test_what_runs_too_long_ends_with_an_error(
    is_stream: bool, at_once: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """503 or an error event tells the client, the record has the same code, and no traceback is logged."""
    caplog.set_level(logging.WARNING)
    async with AsyncExitStack() as stack:
        fake = await stack.enter_async_context(FakeUpstream())
        fake.script(Reply(fault=Fault.HELD, after=3))
        upstreams = [upstream_of("mini", "local", fake.url)]
        running = await serve(stack, upstreams, PATIENT, grace_s=60.0 if at_once else 0.1)
        client = await stack.enter_async_context(raw_connection(running.port))
        client.send(json.dumps({"model": "auto", "messages": MESSAGES, "stream": is_stream}).encode())
        await fake.held(1)
        begun = (await client.answer(enough=b"content")).raw if is_stream else b""
        assert running.server is not None
        running.server.should_exit, running.server.force_exit = True, at_once
        wire = await client.answer(to_the_end=True)
        wire.raw = begun + wire.raw
        (outcome,) = await running.books.wait()
        assert wire.ending == "fin"
        await fake.disconnected()
        assert running.in_flight() == 0
        if is_stream:
            assert json.loads(wire.data[-1])["error"]["code"] == "gateway_stopping"
            assert (outcome.result, outcome.status) == ("cut", 200)
        else:
            assert (wire.status, wire.json["error"]["code"]) == (503, "gateway_stopping")
            assert (outcome.result, outcome.status) == ("error", 503)
        assert outcome.error_code == "gateway_stopping"
        assert [attempt.error_code for attempt in outcome.attempts] == ["gateway_stopping"]
    assert not caplog.records
