"""The ways in which models write tool calls, recognised in a rendered history."""

from __future__ import annotations

import re
from dataclasses import dataclass

from spillway.pinning.templates.conversations import CALLED

__all__ = ["FORMATS", "ToolFormat", "tool_format"]


@dataclass(frozen=True, slots=True)
class ToolFormat:
    """``pattern`` finds the reference call written this way; ``vllm_parser`` is the value that vLLM wants in
    ``--tool-call-parser``, ``None`` where it has no parser for it. llama.cpp finds the format by itself."""

    name: str
    pattern: re.Pattern[str]
    vllm_parser: str | None


def _format(name: str, pattern: str, vllm_parser: str | None = None) -> ToolFormat:
    return ToolFormat(name, re.compile(pattern.replace("NAME", re.escape(CALLED))), vllm_parser)


FORMATS: tuple[ToolFormat, ...] = (
    _format("qwen3-coder", r"(?<!seed:tool_call>\n)<function=NAME>\s*<parameter=anchorage>", "qwen3_coder"),
    _format("seed-oss", r"<seed:tool_call>\s*<function=NAME>\s*<parameter=anchorage>", "seed_oss"),
    _format("hermes", r'<tool_call>\s*\{"name": ?"NAME", ?"arguments": ?\{', "hermes"),
    _format("glm", r"<tool_call>NAME\s*<arg_key>anchorage</arg_key>", "glm45"),
    _format("mistral", r'\[TOOL_CALLS\]\s*\[\{"name": ?"NAME"', "mistral"),
    _format("mistral-args", r"\[TOOL_CALLS\]NAME(\[CALL_ID\]\w+)?\[ARGS\]\{", "mistral"),
    _format("functionary-3.1", r"<function=NAME>\{"),
    _format("functionary-3.2", r">>>NAME\n\{"),
    _format("firefunction", r'functools\[\{"name": ?"NAME"'),
    _format("deepseek-v3", r"<｜tool▁call▁begin｜>function<｜tool▁sep｜>NAME\n```json", "deepseek_v3"),
    _format("deepseek-v3.1", r"<｜tool▁call▁begin｜>NAME<｜tool▁sep｜>\{", "deepseek_v31"),
    _format("deepseek-v3.2", r'<｜DSML｜invoke name="NAME">', "deepseek_v32"),
    _format("kimi-k2", r"<\|tool_call_begin\|>functions\.NAME:\d+<\|tool_call_argument_begin\|>", "kimi_k2"),
    _format("harmony", r"to=functions\.NAME\b.*?<\|message\|>\{", "openai"),
    _format("command-r", r'Action:\s*```json\s*\[\s*\{\s*"tool_name": ?"NAME"'),
    _format("command-r7b", r'<\|START_ACTION\|>\[\s*\{[^}]*"tool_name": ?"NAME"'),
    _format("granite", r'<\|tool_call\|>\s*\[?\{"name": ?"NAME"', "granite"),
    _format("gemma-4", r"<\|tool_call>call:NAME\{"),
    _format("gigachat-3", r'function call<\|role_sep\|>\n\{"name": ?"NAME"', "gigachat3"),
    _format("gigachat-3.1", r'<\|function_call\|>\{"name": ?"NAME"', "gigachat3"),
    _format("apertus", r'<\|tools_prefix\|>\[\{"NAME": ?\{'),
    _format("apriel", r'<tool_calls>\[\{"name": ?"NAME"'),
    _format("lfm2", r"<\|tool_call_start\|>\[NAME\("),
    _format("minimax", r'<invoke name="NAME">', "minimax_m2"),
    _format("python-tag", r"<\|python_tag\|>.{0,40}NAME"),
    _format("llama-3", r'\{"name": ?"NAME", ?"parameters": ?\{', "llama3_json"),
    _format("pythonic", r"\[NAME\(anchorage=", "pythonic"),
    _format("plain-json", r'\{"name": ?"NAME", ?"arguments": ?\{'),
)
"""Special marks first, bare JSON last: the first that matches is the format."""


def tool_format(prompt: str) -> ToolFormat | None:
    """The format in which the prompt holds the reference call; ``None`` when it is none of those known."""
    return next((known for known in FORMATS if known.pattern.search(prompt)), None)
