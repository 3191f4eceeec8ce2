"""Digests of model files on this machine: read once, in a thread that gives way, and remembered."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from spillway.engines.identify import Found
from spillway.engines.wire import Origin

__all__ = ["WeightFiles", "is_this_machine"]

_PART = re.compile(r"-\d{5}-of-(\d{5})\.gguf$")
"""How a model in several files names them."""
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
OVERHEAD_BYTES = 256 << 20
"""Most bytes a file holds beside its tensors: vocabulary, merges, template (guess, generous)."""
LOWEST_PRIORITY = 19

Stamp = tuple[tuple[str, int, int, int], ...]
"""Path, size, modification time in ns and inode of every part: while these stay, the content does."""


def is_this_machine(origin: Origin) -> bool:
    """Whether paths told by a server there may mean files here."""
    return origin.socket_path is not None or origin.host in LOOPBACK


class WeightFiles:
    """Digests by path. ``cache_file`` keeps them over restarts: 40 GB take half a minute to read."""

    def __init__(self, cache_file: Path | None = None) -> None:
        self._cache_file = cache_file
        self._known: dict[str, tuple[Stamp, str]] = {}
        self._reading: dict[str, asyncio.Task[None]] = {}
        self._is_loaded = cache_file is None
        self._readers = ThreadPoolExecutor(1, "spillway-weights", initializer=_give_way)

    async def known(self, found: Found) -> dict[str, str | None]:
        """The digest of each file the node names and that can be read here; ``None`` for one that is being
        read now. Costs a ``stat`` of each."""
        wanted = dict(_paths(found))
        stamps = await asyncio.to_thread(self._stamps, wanted) if wanted else {}
        digests: dict[str, str | None] = {}
        for path, stamp in stamps.items():
            kept = self._known.get(path)
            if kept is not None and kept[0] == stamp:
                digests[path] = kept[1]
                continue
            digests[path] = None
            if path not in self._reading:
                self._reading[path] = asyncio.create_task(self._read(path, stamp))
        return digests

    async def complete(self, found: Found) -> dict[str, str | None]:
        """Like ``known``, once every file has been read; a file that cannot be read is left out."""
        digests = await self.known(found)
        pending = [self._reading[path] for path, digest in digests.items() if digest is None]
        await asyncio.gather(*pending, return_exceptions=True)
        return {path: digest for path in digests if (digest := self._digest(path)) is not None}

    async def close(self) -> None:
        """Stops reading: a thread that still reads ends with its piece."""
        for task in self._reading.values():
            task.cancel()
        await asyncio.gather(*self._reading.values(), return_exceptions=True)
        self._readers.shutdown(wait=False)

    def _digest(self, path: str) -> str | None:
        kept = self._known.get(path)
        return kept[1] if kept else None

    async def _read(self, path: str, stamp: Stamp) -> None:
        stop = threading.Event()
        try:
            loop = asyncio.get_running_loop()
            digest = await loop.run_in_executor(self._readers, _digest_of, stamp, stop)
            if await asyncio.to_thread(_stamp_of, path) == stamp:  # not replaced while it was read
                self._known[path] = (stamp, digest)
                await asyncio.to_thread(self._save)
        except OSError:
            pass  # gone or unreadable meanwhile: the next look finds it so
        finally:
            stop.set()
            self._reading.pop(path, None)

    def _stamps(self, wanted: dict[str, int | None]) -> dict[str, Stamp]:
        """Of files that can be read here and are as large as the engine says; runs in a thread."""
        self._load()
        stamps: dict[str, Stamp] = {}
        for path, size_bytes in wanted.items():
            try:
                stamp = _stamp_of(path)
            except OSError:
                continue
            total = sum(size for _, size, _, _ in stamp)
            is_it = size_bytes is None or size_bytes <= total <= size_bytes + OVERHEAD_BYTES
            if is_it and all(os.access(part, os.R_OK) for part, *_ in stamp):
                stamps[path] = stamp
        return stamps

    def _load(self) -> None:
        if self._is_loaded or self._cache_file is None:
            return
        self._is_loaded = True
        try:
            raw = self._cache_file.read_bytes()
            self._known |= msgspec.json.decode(raw, type=dict[str, tuple[Stamp, str]])
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return  # a cache that is missing or damaged costs a second reading

    def _save(self) -> None:
        if self._cache_file is None:
            return
        try:
            self._cache_file.parent.mkdir(parents=True, exist_ok=True)
            handle, part = tempfile.mkstemp(dir=self._cache_file.parent, prefix=".weights-")
            with os.fdopen(handle, "wb") as file:
                file.write(msgspec.json.encode(dict(self._known)))
            Path(part).replace(self._cache_file)
        except OSError:
            return


def _paths(found: Found) -> Iterable[tuple[str, int | None]]:
    for told in found.told:
        if told.path is not None:
            yield told.path, told.size_bytes
        for path, _ in told.adapters or ():
            if not path.startswith("sha256:"):
                yield path, None


def _stamp_of(path: str) -> Stamp:
    return tuple(_one_stamp(part) for part in _parts(Path(path)))


def _one_stamp(part: Path) -> tuple[str, int, int, int]:
    if not part.is_file():
        raise FileNotFoundError(part)
    stat = part.stat()
    return str(part), stat.st_size, stat.st_mtime_ns, stat.st_ino


def _parts(path: Path) -> list[Path]:
    """All files of a model whose first one is named."""
    split = _PART.search(path.name)
    if split is None:
        return [path]
    stem, many = path.name[: split.start()], int(split[1])
    return [path.with_name(f"{stem}-{index:05}-of-{many:05}.gguf") for index in range(1, many + 1)]


def _digest_of(stamp: Stamp, stop: threading.Event) -> str:
    digests = [_file_digest(Path(part), stop) for part, *_ in stamp]
    if len(digests) == 1:
        return f"sha256:{digests[0]}"
    return "sha256:" + hashlib.sha256("+".join(digests).encode()).hexdigest()


def _file_digest(path: Path, stop: threading.Event) -> str:
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
            if stop.is_set():
                raise OSError("no longer wanted")
    return digest.hexdigest()


def _give_way() -> None:
    """On Linux a thread has its own priority; the reader's must not take time from the engine."""
    if sys.platform == "linux":
        try:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST_PRIORITY)
        except OSError:
            pass
