from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from spillway.demo import model, shop
from spillway.errors import EngineUnavailable

EngineOn = Callable[[Path], Any]


def test_committed_model_is_the_measured_one() -> None:
    """The model in the package has the digest it was committed with and stays under 2 MB."""
    path = model.verify_demo_model()
    assert path == model.demo_model_path()
    assert path.stat().st_size <= 2_000_000


def test_a_changed_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One flipped byte is noticed, and the error names the file."""
    source = model.demo_model_path()
    copy = tmp_path / source.name
    whole = source.read_bytes()
    copy.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    digest = source.with_name(f"{source.name}.sha256")
    copy.with_name(digest.name).write_bytes(digest.read_bytes())
    monkeypatch.setattr(model, "demo_model_path", lambda: copy)
    with pytest.raises(EngineUnavailable, match=copy.name):
        model.verify_demo_model()


def test_a_missing_model_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its file the error says that the model is missing."""
    monkeypatch.setattr(model, "demo_model_path", lambda: tmp_path / "gone.gguf")
    with pytest.raises(EngineUnavailable, match="missing"):
        model.verify_demo_model()


@pytest.mark.engine
@pytest.mark.parametrize(("kind", "wanted_ratio"), [("trained", 0.95), ("unseen_phrasings", 0.8)])
def test_engine_answers_fresh_messages_exactly(
    engine_on: EngineOn, kind: shop.Kind, wanted_ratio: float
) -> None:
    """Through the real engine, most fresh messages get all five fields right."""
    ask = engine_on(model.demo_model_path()).ask
    fresh = shop.messages(4711, 200, kind)
    exact = sum(shop.is_exact(ask(("user", message.text)), message) for message in fresh)
    assert exact / len(fresh) >= wanted_ratio


@pytest.mark.engine
def test_engine_answers_with_the_system_message_too(engine_on: EngineOn) -> None:
    """The optional system message does not spoil the answers."""
    ask = engine_on(model.demo_model_path()).ask
    fresh = shop.messages(4712, 50)
    turns = [(("system", shop.SYSTEM_PROMPT), ("user", message.text)) for message in fresh]
    exact = sum(shop.is_exact(ask(*turn), message) for turn, message in zip(turns, fresh, strict=True))
    assert exact / len(fresh) >= 0.9


@pytest.mark.engine
def test_engine_answers_the_last_turn(engine_on: EngineOn) -> None:
    """In a longer conversation the answer belongs to the last message."""
    ask = engine_on(model.demo_model_path()).ask
    first, *others = shop.messages(4713, 31)
    exact = 0
    for message in others:
        said = (("user", first.text), ("assistant", shop.answer_text(first.answer)), ("user", message.text))
        exact += shop.is_exact(ask(*said), message)
    assert exact / len(others) >= 0.8


@pytest.mark.engine
def test_template_refuses_unknown_roles(engine_on: EngineOn) -> None:
    """A role the model never learnt is an error, not silence."""
    engine = engine_on(model.demo_model_path())
    told = {"messages": [{"role": "narrator", "content": "It was a dark night."}]}
    with pytest.raises(HTTPError) as refusal:
        engine.post("/apply-template", told)
    assert "roles system, user and assistant" in refusal.value.read().decode()
    refusal.value.close()


@pytest.mark.engine
def test_template_writes_every_turn(engine_on: EngineOn) -> None:
    """A conversation of several turns reaches the model whole and in order."""
    turns = [("system", "S"), ("user", "U"), ("assistant", "A"), ("user", "V")]
    engine = engine_on(model.demo_model_path())
    told = {"messages": [{"role": role, "content": content} for role, content in turns]}
    written = engine.post("/apply-template", told)["prompt"]
    expected = "".join(f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in turns)
    assert written == expected + "<|im_start|>assistant\n"
