"""Digests of model files: complete, read once, and noticed when the file is another."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from spillway.engines.identify import Found
from spillway.engines.told import Told
from spillway.engines.wire import Origin
from spillway.pinning import weights
from spillway.pinning.weights import WeightFiles, is_this_machine
from spillway.vocabulary import ModelFacts


def node(path: Path, size_bytes: int | None = None) -> Found:
    """A node that says it read its weights there."""
    told = Told("m", path=str(path), size_bytes=size_bytes)
    return Found("ready", "llamacpp", (ModelFacts("m"),), told=(told,))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were read through, in order."""
    seen: list[str] = []
    real = weights._file_digest

    def counting(path: Path, stop: object) -> str:
        seen.append(path.name)
        return real(path, stop)  # type: ignore[arg-type]

    monkeypatch.setattr(weights, "_file_digest", counting)
    return seen


async def test_the_digest_is_the_file_s(tmp_path: Path, reads: list[str]) -> None:
    """The digest is sha256 over the whole file, and the file is read once while it stays the same."""
    path = tmp_path / "m.gguf"
    path.write_bytes(os.urandom(3 << 20))
    files = WeightFiles()
    expected = {str(path): "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()}
    assert await files.known(node(path)) == {str(path): None}
    assert await files.complete(node(path)) == expected
    assert await files.known(node(path)) == expected
    assert reads == ["m.gguf"]
    await files.close()


async def test_a_replaced_file_is_read_again(tmp_path: Path, reads: list[str]) -> None:
    """A file of the same size and time under the same name is another file."""
    path, other = tmp_path / "m.gguf", tmp_path / "other"
    path.write_bytes(b"a" * 1000)
    files = WeightFiles()
    before = await files.complete(node(path))
    other.write_bytes(b"b" * 1000)
    stamp = path.stat()
    os.utime(other, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    other.replace(path)
    assert await files.known(node(path)) == {str(path): None}
    assert await files.complete(node(path)) != before
    assert len(reads) == 2
    await files.close()


async def test_digests_outlive_the_process(tmp_path: Path, reads: list[str]) -> None:
    """With a cache file the next start need not read the weights again; a damaged cache costs a reading."""
    path, cache = tmp_path / "m.gguf", tmp_path / "cache" / "weights.json"
    path.write_bytes(b"weights")
    for damage in (None, None, b"{broken"):
        if damage is not None:
            cache.write_bytes(damage)
        files = WeightFiles(cache)
        assert str(path) in await files.complete(node(path))
        await files.close()
    assert len(reads) == 2


async def test_a_model_in_parts(tmp_path: Path) -> None:
    """All parts of a split model count, and one that is missing makes the digest unknown."""
    parts = [tmp_path / f"m-{index:05}-of-00003.gguf" for index in (1, 2, 3)]
    for part in parts:
        part.write_bytes(part.name.encode())
    files = WeightFiles()
    before = await files.complete(node(parts[0]))
    parts[2].write_bytes(b"something else, same model name")
    assert await files.complete(node(parts[0])) != before
    parts[1].unlink()
    assert await files.known(node(parts[0])) == {}
    await files.close()


async def test_what_is_not_here_is_not_known(tmp_path: Path) -> None:
    """A path of another machine, a folder, and a file of quite another size are no weights of this node."""
    path = tmp_path / "m.gguf"
    path.write_bytes(b"x" * 1000)
    files = WeightFiles()
    for found in (node(tmp_path / "none"), node(tmp_path), node(path, 5000), node(path, 1)):
        if found.told[0].size_bytes != 1:
            assert await files.known(found) == {}
    assert str(path) in await files.known(node(path, 900))
    await files.close()


async def test_a_file_that_vanishes_while_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that changes under the reader has no digest rather than a wrong one."""
    path = tmp_path / "m.gguf"
    path.write_bytes(b"x" * 1000)
    real = weights._file_digest

    def changing(place: Path, stop: object) -> str:
        digest = real(place, stop)  # type: ignore[arg-type]
        place.unlink()
        return digest

    monkeypatch.setattr(weights, "_file_digest", changing)
    files = WeightFiles()
    assert await files.complete(node(path)) == {}
    await files.close()


def test_which_machine() -> None:
    """Paths mean files here only when the server is here."""
    assert is_this_machine(Origin.parse("unix:///run/x.sock"))
    assert is_this_machine(Origin.parse("http://127.0.0.1:8080"))
    assert not is_this_machine(Origin.parse("http://gpu.lan:8080"))
