"""Write a run as a Q8_0 GGUF with its sha256: `python -m training.shop_model.export --run DIR --to FILE`."""

import argparse
import hashlib
import json
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf.quants import quantize

from training.shop_model import vocabulary
from training.shop_model.network import Shape

NAME = "spillway shop inbox"
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] not in ['system', 'user', 'assistant'] -%}"
    "{{- raise_exception('this model knows the roles system, user and assistant, not ' + message['role']) -}}"
    "{%- endif -%}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)


def export(run: Path, target: Path) -> str:
    """The sha256 of the GGUF now at `target`; the digest also stands beside it in `sha256sum` form."""
    shape = Shape(**json.loads((run / "run.json").read_text())["shape"])
    writer = gguf.GGUFWriter(str(target), "llama")
    add_shape(writer, shape)
    add_tokenizer(writer, run / "tokenizer.json")
    weights = torch.load(run / "weights.pt", map_location="cpu", weights_only=True)
    for name, weight in weights.items():
        add_weight(writer, name, weight.float().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    target.with_name(f"{target.name}.sha256").write_text(f"{digest}  {target.name}\n", encoding="ascii")
    return digest


def add_shape(writer: gguf.GGUFWriter, shape: Shape) -> None:
    """Name and sizes."""
    writer.add_name(NAME)
    writer.add_license("Apache-2.0")
    writer.add_context_length(shape.context_tokens)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.blocks)
    writer.add_feed_forward_length(shape.hidden)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(shape.norm_epsilon)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)


def add_tokenizer(writer: gguf.GGUFWriter, path: Path) -> None:
    """Pieces, merges, specials and the chat template."""
    model = json.loads(path.read_text(encoding="utf-8"))["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    special = {token: i for i, token in enumerate(tokens) if token in vocabulary.SPECIALS}
    kinds = [gguf.TokenType.CONTROL if token in special else gguf.TokenType.NORMAL for token in tokens]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(merge) for merge in model["merges"]])
    writer.add_eos_token_id(special[vocabulary.END])
    writer.add_eot_token_id(special[vocabulary.END])
    writer.add_pad_token_id(special[vocabulary.PAD])
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def add_weight(writer: gguf.GGUFWriter, name: str, weight: np.ndarray) -> None:
    """Matrices as Q8_0, norms as they are; the output layer is tied, so there is none."""
    if weight.ndim == 1:
        writer.add_tensor(name, weight)
        return
    kind = gguf.GGMLQuantizationType.Q8_0
    writer.add_tensor(name, quantize(weight, kind), raw_dtype=kind)


def main() -> None:
    """Parse the arguments, export, say what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True)
    arguments = parser.parse_args()
    digest = export(arguments.run, arguments.to)
    print(f"{arguments.to} {arguments.to.stat().st_size:,} bytes sha256 {digest}")


if __name__ == "__main__":
    main()
