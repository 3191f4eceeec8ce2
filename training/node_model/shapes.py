"""The models that were measured, by the names the measurements give them."""

from __future__ import annotations

from spillway.planner.node_model import ModelShape

MODELS: dict[tuple[str, str], ModelShape] = {
    ("Llama-3-8B", "Q4_K_M"): ModelShape(8.03, 4.92, 131_072, layers=32),
    ("Llama-3-8B", "F16"): ModelShape(8.03, 16.07, 131_072, layers=32, is_quantised=False),
    ("Llama-3-70B", "Q4_K_M"): ModelShape(70.6, 42.52, 327_680, layers=80),
    ("Llama-3-70B", "F16"): ModelShape(70.6, 141.1, 327_680, layers=80, is_quantised=False),
    ("Llama 3.2:3b", "default"): ModelShape(3.21, 2.02, 114_688, layers=28),
    ("DeepSeek R1 14b", "default"): ModelShape(14.77, 8.99, 196_608, layers=48),
    ("Llama 3.1:70b", "default"): ModelShape(70.6, 42.52, 327_680, layers=80),
    ("gpt-oss 20b", "default"): ModelShape(20.9, 13.8, 49_152, 3.6, is_moe=True, layers=24),
    ("llama-2-7b.Q4_0", "Q4_0"): ModelShape(6.74, 3.83, 524_288, layers=32),
    ("llama-2-7b.Q4_K_M", "Q4_K_M"): ModelShape(6.74, 4.08, 524_288, layers=32),
    ("Mistral-Small-3.1-24B-Instruct-2503-UD-Q4_K_XL", "Q4_K_XL"): ModelShape(
        23.57, 14.5, 163_840, layers=40
    ),
    ("gemma-3-27b-it-UD-Q4_K_XL", "Q4_K_XL"): ModelShape(27.0, 16.8, 90_000, layers=62),
    ("shisa-v2-llama3.3-70b.i1-Q4_K_M", "Q4_K_M"): ModelShape(70.6, 42.52, 327_680, layers=80),
    ("Qwen3-30B-A3B-UD-Q4_K_XL", "Q4_K_XL"): ModelShape(30.5, 17.7, 98_304, 3.3, is_moe=True, layers=48),
    ("gpt-oss-20b-mxfp4", "MXFP4"): ModelShape(20.9, 12.1, 49_152, 3.6, is_moe=True, layers=24),
    ("gpt-oss-20b-F16", "F16"): ModelShape(20.9, 12.8, 49_152, 3.6, is_moe=True, layers=24),
    ("GLM-4.5-Air-UD-Q4_K_XL", "Q4_K_XL"): ModelShape(106.9, 71.1, 188_416, 12.0, is_moe=True, layers=46),
    ("Hunyuan-A13B-Instruct-UD-Q6_K_XL", "Q6_K_XL"): ModelShape(
        80.4, 70.7, 131_072, 13.0, is_moe=True, layers=32
    ),
    ("Llama-4-Scout-17B-16E-Instruct-UD-Q4_K_XL", "Q4_K_XL"): ModelShape(
        107.8, 61.6, 196_608, 17.0, is_moe=True, layers=48
    ),
    ("dots.llm1.inst-UD-Q4_K_XL", "Q4_K_XL"): ModelShape(
        142.8, 86.7, 1_015_808, 14.0, is_moe=True, layers=62
    ),
    ("Qwen3-235B-A22B-Instruct-2507-UD-Q3_K_XL", "Q3_K_XL"): ModelShape(
        235.1, 104.0, 192_512, 22.0, is_moe=True, layers=94
    ),
    ("Llama 3.1:405b", "default"): ModelShape(405.9, 243.0, 516_096, layers=126),
    ("DeepSeek R1 671b", "default"): ModelShape(671.0, 404.0, 70_272, 37.0, is_moe=True, layers=61),
    ("Ministral-3-14B-Instruct-2512-BF16", "BF16"): ModelShape(
        13.5, 27.0, 163_840, layers=40, is_quantised=False
    ),
    ("gemma-4-31B-it-BF16", "BF16"): ModelShape(30.7, 61.4, 90_000, layers=60, is_quantised=False),
    ("gemma-4-31B-it-UD-Q4_K_XL", "Q4_K_XL"): ModelShape(30.7, 18.8, 90_000, layers=60),
    ("gemma-4-31B-it-UD-Q8_K_XL", "Q8_K_XL"): ModelShape(30.7, 35.0, 90_000, layers=60),
    ("Qwen3.6-27B-UD-Q8_K_XL", "Q8_K_XL"): ModelShape(27.0, 33.0, 65_536, layers=64),
    ("gemma-4-26B-A4B-it-BF16", "BF16"): ModelShape(
        25.2, 50.5, 50_000, 3.8, is_moe=True, layers=30, is_quantised=False
    ),
    ("gemma-4-26B-A4B-it-UD-Q4_K_XL", "Q4_K_XL"): ModelShape(25.2, 17.0, 50_000, 3.8, is_moe=True, layers=30),
    ("gemma-4-26B-A4B-it-UD-Q8_K_XL", "Q8_K_XL"): ModelShape(25.2, 27.6, 50_000, 3.8, is_moe=True, layers=30),
    ("gpt-oss-120b-mxfp4", "MXFP4"): ModelShape(116.8, 63.4, 73_728, 5.1, is_moe=True, layers=36),
    ("Qwen3.6-35B-A3B-BF16", "BF16"): ModelShape(
        34.7, 69.4, 20_480, 3.0, is_moe=True, layers=40, is_quantised=False
    ),
    ("Qwen3.6-35B-A3B-UD-Q4_K_XL", "Q4_K_XL"): ModelShape(34.7, 22.3, 20_480, 3.0, is_moe=True, layers=40),
    ("Qwen3.6-35B-A3B-UD-Q8_K_XL", "Q8_K_XL"): ModelShape(34.7, 38.5, 20_480, 3.0, is_moe=True, layers=40),
    ("GLM-4.7-Flash-BF16", "BF16"): ModelShape(
        29.9, 59.9, 54_144, 3.6, is_moe=True, layers=47, is_quantised=False
    ),
    ("GLM-4.7-Flash-UD-Q8_K_XL", "Q8_K_XL"): ModelShape(29.9, 33.2, 54_144, 3.6, is_moe=True, layers=47),
    ("MiniMax-M2.7-UD-Q3_K_S", "Q3_K_S"): ModelShape(228.7, 94.0, 253_952, 10.0, is_moe=True, layers=62),
    ("Qwen3.5-122B-A10B-UD-Q5_K_XL", "Q5_K_XL"): ModelShape(
        122.0, 88.0, 24_576, 10.0, is_moe=True, layers=48
    ),
    ("NVIDIA-Nemotron-3-Super-120B-A12B-UD-Q4_K_XL", "Q4_K_XL"): ModelShape(
        120.7, 83.0, 10_000, 12.7, is_moe=True, layers=88
    ),
}
"""Weights of the six mixtures from GLM-4.5 to Qwen3-235B: the memory that the measurement says they took; of
GLM-4.7 at Q8_K_XL: by the bits a weight that Qwen3.6 has so. Caches count the layers that see everything."""

