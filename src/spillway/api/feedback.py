"""``POST /spillway/v1/feedback``: what the application or its user thought of an answer."""

from __future__ import annotations

import asyncio
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from spillway.clock import Clock
from spillway.errors import InvalidRequest, LedgerError, NotFound, NoUpstream
from spillway.evidence.desk import EvidenceDesk
from spillway.evidence.events import Event, Key
from spillway.evidence.store import Given, find_answer
from spillway.ledger.store import LedgerStore
from spillway.ledger.writer import LedgerWriter

__all__ = ["FeedbackTaker"]

WORDS = {"good": 1.0, "bad": 0.0}
PATIENCE_S = 5.0
"""How long to wait for a ledger that does not answer."""
RETRY_AFTER_S = 5.0
MAX_NOTE = 500


class Body(Struct):
    """What the caller sends; other fields are ignored."""

    request_id: Annotated[str, Meta(min_length=1, max_length=200)]
    score: Annotated[float, Meta(ge=0, le=1)] | str
    note: Annotated[str, Meta(max_length=MAX_NOTE)] = ""


_BODY = msgspec.json.Decoder(Body)


class FeedbackTaker:
    """Finds the answer in the ledger and tells the evidence; one feedback after another."""

    def __init__(self, desk: EvidenceDesk, writer: LedgerWriter, clock: Clock, *, is_on: bool = True) -> None:
        self._desk = desk
        self._writer = writer
        self._clock = clock
        self._is_on = is_on
        self._one_at_a_time = asyncio.Lock()

    async def take_feedback(self, raw: bytes, key_name: str | None = None) -> dict[str, object]:
        """The answer to the caller; a RequestError leaf when the body or the request id is wrong.

        A second feedback on the same answer replaces the first. ``key_name`` is the caller's: it may rate
        only what was asked with the same key.
        """
        if not self._is_on:
            raise NotFound("ratings are switched off (quality.feedback: false)", code="feedback_off")
        body, score = _read(raw)
        async with self._one_at_a_time:
            given = await self._find(body.request_id)
            if given is None or given.key_name != key_name:
                raise NotFound(
                    "there is no request of that id in the ledger", param="request_id", code="unknown_request"
                )
            return self._take(given, score, body.note)

    def _take(self, given: Given, score: float, note: str) -> dict[str, object]:
        if given.upstream is None or given.model is None or given.side is None:
            raise InvalidRequest(
                "that request got no answer to rate", param="request_id", code="not_answered"
            )
        answer = {
            "request_id": given.request_id,
            "score": score,
            "task": given.task,
            "upstream": given.upstream,
            "model": given.model,
            "replaced": given.old_score is not None,
            "counted": given.task is not None,
        }
        if given.task is None:
            return answer
        identity = given.old_identity or self._desk.identities.at(given.upstream, given.model, given.at_s)
        event = Event(
            request_id=given.request_id,
            key=Key(given.task, given.upstream, given.model, identity),
            side=given.side,
            kind="feedback",
            score=score,
            at_s=self._clock.wall_s(),
            detail=note,
        )
        if given.old_score is None:
            self._desk.take(event)
        else:
            self._desk.correct(event, given.old_score, given.stage, given.position)
        return answer

    async def _find(self, request_id: str) -> Given | None:
        def search(store: LedgerStore) -> Given | None:
            return find_answer(store, request_id)

        try:
            async with asyncio.timeout(PATIENCE_S):
                return await self._writer.ask(search)
        except (LedgerError, TimeoutError) as error:
            raise NoUpstream(
                "the ledger cannot be asked now which answer that was; try again",
                code="ledger_unavailable",
                retry_after_s=RETRY_AFTER_S,
            ) from error


def _read(raw: bytes) -> tuple[Body, float]:
    """Body and score; InvalidRequest names the field that is wrong."""
    try:
        body = _BODY.decode(raw)
    except msgspec.ValidationError as error:
        raise InvalidRequest(_sentence(error), param=_field(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest("the body is not JSON", code="invalid_json") from error
    if "\0" in body.request_id:
        raise InvalidRequest("request_id is no id", param="request_id")
    if isinstance(body.score, str):
        if body.score not in WORDS:
            raise InvalidRequest('score must be a number from 0 to 1, "good" or "bad"', param="score")
        return body, WORDS[body.score]
    return body, body.score


def _field(error: msgspec.ValidationError) -> str | None:
    """``$.score`` at the end of msgspec's sentence, or the field it names as missing."""
    said = str(error)
    for name in Body.__struct_fields__:
        if f"`$.{name}`" in said or f"field `{name}`" in said:
            return name
    return None


def _sentence(error: msgspec.ValidationError) -> str:
    match _field(error):
        case "request_id":
            return "request_id must be the x-request-id of an answer: a text of 1 to 200 characters"
        case "score":
            return 'score must be a number from 0 to 1, "good" or "bad"'
        case "note":
            return f"note must be a text of at most {MAX_NOTE} characters"
    return 'the body must be an object: {"request_id": "…", "score": 0 to 1 or "good" or "bad"}'
