"""A lock that is read again when its file changes: accepting a change takes effect with the next probe."""

from __future__ import annotations

import logging
from pathlib import Path

from spillway.errors import LockError
from spillway.pinning.lock import Lock
from spillway.pinning.lock_file import load_lock

__all__ = ["FollowedLock"]

logger = logging.getLogger("spillway.pins")


class FollowedLock:
    """The lock at ``path`` as it is now; an empty one without a path."""

    def __init__(self, path: Path | None) -> None:
        """LockError when there is a lock that cannot be used: a gateway with half a pin is none."""
        self.path = path
        self._stamp = self._look()
        self.lock = load_lock(path) if path is not None else Lock()

    def has_changed(self) -> bool:
        """Whether another lock is in force now. One that cannot be used, or is gone, leaves the old one in
        force, and says so once."""
        stamp = self._look()
        if self.path is None or stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            self.lock = load_lock(self.path)
        except LockError as error:
            logger.error("the lock as it was before stays in force: %s", error.message)
            return False
        return True

    def _look(self) -> tuple[int, int, int] | None:
        try:
            stat = self.path.stat() if self.path is not None else None
        except OSError:
            return None
        return (stat.st_mtime_ns, stat.st_size, stat.st_ino) if stat is not None else None
