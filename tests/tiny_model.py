"""A random 95k-parameter Qwen2 with a real tokenizer and chat template, made in half a second."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LABELS = tuple(f"[{number}]" for number in range(1, 10))
TEXTS = (
    "system user assistant\n",
    "Query: how to sort a list in place\nReturn a new sorted list of the items. [1]\n",
    "Rank the passages by relevance to the query. Ranking: [2] > [1] > [3]",
    "The quick brown fox jumps over the lazy dog while the policy reads another document.",
)


def tiny_model_dir(folder: Path, *, tied: bool = True, seed: int = 0) -> Path:
    """Write model and tokenizer (``save_pretrained`` layout, fp32) into ``folder``; returns it.

    Every label "[1]" .. "[9]" is one token; ``<|im_end|>`` ends a turn; the context is 512 tokens.
    ``tied`` shares the embedding with the output head.
    """
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    tokenizer = make_tokenizer()
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=512,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        tie_word_embeddings=tied,
        # Larger than the default 0.02: a random model must not be nearly uniform,
        # or a parity test would pass with the wrong weights.
        initializer_range=0.2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Qwen2ForCausalLM(config)  # type: ignore[no-untyped-call]
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE of 320 tokens and the labels, with the ChatML template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(TEXTS, trainer)
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    tokenizer.add_tokens(list(LABELS))
    tokenizer.chat_template = CHATML
    return tokenizer
