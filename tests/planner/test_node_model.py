"""The physics of one node: limits, directions and the published error."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillway.planner.catalogue import load_machines, load_models
from spillway.planner.node_model import (
    FAMILIES,
    Family,
    Machine,
    ModelShape,
    NodeModel,
    infer_family,
    layers_from_params,
    load_fit,
)

LLAMA_Q4 = ModelShape(8.03, 4.92, 131_072, layers=32)
MIXTURE = ModelShape(30.5, 18.56, 98_304, 3.3, is_moe=True, layers=48)
GPT_OSS = ModelShape(20.9, 12.1, 49_152, 3.6, is_moe=True, layers=24)
LLAMA_2 = ModelShape(6.74, 4.08, 524_288, layers=32)
CARD = Machine("nvidia-gddr", 1008, 82.58, 24)


def node(machine: Machine = CARD, model: ModelShape = LLAMA_Q4) -> NodeModel:
    """A node model with the shipped fit."""
    return NodeModel(machine, model, load_fit())


def test_published_errors_meet_the_targets() -> None:
    """The shipped fit carries cross-validated errors of at most 9 % for decode and 20 % for prefill.

    Mixtures, short prompts and batches are further off, and say so.
    """
    fit = load_fit()
    assert 0 < fit.decode_error_ratio <= 0.09
    assert fit.prefill_error_ratio < fit.mixture_prefill_error_ratio < fit.short_prefill_error_ratio < 0.5
    assert 0 < fit.prefill_error_ratio <= 0.20
    assert fit.decode_error_ratio < fit.mixture_decode_error_ratio < 0.2
    assert set(fit.batch_errors) == {
        f"{family}:{kind}" for family in FAMILIES for kind in ("dense", "mixture")
    }
    assert all(fit.decode_error_ratio < error.ratio < 0.4 for error in fit.batch_errors.values())


def test_the_error_of_a_batch_is_that_of_batches() -> None:
    """One sequence of a dense model, one of a mixture and several at once have errors of their own."""
    fit = load_fit()
    dense, mixture = node(), node(model=MIXTURE)
    assert dense.decode_error_ratio(1) == fit.decode_error_ratio
    assert mixture.decode_error_ratio(1) == fit.mixture_decode_error_ratio
    assert dense.decode_error_ratio(2) == fit.batch_errors["nvidia-gddr:dense"].ratio
    assert mixture.decode_error_ratio(2) == fit.batch_errors["nvidia-gddr:mixture"].ratio
    assert "each machine left out" in dense.batch_error.basis


H100 = Machine("nvidia-hbm", 3360, 267.6, 80)
QWEN_8B = ModelShape(8.19, 16.39, 147_456, layers=36, is_quantised=False)
QWEN_7B_Q8 = ModelShape(7.62, 8.10, 57_344, layers=28)
SPARK, M2_ULTRA = Machine("nvidia-unified", 273, 29.7), Machine("apple", 800, 27.2)


@pytest.mark.parametrize(
    ("machine", "model", "batch", "context", "measured_tok_s", "off"),
    [
        (H100, QWEN_8B, 8, 523, 962, 0.3), (H100, QWEN_8B, 64, 523, 4315, 0.15),
        (H100, QWEN_8B, 255, 527, 7719, 0.3), (H100, QWEN_8B, 63, 4383, 2510, 0.2),
        (SPARK, QWEN_7B_Q8, 8, 528, 204, 0.1), (SPARK, QWEN_7B_Q8, 32, 8208, 276, 0.15),
        (M2_ULTRA, QWEN_7B_Q8, 8, 528, 255, 0.15), (M2_ULTRA, QWEN_7B_Q8, 32, 4112, 440, 0.3),
        (SPARK, GPT_OSS, 2, 528, 97, 0.2), (SPARK, GPT_OSS, 32, 528, 628, 0.2),
        (M2_ULTRA, GPT_OSS, 2, 528, 168, 0.2), (M2_ULTRA, GPT_OSS, 32, 8208, 372, 0.2),
    ],
)  # fmt: skip
def test_batches_are_near_what_was_measured(
    machine: Machine, model: ModelShape, batch: int, context: int, measured_tok_s: float, off: float
) -> None:
    """Several sequences at once, short and long, are told about as fast as they were measured."""
    assert node(machine, model).decode_tok_s(batch, context) == pytest.approx(measured_tok_s, rel=off)


@pytest.mark.parametrize("model", [LLAMA_Q4, MIXTURE, GPT_OSS])
@pytest.mark.parametrize("family", FAMILIES)
def test_no_batch_is_slower_in_all_than_one_sequence(family: Family, model: ModelShape) -> None:
    """Two sequences give at least the tokens of one, though a mixture reads other experts for each."""
    n = node(Machine(family, 500, 40), model)
    for batch in range(1, 64):
        assert n.decode_tok_s(batch + 1, 512) >= n.decode_tok_s(batch, 512) * 0.999


def test_one_more_sequence_reads_its_cache_at_full_width() -> None:
    """What servers that batch were measured to take for a cache is a fraction of what the first one takes."""
    n = node(H100, QWEN_8B)
    first_s = n.decode_step_s(1, 4096) - n.decode_step_s(1, 0)
    second_s = n.decode_step_s(2, 4096) - n.decode_step_s(2, 0) - first_s
    assert QWEN_8B.kv_bytes_per_token * 4096 / 3360e9 < second_s < first_s / 4


@pytest.mark.parametrize(
    ("machine", "model", "measured_tok_s", "off"),
    [
        (Machine("nvidia-gddr", 1008, 82.58), LLAMA_Q4, 130.6, 0.08),
        (Machine("nvidia-gddr", 360, 26.73), LLAMA_Q4, 59.2, 0.08),
        (Machine("apple", 800, 27.2), LLAMA_Q4, 78.8, 0.12),
        (Machine("nvidia-hbm", 1940, 77.97), LLAMA_Q4, 140.6, 0.12),
    ],
)
def test_decode_is_near_what_was_measured(
    machine: Machine, model: ModelShape, measured_tok_s: float, off: float
) -> None:
    """On machines of the fit itself the prediction stays within the published error of the measurement."""
    assert node(machine, model).decode_tok_s(1, 256) == pytest.approx(measured_tok_s, rel=off)


@given(st.integers(1, 64), st.integers(0, 32_768))
def test_decode_never_beats_the_memory(batch: int, context: int) -> None:
    """No step is faster than reading weights and caches once at the listed bandwidth."""
    for family in FAMILIES:
        n = node(Machine(family, 500, 40))
        read_gb = LLAMA_Q4.weights_gb + batch * context * LLAMA_Q4.kv_bytes_per_token / 1e9
        assert n.decode_step_s(batch, context) >= read_gb / 500


@given(st.integers(1, 63), st.integers(0, 32_000))
def test_batches_give_more_tokens_but_slower_ones(batch: int, context: int) -> None:
    """One more sequence raises the node's tokens per second and lengthens the step."""
    n = node()
    assert n.decode_step_s(batch + 1, context) > n.decode_step_s(batch, context)
    assert n.decode_step_s(batch, context + 500) > n.decode_step_s(batch, context)
    if batch < 8 and context < 2000:
        assert n.decode_tok_s(batch + 1, context) > n.decode_tok_s(batch, context)


