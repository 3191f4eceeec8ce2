"""Written configurations: the example, what --write-config writes, and the schema for editors."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from spillway.config.complaints import sections_in
from spillway.config.load import load_config
from spillway.config.schema import (
    CloudConfig,
    CloudModelConfig,
    Config,
    HardwareConfig,
    KeyConfig,
    NodeConfig,
    PriceConfig,
    RoutingConfig,
    ServerConfig,
    SloConfig,
)
from spillway.config.write import example_text, json_schema, render_config, write_config
from spillway.errors import ConfigError

ENVIRONMENT = {"SHOP_KEY": "s3cret-shop", "MINI_KEY": "s3cret-mini", "OPENAI_API_KEY": "s3cret-openai"}


def reread(folder: Path, text: str, environment: dict[str, str]) -> Config:
    """The configuration in ``text``."""
    path = folder / "spillway.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, environment).config


def test_example_fits(tmp_path: Path) -> None:
    """The example is valid without a warning, and its secrets do not show when printed."""
    path = tmp_path / "spillway.yaml"
    path.write_text(example_text())
    loaded = load_config(path, ENVIRONMENT)
    assert loaded.warnings == ()
    assert "s3cret" not in repr(loaded)


def test_example_shows_every_option() -> None:
    """Every option of the schema stands in the example, where it belongs."""
    assert sorted(_left_out(Config, [yaml.safe_load(example_text())], "")) == []


def _left_out(section: type[BaseModel], examples: list[Any], at: str) -> Iterator[str]:
    """Options of a section that none of the examples of it has."""
    for name, field in section.model_fields.items():
        values = [example[name] for example in examples if isinstance(example, dict) and name in example]
        if not values:
            yield f"{at}{name}"
        for inner in sections_in(field.annotation):
            below = [item for value in values for item in _entries(value, field.annotation)]
            yield from _left_out(inner, below, f"{at}{name}.")


def _entries(value: Any, annotation: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    return list(value.values()) if "dict[" in str(annotation) else [value]


def test_every_option_of_the_example_is_explained() -> None:
    """Each option has a comment beside it where it first stands in the example."""
    lines = example_text().splitlines()
    sections: list[type[BaseModel]] = [Config, *all_sections(Config)]
    first = {
        name: next(line for line in lines if f"{name}:" in line.partition("#")[0])
        for section in sections
        for name in section.model_fields
    }
    assert [name for name, line in first.items() if "#" not in line] == []


def all_sections(section: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Every part of the schema below one."""
    for field in section.model_fields.values():
        for inner in sections_in(field.annotation):
            yield inner
            yield from all_sections(inner)


def test_the_example_can_be_written_again(tmp_path: Path) -> None:
    """Rendering what was read and reading it again gives the same configuration, without any secret."""
    config = reread(tmp_path, example_text(), ENVIRONMENT)
    text = render_config(config, {"mini": "MINI_KEY"})
    assert "s3cret" not in text
    assert reread(tmp_path, text, {**ENVIRONMENT, "SPILLWAY_KEY_SHOP": "s3cret-shop"}) == config


names = st.from_regex(r"\A[a-z0-9][a-z0-9._-]{0,9}\Z")
words = st.text(min_size=1, max_size=20)
money = st.decimals(0, 10**6, places=4) | st.decimals(0, 1, places=20)
some_money = st.none() | money
seconds = st.floats(0.001, 1e6)


