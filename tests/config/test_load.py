"""Configuration files: what is read from them, and what is said about the wrong ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from spillway.config.load import load_config
from spillway.config.schema import Config
from spillway.config.write import example_text, json_schema, render_config, write_config
from spillway.errors import ConfigError

ENVIRONMENT = {"SHOP_KEY": "s3cret-shop", "MINI_KEY": "s3cret-mini", "OPENAI_API_KEY": "s3cret-openai"}


def load(folder: Path, text: str, environment: dict[str, str] | None = None) -> Config:
    """The configuration in ``text``."""
    path = folder / "spillway.yaml"
    path.write_text(text)
    return load_config(path, ENVIRONMENT if environment is None else environment).config


def complaint(folder: Path, text: str) -> str:
    """What is said about a wrong file, without the folder."""
    with pytest.raises(ConfigError) as caught:
        load(folder, text)
    return caught.value.message.replace(f"{folder}/", "")


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


def test_example_fits_and_shows_every_option(tmp_path: Path) -> None:
    """The example is valid, and no option of the schema is missing in it."""
    load(tmp_path, example_text())
    missing = [name for name in _field_names(Config) if f"{name}:" not in example_text()]
    assert missing == []


def _field_names(section: type[BaseModel]) -> Iterator[str]:
    for name, field in section.model_fields.items():
        yield name
        for inner in _sections(field.annotation):
            yield from _field_names(inner)


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _sections(inner)


def test_all_problems_at_once(tmp_path: Path) -> None:
    """Two mistakes give two lines, in the order of the file."""
    lines = complaint(tmp_path, "server: {prt: 1}\nrouting: {max_attempts: 0}").splitlines()
    assert [line.split(":")[1] for line in lines] == ["1", "2"]


def test_secrets_never_show(tmp_path: Path) -> None:
    """Neither errors nor prints hold a value from the environment."""
    text = "clouds: [{name: openai, api_key: '${OPENAI_API_KEY}', models: [m], url: [${OPENAI_API_KEY}]}]"
    assert "s3cret" not in complaint(tmp_path, text)
    assert "s3cret" not in repr(load(tmp_path, example_text()))


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


def test_written_configuration_can_be_read(tmp_path: Path) -> None:
    """What --write-config writes is valid, holds no secret, and is not overwritten without force."""
    config = load(
        tmp_path,
        "clouds: [{name: openai, api_key: x, models: [gpt-4o-mini]}]\nnodes: [{name: n, url: 'http://x'}]",
    )
    text = render_config(config, {"openai": "OPENAI_API_KEY"})
    assert "${OPENAI_API_KEY}" in text
    path = tmp_path / "written.yaml"
    write_config(path, text)
    again = load_config(path, ENVIRONMENT).config
    assert [node.name for node in again.nodes] == ["n"]
    assert again.routing.reference == "openai/gpt-4o-mini"
    with pytest.raises(ConfigError, match="--force"):
        write_config(path, text)
    write_config(path, "ledger: sqlite:///x.db\n", force=True)


def test_json_schema_describes_every_section() -> None:
    """Editors get a schema with descriptions."""
    assert "electricity_usd_per_kwh" in json_schema()["properties"]