def test_cached_prefix_saves_its_share_of_prefill() -> None:
    """A prompt that is nearly all cached costs about one pass over the weights, never nothing."""
    n = node()
    cold, half, hot = (n.prefill_s(8192, cached) for cached in (0, 4096, 8192))
    assert cold > half > hot
    assert half > cold / 2  # the later half attends to the earlier one
    assert hot == pytest.approx(n.decode_step_s(1, 8191), rel=0.01)


def test_mixture_reads_more_experts_in_bigger_batches() -> None:
    """A batch of one reads the active share of the weights; a large batch reads nearly all of them.

    What every token reads, attention before all, is read once, and tokens choose experts alike.
    """
    assert 1.2 * MIXTURE.read_gb(1) < MIXTURE.read_gb(2) < 1.4 * MIXTURE.read_gb(1)
    assert MIXTURE.read_gb(1) == pytest.approx(18.56 * 3.3 / 30.5)
    assert 0.9 < MIXTURE.read_gb(64) / MIXTURE.weights_gb < 0.99 < MIXTURE.read_gb(128) / MIXTURE.weights_gb
    assert (
        node(model=MIXTURE).decode_tok_s() > node(model=replace(MIXTURE, is_moe=False)).decode_tok_s() * 0.8
    )
    assert node(model=MIXTURE).decode_tok_s() > node().decode_tok_s()


