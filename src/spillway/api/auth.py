"""Who is asking: the gateway's own keys."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from spillway.config.schema import KeyConfig
from spillway.errors import Unauthorized

__all__ = ["KeyRing"]


class KeyRing:
    """Knows keys by their hash only, so that neither lookup time nor a dump gives one away."""

    def __init__(self, keys: Iterable[KeyConfig]) -> None:
        self._names = {_digest(key.key.get_secret_value().encode()): key.name for key in keys}

    def name_of(self, headers: dict[bytes, bytes]) -> str | None:
        """The name of the key presented; ``None`` when no keys are configured. Unauthorized otherwise."""
        if not self._names:
            return None
        bearer = headers.get(b"authorization", b"")
        is_bearer = bearer[:7].lower() == b"bearer "
        given = bearer[7:].strip() if is_bearer else headers.get(b"x-api-key", b"")
        name = self._names.get(_digest(given)) if given else None
        if name is None:
            raise Unauthorized(
                "the gateway key is unknown" if given else "send a gateway key: Authorization: Bearer KEY"
            )
        return name


def _digest(key: bytes) -> bytes:
    return sha256(key).digest()
