"""The gateway as an ASGI application: all routes, and the order of a request's way through the parts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from msgspec import Struct, structs

from spillway.api.auth import KeyRing
from spillway.api.body import ClientGone, Receive, discard_rest, read_body
from spillway.api.classification import Classifier
from spillway.api.envelope import send_error, send_json
from spillway.api.facts import Ids, Parsed, new_ids, parse_request
from spillway.api.feedback import FeedbackTaker
from spillway.api.pages import model_card, model_list, node_list
from spillway.clock import Clock
from spillway.errors import (
    BodyTooLarge,
    GatewayStopping,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    ModelNotFound,
    NotFound,
    NoUpstream,
    RequestError,
)
from spillway.fleet.marks import Beginning, beginning_of
from spillway.fleet.registry import Fleet
from spillway.relay.books import Books
from spillway.relay.commit import STOPPING, Client, ClientTooSlow, Send
from spillway.relay.relay import Relay
from spillway.relay.run import Job, Run
from spillway.routing import Evidence, Policy, decide
from spillway.telemetry.metrics import Metrics
from spillway.vocabulary import Decision, Operation, RequestFacts

__all__ = ["Gateway", "Limits"]

logger = logging.getLogger("spillway.api")

Scope = MutableMapping[str, Any]
BODY_ARRIVED = "spillway.body_arrived"
"""Set in the scope by our server when the whole body is there, which spares a timer."""
LINE = "spillway.line"
"""The client's connection as a ``Line``, set in the scope by our server."""
GENERATING: dict[str, Operation] = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "completion",
    "/v1/embeddings": "embedding",
}


class Limits(Struct, frozen=True):
    """What a request body may be."""

    max_body_bytes: int = 33_554_432
    body_silence_s: float = 30.0