@st.composite
def configs(draw: st.DrawFn) -> Config:
    """Any configuration that makes sense."""
    upstreams = draw(st.lists(names, unique=True, max_size=4))
    upstreams = [name for name in upstreams if name not in {"auto", "local", "cloud"}]
    half = draw(st.integers(0, len(upstreams)))
    hardware = st.none() | words | st.builds(HardwareConfig, price_usd=some_money, idle_w=some_money)
    models = st.lists(words | st.builds(CloudModelConfig, name=words, substitute=st.booleans()), max_size=3)
    clouds = [
        CloudConfig(
            name=name,
            api_key=draw(st.sampled_from([None, SecretStr(f"key of {name}")])),
            models=tuple(draw(models)),
            simulated=draw(st.none() | words),
        )
        for name in upstreams[half:]
    ]
    prices = {f"{cloud.name}/{draw(words)}": draw(st.builds(
        PriceConfig, input_usd_per_mtok=money, output_usd_per_mtok=money, cache_read_usd_per_mtok=some_money
    )) for cloud in clouds}  # fmt: skip
    slo = st.builds(SloConfig, ttft_ms=st.none() | seconds, attainment=st.floats(0.01, 0.99))
    return Config(
        server=ServerConfig(keys=tuple(KeyConfig(name=f"k{i}", key=SecretStr(f"s{i}")) for i in range(2))),
        nodes=tuple(
            NodeConfig(name=name, model=f"/m/{i}{draw(names)} #x", hardware=draw(hardware))
            for i, name in enumerate(upstreams[:half])
        ),
        clouds=tuple(clouds),
        aliases={f"{draw(words)}-": "m: 1" for _ in range(draw(st.integers(0, 2)))},
        slo=draw(st.dictionaries(words, slo, max_size=2)),
        routing=RoutingConfig(local_tasks=tuple(draw(st.lists(words, max_size=3)))),
        prices=prices,
        electricity_usd_per_kwh=draw(some_money),
        ledger=draw(st.sampled_from(["sqlite:///x.db", "postgresql://me:pw@h/db"])),
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(config=configs())
def test_whatever_is_written_is_read_the_same(config: Config, tmp_path: Path) -> None:
    """Names that look like numbers, quotes, dollars, comments, twenty digits: nothing is lost or changed."""
    environment = {"SPILLWAY_KEY_K0": "s0", "SPILLWAY_KEY_K1": "s1", "SPILLWAY_LEDGER": config.ledger}
    variables = {cloud.name: f"KEY_{i}" for i, cloud in enumerate(config.clouds)}
    environment |= {variables[cloud.name]: f"key of {cloud.name}" for cloud in config.clouds}
    text = render_config(config, variables)
    assert "key of" not in text
    assert "me:pw" not in text
    assert reread(tmp_path, text, environment) == config


def test_variables_without_a_name_get_one() -> None:
    """A key nobody named a variable for is read from one named after its upstream."""
    cloud = CloudConfig(name="my.cloud-2", api_key=SecretStr("s3cret"), models=("m",))
    assert "${MY_CLOUD_2_API_KEY}" in render_config(Config(clouds=(cloud,)), {})


def test_discovered_upstreams_are_annotated() -> None:
    """What --write-config finds comes with explanations and with what one may want to set next."""
    node = NodeConfig(name="ollama", url="http://127.0.0.1:11434")
    cloud = CloudConfig(name="openai", api_key=SecretStr("s3cret"), models=("gpt-4o-mini",))
    text = render_config(Config(nodes=(node,), clouds=(cloud,)), {"openai": "OPENAI_API_KEY"})
    for expected in (
        "    slots: auto  # Sequences it serves well at once.",
        "    # hardware: {price_usd: 2000",
        "    api_key: ${OPENAI_API_KEY}",
        "      # - {name: gpt-4o-mini, substitute: true}",
        "  # reference: openai/gpt-4o-mini",
        "# electricity_usd_per_kwh: 0.27",
        "ledger: sqlite:///spillway.db  # ",
    ):
        assert f"\n{expected}" in text


def test_a_file_is_not_overwritten_unasked(tmp_path: Path) -> None:
    """An existing file stays as it is without force; with it, it is replaced and nothing else is left."""
    path = tmp_path / "spillway.yaml"
    write_config(path, "ledger: a\n")
    with pytest.raises(ConfigError, match="--force"):
        write_config(path, "ledger: b\n")
    assert path.read_text() == "ledger: a\n"
    write_config(path, "ledger: b\n", force=True)
    assert path.read_text() == "ledger: b\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    """A missing folder, or a folder in the file's place, is a sentence and leaves nothing behind."""
    with pytest.raises(ConfigError, match="cannot be written: No such file"):
        write_config(tmp_path / "none" / "spillway.yaml", "")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError, match="cannot be written"):
        write_config(tmp_path / "folder", "x", force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_json_schema_describes_every_section() -> None:
    """Editors get every section with its options, and unknown keys are marked."""
    schema = json_schema()
    assert set(schema["properties"]) == set(Config.model_fields)
    assert schema["additionalProperties"] is False
    assert schema["$defs"]["NodeConfig"]["properties"]["slots"]["description"]


def test_decimals_keep_their_digits(tmp_path: Path) -> None:
    """A price with more digits than a float holds is written as text."""
    config = Config(electricity_usd_per_kwh=Decimal("0.12345678901234567890"))
    assert reread(tmp_path, render_config(config, {}), {}) == config
