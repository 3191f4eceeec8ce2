"""A slower copy of a model that gives the same answers: extra blocks that compute and then add nothing.

A transformer block adds its attention and feed-forward outputs to what passes through. With both output
matrices zero it adds exactly zero, yet every multiplication is still done: the latency is real work and grows
by one block's time for each. For the demo model that is 1.1-1.4 ms a request and 0.23 MB for each extra block
(measured 2026-11-24 up to 240 blocks, one engine thread on a shared 2-core x86-64 server).
"""

import os
import tempfile
from pathlib import Path
from typing import Any

_ZEROED = ("attn_output.weight", "ffn_down.weight")
_WRITER_SETS = ("GGUF.version", "GGUF.tensor_count", "GGUF.kv_count", "general.architecture")


def build_slow_twin(source: Path, target: Path, extra_blocks: int) -> None:
    """`target` is the source's model, metadata, tokenizer and template with identity blocks appended.

    Written beside `target` and moved over it, so a reader never sees half a file. Takes 0.1-0.2 s up to 240
    blocks.
    Raises `ValueError` for a negative count or a source without transformer blocks.
    """
    if extra_blocks < 0:
        raise ValueError(f"extra_blocks must be 0 or more, got {extra_blocks}")
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    os.close(handle)
    part = Path(name)
    try:
        _write_twin(source, part, extra_blocks)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def blocks_for_latency(
    target_ms: float,
    measured_ms: float,
    probed_ms: float | None = None,
    probe_blocks: int = 0,
    own_blocks: int = 4,
) -> int:
    """Extra blocks that bring one request from `measured_ms` to about `target_ms`.

    With a second measurement (`probed_ms`, taken with `probe_blocks` extra blocks) the time per block is the
    slope between the two. Without one, the whole request is shared among `own_blocks`: an upper bound of a
    block's time, since sampling and HTTP are counted in, so the twin may come out faster than asked.
    """
    if probed_ms is not None and probe_blocks > 0:
        per_block_ms = (probed_ms - measured_ms) / probe_blocks
    else:
        per_block_ms = measured_ms / own_blocks
    if per_block_ms <= 0 or target_ms <= measured_ms:
        return 0
    return round((target_ms - measured_ms) / per_block_ms)


def _write_twin(source: Path, target: Path, extra_blocks: int) -> None:
    import gguf

    reader = gguf.GGUFReader(str(source))
    architecture = str(reader.fields["general.architecture"].contents())
    block_count_key = f"{architecture}.block_count"
    if block_count_key not in reader.fields:
        raise ValueError(f"{source} has no {block_count_key}: not a model made of transformer blocks")
    own_blocks = int(reader.fields[block_count_key].contents())
    writer = gguf.GGUFWriter(str(target), architecture)
    for name, field in reader.fields.items():
        if name not in _WRITER_SETS:
            value = own_blocks + extra_blocks if name == block_count_key else field.contents()
            _copy_field(writer, name, field, value)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    _add_identity_blocks(writer, reader.tensors, own_blocks, extra_blocks)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _copy_field(writer: Any, name: str, field: Any, value: Any) -> None:
    sub_type = field.types[-1] if len(field.types) > 1 else None
    writer.add_key_value(name, value, field.types[0], sub_type=sub_type)


def _add_identity_blocks(writer: Any, tensors: list[Any], own_blocks: int, extra_blocks: int) -> None:
    """Copies of the last block, output matrices zeroed: zero bytes are zero in F32, F16 and Q8_0 alike."""
    import numpy as np

    last = f"blk.{own_blocks - 1}."
    for block in range(own_blocks, own_blocks + extra_blocks):
        for tensor in tensors:
            if tensor.name.startswith(last):
                part = tensor.name.removeprefix(last)
                data = np.zeros_like(tensor.data) if part in _ZEROED else tensor.data
                writer.add_tensor(f"blk.{block}.{part}", data, raw_dtype=tensor.tensor_type)
