"""The lock on disk: it comes back as it was written, and whatever is wrong with it is one clear sentence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from spillway.engines.told import sha256_of
from spillway.errors import LockError
from spillway.pinning.followed import FollowedLock
from spillway.pinning.lock import Lock, LockedCanary, LockedModel, LockedNode
from spillway.pinning.lock_file import load_lock, parse_lock, save_lock

TEMPLATE = "{%- for m in messages -%}\n  {{ m }} \n{%- endfor -%}\n"
LOCK = Lock(
    nodes={
        "mini": LockedNode(
            engine="ollama",
            engine_version="0.30",
            slots=2,
            models={
                "qwen3:4b": LockedModel(
                    weights="sha256:" + "a" * 64,
                    weights_grade="engine_digest",
                    quantization="Q4_K_M",
                    template=sha256_of(TEMPLATE),
                    context_tokens=8192,
                    adapters=(),
                    capabilities=("chat", "tools"),
                    fingerprint="manifest:" + "b" * 64,
                    sampling={"temperature": 0.6, "top_k": 40.0, "stop": ("a", "b: c"), "ignore": True},
                    canaries={
                        "math-small": LockedCanary(
                            prompt="sha256:" + "c" * 64,
                            kind="exact",
                            answer="42",
                            tokens="sha256:" + "d" * 64,
                            logprobs=(-0.1, -2.0),
                            checks=("contains 42",),
                        )
                    },
                )
            },
        )
    },
    templates={sha256_of(TEMPLATE): TEMPLATE},
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A lock on disk."""
    place = tmp_path / "spillway.lock"
    save_lock(LOCK, place)
    return place


def test_round_trip(path: Path) -> None:
    """What was written comes back, and writing it again changes no byte."""
    assert load_lock(path) == LOCK
    before = path.read_bytes()
    save_lock(load_lock(path), path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "text",
    [
        " lead\n x",
        "\n\n a\n",
        "a \nb\t\n  ",
        "x\r\ny",
        "é\u2028z\nq",
        "# c\n",
        "\x07bell\nx",
        "---\na: b\n...\n",
    ],
)
def test_any_template_comes_back(tmp_path: Path, text: str) -> None:
    """Templates with odd spaces, line ends and control characters are kept to the letter."""
    model = LockedModel(template=sha256_of(text))
    lock = Lock(nodes={"n": LockedNode(engine="x", models={"m": model})}, templates={sha256_of(text): text})
    save_lock(lock, tmp_path / "l")
    assert load_lock(tmp_path / "l") == lock


WRONG = [
    ("engine: ollama", "engine: 5", "mini.engine: must be text, got a whole number: quote it"),
    ("slots: 2", "slots: two", "mini.slots: must be a whole number, got text"),
    ("slots: 2", "slots: 0", "mini.slots: must be a whole number >= 1"),
    ("weights_grade: engine_digest", "weights_grade: guess", "weights_grade: invalid enum value 'guess'"),
    ("        weights_grade: engine_digest\n", "", "weights and weights_grade must both be there"),
    ("kind: exact", "kind: exakt", "math-small.kind: invalid enum value 'exakt'"),
    ("    models:", "    modells:", "mini.modells: unknown key; known are"),
    ("a" * 64, "zz", "weights: must be a digest such as sha256:"),
    ("prompt: ", "prompts: ", "math-small.prompts: unknown key"),
    ("temperature: 0.6", "temperature: {a: 1}", "sampling: must be"),
    ("nodes:", "extra: 1\nnodes:", "extra: unknown key; known are schema, nodes, templates, end"),
    ("    slots: 2", "\tslots: 2", "this is not YAML"),
    ("slots: 2", "slots: 2\n    slots: 3", "slots is said twice"),
    ("  mini:", "  1:", "a key must be text"),
    ("endfor -%}", "endfor %}", "the text does not have this digest"),
    ("spillway.lock/1", "spillway.lock/2", "was written by a newer spillway"),
    ("spillway.lock/1", "something", "schema: must be spillway.lock/1"),
    ("end: spillway.lock", "", "it was cut short"),
]


