"""The decoder of the tiny ranker before training, with heads that already compare tokens.

In a small model the comparison of equal tokens takes longest to emerge, so it is built in: some
heads start with equal query and key projections, which write only to those rotary dimensions that
turn slowly enough to ignore distance. Training moves them freely afterwards.
"""

import torch
from transformers import PreTrainedTokenizerBase, Qwen3Config, Qwen3ForCausalLM

from rlpost.tiny_ranker.tokenizer import MAX_LENGTH, TURN_END

MATCH_LAYER = 1
MATCH_HEADS = (0, 1)
MATCH_SHARPNESS = 1.6  # scale of normalised queries and keys: equal tokens get 14.5, others about 0
SLOW_PAIRS_FROM = 6  # rotary pairs from here on turn by < 1 radian over 400 tokens
EMBEDDING_STD = 0.1


def new_model(tokenizer: PreTrainedTokenizerBase, *, seed: int) -> Qwen3ForCausalLM:
    """A randomly initialised model with matching heads, in float32."""
    torch.manual_seed(seed)
    end = tokenizer.convert_tokens_to_ids(TURN_END)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=32,
        intermediate_size=256,
        tie_word_embeddings=False,
        max_position_embeddings=MAX_LENGTH,
        rope_parameters={"rope_type": "default", "rope_theta": 1e7},
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = Qwen3ForCausalLM(config)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        model.model.embed_tokens.weight.normal_(std=EMBEDDING_STD)
        _build_matching_heads(model)
    return model


def _build_matching_heads(model: Qwen3ForCausalLM) -> None:
    attention = model.model.layers[MATCH_LAYER].self_attn
    size = int(model.config.head_dim)
    slow = torch.arange(SLOW_PAIRS_FROM, size // 2)
    places = torch.cat([slow, slow + size // 2])  # a rotary pair is (i, i + size / 2)
    for head in MATCH_HEADS:
        rows = torch.nn.init.orthogonal_(torch.empty(len(places), model.config.hidden_size))
        for projection in (attention.q_proj, attention.k_proj):
            block = projection.weight[head * size : (head + 1) * size]
            block.zero_()
            block[places] = rows
    attention.q_norm.weight.fill_(MATCH_SHARPNESS)
    attention.k_norm.weight.fill_(MATCH_SHARPNESS)
