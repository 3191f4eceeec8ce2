"""Identities from what each engine tells: documented bodies of Ollama, vLLM, LM Studio; llama.cpp's shape."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import pytest

from spillway.engines.http_client import HttpClient
from spillway.engines.identify import Found, identify
from spillway.engines.told import Told, cache_kind, sha256_of
from spillway.engines.wire import Origin
from spillway.pinning.compare import changes
from spillway.pinning.identity import Identity, identities_of, templates_of
from spillway.vocabulary import ModelFacts
from tests.pinning.bodies import ADAPTER, BLOB, LM_STUDIO, MANIFEST, OLLAMA, VLLM, VLLM_METRICS
from tests.pinning.pages import found_at, serving

PROPS: dict[str, Any] = {
    "default_generation_settings": {
        "n_ctx": 4096,
        "params": {"temperature": 0.800000011920929, "top_k": 40, "samplers": ["top_k"], "stream": False},
    },
    "total_slots": 4,
    "model_path": "/models/x.gguf",
    "model_ftype": "Q4_K_M",
    "chat_template": "{{ messages }}",
    "bos_token": "<s>",
    "eos_token": "</s>",
    "build_info": "b11549-abc",
    "is_sleeping": False,
}
LLAMACPP: dict[str, Any] = {
    "/props": PROPS,
    "/v1/models": {"data": [{"id": "x", "meta": {"n_params": 4, "size": 1000, "n_vocab": 9}}]},
    "/lora-adapters": [{"id": 0, "path": "/adapters/tone.gguf", "scale": 0.5}],
}


async def identity_at(pages: Mapping[str, Any]) -> Identity:
    """The identity of the first model of a server with these pages."""
    async with serving(pages) as upstream:
        found = await found_at(upstream)
    return next(iter(identities_of(found).values()))


async def test_ollama() -> None:
    """Ollama's model file names the digests of weights and adapters; the manifest covers the rest."""
    one = await identity_at(OLLAMA)
    assert (one.engine, one.engine_version, one.model) == ("ollama", "0.30.1", "qwen3:4b")
    assert (one.weights_digest, one.weights_grade) == (f"sha256:{BLOB}", "engine_digest")
    assert one.adapters == (f"sha256:{ADAPTER} x1",)
    assert (one.quantization, one.context_tokens, one.slots) == ("Q4_K_M", 8192, None)
    assert one.sampling == {"temperature": "0.6", "stop": ('"<|im_start|>"', '"<|im_end|>"')}
    assert one.fingerprint == f"manifest:{MANIFEST}"
    assert one.capabilities == ("chat", "completion", "schema", "tools")


async def test_ollama_without_a_model_file() -> None:
    """Where the weights' own digest is not told, the manifest's stands for them."""
    shown = {key: value for key, value in OLLAMA["/api/show"].items() if key != "modelfile"}
    one = await identity_at({**OLLAMA, "/api/show": shown})
    assert one.weights_digest == f"manifest:{MANIFEST}"
    assert one.adapters == ()


async def test_an_ollama_system_text_is_part_of_the_template() -> None:
    """A system text baked into the model changes every prompt, so it changes the template's digest."""
    other = {**OLLAMA["/api/show"], "system": "You are rude."}
    first, second = await identity_at(OLLAMA), await identity_at({**OLLAMA, "/api/show": other})
    assert first.template_digest != second.template_digest
    assert first.short != second.short


async def test_vllm() -> None:
    """vLLM tells where the weights came from, which model an adapter sits on, its template and its cache."""
    async with serving(VLLM) as upstream:
        found = await found_at(upstream)
    base, tuned = identities_of(found).values()
    assert (base.engine_version, base.context_tokens, base.weights_grade) == ("0.32.0", 32768, "derived")
    assert base.template_digest == sha256_of("{{ messages }}")
    assert (base.adapters, tuned.adapters) == ((), ("support x1",))
    assert base.weights_digest == tuned.weights_digest


def test_vllm_cache() -> None:
    """How vLLM keeps its cache stands in its metrics."""
    assert cache_kind(VLLM_METRICS) == "fp8"
    assert cache_kind("nothing") is None


async def test_lm_studio() -> None:
    """LM Studio tells quantization, loaded context and settings, and neither digest nor template."""
    one = await identity_at(LM_STUDIO)
    assert (one.engine, one.quantization, one.context_tokens) == ("lmstudio", "Q4_K_M", 8192)
    assert (one.weights_grade, one.template_digest, one.sampling) == ("derived", None, None)
    assert one.fingerprint == "eval_batch_size=512.0, flash_attention=True"


