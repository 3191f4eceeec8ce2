"""Faults of connections, timing and framing do on the wire what ``spillway.testing.faults`` says."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from spillway.testing import faults
from spillway.testing.answers import answer_text
from spillway.testing.fake_upstream import FakeUpstream, Fault, Reply
from spillway.testing.raw_client import MESSAGES, Wire, ask, raw_connection

SAID = answer_text({"messages": MESSAGES})
FIRST_TWO = " ".join(SAID.split()[:2])
"""What three events say: the first one is the role."""


async def broken(reply: Fault | Reply, **how: Any) -> Wire:
    """The answer to one streamed request under that reply, read until the peer closes if it must."""
    async with FakeUpstream(reply) as upstream:
        return await ask(upstream.port, **{"stream": True, **how})


async def hung_up(reply: Fault | Reply, enough: bytes) -> Wire:
    """What came before the fault stalled; checks that it then waits until the client hangs up."""
    async with FakeUpstream(reply) as upstream, raw_connection(upstream.port) as client:
        client.send({"messages": MESSAGES, "stream": True})
        wire = await client.answer(enough=enough)
        (entry,) = await upstream.requests(1)
        assert upstream.in_flight == 1
        await client.close()
        assert await upstream.disconnected() == [entry]
        assert entry.hung_up_s is not None
        assert entry.ended_s is None
        return wire


def test_table_and_tests_cover_every_fault() -> None:
    """The table explains every fault, and this file exercises every one."""
    files = (Path(__file__), Path(__file__).with_name("test_faulty_bodies.py"))
    source = "".join(file.read_text(encoding="utf-8") for file in files)
    assert faults.__doc__ is not None
    for fault in Fault:
        assert f"\n{fault} " in faults.__doc__
        assert f"Fault.{fault.name}" in source


async def test_healthy_names_itself() -> None:
    """``fault:healthy`` as a model name is answered healthily, and echoed."""
    wire = await broken(Fault.HEALTHY, model="fault:healthy")
    assert (wire.text, wire.finishes, wire.data[-1]) == (SAID, ["stop"], "[DONE]")
    assert wire.chunks[0]["model"] == "fault:healthy"


async def test_refused() -> None:
    """Connecting is refused while the script says so, and works again on the same port afterwards."""
    async with FakeUpstream(Fault.HEALTHY, Fault.REFUSED) as upstream:
        port = upstream.port
        assert (await ask(port)).status == 200
        with pytest.raises(ConnectionRefusedError):
            await ask(port)
        await upstream.accept()
        assert (await ask(port)).status == 200
        assert (await ask(port, model="fault:refused")).ending == "reset"
        with pytest.raises(ConnectionRefusedError):
            await ask(port)
    async with FakeUpstream(Fault.REFUSED) as upstream:
        with pytest.raises(ConnectionRefusedError):
            await ask(upstream.port)


async def test_refuse_by_hand_resets_open_connections() -> None:
    """``refuse`` looks like a killed process: open connections are reset, new ones refused."""
    async with FakeUpstream() as upstream, raw_connection(upstream.port) as client:
        client.send({"messages": MESSAGES})
        await client.answer()
        upstream.refuse()
        assert (await client.answer(to_the_end=True)).ending == "reset"
        with pytest.raises(ConnectionRefusedError):
            await ask(upstream.port)


@pytest.mark.parametrize(
    ("fault", "ending", "has_head"),
    [
        (Fault.RESET_BEFORE_HEADERS, "reset", False),
        (Fault.CLOSED_BEFORE_HEADERS, "fin", False),
        (Fault.CLOSED_AFTER_HEADERS, "fin", True),
        (Fault.RESET_AFTER_HEADERS, "reset", True),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_ends_before_the_body(fault: Fault, ending: str, has_head: bool, stream: bool) -> None:
    """RST or FIN, before or after the headers, without a byte of body."""
    wire = await broken(fault, stream=stream)
    assert wire.ending == ending
    assert wire.raw.startswith(b"HTTP/1.1 200 OK\r\n") is has_head
    assert wire.payload == b""


async def test_silent_waits_for_the_client_to_hang_up() -> None:
    """``silent`` sends nothing at all; ``headers-then-silent`` headers only."""
    async with FakeUpstream(Fault.SILENT) as upstream:
        async with raw_connection(upstream.port) as client:
            client.send({"messages": MESSAGES})
            await upstream.requests(1)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.answer(), 0.05)
        await upstream.disconnected()
    wire = await hung_up(Fault.HEADERS_THEN_SILENT, enough=b"\r\n\r\n")
    assert (wire.status, wire.payload) == (200, b"")


@pytest.mark.parametrize("stream", [True, False])
async def test_slow_headers(stream: bool) -> None:
    """The status line comes after the delay, the rest with it."""
    async with FakeUpstream(Reply(fault=Fault.SLOW_HEADERS, delay_s=0.1)) as upstream:
        started_s = asyncio.get_running_loop().time()
        wire = await ask(upstream.port, stream=stream)
        assert wire.arrivals[0][0] - started_s >= 0.1
        assert wire.status == 200


async def test_slow_first_token() -> None:
    """Headers come at once, the first event after the delay."""
    started_s = asyncio.get_running_loop().time()
    wire = await broken(Reply(fault=Fault.SLOW_FIRST_TOKEN, delay_s=0.1))
    (_, head), (event_s, _) = wire.arrivals[:2]
    assert head.endswith(b"\r\n\r\n")
    assert event_s - started_s >= 0.1
    assert wire.text == SAID


async def test_role_then_slow() -> None:
    """The role comes at once, the first content after the delay."""
    wire = await broken(Reply(fault=Fault.ROLE_THEN_SLOW, delay_s=0.4))
    early = b"".join(piece for at_s, piece in wire.arrivals if at_s < wire.arrivals[-1][0] - 0.05)
    assert b'"role":"assistant"' in early
    assert SAID.split()[0].encode() not in early
    assert wire.text == SAID


async def test_slow_tokens() -> None:
    """Every event but the first comes after a gap."""
    started_s = asyncio.get_running_loop().time()
    wire = await broken(Reply(fault=Fault.SLOW_TOKENS, gap_s=0.02))
    assert wire.arrivals[-1][0] - started_s >= 0.02 * (len(wire.data) - 1)
    assert len(wire.arrivals) >= len(wire.data)


async def test_held_waits_for_release() -> None:
    """``held`` stops after its events and goes on when released."""
    async with FakeUpstream(Fault.HELD) as upstream, raw_connection(upstream.port) as client:
        client.send({"messages": MESSAGES, "stream": True})
        await upstream.held()
        before = await client.answer(enough=FIRST_TWO.split()[1].encode())
        assert before.text == FIRST_TWO
        upstream.release()
        after = await client.answer(enough=b"0\r\n\r\n")
        assert b"[DONE]" in after.raw


@pytest.mark.parametrize(("fault", "ending"), [(Fault.CUT, "fin"), (Fault.RESET_MID_STREAM, "reset")])
async def test_broken_in_the_middle_of_a_stream(fault: Fault, ending: str) -> None:
    """The stream breaks after its events with FIN or RST, and the chunked body has no end."""
    wire = await broken(fault)
    assert (wire.ending, wire.text, wire.finishes) == (ending, FIRST_TWO, [])
    assert not wire.payload.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize(("fault", "ending"), [(Fault.CUT, "fin"), (Fault.RESET_MID_STREAM, "reset")])
async def test_broken_in_the_middle_of_a_body(fault: Fault, ending: str) -> None:
    """An unstreamed body breaks short of its content-length, however many events were to be sent."""
    wire = await broken(Reply(fault=fault, after=99), stream=False)
    stated = int(wire.head.partition(b"content-length: ")[2].split(b"\r\n")[0])
    assert wire.ending == ending
    assert 0 < len(wire.payload) < stated


async def test_cut_clean() -> None:
    """The body ends correctly and the connection lives, yet finish reason and [DONE] are missing."""
    wire = await broken(Fault.CUT_CLEAN)
    assert (wire.ending, wire.text, wire.finishes) == ("complete", FIRST_TWO, [])
    assert wire.payload.endswith(b"0\r\n\r\n")
    assert "[DONE]" not in wire.data


async def test_stalled() -> None:
    """After its events nothing comes any more until the client hangs up."""
    wire = await hung_up(Fault.STALLED, enough=FIRST_TWO.split()[1].encode())
    assert wire.text == FIRST_TWO


async def test_only_comments() -> None:
    """Comments keep coming, and nothing else does."""
    wire = await hung_up(Reply(fault=Fault.ONLY_COMMENTS, gap_s=0.01), enough=b"keep-alive\n\n\r\ne\r\n")
    assert wire.data == []


async def test_never_ends() -> None:
    """The answer is complete, usage and [DONE] do not come, and the connection stays open."""
    wire = await hung_up(Reply(fault=Fault.NEVER_ENDS), enough=b'"finish_reason":"stop"')
    assert (wire.text, wire.finishes) == (SAID, ["stop"])
    assert "[DONE]" not in wire.data


async def test_keep_alive_trap() -> None:
    """A stream announces keep-alive and is closed right after its end; an unstreamed answer stays open."""
    async with (
        FakeUpstream(default=Fault.KEEP_ALIVE_TRAP) as upstream,
        raw_connection(upstream.port) as client,
    ):
        client.send({"messages": MESSAGES})
        assert (await client.answer()).ending == "complete"
        client.send({"messages": MESSAGES, "stream": True})
        wire = await client.answer()
        assert b"keep-alive: timeout=5, max=100" in wire.head
        ended_s = wire.arrivals[-1][0]
        assert (await client.answer(to_the_end=True)).ending == "fin"
        assert asyncio.get_running_loop().time() - ended_s < 1.0


async def test_keep_alive_race() -> None:
    """The answer is whole; the next request on the connection is met with FIN, a fresh one works."""
    async with FakeUpstream(Fault.KEEP_ALIVE_RACE) as upstream:
        async with raw_connection(upstream.port) as client:
            client.send({"messages": MESSAGES})
            assert (await client.answer()).status == 200
            client.send({"messages": MESSAGES})
            wire = await client.answer()
            assert (wire.raw, wire.ending) == (b"", "fin")
        assert (await ask(upstream.port)).status == 200
        assert [entry.was_dropped for entry in upstream.received] == [False, True, False]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("fault", "error_bytes"), [(Fault.LENGTH_SHORT, -10), (Fault.LENGTH_LONG, 10)])
async def test_wrong_content_length(fault: Fault, error_bytes: int, stream: bool) -> None:
    """The announced length differs by ten bytes from what comes before FIN."""
    wire = await broken(fault, stream=stream, to_the_end=True)
    stated = int(wire.head.partition(b"content-length: ")[2].split(b"\r\n")[0])
    assert wire.ending == "fin"
    assert stated - len(wire.payload) == error_bytes


async def test_other_framings() -> None:
    """A stream may have a content-length, or neither length nor chunks and end with FIN."""
    sized = await broken(Fault.LENGTH_FRAMED)
    assert b"transfer-encoding" not in sized.head
    assert sized.data[-1] == "[DONE]"
    closed = await broken(Fault.CLOSE_DELIMITED, to_the_end=True)
    assert b"transfer-encoding" not in closed.head
    assert b"content-length" not in closed.head
    assert (closed.ending, closed.text, closed.data[-1]) == ("fin", SAID, "[DONE]")


WAITS_FOR_EVER = {
    *(Fault.SILENT, Fault.HEADERS_THEN_SILENT, Fault.STALLED, Fault.HELD),
    *(Fault.ONLY_COMMENTS, Fault.NEVER_ENDS),
}


@pytest.mark.parametrize("fault", list(Fault))
@pytest.mark.parametrize("path", ["/v1/completions", "/v1/embeddings"])
async def test_other_operations_survive_every_fault(fault: Fault, path: str) -> None:
    """No fault breaks the fake itself when completions or embeddings are asked for."""
    quick = Reply(fault=fault, delay_s=0, gap_s=0, for_s=0, huge_chars=1000)
    async with FakeUpstream(default=quick) as upstream:
        fields: dict[str, Any] = {"path": path, "prompt": "a b c", "input": "a b c", "stream": True}
        asked = asyncio.create_task(ask(upstream.port, **fields))
        await upstream.requests(1)
        if fault not in WAITS_FOR_EVER:
            await asked
        asked.cancel()
        await asyncio.wait({asked})


async def test_uvloop_resets_too() -> None:
    """The faults that need a reset also work on uvloop, which the gateway's process uses."""
    uvloop = pytest.importorskip("uvloop")

    async def on_uvloop() -> list[str]:
        wires = [await broken(f) for f in (Fault.RESET_BEFORE_HEADERS, Fault.RESET_MID_STREAM, Fault.CUT)]
        assert [wire.text for wire in wires[1:]] == [FIRST_TWO, FIRST_TWO]
        return [wire.ending for wire in wires]

    def in_thread() -> list[str]:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(on_uvloop())

    assert await asyncio.to_thread(in_thread) == ["reset", "reset", "fin"]
