"""The committed demo model: where it is, and whether it is the one that was measured."""

import hashlib
from importlib import resources
from pathlib import Path

from spillway.errors import EngineUnavailable

_FILE_NAME = "shop-1m.gguf"


def demo_model_path() -> Path:
    """The demo model's GGUF in the installed package."""
    return Path(str(resources.files("spillway.demo").joinpath("data", _FILE_NAME)))


def expected_sha256() -> str:
    """The digest the model was committed with."""
    path = demo_model_path()
    return path.with_name(f"{path.name}.sha256").read_text(encoding="ascii").split()[0]


def verify_demo_model() -> Path:
    """The demo model's path, once its bytes are known to be the committed ones.

    Raises `EngineUnavailable` when the file is missing or differs; reinstalling the package brings it back.
    """
    path = demo_model_path()
    if not path.is_file():
        raise EngineUnavailable(f"the demo model is missing: {path}; reinstall spillway")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != expected_sha256():
        wanted = expected_sha256()
        raise EngineUnavailable(f"the demo model {path} has sha256 {found}, not {wanted}; reinstall spillway")
    return path
