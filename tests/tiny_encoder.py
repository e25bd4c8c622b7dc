"""Random BERTs of a few thousand parameters: a sentence-transformers bi- and a cross-encoder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

WORDS = [
    "a",
    "the",
    "of",
    "cat",
    "dog",
    "bird",
    "eats",
    "sleeps",
    "flies",
    "fish",
    "day",
    "night",
    "big",
    "small",
    "what",
    "does",
]


def bi_encoder_dir(folder: Path, *, seed: int = 0, context: int = 64) -> Path:
    """Write a mean-pooling bi-encoder (16 dimensions) into ``folder``; returns it."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    base = _saved(folder / "base", "BertModel", seed, max_position_embeddings=context)
    transformer = Transformer(str(base), max_seq_length=context)
    model = SentenceTransformer(modules=[transformer, Pooling(16)], device="cpu")
    model.save(str(folder / "model"))
    return folder / "model"


def cross_encoder_dir(folder: Path, *, seed: int = 0) -> Path:
    """Write a cross-encoder with one logit into ``folder``; returns it."""
    return _saved(folder, "BertForSequenceClassification", seed, num_labels=1)


def _saved(folder: Path, kind: str, seed: int, **options: Any) -> Path:
    import torch
    import transformers

    tokenizer = _tokenizer()
    config = transformers.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        initializer_range=0.5,
        **({"max_position_embeddings": 64} | options),
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = getattr(transformers, kind)(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer() -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = [f"{mark}{chr(c)}" for mark in ("", "##") for c in range(ord("a"), ord("z") + 1)]
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys([*names, *WORDS]))}
    pieces = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    pieces.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    pieces.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=pieces,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=64,
    )