BATCHED: dict[tuple[str, str], ModelShape] = {
    # The models of the batch measurements: llama.cpp's file by file, ML.ENERGY's in 16 bit or as published.
    ("gpt-oss-20b", "MXFP4"): ModelShape(20.9, 12.1, 49_152, 3.6, is_moe=True, layers=24),
    ("gpt-oss-120b", "MXFP4"): ModelShape(116.8, 63.4, 73_728, 5.1, is_moe=True, layers=36),
    ("Qwen3-Coder-30B-A3B", "Q8_0"): ModelShape(30.5, 32.48, 98_304, 3.3, is_moe=True, layers=48),
    ("Qwen2.5-Coder-7B", "Q8_0"): ModelShape(7.62, 8.10, 57_344, layers=28),
    ("gemma-3-4b", "Q4_0"): ModelShape(3.88, 2.52, 139_264, layers=34),
    ("GLM-4.7-Flash", "Q8_0"): ModelShape(29.9, 31.8, 54_144, 3.6, is_moe=True, layers=47),
    ("llama-8b", "BF16"): ModelShape(8.03, 16.07, 131_072, layers=32, is_quantised=False),
    ("llama-8b", "F16"): ModelShape(8.03, 16.07, 131_072, layers=32, is_quantised=False),
    ("llama-8b", "Q4_0"): ModelShape(8.03, 4.66, 131_072, layers=32),
    ("gemma-4-26B-A4B", "Q4_K_M"): ModelShape(25.2, 16.8, 50_000, 3.8, is_moe=True, layers=30),
    ("Qwen3-8B", "bfloat16"): ModelShape(8.19, 16.39, 147_456, layers=36, is_quantised=False),
    ("Qwen3-14B", "bfloat16"): ModelShape(14.77, 29.54, 163_840, layers=40, is_quantised=False),
    ("Qwen3-32B", "bfloat16"): ModelShape(32.76, 65.52, 262_144, layers=64, is_quantised=False),
    ("Llama-3.1-8B", "bfloat16"): ModelShape(8.03, 16.07, 131_072, layers=32, is_quantised=False),
    ("gemma-3-12b", "bfloat16"): ModelShape(12.2, 24.4, 393_216, layers=48, is_quantised=False),
    ("gemma-3-27b", "bfloat16"): ModelShape(27.4, 54.9, 507_904, layers=62, is_quantised=False),
    ("Qwen3-30B-A3B", "bfloat16"): ModelShape(
        30.5, 61.1, 98_304, 3.3, is_moe=True, layers=48, is_quantised=False
    ),
    ("gpt-oss-20b", "mxfp4"): ModelShape(20.9, 12.1, 49_152, 3.6, is_moe=True, layers=24),
    ("gpt-oss-120b", "mxfp4"): ModelShape(116.8, 63.4, 73_728, 5.1, is_moe=True, layers=36),
}
"""Gemma 3 within its window of 1,024 tokens, where all its layers see everything."""
