"""Configuration files: where they are found and what is read from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from spillway.config.load import load_config
from spillway.config.schema import Config
from spillway.errors import ConfigError


def load(folder: Path, text: str, environment: dict[str, str] | None = None) -> Config:
    """The configuration in ``text``."""
    path = folder / "spillway.yaml"
    path.write_text(text)
    return load_config(path, environment or {}).config


def test_no_file_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any file everything has its default."""
    monkeypatch.chdir(tmp_path)
    loaded = load_config(None, {"HOME": str(tmp_path)})
    assert loaded.config == Config()
    assert loaded.path is None


def test_user_folder_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory wins over the user's folder."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "xdg" / "spillway"
    folder.mkdir(parents=True)
    (folder / "spillway.yaml").write_text("server: {port: 5001}")
    environment = {"XDG_CONFIG_HOME": str(tmp_path / "xdg"), "HOME": str(tmp_path)}
    monkeypatch.setattr("sys.platform", "linux")
    assert load_config(None, environment).config.server.port == 5001
    (tmp_path / "spillway.yaml").write_text("server: {port: 5002}")
    assert load_config(None, environment).config.server.port == 5002


def test_dollars_can_be_escaped(tmp_path: Path) -> None:
    """``$${`` stands for a literal ``${``."""
    assert load(tmp_path, "ledger: 'sqlite:///$${x}.db'").ledger == "sqlite:///${x}.db"


def test_a_report_needs_no_keys(tmp_path: Path) -> None:
    """Where keys are not needed, a variable that is not set is no mistake."""
    path = tmp_path / "spillway.yaml"
    path.write_text("clouds: [{name: openai, api_key: '${OPENAI_API_KEY}', models: [m]}]")
    assert load_config(path, {}, needs_variables=False).config.clouds[0].name == "openai"


def test_model_files_stand_beside_the_configuration(tmp_path: Path) -> None:
    """A relative model path starts at the configuration's folder."""
    config = load(tmp_path, "nodes: [{name: a, model: m/x.gguf}]")
    assert config.nodes[0].model == str(tmp_path / "m" / "x.gguf")


def test_aliases_lead_to_their_end(tmp_path: Path) -> None:
    """An alias of an alias is resolved once, at load."""
    assert load(tmp_path, "aliases: {a: b, b: qwen}").aliases == {"a": "qwen", "b": "qwen"}


def test_aliases_may_lead_to(tmp_path: Path) -> None:
    """A side, a node's model, a bare name, and a listed model whose name holds a slash are all fine."""
    text = (
        "nodes: [{name: mini, url: 'http://x'}]\n"
        "clouds: [{name: router, models: [openai/gpt-4o-mini]}]\n"
        "aliases: {a: local, b: mini/qwen, c: qwen, d: openai/gpt-4o-mini, e: d}\n"
    )
    assert load(tmp_path, text).aliases["e"] == "openai/gpt-4o-mini"


def test_profiles_stand_beside_the_configuration(tmp_path: Path) -> None:
    """Wherever the command is run; a home is meant by ``~``, and a full path stays."""
    place = tmp_path / "spillway.yaml"
    node = "{{name: a{0}, url: 'http://127.0.0.1:1', profile: {1}}}"
    named = ["one.json", "~/two.json", "/srv/three.json"]
    place.write_text(f"nodes: [{', '.join(node.format(i, name) for i, name in enumerate(named))}]\n")
    found = [one.profile for one in load_config(place, {}).config.nodes]
    assert found == [str(tmp_path / "one.json"), str(Path("~/two.json").expanduser()), "/srv/three.json"]


def test_own_task_classes_stand_beside_the_configuration(tmp_path: Path) -> None:
    """A relative name is looked for there, wherever the command was started."""
    place = tmp_path / "spillway.yaml"
    place.write_text("routing: {task_file: spillway-tasks.json}\n")
    assert load_config(place, {}).config.routing.task_file == str(tmp_path / "spillway-tasks.json")


def test_upstreams_to_be_discovered_may_be_named(tmp_path: Path) -> None:
    """Where a file names no upstreams, they are found at start: a reference to one is not called wrong."""
    text = "routing: {reference: openai/gpt-4o}\naliases: {fast: ollama/qwen}"
    assert load(tmp_path, text).routing.reference == "openai/gpt-4o"


def test_an_empty_file_is_fine(tmp_path: Path) -> None:
    """A file with nothing but comments has every default."""
    assert load(tmp_path, "# nothing yet\n") == Config()


def test_a_mark_of_byte_order_is_skipped(tmp_path: Path) -> None:
    """Files of editors that begin UTF-8 with a mark can be read."""
    assert load(tmp_path, "\ufeffserver: {port: 1}").server.port == 1


def test_what_cannot_be_read(tmp_path: Path) -> None:
    """A file that is not there, is a folder, or is no text is a sentence, not a traceback."""
    for name, said in (("none.yaml", "there is no configuration file"), ("", "cannot be read")):
        with pytest.raises(ConfigError, match=said):
            load_config(tmp_path / name, {})
    (tmp_path / "latin.yaml").write_bytes(b"ledger: \xe9")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        load_config(tmp_path / "latin.yaml", {})


def test_variables_may_be_numbers(tmp_path: Path) -> None:
    """A number or a truth value may come from the environment, and several variables into one text."""
    environment = {"PORT": "5003", "CAPTURE": "true", "A": "x", "B": "y"}
    config = load(
        tmp_path, "server: {port: '${PORT}'}\ncapture: ${CAPTURE}\nledger: sqlite:///${A}${B}", environment
    )
    assert (config.server.port, config.capture, config.ledger) == (5003, True, "sqlite:///xy")


def test_what_is_odd_is_a_warning(tmp_path: Path) -> None:
    """What works but perhaps not as meant is said with its line, and stops nothing."""
    path = tmp_path / "spillway.yaml"
    path.write_text(
        "clouds:\n- {name: openai, models: [gpt-4o-mini], api_key: '${EMPTY}'}\n"
        "routing: {reference: openai/gpt-4o-mimi}\n"
    )
    loaded = load_config(path, {"EMPTY": ""})
    assert [warning.replace(f"{tmp_path}/", "") for warning in loaded.warnings] == [
        "spillway.yaml:2: clouds[0].api_key: is empty, so no key is sent",
        "spillway.yaml:3: routing.reference: gpt-4o-mimi is not among the models of openai; "
        "did you mean gpt-4o-mini?",
    ]


def test_the_rest_of_macs_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On macOS the user's folder is where its programs keep their settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.platform", "darwin")
    folder = tmp_path / "Library" / "Application Support" / "spillway"
    folder.mkdir(parents=True)
    (folder / "spillway.yaml").write_text("server: {port: 5004}")
    assert load_config(None, {"HOME": str(tmp_path)}).config.server.port == 5004
