"""Variants of a generated model, as they might appear behind a name that stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["vary"]

WRITER_SETS = ("GGUF.version", "GGUF.tensor_count", "GGUF.kv_count", "general.architecture")


def vary(
    source: Path,
    target: Path,
    *,
    template: str | None = None,
    quantization: str | None = None,
    temperature: float | None = None,
    perturbed: str | None = None,
    strength: float = 0.3,
) -> Path:
    """Writes ``source`` again with another template, quantization or default temperature, or with one tensor
    perturbed (its sizes and counts stay the same)."""
    import gguf

    reader = gguf.GGUFReader(str(source))
    writer = gguf.GGUFWriter(str(target), str(reader.fields["general.architecture"].contents()))
    for name, field in reader.fields.items():
        if name in WRITER_SETS:
            continue
        value = field.contents()
        if name == "tokenizer.chat_template" and template is not None:
            value = template
        if name == "general.file_type" and quantization is not None:
            value = int(gguf.LlamaFileType[f"MOSTLY_{quantization}"])
        sub_type = field.types[-1] if len(field.types) > 1 else None
        writer.add_key_value(name, value, field.types[0], sub_type=sub_type)
    if temperature is not None:
        writer.add_sampling_temp(temperature)
    for tensor in reader.tensors:
        data, kind = _tensor(tensor, quantization)
        if tensor.name == perturbed:
            data = _nudged(data, strength)
        writer.add_tensor(tensor.name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def _tensor(tensor: Any, quantization: str | None) -> tuple[np.ndarray, Any]:
    import gguf

    if quantization is None or tensor.data.ndim != 2 or tensor.tensor_type != gguf.GGMLQuantizationType.F32:
        return tensor.data, tensor.tensor_type
    kind = gguf.GGMLQuantizationType[quantization]
    return gguf.quants.quantize(np.asarray(tensor.data), kind), kind


def _nudged(data: np.ndarray, strength: float) -> np.ndarray:
    """The tensor with noise of a given share of its own spread (F32 only)."""
    assert data.dtype == np.float32
    generator = np.random.default_rng(11)
    spread: float = float(np.std(data))
    return (data + strength * spread * generator.standard_normal(data.shape)).astype(np.float32)