@pytest.mark.parametrize(("old", "new", "said"), WRONG, ids=[wrong[2][:40] for wrong in WRONG])
def test_a_wrong_lock_says_what_is_wrong(path: Path, old: str, new: str, said: str) -> None:
    """Each wrong edit is one sentence that names the file and what is wrong, with exit code 2."""
    text = path.read_text()
    assert old in text
    with pytest.raises(LockError) as caught:
        parse_lock(text.replace(old, new, 1), path)
    assert said in caught.value.message
    assert str(path) in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.exit_code == 2


def test_a_wrong_line_is_named(path: Path) -> None:
    """The sentence names the line of the key."""
    lines = path.read_text().splitlines()
    at = next(index for index, line in enumerate(lines) if "slots: 2" in line)
    with pytest.raises(LockError, match=rf"spillway\.lock:{at + 1}: nodes\.mini\.slots"):
        parse_lock(path.read_text().replace("slots: 2", "slots: two"), path)


def test_every_cut_is_noticed(path: Path) -> None:
    """A file cut short anywhere is refused: a half lock would pin half."""
    text = path.read_text()
    for size in range(len(text) - len("end: spillway.lock\n") + 5):
        with pytest.raises(LockError):
            parse_lock(text[:size], path)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "a", "{a: [", "a: &x [1]\nb: *x", "x: " + "[" * 5000, "!!python/object:os.system x", "\0"],
)
def test_what_is_no_lock(tmp_path: Path, text: str) -> None:
    """Other files, endless nesting, references and foreign tags are refused in words; nothing is run."""
    with pytest.raises(LockError):
        parse_lock(text, tmp_path / "l")


def test_missing_and_unreadable(tmp_path: Path) -> None:
    """No lock, a folder, and a file that is no text say so."""
    with pytest.raises(LockError, match="there is no lock"):
        load_lock(tmp_path / "none")
    with pytest.raises(LockError, match="cannot be read"):
        load_lock(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LockError, match="not UTF-8"):
        load_lock(tmp_path / "binary")


def test_a_failed_write_leaves_the_old_lock(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk is full the old lock stays, whole, and no other file is left behind."""
    before = path.read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LockError, match="cannot be written: No space left on device"):
        save_lock(Lock(), path)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_link_stays_a_link(path: Path, tmp_path: Path) -> None:
    """A lock that is a symbolic link is written where it leads to, with its permissions."""
    path.chmod(0o640)
    link = tmp_path / "link.lock"
    link.symlink_to(path)
    save_lock(Lock(), link)
    assert link.is_symlink()
    assert load_lock(path) == Lock()
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_lock_is_followed(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A lock written anew takes effect; one that is broken leaves the old one in force and says so once."""
    followed = FollowedLock(path)
    assert not followed.has_changed()
    save_lock(Lock(), path)
    assert followed.has_changed()
    assert followed.lock == Lock()
    path.write_text("nonsense")
    assert not followed.has_changed()
    assert not followed.has_changed()
    assert followed.lock == Lock()
    assert len([r for r in caplog.records if "stays in force" in r.message]) == 1


def test_only_named_templates_are_kept() -> None:
    """A template that no model names any more leaves the lock with the node that named it."""
    assert LOCK.without("mini") == Lock()
    node = LockedNode(engine="x", models={})
    assert LOCK.with_node("mini", node, {}).templates == {}


@pytest.mark.parametrize("text", ["[" * 50_000, "{a: " * 50_000, "- " * 20_000, "? " * 20_000])
def test_endless_nesting_is_refused(text: str) -> None:
    """Brackets or indents without an end are one sentence, and never the end of the process."""
    with pytest.raises(LockError, match=r"some.lock:\d+: it is nested too deeply for a lock"):
        parse_lock(text, Path("some.lock"))
