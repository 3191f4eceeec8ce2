"""The demo model's tokenizer: byte-level pieces that read a word alike with and without a space before it.

llama.cpp's `llama-bpe` pre-tokenizer glues a leading space to its word, which would give one item word two
spellings (after a space in the message, after a quote in the JSON). Copying is much easier to learn when both
are the same pieces, so no merge here contains a space. Frequent words, all numbers of up to three digits and
the JSON's punctuation are whole tokens, found by the whole-piece lookup before merging (`ignore_merges`).
"""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers, trainers
from tokenizers.decoders import ByteLevel as ByteLevelDecoder

from spillway.demo import shop

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIALS = (PAD, START, END)
LLAMA_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
MERGED_PIECES = 1400
SPACED_WORDS = 250
WHOLE_PIECES = 300


def build(corpus: list[str]) -> Tokenizer:
    """A tokenizer for the corpus, ready for training and for export."""
    merges, pieces = _merges(corpus)
    numbers = [str(n).zfill(width) for width in (2, 3) for n in range(10**width)]
    tokens = list(dict.fromkeys([*SPECIALS, *pieces, *numbers, *_frequent(corpus)]))
    model = models.BPE({token: i for i, token in enumerate(tokens)}, merges, ignore_merges=True)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = _as_served()
    tokenizer.decoder = ByteLevelDecoder()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIALS])
    return tokenizer


def _as_served() -> pre_tokenizers.PreTokenizer:
    split = pre_tokenizers.Split(Regex(LLAMA_PATTERN), "isolated")
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def _merges(corpus: Iterable[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """Merge rules and their pieces, learnt from words without their spaces."""
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(" ", "removed"), _as_served()])
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    learner.train_from_iterator(
        corpus,
        trainers.BpeTrainer(vocab_size=256 + MERGED_PIECES, initial_alphabet=alphabet, show_progress=False),
    )
    learnt = json.loads(learner.to_str())["model"]
    pieces = sorted(learnt["vocab"], key=learnt["vocab"].__getitem__)
    return [tuple(merge) for merge in learnt["merges"]], pieces


def _frequent(corpus: Iterable[str]) -> list[str]:
    """Whole pieces worth a token: frequent ones without a space, and spaced ones that are not items."""
    counted: Counter[str] = Counter()
    splitter = _as_served()
    for text in corpus:
        counted.update(piece for piece, _ in splitter.pre_tokenize_str(text) if not piece[-1].isdigit())
    items = {f"Ġ{word}" for words in shop.trained_words() for word in words}
    ranked = [piece for piece, _ in counted.most_common()]
    spaced = [piece for piece in ranked if piece.startswith("Ġ") and piece not in items][:SPACED_WORDS]
    whole = [piece for piece in ranked if not piece.startswith("Ġ")][:WHOLE_PIECES]
    return [*spaced, *whole]


def load(path: Path) -> Tokenizer:
    """The tokenizer as saved beside the checkpoint."""
    return Tokenizer.from_file(str(path))
