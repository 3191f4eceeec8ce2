"""The reference conversations as the real llama.cpp renders them: the demo model carries the template."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from spillway.demo.model import demo_model_path
from spillway.engines.embedded import EmbeddedEngine
from spillway.engines.http_client import HttpClient
from spillway.engines.wire import Origin
from spillway.errors import EngineUnavailable
from spillway.pinning.templates import render_by_node
from spillway.pinning.templates.reference import Reference

__all__ = ["BOS", "EOS", "engine_renderings"]

BOS, EOS = ")", "<|im_end|>"
"""The demo model's tokens as its engine hands them to templates: the model has no start token, so llama.cpp
takes the eleventh of its vocabulary."""

_WRITER_SETS = ("GGUF.version", "GGUF.tensor_count", "GGUF.kv_count", "general.architecture")


def engine_renderings(template: str) -> Reference | None:
    """What an engine with this template answers; ``None`` when it refuses to start with it."""
    return asyncio.run(_rendered(template))


async def _rendered(template: str) -> Reference | None:
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.gguf"
        _with_template(model, template)
        engine = EmbeddedEngine(model, name="bench", slots=1, context_tokens=256)
        try:
            await engine.start()
        except EngineUnavailable:
            return None
        client = HttpClient(Origin.parse(engine.url))
        try:
            return await render_by_node(client, ((b"authorization", f"Bearer {engine.api_key}".encode()),))
        finally:
            await client.close()
            await engine.stop()


def _with_template(target: Path, template: str) -> None:
    import gguf

    reader = gguf.GGUFReader(str(demo_model_path()))
    writer = gguf.GGUFWriter(str(target), str(reader.fields["general.architecture"].contents()))
    for name, field in reader.fields.items():
        if name not in _WRITER_SETS:
            value = template if name == "tokenizer.chat_template" else field.contents()
            sub_type = field.types[-1] if len(field.types) > 1 else None
            writer.add_key_value(name, value, field.types[0], sub_type=sub_type)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
