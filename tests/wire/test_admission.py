"""Slots, queue and objectives as callers of a running gateway meet them."""

from __future__ import annotations

import asyncio
import json

from spillway.fleet.record import NodeRecord
from spillway.routing import Policy
from spillway.slo.pace import LinearPace
from spillway.testing.fake_upstream import Fault, Reply
from spillway.testing.raw_client import MESSAGES, Wire, raw_connection
from spillway.vocabulary import Deadlines, Objective

from .conftest import PATIENCE, Running, Start

BODY = json.dumps({"model": "auto", "messages": MESSAGES, "max_tokens": 20}).encode()
LOCAL = (("x-spillway-pin", "local"),)
IMPATIENT = Deadlines(connect_s=1.0, first_token_s=0.3, stall_s=5.0, total_s=10.0)
HALF_A_SECOND = {"default": Objective("default", ttft_s=0.5)}
HELD = Reply(fault=Fault.HELD, after=3)
"""Says its first word, then waits to be released: it holds its slot and breaks no deadline."""


async def ask(running: Running, headers: tuple[tuple[str, str], ...] = ()) -> Wire:
    """One request and its whole answer."""
    async with raw_connection(running.port) as client:
        client.send(BODY, headers=headers)
        return await client.answer()


async def with_one_slot(start: Start, policy: Policy) -> Running:
    """A gateway whose node has one slot."""
    running: Running = await start(policy, mini="local", openai="cloud")
    running.fleet.upstreams["mini"].slots = 1
    return running


def side(answer: Wire) -> bytes:
    """Where it was answered, as the header says."""
    return answer.head.partition(b"x-spillway-side: ")[2].partition(b"\r\n")[0]


async def test_a_pinned_request_that_finds_no_slot_gets_429_with_advice(start: Start) -> None:
    """It waits up to its deadline, never goes to the cloud, and is told when to come back."""
    running = await with_one_slot(start, Policy(deadlines={"mini": IMPATIENT, "openai": PATIENCE}))
    mini = running.upstreams["mini"]
    mini.script(HELD)
    holder = asyncio.create_task(ask(running, LOCAL))
    await mini.held(1)
    answer = await ask(running, LOCAL)
    mini.release()
    assert answer.status == 429
    assert b"\r\nretry-after: " in answer.head
    error = json.loads(answer.body)["error"]
    assert (error["code"], error["upstream"]) == ("node_busy", "mini")
    assert (await holder).status == 200
    assert not running.upstreams["openai"].received
    assert running.in_flight() == 0
    refused = next(o for o in await running.books.wait(2) if o.status == 429)
    assert (refused.attempts, refused.error_code) == ((), "node_busy")


async def test_slots_are_respected_and_everyone_is_served_in_turn(start: Start) -> None:
    """Six pinned callers, one slot: the node never sees two at once, and all get their answers."""
    running = await with_one_slot(start, Policy(deadlines={"mini": PATIENCE, "openai": PATIENCE}))
    answers = await asyncio.gather(*(ask(running, LOCAL) for _ in range(6)))
    assert [answer.status for answer in answers] == [200] * 6
    assert running.upstreams["mini"].max_in_flight == 1
    assert running.in_flight() == 0


async def test_a_late_node_spills_before_anything_is_sent_to_it(start: Start) -> None:
    """A forecast beyond the objective sends the request to the cloud at once, and says why."""
    policy = Policy(
        deadlines={"mini": PATIENCE, "openai": PATIENCE},
        objectives=HALF_A_SECOND,
    )
    running = await with_one_slot(start, policy)
    running.fleet.upstreams["mini"].record = NodeRecord(LinearPace(prefill_base_s=1.0, step_base_s=0.01))
    answer = await ask(running)
    assert (answer.status, side(answer)) == (200, b"cloud")
    assert b"slo_ttft" in answer.head
    assert not running.upstreams["mini"].received
    pinned = await ask(running, LOCAL)
    assert (pinned.status, side(pinned)) == (200, b"local")


