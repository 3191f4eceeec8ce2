"""A scriptable OpenAI-compatible upstream for tests: healthy, or broken in any way ``Fault`` names.

::

    async with FakeUpstream() as upstream:
        upstream.script(Fault.CUT, Reply(fault=Fault.SLOW_FIRST_TOKEN, delay_s=0.2))
        ...                                       # send requests to upstream.url
        first, second = await upstream.requests(2)
        assert first.json["model"] == "fake-model"

Which reply a request gets: a model named ``fault:<name>`` decides by itself; else the script's next entry;
else ``default``, which may be a function that makes one. ``faults`` lists every name and what it does on the
wire, ``Reply`` its measures. Only requests that generate (chat, completions, embeddings) use the script;
probes are answered and recorded apart.

By hand: ``python -m spillway.testing.fake_upstream --port 8099``.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Self

from spillway.testing.answers import error_body
from spillway.testing.bodies import models_json
from spillway.testing.faults import Fault, Reply
from spillway.testing.http_server import Connection, HttpRequest, HttpServer
from spillway.testing.perform import Gate, perform
from spillway.testing.plans import Operation, Plan, plan_answer, plan_json

__all__ = ["FakeUpstream", "Fault", "Received", "Reply"]

OPERATIONS: dict[str, Operation] = {
    "/chat/completions": "chat",
    "/completions": "completion",
    "/embeddings": "embedding",
}
WAIT_S = 10.0
"""How long the awaitable events wait before they fail the test."""


@dataclass(slots=True, eq=False)
class Received:
    """One request as it arrived, and how it ended."""

    request: HttpRequest
    connection: int
    """Number of the connection it came on, counted from 1."""
    at_s: float
    """When it was complete, on the event loop's clock."""
    fault: Fault = Fault.HEALTHY
    hung_up_s: float | None = None
    """When the client hung up before the end of the answer; ``None`` if it did not."""
    ended_s: float | None = None
    """When the answer ended in whatever way was planned; ``None`` while it runs or if the client hung up."""
    was_dropped: bool = False
    """Met with FIN because an earlier answer on the connection was ``Fault.KEEP_ALIVE_RACE``."""

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.request.path

    @property
    def body(self) -> bytes:
        """The body's bytes."""
        return self.request.body

    @property
    def json(self) -> Any:
        """The body parsed."""
        return json.loads(self.request.body)

    def header(self, name: str) -> str | None:
        """The first header of that name, or ``None``."""
        return self.request.header(name)


