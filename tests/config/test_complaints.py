"""What is said about wrong configurations: file, line, key, and what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spillway.config.load import load_config
from spillway.config.schema import Config
from spillway.errors import ConfigError

SECRET = "s3cret-value"
ENVIRONMENT = {"SECRET": SECRET, "EMPTY": "", "QUOTED": "it's-\\secret"}
NODE = "nodes: [{name: mini, url: 'http://127.0.0.1:1'}]\n"
CLOUD = "clouds: [{name: openai, models: [gpt-4o-mini]}]\n"


def complaint(folder: Path, text: str) -> str:
    """What is said about a wrong file, without the folder."""
    path = folder / "spillway.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path, ENVIRONMENT)
    return caught.value.message.replace(f"{folder}/", "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nodes:\n  - name: a\n    url: u\n    slot: 4", "4: nodes[0].slot: unknown key; did you mean slots"),
        ("rooting: {}", "1: rooting: unknown key; did you mean routing?"),
        ("nodes: [{name: a, url: u, zzz: 1}]", "1: nodes[0].zzz: unknown key; known are name, url, model"),
        ("slo:\n  fast: {ttf_ms: 1}", "2: slo.fast.ttf_ms: unknown key; did you mean ttft_ms?"),
        ("prices: {a/b: {inputs_usd_per_mtok: 1}}", "did you mean input_usd_per_mtok?"),
        ("clouds: [{name: o, models: [{name: m, substitut: true}]}]", "did you mean substitute?"),
        ("nodes: [{name: a, url: u, hardware: {price: 3}}]", "nodes[0].hardware.price: unknown key; did"),
        ("server: {keys: [{nam: a}]}", "1: server.keys[0].nam: unknown key; did you mean name?"),
        ("nodes: [{url: u}]", "1: nodes[0].name: is missing"),
    ],
)
def test_unknown_and_missing_keys(tmp_path: Path, text: str, said: str) -> None:
    """An unknown key comes with the nearest known one or all of them, at any depth."""
    assert said in complaint(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nodes:", "1: nodes: is empty: give it a value or leave the key out"),
        ("nodes: {a: 1}", "1: nodes: must be a list"),
        ("server: [1]", "1: server: must be a mapping of keys and values"),
        ("aliases: [1]", "1: aliases: must be a mapping of keys and values"),
        ("nodes: [[]]", "1: nodes[0]: must be a mapping of keys and values"),
        ("nodes: [{name: on, url: u}]", "1: nodes[0].name: must be text in quotes"),
        ("nodes: [{name: A B, url: u}]", "1: nodes[0].name: may hold only a-z"),
        ("nodes: [{name: a, url: u, engine: olama}]", "or openai; did you mean ollama?"),
        ("nodes: [{name: a, url: u, slots: many}]", "1: nodes[0].slots: must be a whole number or auto"),
        ("nodes: [{name: a, url: u, slots: 0}]", "1: nodes[0].slots: must be auto or at least 1"),
        ("nodes: [{name: a, url: u, hardware: 5}]", "must be text in quotes or a mapping of keys and values"),
        ("nodes: [{name: a}]", "1: nodes[0]: give exactly one of url"),
        ("clouds: [{name: o, models: [5]}]", "models[0]: must be text in quotes or a mapping"),
        ("server: {port: high}", "1: server.port: must be a whole number"),
        ("server: {port: 1.5}", "1: server.port: must be a whole number"),
        ("server: {port: 70000}", "1: server.port: must be less than or equal to 65535"),
        ("server: {body_timeout_s: soon}", "1: server.body_timeout_s: must be a number"),
        ("electricity_usd_per_kwh: lots", "1: electricity_usd_per_kwh: must be a number"),
        ("capture: maybe", "1: capture: must be true or false"),
        ("slo: {default: {ttft_ms: -1}}", "1: slo.default.ttft_ms: must be greater than 0"),
        ("slo: {default: {ttft_ms: 10, total_ms: 1}}", "slo.default: total_ms must not be below ttft_ms"),
        ("server: {port: yes}", "1: server.port: must be a number, not true, false, yes, no, on or off"),
        ("quality: {shadow: {share: on}}", "1: quality.shadow.share: must be a number, not true, false"),
        ("nodes: [{name: a, url: u, slots: yes}]", "1: nodes[0].slots: must be a number, not true, false"),
        ("slo: {default: {ttft_ms: true}}", "1: slo.default.ttft_ms: must be a number, not true, false"),
        ("1: x", "1: 1: a key must be text; put it in quotes"),
        ("aliases: {1: x}", "1: aliases.1: a key must be text; put it in quotes"),
        ("aliases: {myConfig: 5}", "1: aliases.myConfig: must be text in quotes"),
    ],
)
def test_wrong_values(tmp_path: Path, text: str, said: str) -> None:
    """A wrong value is said in words of YAML, with the allowed values, and once per key."""
    lines = complaint(tmp_path, text).splitlines()
    assert said in lines[0]
    assert len(lines) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\nserver: {host: 0.0.0.0}", "2: server.host: 0.0.0.0 can be reached from other machines: set"),
        ("nodes:\n- {name: a, url: u}\n- {name: a, url: u}", "3: nodes[1].name: two upstreams are called"),
        ("nodes: [{name: a, url: u}]\nclouds: [{name: a}]", "2: clouds[0].name: two upstreams are called"),
        ("nodes: [{name: local, url: u}]", "1: nodes[0].name: an upstream may not be called 'local'"),
        ("nodes: [{name: a, url: mini:1}]", "1: nodes[0].url: must be a URL that begins with http://"),
        ("nodes: [{name: a, url: 'http://h:x'}]", "1: nodes[0].url: is no URL"),
        ("nodes: [{name: a, url: 'unix:'}]", "1: nodes[0].url: must name a socket"),
        ("clouds: [{name: a, url: 'http://me:pw@h'}]", "1: clouds[0].url: may not hold credentials"),
        (CLOUD + "routing: {reference: opnai/x}", "2: routing.reference: must be CLOUD/MODEL of a"),
        (CLOUD + "routing: {reference: opnai/x}", "configured are openai; did you mean openai?"),
        (NODE + "routing: {reference: openai/x}", "no cloud is configured"),
        ("routing: {reference: openai}", "1: routing.reference: must be CLOUD/MODEL"),
        (CLOUD + "prices: {x/y: {input_usd_per_mtok: 1, output_usd_per_mtok: 1}}", "2: prices.x/y: must be"),
        ("aliases: {a: b, b: a}", "1: aliases.b: leads back to itself"),
        ("aliases: {a: a}", "1: aliases.a: leads back to itself"),
        ("aliases: {auto: b}", "1: aliases.auto: that word chooses a side"),
        ("aliases: {a: ''}", "1: aliases.a: must name a model or NODE/MODEL"),
        (NODE + "aliases: {a: mino/x}", "2: aliases.a: no node or cloud is called 'mino'; did you mean"),
        (NODE + "aliases: {a: Qwen/Q3}", "is called 'Qwen'; a model of that name is NODE/Qwen/Q3"),
        ("server: {keys: [{name: a, key: '${EMPTY}'}]}", "1: server.keys[0].key: is empty: nobody could"),
        ("server: {keys: [{name: a, key: x}, {name: b, key: x}]}", "keys[1].key: is the same as the key"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together(tmp_path: Path, text: str, said: str) -> None:
    """Values that are fine alone but not together lead to the line that has to change."""
    assert said in complaint(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("server: {port: 1}\nserver: {port: 2}", "2: server: is said twice, first in line 1"),
        ("server: {port: 1,\n port: 2}\nledger: a\nledger: b", "4: ledger: is said twice"),
        ("server: [", "1: this is not YAML"),
        ("a: b\n\t- x", "2: this is not YAML"),
        ("a: b\n---\nc: d", "2: this is not YAML"),
        ("a: !!python/name:os.system x", "1: this is not YAML: could not determine a constructor"),
        ("- a", "1: the file must hold keys and values"),
        ("? [a]\n: b", "1: this is not YAML: a key must be text"),
        ("nodes: &a [*a]", " it is nested too deeply, or refers to itself"),
        ("server: {port: !!int x}", " this is not YAML: invalid literal"),
        ("\x00", " this is not YAML: unacceptable character"),
    ],
)
def test_what_is_no_document(tmp_path: Path, text: str, said: str) -> None:
    """A file that is no YAML, or says a key twice, is refused with its line and without a traceback."""
    assert f"spillway.yaml:{said}" in complaint(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ledger: ${NOPE}", "1: ledger: the environment has no variable NOPE: set it first"),
        ("ledger: x\nclouds:\n- name: o\n  api_key: ${NOPE}", "4: clouds[0].api_key: the environment has no"),
        ("ledger: '${no-name}'", "1: ledger: ${ begins no variable: write ${NAME}, or $${"),
        ("ledger: '${SECRET'", "1: ledger: ${ begins no variable"),
    ],
)
def test_wrong_variables(tmp_path: Path, text: str, said: str) -> None:
    """A variable that is not set, or is no variable, is named with line and key."""
    assert f"spillway.yaml:{said}" in complaint(tmp_path, text)


def test_all_problems_at_once(tmp_path: Path) -> None:
    """Several mistakes give several lines, in the order of the file, whatever finds them."""
    wrong = "server: {prt: 1}\nrouting: {max_attempts: 0}\nnodes:\n- {name: a, url: u, slot: 1}"
    assert [line.split(":")[1] for line in complaint(tmp_path, wrong).splitlines()] == ["1", "2", "4"]
    unset = "ledger: ${ONE}\naliases: {a: '${TWO}'}"
    assert [line.split(":")[1] for line in complaint(tmp_path, unset).splitlines()] == ["1", "2"]
    apart = NODE + CLOUD + "aliases: {a: a, b: x/y}\nrouting: {reference: x/y}"
    assert [line.split(":")[1] for line in complaint(tmp_path, apart).splitlines()] == ["3", "3", "4"]


@pytest.mark.parametrize(
    "text",
    [
        "clouds: [{name: openai, api_key: '${SECRET}', models: [m], url: ['${SECRET}']}]",
        "server: {host: '${SECRET}'}",
        "nodes: [{name: '${SECRET}', url: u}, {name: '${SECRET}', url: u}]",
        "nodes: [{name: a, url: 'http://x', engine: '${SECRET}'}]",
        "nodes: [{name: a, url: 'http://u:${SECRET}@x'}]",
        "server: {port: '${SECRET}'}",
        NODE + "aliases: {a: '${SECRET}/x'}",
        NODE + "aliases: {a: '${QUOTED}/x'}",
        CLOUD + "routing: {reference: '${SECRET}'}",
        "clouds: [{name: openai, api_key: ['${SECRET}']}]",
        "server: {keys: [{name: '${SECRET}', key: x}, {name: b, key: x}]}",
    ],
)
def test_secrets_never_show(tmp_path: Path, text: str) -> None:
    """No message holds a value from the environment, wherever it was put."""
    said = complaint(tmp_path, text)
    assert "s3cret" not in said
    assert "secret" not in said.replace(str(tmp_path), "")


KEYS = sorted(
    {"auto", "openai/m", "zzz", "name", "url", "slots", "hardware", "key", "substitute"}
    | set(Config.model_fields)
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates()
TREES = st.recursive(
    SCALARS,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | SCALARS, below),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=TREES | st.dictionaries(st.sampled_from(KEYS), TREES, max_size=3))
def test_anything_is_read_or_complained_about(tree: object, tmp_path: Path) -> None:
    """Whatever a file holds, it is a configuration or a ConfigError whose lines name the file."""
    path = tmp_path / "spillway.yaml"
    path.write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8")
    said = ""
    try:
        load_config(path, {})
    except ConfigError as error:
        said = error.message
    assert all(line.startswith(str(path)) for line in said.splitlines())