@pytest.mark.parametrize(
    ("model", "tokens", "measured_ms", "off"),
    [
        (MIXTURE, 8, 111, 0.35), (MIXTURE, 32, 178, 0.2), (MIXTURE, 128, 274, 0.2),
        (MIXTURE, 4096, 6651, 0.3), (GPT_OSS, 32, 116, 0.3), (GPT_OSS, 64, 127, 0.4),
        (LLAMA_2, 32, 55, 0.25), (LLAMA_2, 128, 168, 0.35),
    ],
)  # fmt: skip
def test_short_prompts_and_mixtures_are_near_what_was_measured(
    model: ModelShape, tokens: int, measured_ms: float, off: float
) -> None:
    """A prompt pays for the weights that its tokens touch, which of a mixture are soon nearly all."""
    strix_halo = Machine("amd-unified", 256, 59.4)
    assert node(strix_halo, model).prefill_s(tokens) == pytest.approx(measured_ms / 1e3, rel=off)


@given(st.integers(1, 2048), st.integers(0, 8192))
def test_no_prompt_is_read_faster_than_its_weights(tokens: int, cached: int) -> None:
    """Whatever the length, the weights that its tokens touch are read at the listed bandwidth at most."""
    for family in FAMILIES:
        for model in (LLAMA_Q4, MIXTURE):
            n = node(Machine(family, 500, 40), model)
            assert n.prefill_s(cached + tokens, cached) >= model.read_gb(min(tokens, 512)) / 500
            assert n.prefill_s(cached + tokens, cached) >= n.pass_s


def test_a_prompt_and_a_step_of_as_many_tokens_are_the_same_pass() -> None:
    """Reading a prompt, and writing a token for each of as many sequences, differ by the columns alone."""
    n = node(model=MIXTURE)
    assert n.decode_step_s(32, 0) == pytest.approx(n.prefill_s(32), rel=0.05)


def test_prompts_read_together_share_a_pass() -> None:
    """What two prompts save that are read at once is a pass over the weights, slower where prompts are."""
    n = node()
    assert n.pass_s == pytest.approx(n.decode_step_s(1, 0))
    slow = n.calibrated(80.0, n.prefill_tok_s() / 2)
    assert slow.pass_s == pytest.approx(2 * n.pass_s)


def test_the_error_is_that_of_the_prompt_asked_about() -> None:
    """Short prompts and mixtures rest on one machine and have errors of their own."""
    fit = load_fit()
    assert node().prefill_error_ratio(512) == fit.prefill_error_ratio
    assert node().prefill_error_ratio(511) == fit.short_prefill_error_ratio
    assert node(model=MIXTURE).prefill_error_ratio(4096) == fit.mixture_prefill_error_ratio


@pytest.mark.parametrize(
    ("memory_gb", "allowed_mib"),
    [(16, 12_124), (24, 18_186), (32, 25_559), (36, 28_754), (48, 38_338), (64, 53_084), (128, 110_100),
     (512, 475_136)],
)  # fmt: skip
def test_a_mac_lends_its_gpu_what_metal_allows(memory_gb: float, allowed_mib: float) -> None:
    """Weights and cache may fill what ``recommendedMaxWorkingSetSize`` was logged as for that memory."""
    mac = Machine("apple", 273, 9.2, memory_gb)
    assert mac.usable_share == pytest.approx(allowed_mib / 1024 / memory_gb, abs=0.007)
    assert Machine("nvidia-gddr", 1008, 82.58, memory_gb).usable_share == 0.9


