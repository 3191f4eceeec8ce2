"""A small llama: pre-norm blocks, grouped-query attention, SwiGLU, tied embeddings.

RoPE turns neighbouring elements (0,1),(2,3)..., as llama.cpp does for this architecture, so that export needs
no weight permutation. Parameter names are the GGUF tensor names.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Shape:
    """Sizes of the network; rows stay multiples of 32 so that Q8_0 applies."""

    vocabulary: int
    width: int = 128
    blocks: int = 4
    heads: int = 4
    kv_heads: int = 4
    hidden: int = 384
    context_tokens: int = 512
    rope_base: float = 10_000.0
    norm_epsilon: float = 1e-5

    @property
    def head_width(self) -> int:
        """Elements per attention head."""
        return self.width // self.heads


class Block(nn.Module):
    """One transformer block."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        kv_width = shape.kv_heads * shape.head_width
        self.attn_norm = nn.RMSNorm(shape.width, eps=shape.norm_epsilon)
        self.attn_q = nn.Linear(shape.width, shape.width, bias=False)
        self.attn_k = nn.Linear(shape.width, kv_width, bias=False)
        self.attn_v = nn.Linear(shape.width, kv_width, bias=False)
        self.attn_output = nn.Linear(shape.width, shape.width, bias=False)
        self.ffn_norm = nn.RMSNorm(shape.width, eps=shape.norm_epsilon)
        self.ffn_gate = nn.Linear(shape.width, shape.hidden, bias=False)
        self.ffn_up = nn.Linear(shape.width, shape.hidden, bias=False)
        self.ffn_down = nn.Linear(shape.hidden, shape.width, bias=False)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
        """(batch, tokens, width) to the same."""
        x = x + self._attend(self.attn_norm(x), rotation)
        y = self.ffn_norm(x)
        return x + self.ffn_down(functional.silu(self.ffn_gate(y)) * self.ffn_up(y))

    def _attend(self, x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
        batch, tokens, _ = x.shape
        split = (batch, tokens, -1, self.shape.head_width)
        q = rotate(self.attn_q(x).view(split).transpose(1, 2), rotation)
        k = rotate(self.attn_k(x).view(split).transpose(1, 2), rotation)
        v = self.attn_v(x).view(split).transpose(1, 2)
        group = self.shape.heads // self.shape.kv_heads
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        # Written out: on a CPU the fused kernel's backward pass took 28 % of a step at these short lengths.
        ahead = torch.full((tokens, tokens), float("-inf")).triu(1)
        weights = (q @ k.transpose(-1, -2) * self.shape.head_width**-0.5 + ahead).softmax(-1)
        mixed = weights.to(v.dtype) @ v
        return self.attn_output(mixed.transpose(1, 2).reshape(batch, tokens, -1))


class ShopModel(nn.Module):
    """Token ids to the final hidden states; `logits` applies the tied output layer where it is needed."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.vocabulary, shape.width)
        self.blk = nn.ModuleList(Block(shape) for _ in range(shape.blocks))
        self.output_norm = nn.RMSNorm(shape.width, eps=shape.norm_epsilon)
        nn.init.normal_(self.token_embd.weight, std=0.02)
        for block in self.blk:
            nn.init.zeros_(block.attn_output.weight)
            nn.init.zeros_(block.ffn_down.weight)

    def forward(self, ids: Tensor) -> Tensor:
        """(batch, tokens) ids to (batch, tokens, width) hidden states."""
        x = self.token_embd(ids)
        rotation = rotation_table(self.shape, ids.shape[1])
        for block in self.blk:
            x = block(x, rotation)
        return self.output_norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores over the vocabulary."""
        return functional.linear(hidden, self.token_embd.weight)


def rotation_table(shape: Shape, tokens: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines, each (tokens, head_width / 2)."""
    steps = torch.arange(0, shape.head_width, 2) / shape.head_width
    angles = torch.outer(torch.arange(tokens), shape.rope_base**-steps)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """RoPE on (batch, heads, tokens, head_width), neighbouring elements paired."""
    cos, sin = (part.to(x.dtype) for part in rotation)
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)