class FakeUpstream:
    """The server; ``async with`` starts and stops it. Leaving raises what a handler died of."""

    def __init__(
        self,
        *script: Fault | Reply,
        default: Fault | Reply | Callable[[], Reply] = Fault.HEALTHY,
        models: tuple[str, ...] = ("fake-model",),
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.default = _as_reply(default) if isinstance(default, Fault | Reply) else Reply()
        self._make_default = None if isinstance(default, Fault | Reply) else default
        self.models = models
        self.received: list[Received] = []
        """Every request that wanted something generated, in order of arrival."""
        self.probes: list[Received] = []
        """Every other request."""
        self.in_flight = 0
        self.max_in_flight = 0
        self.gate = Gate()
        self._server = HttpServer(self._serve, host=host, port=port)
        self._script: deque[Reply] = deque()
        self._canned: dict[tuple[str, str], Plan] = {}
        self._first_use_s: dict[object, float] = {}
        self._changed = asyncio.Event()
        self.script(*script)

    async def __aenter__(self) -> Self:
        await self._server.start()
        self._refuse_if_next()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._server.port

    @property
    def origin(self) -> str:
        """``http://HOST:PORT``."""
        return f"http://{self._server.host}:{self.port}"

    @property
    def url(self) -> str:
        """The base URL that OpenAI clients want, ``/v1`` included."""
        return f"{self.origin}/v1"

    @property
    def accepted_connections(self) -> int:
        """How many connections were ever accepted."""
        return self._server.accepted_count

    def script(self, *replies: Fault | Reply) -> None:
        """Appends what the next generating requests get, one after the other."""
        self._script.extend(_as_reply(reply) for reply in replies)
        if self._server.is_accepting:
            self._refuse_if_next()

    def respond(self, method: str, path: str, payload: object, status: int = 200) -> None:
        """Answers that path with this JSON from now on, for example ``/props`` or ``/api/ps``."""
        self._canned[method, path] = plan_json(status, payload)

    def refuse(self) -> None:
        """Connecting is refused from now on; open connections are reset."""
        self._server.refuse()
        for connection in tuple(self._server.connections):
            connection.reset()

    async def accept(self) -> None:
        """Connecting works again, on the same port."""
        await self._server.accept()

    def hang_up_idle(self) -> None:
        """Closes every open connection with FIN, as a server that reached its keep-alive limit."""
        for connection in tuple(self._server.connections):
            connection.close()

    def release(self) -> None:
        """Lets the requests that ``Fault.HELD`` holds now go on."""
        self.gate.open()

    async def requests(self, count: int = 1, timeout_s: float = WAIT_S) -> list[Received]:
        """The first ``count`` generating requests, as soon as so many have arrived."""
        await self._until(lambda: len(self.received) >= count, f"{count} requests", timeout_s)
        return self.received[:count]

    async def disconnected(self, count: int = 1, timeout_s: float = WAIT_S) -> list[Received]:
        """The first ``count`` requests whose client hung up before the end of its answer."""
        await self._until(lambda: len(self._hung_up()) >= count, f"{count} clients to hang up", timeout_s)
        return self._hung_up()[:count]

    async def held(self, count: int = 1, timeout_s: float = WAIT_S) -> None:
        """Returns once ``count`` requests wait for ``release``."""
        async with asyncio.timeout(timeout_s):
            await self.gate.wait_for(count)

    async def idle(self, timeout_s: float = WAIT_S) -> None:
        """Returns once no request is being answered."""
        await self._until(lambda: self.in_flight == 0, "every answer to end", timeout_s)

    # Serving.

    async def _serve(self, connection: Connection, request: HttpRequest) -> None:
        now_s = asyncio.get_running_loop().time()
        entry = Received(request, connection.number, now_s)
        operation = _operation(request)
        (self.probes if operation is None else self.received).append(entry)
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        self._notify()
        try:
            await self._answer(connection, entry, operation)
        finally:
            self.in_flight -= 1
            self._notify()

    async def _answer(self, connection: Connection, entry: Received, operation: Operation | None) -> None:
        if connection.drops_next:
            entry.was_dropped = True
            connection.close()
            return
        plan = self._other(entry.request) if operation is None else self._planned(entry, operation)
        if entry.fault is Fault.REFUSED:
            self._server.refuse()
        if await perform(connection, plan, self.gate):
            entry.ended_s = asyncio.get_running_loop().time()
        else:
            entry.hung_up_s = connection.gone_at_s

    def _planned(self, entry: Received, operation: Operation) -> Plan:
        try:
            body = entry.json
        except ValueError:
            body = None
        if not isinstance(body, dict):
            return plan_json(400, error_body("The body is not a JSON object.", "invalid_request_error"))
        reply = self._choose(str(body.get("model", "")), entry.at_s)
        entry.fault = reply.fault
        return plan_answer(body, operation, reply)

    def _choose(self, model: str, now_s: float) -> Reply:
        _, mark, name = model.rpartition("fault:")
        if mark:
            return self._named(Fault(name), model, now_s)
        if not self._script:
            return self.default if self._make_default is None else self._make_default()
        reply = self._script[0]
        if reply.fault is Fault.UNAVAILABLE_FOR_A_WHILE:
            if self._is_over(id(reply), reply.for_s, now_s):
                self._script.popleft()
                return self._choose(model, now_s)
            return reply
        self._script.popleft()
        if reply.times > 1:
            self._script.appendleft(replace(reply, times=reply.times - 1))
        self._refuse_if_next()
        return reply

    def _named(self, fault: Fault, model: str, now_s: float) -> Reply:
        reply = replace(self.default, fault=fault)
        healthy = replace(self.default, fault=Fault.HEALTHY)
        if fault is Fault.ERROR_500_ONCE and self._is_over(model, 0.0, now_s):
            return healthy
        if fault is Fault.UNAVAILABLE_FOR_A_WHILE and self._is_over(model, reply.for_s, now_s):
            return healthy
        return reply

    def _is_over(self, key: object, for_s: float, now_s: float) -> bool:
        """Whether a condition that holds for so long after its first use is over; the first use never is."""
        is_first = key not in self._first_use_s
        return now_s - self._first_use_s.setdefault(key, now_s) >= for_s and not is_first

    def _refuse_if_next(self) -> None:
        if self._script and self._script[0].fault is Fault.REFUSED:
            self._script.popleft()
            self._server.refuse()

    def _other(self, request: HttpRequest) -> Plan:
        canned = self._canned.get((request.method, request.path))
        if canned is not None:
            return canned
        if request.method == "GET" and request.path.endswith("/models"):
            return plan_json(200, models_json(self.models))
        if request.method == "GET" and request.path == "/health":
            return plan_json(200, {"status": "ok"})
        return plan_json(
            404, error_body(f"No route {request.method} {request.path}", "invalid_request_error")
        )

    # Events.

    def _hung_up(self) -> list[Received]:
        return sorted(
            (entry for entry in self.received if entry.hung_up_s is not None),
            key=lambda entry: entry.hung_up_s or 0.0,
        )

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _until(self, is_ready: Callable[[], bool], what: str, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                while not is_ready():
                    await self._changed.wait()
        except TimeoutError:
            seen = [f"{e.path} {e.fault} hung_up={e.hung_up_s is not None}" for e in self.received]
            raise TimeoutError(f"waited {timeout_s} s for {what}; received {seen}") from None


def _as_reply(given: Fault | Reply) -> Reply:
    return given if isinstance(given, Reply) else Reply(fault=given)


def _operation(request: HttpRequest) -> Operation | None:
    if request.method != "POST":
        return None
    return next((kind for suffix, kind in OPERATIONS.items() if request.path.endswith(suffix)), None)


async def _run(port: int, host: str, default: Reply) -> None:
    models = ("fake-model", *(f"fault:{fault}" for fault in Fault))
    async with FakeUpstream(default=default, models=models, host=host, port=port) as upstream:
        print(json.dumps({"ready": True, "url": upstream.url}), flush=True)
        await asyncio.Event().wait()


def main() -> None:
    """Serves until interrupted; prints one JSON line with the URL when ready."""
    import argparse

    from spillway.testing import faults

    parser = argparse.ArgumentParser(
        prog="python -m spillway.testing.fake_upstream",
        description="A scriptable OpenAI-compatible upstream. Ask for the model fault:<name>; names follow.",
        epilog=faults.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--fault", type=Fault, default=Fault.HEALTHY, help="what every request gets")
    parser.add_argument("--delay-s", type=float, default=Reply().delay_s)
    parser.add_argument("--gap-s", type=float, default=Reply().gap_s)
    parser.add_argument("--after", type=int, default=Reply().after)
    given = parser.parse_args()
    default = Reply(fault=given.fault, delay_s=given.delay_s, gap_s=given.gap_s, after=given.after)
    with suppress(KeyboardInterrupt):
        asyncio.run(_run(given.port, given.host, default))


if __name__ == "__main__":
    main()
