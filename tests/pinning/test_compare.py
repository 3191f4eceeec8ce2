"""What counts as a difference between two identities."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from spillway.pinning.compare import BREAKS, FIELDS, Change, brief, changes, unverified
from spillway.pinning.identity import Identity
from spillway.pinning.lock import LockedNode, Measured, node_of
from spillway.pinning.review import review_node

PINNED = Identity(
    engine="llamacpp",
    engine_version="b1",
    model="m",
    weights_digest="sha256:" + "1" * 64,
    weights_grade="file_hash",
    derived_digest="sha256:" + "2" * 64,
    quantization="Q8_0",
    template_digest="sha256:" + "3" * 64,
    context_tokens=4096,
    slots=2,
    sampling={"temperature": 0.8, "top_k": 40.0},
    adapters=(),
    capabilities=("chat",),
    fingerprint="a",
)
OTHERS: dict[str, dict[str, Any]] = {
    "remote_host": {"remote_host": "ollama.com"},
    "model": {"model": "n"},
    "engine": {"engine": "openai"},
    "engine_version": {"engine_version": "b2"},
    "weights": {"weights_digest": "sha256:" + "9" * 64},
    "quantization": {"quantization": "Q4_0"},
    "template": {"template_digest": "sha256:" + "8" * 64},
    "context": {"context_tokens": 2048},
    "slots": {"slots": 1},
    "sampling": {"sampling": {"temperature": 0.2, "top_k": 40.0}},
    "adapters": {"adapters": ("tone x1",)},
    "capabilities": {"capabilities": ("chat", "tools")},
    "fingerprint": {"fingerprint": "b"},
}


def test_equal_is_equal() -> None:
    """The same identity differs in nothing, and leaves nothing unverified."""
    assert changes(PINNED, replace(PINNED)) == ()
    assert unverified(PINNED, PINNED) == ()


@pytest.mark.parametrize("field", OTHERS)
def test_each_field_is_noticed(field: str) -> None:
    """Every field that differs is named, alone, with what it usually breaks."""
    found = changes(PINNED, replace(PINNED, **OTHERS[field]))
    assert [change.field for change in found] == [field]
    assert BREAKS[found[0].field]


def test_every_field_has_its_words() -> None:
    """What each field breaks is said, and every field can be noticed."""
    assert set(BREAKS) == set(FIELDS)
    assert set(OTHERS) == set(FIELDS) - {"canary"}


def test_what_is_not_told_is_no_difference() -> None:
    """A field that the node does not tell now is unverified rather than changed."""
    silent = Identity(engine="llamacpp", model="m")
    assert changes(PINNED, silent) == ()
    assert set(unverified(PINNED, silent)) == set(FIELDS) - {"remote_host", "model", "engine", "canary"}


def test_weights_of_another_grade() -> None:
    """Where the file cannot be read any more, sizes and counts still tell other weights from these."""
    seen = replace(PINNED, weights_digest=PINNED.derived_digest, weights_grade="derived")
    assert changes(PINNED, seen) == ()
    assert unverified(PINNED, seen) == ("weights",)
    other = replace(seen, derived_digest="sha256:" + "7" * 64)
    assert [change.field for change in changes(PINNED, other)] == ["weights"]


def test_settings_only_one_release_knows() -> None:
    """A new sampler of a new llama.cpp is no drift; a setting added to an Ollama model file is."""
    more = {"temperature": 0.8, "top_k": 40.0, "brand_new": 1.0}
    assert changes(PINNED, replace(PINNED, sampling=more)) == ()
    found = changes(replace(PINNED, engine="ollama"), replace(PINNED, engine="ollama", sampling=more))
    assert [(change.before, change.after) for change in found] == [("brand_new none", "brand_new 1.0")]


def test_brief_obeys_no_terminal() -> None:
    """What models answered is shown without control characters, on one line."""
    assert brief("a\x1b[2Jb\nc") == "a\\x1b[2Jb\\nc"
    assert brief("sha256:" + "a" * 64) == "sha256:aaaaaaaaaaaa"
    assert len(brief("x" * 500)) == 60


def locked(*models: Identity) -> LockedNode:
    """A node pinned to those models."""
    return node_of({one.model: one for one in models}, {one.model: Measured() for one in models})


def test_review_says_node_fields_once() -> None:
    """An upgrade of an engine with many models is one change of the node."""
    pinned = locked(PINNED, replace(PINNED, model="n"))
    seen = {name: replace(PINNED, model=name, engine_version="b2") for name in ("m", "n")}
    assert review_node("x", pinned, seen).changes == (Change("*", "engine_version", "b1", "b2"),)


def test_review_of_other_models() -> None:
    """A pinned model that is gone differs; one that is new is not pinned; one served elsewhere is told."""
    seen = {
        "n": replace(PINNED, model="n"),
        "c": replace(PINNED, model="c", remote_host="ollama.com"),
    }
    review = review_node("x", locked(PINNED), seen)
    assert [(c.model, c.field, c.after) for c in review.changes] == [("m", "model", "c, n")]
    assert review.not_pinned == ("n",)
    assert review.elsewhere == (("c", "ollama.com"),)
    assert not review.is_equal
