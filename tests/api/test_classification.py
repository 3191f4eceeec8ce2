"""The classifier of a running gateway."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spillway.api.classification import Classifier
from spillway.api.facts import new_ids, parse_request
from spillway.errors import ConfigError
from spillway.vocabulary import RequestFacts


def asked(body: dict[str, object]) -> tuple[RequestFacts, bytes]:
    """A chat request as the gateway reads it."""
    raw = json.dumps({"model": "auto", **body}).encode()
    return parse_request("chat", raw, {}, new_ids({}), None).facts, raw


async def test_a_request_before_the_model_is_there_waits_for_it() -> None:
    """The first one gets its class too."""
    classifier = Classifier()
    classifier.start()
    question = "Translate to French: good morning, dear neighbour"
    facts = await classifier.classified(*asked({"messages": [{"role": "user", "content": question}]}))
    assert facts.task == "translation"
    assert facts.p_local_ok is not None
    await classifier.close()


@pytest.mark.parametrize("text", [None, "", "{}", '{"schema": "other/1", "tasks": []}', "[" * 5000])
def test_a_file_of_classes_that_is_none_is_told_at_once(tmp_path: Path, text: str | None) -> None:
    """Missing or damaged: an error before anything is served, and not with each request."""
    place = tmp_path / "tasks.json"
    if text is not None:
        place.write_text(text)
    with pytest.raises(ConfigError, match=r"tasks\.json"):
        Classifier(place)


async def test_a_large_body_is_not_read_twice() -> None:
    """Beyond half a megabyte nothing is decoded again, not even what would be no JSON."""
    facts = RequestFacts(request_id="r", operation="chat", model="auto")
    found = await Classifier().classified(facts, b"x" * 600_000)
    assert (found.task, found.p_local_ok) == ("other", None)
