"""Real engines for tests: a tiny random model built on the spot, served by the real llama.cpp."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

__all__ = ["build_micro_bert", "build_micro_gguf", "needs_engine"]

needs_engine = pytest.mark.skipif(
    importlib.util.find_spec("xllamacpp") is None, reason="xllamacpp has no wheel for this machine"
)

CHAT_TEMPLATE = (
    "{%- for m in messages -%}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    "{%- endfor -%}{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}"
)


def build_micro_gguf(path: Path, *, seed: int = 7, context_tokens: int = 512, blocks: int = 2) -> Path:
    """Writes a random llama model of about 0.1 M parameters (byte vocabulary) in hundredths of a second."""
    import gguf

    width, heads, ffn = 64, 4, 128
    tokens = [*_byte_tokens(), "<|im_start|>", "<|im_end|>"]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(context_tokens)
    writer.add_embedding_length(width)
    writer.add_block_count(blocks)
    writer.add_feed_forward_length(ffn)
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(width // heads)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * 256 + [3, 3])
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(257)
    writer.add_bos_token_id(256)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)
    for name, shape in _shapes(len(tokens), width, ffn, blocks).items():
        writer.add_tensor(name, _tensor(name, shape, seed))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def build_micro_bert(path: Path, *, context_tokens: int = 128) -> Path:
    """Writes a random BERT of about 15,000 parameters that embeds lower-case letters."""
    import gguf

    width, ffn = 32, 64
    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *("\u2581" + a for a in letters), *letters]
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_context_length(context_tokens)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(ffn)
    writer.add_head_count(2)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("bert")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * 5 + [1] * (len(tokens) - 5))
    writer.add_token_type_count(2)
    for name, number in (("pad", 0), ("unk", 1), ("bos", 2), ("sep", 3), ("mask", 4)):
        getattr(writer, f"add_{name}_token_id")(number)
    for name, shape in _bert_shapes(len(tokens), context_tokens, width, ffn).items():
        writer.add_tensor(name, _tensor(name, shape, seed=7))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _bert_shapes(vocabulary: int, context: int, width: int, ffn: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (vocabulary, width),
        "position_embd.weight": (context, width),
        "token_types.weight": (2, width),
    }
    layers = {"blk.0.ffn_up": (ffn, width), "blk.0.ffn_down": (width, ffn)}
    layers |= {f"blk.0.attn_{part}": (width, width) for part in ("q", "k", "v", "output")}
    for name, shape in layers.items():
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = shape, shape[:1]
    for norm in ("token_embd_norm", "blk.0.attn_output_norm", "blk.0.layer_output_norm"):
        shapes[f"{norm}.weight"] = shapes[f"{norm}.bias"] = (width,)
    return shapes


def _byte_tokens() -> list[str]:
    """GPT-2's printable stand-ins for the 256 bytes, in its order."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + i) for i in range(len(others))]


def _shapes(vocabulary: int, width: int, ffn: int, blocks: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (vocabulary, width),
        "output_norm.weight": (width,),
    }
    for i in range(blocks):
        for norm in ("attn_norm", "ffn_norm"):
            shapes[f"blk.{i}.{norm}.weight"] = (width,)
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            shapes[f"blk.{i}.{part}.weight"] = (width, width)
        shapes[f"blk.{i}.ffn_up.weight"] = shapes[f"blk.{i}.ffn_gate.weight"] = (ffn, width)
        shapes[f"blk.{i}.ffn_down.weight"] = (width, ffn)
    return shapes


def _tensor(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    if "norm" in name:
        return np.ones(shape, dtype=np.float32)
    generator = np.random.default_rng([seed, *name.encode()])
    return (0.2 * generator.standard_normal(shape)).astype(np.float32)
