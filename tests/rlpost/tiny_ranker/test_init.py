"""Before any training, the matching heads already find equal tokens at any distance."""

import pytest
import torch
from transformers import PreTrainedTokenizerBase

from rlpost.tiny_ranker.init import MATCH_HEADS, MATCH_LAYER, new_model
from rlpost.tiny_ranker.tokenizer import train_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    words = [f"{a}{b}" for a in "bcdfghjklm" for b in "aeiou"]
    return train_tokenizer([" ".join(words)] * 2, vocab_size=400)


def test_matching_heads_attend_to_the_equal_token(tokenizer: PreTrainedTokenizerBase) -> None:
    model = new_model(tokenizer, seed=0)
    model.set_attn_implementation("eager")
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randperm(len(tokenizer), generator=generator)[:90]
    for distance in (5, 40, 85):
        tokens_BS = tokens.clone()[None]
        tokens_BS[0, -1] = tokens_BS[0, -1 - distance]
        with torch.no_grad():
            attentions = model(tokens_BS, output_attentions=True).attentions[MATCH_LAYER][0]
        for head in MATCH_HEADS:
            last = attentions[head, -1]
            equal = last[-1] + last[-1 - distance]  # itself and its copy
            assert equal > 0.8
            assert last[-1 - distance] > 0.25


def test_the_same_seed_gives_the_same_model(tokenizer: PreTrainedTokenizerBase) -> None:
    one, two, other = (new_model(tokenizer, seed=seed) for seed in (3, 3, 4))
    for (name, a), b, c in zip(
        one.named_parameters(), two.parameters(), other.parameters(), strict=True
    ):
        assert torch.equal(a, b)
        assert "norm" in name or not torch.equal(a, c)


def test_the_size_is_that_of_a_tiny_model() -> None:
    from rlpost.tiny_ranker.tokenizer import VOCAB_SIZE

    words = [f"{a}{b}{c}" for a in "bcdfghjklm" for b in "aeiou" for c in "bcdfghjklm"]
    tokenizer = train_tokenizer([" ".join(words)], vocab_size=VOCAB_SIZE)
    model = new_model(tokenizer, seed=0)
    body = sum(p.numel() for p in model.model.layers.parameters())
    assert body + 2 * VOCAB_SIZE * model.config.hidden_size < 3_000_000