async def test_llama_cpp() -> None:
    """llama.cpp tells everything but a digest; single precision is rounded to what was meant."""
    one = await identity_at(LLAMACPP)
    assert (one.engine_version, one.slots, one.context_tokens) == ("b11549-abc", 4, 4096)
    assert (one.quantization, one.weights_grade) == ("Q4_K_M", "derived")
    assert one.sampling == {"temperature": 0.8, "top_k": 40.0, "samplers": ("top_k",)}
    assert one.adapters == ("tone.gguf x0.5",)
    assert one.template_digest == sha256_of("{{ messages }}")


@pytest.mark.parametrize("path", ["/lora-adapters", "/v1/models"])
async def test_nonsense_is_nothing(path: str) -> None:
    """Bodies of another shape make fields unknown and never raise."""
    for body in (None, [], {}, "text", [None, {"path": 3}], {"data": [{"id": "x", "meta": []}]}):
        async with serving({**LLAMACPP, path: body}) as upstream:
            identities_of(await found_at(upstream))


async def test_a_model_that_is_not_loaded_has_no_context_yet() -> None:
    """Unloading a model is no change of its context: what it could hold is not what it was loaded with."""
    unloaded = deepcopy(LM_STUDIO)
    unloaded["/api/v1/models"]["models"][0]["loaded_instances"] = []
    one, other = await identity_at(LM_STUDIO), await identity_at(unloaded)
    assert (one.context_tokens, other.context_tokens) == (8192, None)
    assert changes(one, other) == ()
    idle = await identity_at({**OLLAMA, "/api/ps": {"models": []}})
    assert idle.context_tokens is None


def facts_of(told: Told) -> Found:
    """A node with one model of which that is told."""
    return Found("ready", "llamacpp", (ModelFacts(told.name),), told=(told,))


def test_a_file_digest_wins() -> None:
    """The digest of the file counts before any other; while it is being read, the weights are unknown."""
    found = facts_of(Told("m", derived="sha256:d", path="/m.gguf"))
    assert identities_of(found)["m"].weights_grade == "derived"
    pending = identities_of(found, {"/m.gguf": None})["m"]
    assert (pending.weights_digest, pending.short) == (None, None)
    read = identities_of(found, {"/m.gguf": "sha256:f"})["m"]
    assert (read.weights_digest, read.weights_grade) == ("sha256:f", "file_hash")


def test_short_covers_what_decides_quality() -> None:
    """The short form follows weights, quantization, template, adapters and name, and nothing else."""
    usual = Told("m", weights="sha256:w", quantization="Q8_0", template="t", adapters=())
    one = identities_of(facts_of(usual))["m"]
    assert one.short is not None
    assert len(one.short) == 12
    for other in (
        Told("m", weights="sha256:x", quantization="Q8_0", template="t", adapters=()),
        Told("m", weights="sha256:w", quantization="Q4_0", template="t", adapters=()),
        Told("m", weights="sha256:w", quantization="Q8_0", template="u", adapters=()),
        Told("m", weights="sha256:w", quantization="Q8_0", template="t", adapters=(("a", "1"),)),
        Told("n", weights="sha256:w", quantization="Q8_0", template="t", adapters=()),
    ):
        assert identities_of(facts_of(other))[other.name].short != one.short
    more = Told("m", "sha256:w", None, None, "Q8_0", "t", 3, {"temperature": 0.1}, (), "fp", 5, True)
    assert identities_of(facts_of(more))["m"].short == one.short


def test_templates_are_kept_by_digest() -> None:
    """The texts of templates are at hand by their digest, so that a lock can show what differs."""
    assert templates_of(facts_of(Told("m", template="text"))) == {sha256_of("text"): "text"}


async def test_vllm_extras_are_asked_once_per_start() -> None:
    """Template and cache of a vLLM are asked for again only after it was away."""
    async with serving(VLLM) as upstream:
        client = HttpClient(Origin.parse(upstream.origin))
        await identify(client)
        upstream.probes.clear()
        await identify(client)
        usual = [probe.path for probe in upstream.probes]
        upstream.refuse()
        assert (await identify(client)).state == "down"
        await upstream.accept()
        upstream.probes.clear()
        await identify(client)
        again = [probe.path for probe in upstream.probes]
        await client.close()
    assert "/tokenizer_info" not in usual
    assert "/tokenizer_info" in again
