"""What a model file says of itself, and files that are none."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spillway.engines.gguf_header import GgufProblem, read_gguf
from tests.engine_fixtures import build_micro_bert, build_micro_gguf


def test_a_model_that_answers(tmp_path: Path) -> None:
    """Architecture and trained context are told; a generating model is no embedding model."""
    facts = read_gguf(build_micro_gguf(tmp_path / "m.gguf", context_tokens=512))
    assert (facts.architecture, facts.context_tokens, facts.is_embedding) == ("llama", 512, False)


def test_a_model_that_embeds(tmp_path: Path) -> None:
    """A model with pooling is an embedding model."""
    facts = read_gguf(build_micro_bert(tmp_path / "b.gguf"))
    assert (facts.architecture, facts.is_embedding) == ("bert", True)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a GGUF file"),
        (b"<html>not found</html>", "not a GGUF file"),
        (b"GGUF", "cut short"),
        (b"GGUF\x63\0\0\0" + bytes(16), "version 99"),
        (b"GGUF\0\0\0\x03" + bytes(16), "version"),
    ],
)
def test_files_that_are_no_models(tmp_path: Path, content: bytes, said: str) -> None:
    """A download page, an empty file and a big-endian model each get their sentence."""
    path = tmp_path / "m.gguf"
    path.write_bytes(content)
    with pytest.raises(GgufProblem, match=said):
        read_gguf(path)


def test_a_missing_file(tmp_path: Path) -> None:
    """A file that is not there says so."""
    with pytest.raises(GgufProblem, match="no such file"):
        read_gguf(tmp_path / "none.gguf")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(at=st.integers(4, 700), byte=st.integers(0, 255), keep=st.integers(0, 2000))
def test_damage_never_raises_anything_else(tmp_path: Path, at: int, byte: int, keep: int) -> None:
    """Any changed byte or any cut gives facts or a problem, soon."""
    whole = tmp_path / "whole.gguf"
    if not whole.exists():
        build_micro_gguf(whole)
    content = bytearray(whole.read_bytes())
    content[at] = byte
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(content[: max(keep, 4)])
    try:
        read_gguf(damaged)
    except GgufProblem:
        pass
