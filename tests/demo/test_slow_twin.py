from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spillway.demo import model, shop
from spillway.demo.slow_twin import blocks_for_latency, build_slow_twin

EngineOn = Callable[[Path], Any]

gguf = pytest.importorskip("gguf", reason="gguf is needed to read and write models")


def test_twin_keeps_metadata_and_counts_its_blocks(tmp_path: Path) -> None:
    """Everything but the block count is copied: tokenizer, template, context length."""
    twin = tmp_path / "twin.gguf"
    build_slow_twin(model.demo_model_path(), twin, extra_blocks=3)
    ours, theirs = gguf.GGUFReader(str(model.demo_model_path())), gguf.GGUFReader(str(twin))
    counts = {"GGUF.kv_count", "GGUF.tensor_count", "llama.block_count"}
    assert set(ours.fields) == set(theirs.fields)
    for name in set(ours.fields) - counts:
        assert ours.fields[name].contents() == theirs.fields[name].contents(), name
    own_blocks = ours.fields["llama.block_count"].contents()
    assert theirs.fields["llama.block_count"].contents() == own_blocks + 3


def test_twin_adds_nothing_but_identity_blocks(tmp_path: Path) -> None:
    """Old tensors are unchanged, and every added block ends in zero matrices."""
    twin = tmp_path / "twin.gguf"
    build_slow_twin(model.demo_model_path(), twin, extra_blocks=2)
    ours = {tensor.name: tensor for tensor in gguf.GGUFReader(str(model.demo_model_path())).tensors}
    theirs = {tensor.name: tensor for tensor in gguf.GGUFReader(str(twin)).tensors}
    assert all((theirs[name].data == tensor.data).all() for name, tensor in ours.items())
    added = {name: tensor for name, tensor in theirs.items() if name not in ours}
    zeroed = [t for name, t in added.items() if name.endswith(("attn_output.weight", "ffn_down.weight"))]
    assert len(added) == 2 * 9
    assert len(zeroed) == 4
    assert not any(tensor.data.any() for tensor in zeroed)


def test_twin_replaces_its_target_and_leaves_no_rest(tmp_path: Path) -> None:
    """An older file at the target gives way, and no temporary file stays."""
    twin = tmp_path / "twin.gguf"
    twin.write_bytes(b"old")
    build_slow_twin(model.demo_model_path(), twin, extra_blocks=0)
    assert [path.name for path in tmp_path.iterdir()] == ["twin.gguf"]
    assert twin.read_bytes()[:4] == b"GGUF"


def test_failed_build_leaves_the_old_file(tmp_path: Path) -> None:
    """A source that is no GGUF raises, and what was at the target stays whole and alone."""
    source, twin = tmp_path / "source.gguf", tmp_path / "twin.gguf"
    source.write_bytes(b"no model at all")
    twin.write_bytes(b"old")
    with pytest.raises(ValueError, match="GGUF"):
        build_slow_twin(source, twin, extra_blocks=1)
    assert twin.read_bytes() == b"old"
    assert {path.name for path in tmp_path.iterdir()} == {"source.gguf", "twin.gguf"}


def test_negative_block_counts_are_refused(tmp_path: Path) -> None:
    """Fewer blocks than the source has cannot be asked for."""
    with pytest.raises(ValueError, match="extra_blocks"):
        build_slow_twin(model.demo_model_path(), tmp_path / "twin.gguf", extra_blocks=-1)


def test_blocks_follow_the_measured_slope() -> None:
    """Two measurements give the time per block; a target already met needs none."""
    assert blocks_for_latency(105.0, 5.0, probed_ms=25.0, probe_blocks=20) == 100
    assert blocks_for_latency(105.0, 5.0, own_blocks=4) == 80
    assert blocks_for_latency(4.0, 5.0) == 0
    assert blocks_for_latency(100.0, 5.0, probed_ms=4.0, probe_blocks=10) == 0


@pytest.mark.engine
def test_twin_gives_identical_answers(tmp_path: Path, engine_on: EngineOn) -> None:
    """Twenty messages of all kinds get the same text from the model and its slow twin."""
    twin = tmp_path / "twin.gguf"
    build_slow_twin(model.demo_model_path(), twin, extra_blocks=20)
    fast, slow = engine_on(model.demo_model_path()).ask, engine_on(twin).ask
    for message in shop.messages(5, 10) + shop.messages(5, 10, "unseen_phrasings"):
        assert fast(("user", message.text)) == slow(("user", message.text))