class Gateway:
    """Answers HTTP. Construct with all its parts; it owns none of them."""

    def __init__(
        self,
        *,
        fleet: Fleet,
        policy: Policy,
        evidence: Evidence,
        relay: Relay,
        books: Books,
        keys: KeyRing,
        metrics: Metrics,
        clock: Clock,
        limits: Limits,
        classifier: Classifier | None = None,
        feedback: FeedbackTaker | None = None,
        drift: Callable[[], dict[str, Any]] = dict,
        make_way: Callable[[], None] = lambda: None,
        captures: bool = False,
        is_ready: Callable[[], bool] = lambda: True,
    ) -> None:
        self._fleet = fleet
        self._policy = policy
        self._evidence = evidence
        self._relay = relay
        self._books = books
        self._keys = keys
        self._metrics = metrics
        self._clock = clock
        self._limits = limits
        self._classifier = classifier
        self._feedback = feedback
        self._drift = drift
        self._make_way = make_way
        self._captures = captures
        self._is_ready = is_ready

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One HTTP request; every error becomes an OpenAI-shaped body here."""
        if scope["type"] != "http":
            return
        client = Client(send, scope.get(LINE), silence_s=self._limits.body_silence_s)
        headers = dict(scope["headers"])
        ids = new_ids(headers)
        try:
            await self._answer(scope, headers, ids, receive, client)
        except ClientTooSlow as slow:
            logger.info("request %s: the client is given up: %s", ids.own, slow)
            await client.line.hang_up()
        except asyncio.CancelledError:
            if client.line.end_code is None:
                raise
            if client.line.end_code == STOPPING:
                stopping = GatewayStopping("the gateway is stopping: send the request again")
                await send_error(client, stopping, ids.shown)
        except Exception:
            logger.exception("request %s failed inside the gateway", ids.own)
            await send_error(client, InternalError(f"internal error; quote {ids.own}"), ids.shown)

    async def _answer(
        self, scope: Scope, headers: dict[bytes, bytes], ids: Ids, receive: Receive, client: Client
    ) -> None:
        """Goes by the route; what the gateway refuses or fails with is the answer then."""
        try:
            if len(headers) < len(scope["headers"]):
                _refuse_contradictions(scope["headers"])
            operation = GENERATING.get(scope["path"])
            if operation is not None and scope["method"] == "POST":
                await self._generate(operation, scope, headers, ids, receive, client)
            elif scope["path"] == FEEDBACK:
                await self._rate(scope, headers, ids, receive, client)
            else:
                await self._look_up(scope, headers, ids, client)
        except RequestError as error:
            await send_error(client, error, ids.shown)
        except ClientGone:
            logger.debug("request %s: the client left before its body was complete", ids.own)

    async def _generate(
        self,
        operation: Operation,
        scope: Scope,
        headers: dict[bytes, bytes],
        ids: Ids,
        receive: Receive,
        client: Client,
    ) -> None:
        """The way of every request that is answered by a model."""
        accepted_s, accepted_wall_s = self._clock.monotonic_s(), self._clock.wall_s()
        parsed = await self._accept(operation, scope, headers, ids, receive)
        arrived_s = self._clock.monotonic_s()
        prompt_text = None
        if self._captures and not parsed.facts.is_private:
            prompt_text = parsed.payload.raw.decode("utf-8", "replace")
        beginning = self._beginning(parsed)
        facts = self._foresee(await self._classified(parsed), beginning)
        self._make_way()  # what nobody waits for lets go of its slots before they are counted
        snapshots = self._fleet.snapshots()
        try:
            decision = decide(facts, self._evidence, snapshots, self._policy)
        except RequestError as error:
            job = Job(facts, parsed.payload, NO_DECISION, accepted_s, accepted_wall_s, prompt_text)
            await Run(job, client, self._books, self._clock).settle("error", error.status, error.code)
            raise
        self._fleet.outlook.see(facts, decision, snapshots)
        job = Job(
            facts, parsed.payload, decision, accepted_s, accepted_wall_s, prompt_text, beginning, arrived_s
        )
        await self._relay.carry_out(job, client)

    async def _classified(self, parsed: Parsed) -> RequestFacts:
        """The facts with a task class, read from the payload where nobody stated it and it may decide."""
        facts = parsed.facts
        if self._classifier is None or facts.task is not None or facts.operation == "embedding":
            return facts
        if facts.must_stay_local or facts.pin is not None or facts.model in SIDES:
            return facts
        return await self._classifier.classified(facts, parsed.payload.raw)

    def _beginning(self, parsed: Parsed) -> Beginning | None:
        """Marks of the prompt, where a node may read it."""
        facts = parsed.facts
        if facts.operation == "embedding" or "cloud" in (facts.pin, facts.model) or not self._fleet.has_nodes:
            return None
        return beginning_of(parsed.payload.fields, facts.model, facts.input_tokens)

    def _foresee(self, facts: RequestFacts, beginning: Beginning | None) -> RequestFacts:
        """The facts with what configuration and past traffic add: objective, expected length, and what
        each node holds of the prompt."""
        if beginning is not None and (held := self._fleet.recall(beginning)):
            facts = structs.replace(facts, cached_on=held)
        usual, long = self._fleet.outlook.expect(facts)
        return structs.replace(
            facts,
            objective=facts.objective or self._policy.objectives.get(facts.slo_class),
            usual_output_tokens=usual,
            long_output_tokens=long,
        )

    async def _accept(
        self, operation: Operation, scope: Scope, headers: dict[bytes, bytes], ids: Ids, receive: Receive
    ) -> Parsed:
        """Authenticates, reads and parses; a request refused here never becomes one in the ledger."""
        try:
            key_name = self._keys.name_of(headers)
            raw = await read_body(
                receive,
                headers,
                max_bytes=self._limits.max_body_bytes,
                silence_s=None if BODY_ARRIVED in scope else self._limits.body_silence_s,
            )
            parsed = parse_request(operation, raw, headers, ids, key_name)
            self._check_slo_class(parsed.facts.slo_class)
        except RequestError as error:
            self._metrics.note_refused(error.code)
            if isinstance(error, BodyTooLarge):
                await discard_rest(receive)
            raise
        return parsed

    def _check_slo_class(self, name: str) -> None:
        known = self._policy.objectives
        if name != "default" and name not in known:
            listed = ", ".join(known) or "none"
            raise InvalidRequest(
                f"x-spillway-slo-class {name[:64]!r} is not configured; known are {listed}",
                param="x-spillway-slo-class",
            )

    async def _rate(
        self, scope: Scope, headers: dict[bytes, bytes], ids: Ids, receive: Receive, client: Client
    ) -> None:
        """Takes in what a caller thought of an answer."""
        key_name = self._keys.name_of(headers)
        if scope["method"] != "POST":
            raise MethodNotAllowed(f"use POST for {FEEDBACK}", allow="POST")
        if self._feedback is None:
            raise NotFound("this gateway takes no ratings")
        raw = await read_body(
            receive,
            headers,
            max_bytes=LARGEST_RATING_BYTES,
            silence_s=self._limits.body_silence_s,
            limit_name="the most a rating may be",
        )
        await send_json(client, 200, await self._feedback.take_feedback(raw, key_name), ids.shown)

    async def _look_up(self, scope: Scope, headers: dict[bytes, bytes], ids: Ids, client: Client) -> None:
        """Everything that is answered without a model."""
        path: str = scope["path"]
        if path in GENERATING:
            raise MethodNotAllowed(f"use POST for {path}", allow="POST")
        page = self._open_pages().get(path)
        if page is None:
            self._keys.name_of(headers)
            page = self._guarded_pages().get(path) or self._card(path)
        if page is None:
            raise NotFound(f"there is no {path[:200]!r} here; the API lives under /v1")
        if scope["method"] not in ("GET", "HEAD"):
            raise MethodNotAllowed(f"use GET for {path}", allow="GET")
        await page(ids, client)

    def _open_pages(self) -> dict[str, Page]:
        return {"/health/live": self._live, "/health/ready": self._ready}

    def _guarded_pages(self) -> dict[str, Page]:
        return {
            "/v1/models": self._models,
            "/spillway/v1/nodes": self._nodes,
            "/spillway/v1/drift": self._drifts,
            "/metrics": self._scrape,
        }

    def _card(self, path: str) -> Page | None:
        if not path.startswith("/v1/models/"):
            return None
        name = path.removeprefix("/v1/models/")

        async def card(ids: Ids, client: Client) -> None:
            found = model_card(name, self._fleet.snapshots(), self._policy)
            if found is None:
                raise ModelNotFound(f"no upstream serves the model {name[:200]!r}", param="model")
            await send_json(client, 200, found, ids.shown)

        return card

    async def _live(self, ids: Ids, client: Client) -> None:
        await send_json(client, 200, {"status": "live"}, ids.shown)

    async def _ready(self, ids: Ids, client: Client) -> None:
        if not self._is_ready():
            raise NoUpstream("not ready: still starting or shutting down", code="not_ready")
        await send_json(client, 200, {"status": "ready"}, ids.shown)

    async def _models(self, ids: Ids, client: Client) -> None:
        await send_json(client, 200, model_list(self._fleet.snapshots(), self._policy), ids.shown)

    async def _nodes(self, ids: Ids, client: Client) -> None:
        await send_json(client, 200, node_list(self._fleet.snapshots()), ids.shown)

    async def _drifts(self, ids: Ids, client: Client) -> None:
        await send_json(client, 200, self._drift(), ids.shown)

    async def _scrape(self, ids: Ids, client: Client) -> None:
        body = self._metrics.render()
        headers = [
            (b"content-type", b"text/plain; version=0.0.4; charset=utf-8"),
            (b"content-length", b"%d" % len(body)),
        ]
        await client.begin(200, headers)
        await client.end(body)


def _refuse_contradictions(headers: list[tuple[bytes, bytes]]) -> None:
    """A header of ours sent twice with different values could open what the other one closed."""
    seen: dict[bytes, bytes] = {}
    for name, value in headers:
        if name.startswith(b"x-spillway-") and seen.setdefault(name, value) != value:
            shown = name.decode("latin-1")
            raise InvalidRequest(f"header {shown} was sent twice with different values", param=shown)


Page = Callable[[Ids, Client], Awaitable[None]]
FEEDBACK = "/spillway/v1/feedback"
LARGEST_RATING_BYTES = 16_384
NO_DECISION = Decision((), ())
SIDES = frozenset({"local", "cloud"})
