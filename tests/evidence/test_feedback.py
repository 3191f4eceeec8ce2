"""Ratings find their answer, count once, and say what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from spillway.api.feedback import FeedbackTaker
from spillway.clock import SystemClock
from spillway.errors import InvalidRequest, LedgerError, NotFound, NoUpstream, RequestError
from spillway.evidence import EvidenceBook, QualityLimits, key_of
from spillway.evidence.desk import EvidenceDesk
from spillway.ledger.store import LedgerStore
from spillway.ledger.writer import LedgerWriter
from spillway.vocabulary import ModelFacts
from tests.ledger.samples import ACCEPTED_S, row

KEY = key_of("extraction", "mini", "qwen3-4b", "id-1")


@dataclass
class Counter:
    """A place that takes ratings, over a ledger that holds some requests."""

    url: str
    writer: LedgerWriter
    desk: EvidenceDesk
    taker: FeedbackTaker

    async def rate(self, key_name: str | None = None, **body: Any) -> dict[str, object]:
        """What the caller gets."""
        return await self.taker.take_feedback(json.dumps(body).encode(), key_name)


@pytest.fixture
async def counter(tmp_path: Path) -> AsyncIterator[Counter]:
    """A ledger with an answered request, one without a class, one that failed, and one of another key."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    writer = LedgerWriter.at(url)
    await writer.start()
    desk = EvidenceDesk(EvidenceBook(QualityLimits()), writer, SystemClock())
    await desk.start()
    desk.identities.note("mini", [ModelFacts("qwen3-4b", identity="id-1")], ACCEPTED_S - 5)
    writer.record_nowait(row("req_1", facts_task="extraction", facts_client_request_id="mine"))
    writer.record_nowait(row("req_2"))
    writer.record_nowait(row("req_3", attempts=[], facts_task="extraction"))
    writer.record_nowait(row("req_4", facts_task="extraction", facts_key_name="shop"))
    yield Counter(url, writer, desk, FeedbackTaker(desk, writer, SystemClock()))
    await desk.close()
    await writer.close()


@pytest.mark.parametrize(("score", "bad"), [("good", 0.0), ("bad", 1.0), (0.25, 0.75), (1, 0.0)])
async def test_a_rating_counts_for_the_model_that_answered(counter: Counter, score: Any, bad: float) -> None:
    """Words and numbers are understood; the answer says what was rated."""
    said = await counter.rate(request_id="req_1", score=score, note="well")
    assert (said["task"], said["upstream"], said["counted"], said["replaced"]) == (
        *("extraction", "mini"),
        *(True, False),
    )
    assert counter.desk.book.records[KEY].feedback.mean == bad


async def test_the_callers_own_id_is_known_too(counter: Counter) -> None:
    """An application may rate by the x-request-id it sent."""
    assert (await counter.rate(request_id="mine", score="good"))["request_id"] == "req_1"


async def test_a_second_rating_replaces_the_first(counter: Counter) -> None:
    """However often an answer is rated, it counts once, also by its other id and after a restart."""
    await counter.rate(request_id="req_1", score="good")
    assert (await counter.rate(request_id="mine", score="bad"))["replaced"] is True
    record = counter.desk.book.records[KEY]
    assert (record.feedback.n, record.feedback.mean) == (1, 1.0)
    await counter.desk.close()
    again = EvidenceDesk(EvidenceBook(QualityLimits()), counter.writer, SystemClock())
    await again.start()
    taker = FeedbackTaker(again, counter.writer, SystemClock())
    await taker.take_feedback(b'{"request_id": "req_1", "score": 0.5}')
    assert (again.book.records[KEY].feedback.n, again.book.records[KEY].feedback.mean) == (1, 0.5)
    await again.close()


async def test_ratings_at_the_same_moment_count_once(counter: Counter) -> None:
    """Two callers that rate the same answer at once do not both come first."""
    import asyncio

    await asyncio.gather(*(counter.rate(request_id="req_1", score="bad") for _ in range(5)))
    assert counter.desk.book.records[KEY].feedback.n == 1