async def test_a_request_of_its_own_objective_is_judged_by_that(start: Start) -> None:
    """Headers loosen or tighten what configuration says, for one request."""
    running = await with_one_slot(start, Policy(deadlines={"mini": PATIENCE, "openai": PATIENCE}))
    running.fleet.upstreams["mini"].record = NodeRecord(LinearPace(prefill_base_s=1.0, step_base_s=0.01))
    tight = await ask(running, (("x-spillway-slo-ttft-ms", "300"),))
    loose = await ask(running, (("x-spillway-slo-ttft-ms", "30000"),))
    assert (side(tight), side(loose)) == (b"cloud", b"local")


async def test_a_caller_who_leaves_the_queue_frees_its_place(start: Start) -> None:
    """A hang-up while waiting leaves no trace in the counts, and its request is in the books."""
    running = await with_one_slot(start, Policy(deadlines={"mini": PATIENCE, "openai": PATIENCE}))
    mini, node = running.upstreams["mini"], running.fleet.upstreams["mini"]
    mini.script(HELD)
    holder = asyncio.create_task(ask(running, LOCAL))
    await mini.held(1)
    async with raw_connection(running.port) as client:
        client.send(BODY, headers=LOCAL)
        async with asyncio.timeout(5):
            while not len(node.queue):  # noqa: ASYNC110 - a queue tells nobody that it grew
                await asyncio.sleep(0.005)
    gone = next(o for o in await running.books.wait(1) if o.result == "cancelled")
    assert (gone.status, gone.attempts) == (499, ())
    assert len(node.queue) == 0
    mini.release()
    assert (await holder).status == 200
    assert running.in_flight() == 0


async def test_a_callers_timeout_ends_the_wait(start: Start) -> None:
    """``x-spillway-timeout-ms`` bounds everything, also an upstream that would have had more time."""
    running: Running = await start(Policy(), mini="local")
    running.upstreams["mini"].script(Fault.SILENT)
    began_s = asyncio.get_running_loop().time()
    answer = await ask(running, (("x-spillway-timeout-ms", "200"),))
    assert answer.status == 504
    assert asyncio.get_running_loop().time() - began_s < 0.45


async def test_a_callers_timeout_ends_the_wait_for_a_slot(start: Start) -> None:
    """``x-spillway-timeout-ms`` also bounds the time in the queue of a full node."""
    running = await with_one_slot(start, Policy(deadlines={"mini": PATIENCE, "openai": PATIENCE}))
    mini = running.upstreams["mini"]
    mini.script(HELD)
    holder = asyncio.create_task(ask(running, LOCAL))
    await mini.held(1)
    began_s = asyncio.get_running_loop().time()
    answer = await ask(running, (*LOCAL, ("x-spillway-timeout-ms", "200")))
    assert answer.status == 429
    assert b"\r\nretry-after: " in answer.head
    assert asyncio.get_running_loop().time() - began_s < 0.45
    mini.release()
    assert (await holder).status == 200


async def test_a_callers_patience_replaces_the_upstreams(start: Start) -> None:
    """A caller who waits less for the first token, or longer between tokens, gets what it asks for."""
    short = Deadlines(first_token_s=5.0, stall_s=0.1, total_s=5.0)
    running: Running = await start(Policy(deadlines={"mini": short}), mini="local")
    mini = running.upstreams["mini"]
    mini.script(Fault.SILENT, Reply(fault=Fault.SLOW_TOKENS, gap_s=0.2))
    began_s = asyncio.get_running_loop().time()
    first = await ask(running, (("x-spillway-first-token-timeout-ms", "200"),))
    assert asyncio.get_running_loop().time() - began_s < 0.45
    assert first.status == 504
    assert b"\r\nx-spillway-upstream: mini\r\nx-spillway-attempts: 1" in first.head
    second = await ask(running, (("x-spillway-stall-timeout-ms", "1000"),))
    assert second.status == 200


async def test_a_patience_of_nothing_is_refused(start: Start) -> None:
    """A deadline already past is the caller's mistake, and the error names the header."""
    running: Running = await start(Policy(), mini="local")
    answer = await ask(running, (("x-spillway-stall-timeout-ms", "0"),))
    assert answer.status == 400
    assert json.loads(answer.body)["error"]["param"] == "x-spillway-stall-timeout-ms"