def test_slots_follow_from_memory() -> None:
    """Slots are what is left beside the weights over the cache of one sequence; unknown memory is unknown."""
    n = node()
    free_gb = 24 * 0.9 - 4.92
    assert n.slots(8192) == int(free_gb * 1e9 / 131_072 // 8192)
    assert node(Machine("nvidia-gddr", 1008, 82.58)).slots(8192) is None
    assert node(Machine("nvidia-gddr", 1008, 82.58, 4)).slots(8192) == 0


def test_every_family_has_every_coefficient() -> None:
    """No family lacks a term that would make its work free."""
    for family in FAMILIES:
        n = node(Machine(family, 500, 40))
        floats = node(Machine(family, 500, 40), replace(LLAMA_Q4, is_quantised=False))
        assert n.prefill_tok_s(512) < 50_000
        assert floats.prefill_tok_s(512) < 50_000
        assert n.prefill_s(4096) > 8 * n.prefill_s(512)


def test_families_are_inferred_for_the_whole_catalogue() -> None:
    """Bandwidth and compute alone name the right family for every machine in the catalogue."""
    for entry in load_machines().values():
        assert infer_family(entry.bandwidth_gb_s.value, entry.tflops.value) == entry.family, entry.key


@pytest.mark.parametrize(
    ("bandwidth_gb_s", "tflops", "family"),
    [
        (360, 12.74, "nvidia-gddr"), (768, 27.8, "nvidia-gddr"), (448, 16.2, "nvidia-gddr"),
        (608.3, 21.75, "nvidia-gddr"), (912.4, 30.64, "nvidia-gddr"), (288, 8.0, "nvidia-gddr"),
        (717, 48.74, "nvidia-gddr"), (864, 91.6, "nvidia-gddr"), (1792, 125, "nvidia-gddr"),
        (1340, 66.9, "nvidia-gddr"), (1560, 77.97, "nvidia-hbm"), (1130, 32.7, "nvidia-hbm"),
        (3350, 267, "nvidia-hbm"), (68.25, 2.61, "apple"), (150, 6.39, "apple"), (400, 14.2, "apple"),
        (400, 7.8, "apple"), (154, 4.3, "apple"),
    ],
)  # fmt: skip
def test_common_cards_and_chips_are_told_apart(bandwidth_gb_s: float, tflops: float, family: str) -> None:
    """A Mac is known by a bandwidth that Apple sells, HBM by what GDDR does not reach with so few TFLOPS."""
    assert infer_family(bandwidth_gb_s, tflops) == family


def test_layers_are_derived_within_a_fifth() -> None:
    """The derived layer count is close to the published one of every dense model in the catalogue."""
    for model in load_models().values():
        if not model.is_moe and model.active_params_b is None:
            assert layers_from_params(model.params_b.value) == pytest.approx(model.layers.value, rel=0.35)


def test_calibration_meets_the_measured_speeds() -> None:
    """A node scaled to measured speeds predicts exactly these, and keeps its shape elsewhere."""
    found = node().calibrated(80.0, 1500.0, context_tokens=1000, prompt_tokens=2000)
    assert found.decode_tok_s(1, 1000) == pytest.approx(80)
    assert found.prefill_tok_s(2000) == pytest.approx(1500)
    assert found.decode_tok_s(1, 8000) < 80
    assert found.grade == "measured"
    slow = node().calibrated(0.5, 100.0)
    assert slow.prefill_tok_s(512) == pytest.approx(100), "a slow step hides no slower prompt"
    assert node().calibrated(80.0).prefill_tok_s(2000) == pytest.approx(node().prefill_tok_s(2000))
    with pytest.raises(ValueError, match="positive"):
        node().calibrated(0.0)