async def test_what_has_no_class_is_taken_but_not_counted(counter: Counter) -> None:
    """The caller hears that nothing follows from it."""
    assert (await counter.rate(request_id="req_2", score="bad"))["counted"] is False
    assert counter.desk.book.records == {}


@pytest.mark.parametrize(("request_id", "key_name"), [("req_9", None), ("req_4", None), ("req_1", "shop")])
async def test_unknown_requests_are_not_found(
    counter: Counter, request_id: str, key_name: str | None
) -> None:
    """Neither ids that never were nor those of another key's requests can be rated."""
    with pytest.raises(NotFound) as caught:
        await counter.rate(key_name, request_id=request_id, score="good")
    assert (caught.value.status, caught.value.code, caught.value.param) == (
        404,
        "unknown_request",
        "request_id",
    )


async def test_a_request_without_an_answer_cannot_be_rated(counter: Counter) -> None:
    """The id is known, but nobody answered."""
    with pytest.raises(InvalidRequest, match="no answer to rate"):
        await counter.rate(request_id="req_3", score="bad")


@pytest.mark.parametrize(
    ("raw", "param"),
    [
        (b"", None),
        (b"[]", None),
        (b"\xff\xfe", None),
        (b"[" * 100_000, None),
        (b'{"score": 1}', "request_id"),
        (b'{"request_id": 7, "score": 1}', "request_id"),
        (b'{"request_id": "", "score": 1}', "request_id"),
        (b'{"request_id": "a\\u0000", "score": 1}', "request_id"),
        (b'{"request_id": "req_1"}', "score"),
        (b'{"request_id": "req_1", "score": 1.5}', "score"),
        (b'{"request_id": "req_1", "score": -1}', "score"),
        (b'{"request_id": "req_1", "score": true}', "score"),
        (b'{"request_id": "req_1", "score": "great"}', "score"),
        (b'{"request_id": "req_1", "score": null}', "score"),
        (b'{"request_id": "req_1", "score": NaN}', None),
        (b'{"request_id": "req_1", "score": 1, "note": 5}', "note"),
        (b'{"request_id": "req_1", "score": 1, "note": "' + b"x" * 501 + b'"}', "note"),
    ],
)
async def test_malformed_ratings_name_the_field(counter: Counter, raw: bytes, param: str | None) -> None:
    """Each is a 400 that says what to write, and nothing is counted."""
    with pytest.raises(InvalidRequest) as caught:
        await counter.taker.take_feedback(raw)
    assert caught.value.param == param
    assert counter.desk.book.records == {}


async def test_odd_ids_are_unknown_not_a_crash(counter: Counter) -> None:
    """Ids with quotes, lone surrogates or only spaces are searched for like any other."""
    for odd in ("' OR 1=1 --", "\ud800", "   ", "é" * 200):
        with pytest.raises(RequestError) as caught:
            await counter.rate(request_id=odd, score="good")
        assert caught.value.status in (400, 404)


async def test_ratings_can_be_switched_off(counter: Counter) -> None:
    """With quality.feedback false there is nothing to post to."""
    taker = FeedbackTaker(counter.desk, counter.writer, SystemClock(), is_on=False)
    with pytest.raises(NotFound) as caught:
        await taker.take_feedback(b"{}")
    assert caught.value.code == "feedback_off"


async def test_a_ledger_that_fails_is_said(tmp_path: Path) -> None:
    """The caller is told to come back instead of being told that the id is unknown."""

    class Broken(LedgerStore):
        def query(self, sql: str, parameters: object = ()) -> Any:
            raise LedgerError("the disk has a fault")

    def open_store() -> LedgerStore:
        return Broken.open(f"sqlite:///{tmp_path}/ledger.db")

    writer = LedgerWriter(open_store)
    await writer.start()
    desk = EvidenceDesk(EvidenceBook(QualityLimits()), writer, SystemClock())
    await desk.start()
    with pytest.raises(NoUpstream) as caught:
        await FeedbackTaker(desk, writer, SystemClock()).take_feedback(b'{"request_id": "a", "score": 1}')
    assert (caught.value.status, caught.value.code) == (503, "ledger_unavailable")
    await writer.close()
