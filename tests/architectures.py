"""One tiny random model per architecture family of transformers that engines serve.

Settings make every peculiarity of a family visible in three dozen tokens: short windows, weights
large enough that a leak moves log-probabilities by tenths of a nat.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel

COMMON: dict[str, Any] = {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 256,
    "initializer_range": 0.15,
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": 2,
}
EXPERTS = {
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "shared_expert_intermediate_size": 32,
    "n_group": 1,
    "topk_group": 1,
}
LATENT = {
    "kv_lora_rank": 16,
    "q_lora_rank": 24,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 16,
    "v_head_dim": 16,
    "head_dim": 8,
    "num_key_value_heads": 4,
}
LINEAR = {
    "layer_types": ["linear_attention", "full_attention"],
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
}
WINDOW = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 16}
SSM = {
    "mamba_n_heads": 8,
    "mamba_d_head": 16,
    "mamba_d_state": 8,
    "mamba_n_groups": 1,
    "mamba_chunk_size": 16,
}
CONV = {"layer_types": ["conv", "full_attention"], "block_auto_adjust_ff_dim": False}
INDEX = {"index_n_heads": 2, "index_head_dim": 16, "first_k_dense_replace": 1}

FAMILIES: dict[str, dict[str, Any]] = {
    "afmoe": {**EXPERTS, **WINDOW, "num_dense_layers": 1, "num_shared_experts": 1},
    "apertus": {},
    "arcee": {},
    "bamba": {**SSM, "attn_layer_indices": [1]},
    "bert": {},
    "bloom": {},
    "cohere": {},
    "cohere2": WINDOW,
    "dbrx": {
        "d_model": 64,
        "n_heads": 4,
        "n_layers": 2,
        "max_seq_len": 256,
        "ffn_config": {"ffn_hidden_size": 32, "moe_num_experts": 4, "moe_top_k": 2},
        "attn_config": {"kv_n_heads": 2, "rope_theta": 10000.0, "clip_qkv": 8},
    },
    "deepseek_v2": {**LATENT, **EXPERTS, "first_k_dense_replace": 1},
    "deepseek_v3": {**LATENT, **EXPERTS, "first_k_dense_replace": 1},
    "deepseek_v32": {**LATENT, **EXPERTS, **INDEX, "index_topk": 64},
    "ernie4_5": {},
    "exaone4": WINDOW,
    "falcon": {"head_dim": None},
    "falcon_h1": {**SSM, "mamba_d_ssm": 128, "lm_head_multiplier": 0.5},
    "falcon_mamba": {"state_size": 8},
    "gemma": {},
    "gemma2": {**WINDOW, "query_pre_attn_scalar": 16},
    "gemma3_text": WINDOW,
    "glm4": {},
    "glm4_moe": EXPERTS,
    "gpt2": {},
    "gpt_neox": {},
    "gpt_oss": {**EXPERTS, **WINDOW},
    "gptj": {"rotary_dim": 8},
    "granite": {"logits_scaling": 8.0, "embedding_multiplier": 4.0},
    "granitemoe": {**EXPERTS, "logits_scaling": 8.0},
    "granitemoehybrid": {
        **SSM,
        **EXPERTS,
        "layer_types": ["mamba", "attention"],
        "shared_intermediate_size": 64,
    },
    "hunyuan_v1_dense": {},
    "jamba": {
        "num_experts": 1,
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "mamba_d_state": 8,
        "mamba_dt_rank": 4,
        "use_mamba_kernels": False,
    },
    "lfm2": CONV,
    "lfm2_moe": {**CONV, **EXPERTS, "num_dense_layers": 1},
    "llama": {},
    "llama4_text": {
        **EXPERTS,
        "interleave_moe_layer_step": 1,
        "intermediate_size_mlp": 64,
        "attention_chunk_size": 64,
    },
    "mamba": {"state_size": 8},
    "mamba2": {"num_heads": 8, "state_size": 8, "n_groups": 1, "chunk_size": 16},
    "minicpm3": {**LATENT, "dim_model_base": 16, "scale_emb": 3, "scale_depth": 1.4},
    "minimax": {**EXPERTS, "layer_types": LINEAR["layer_types"], "block_size": 8},
    "mistral": {"sliding_window": 16},
    "mixtral": EXPERTS,
    "mpt": {},
    "nemotron": {},
    "nemotron_h": {
        **EXPERTS,
        "layers_block_type": ["mamba", "attention"],
        "mamba_num_heads": 8,
        "mamba_head_dim": 16,
        "ssm_state_size": 8,
        "n_groups": 1,
        "chunk_size": 16,
    },
    "olmo2": {},
    "olmo3": WINDOW,
    "olmo_hybrid": LINEAR,
    "olmoe": EXPERTS,
    "opt": {"ffn_dim": 96, "word_embed_proj_dim": 32},
    "phi": {},
    "phi3": {"sliding_window": 16},
    "phimoe": EXPERTS,
    "qwen2": {},
    "qwen2_moe": EXPERTS,
    "qwen3": {},
    "qwen3_5_text": LINEAR,
    "qwen3_moe": EXPERTS,
    "qwen3_next": {**LINEAR, **EXPERTS},
    "recurrent_gemma": {"attention_window_size": 16, "lru_width": 64},
    "seed_oss": {},
    "smollm3": {},
    "stablelm": {},
    "starcoder2": {},
    "xglm": {"d_model": 64, "num_layers": 2, "attention_heads": 4},
    "zamba2": {
        "layer_types": ["mamba", "hybrid"],
        "layers_block_type": ["mamba", "hybrid"],
        "mamba_d_state": 8,
        "n_mamba_heads": 8,
        "mamba_headdim": 16,
        "mamba_ngroups": 1,
        "chunk_size": 16,
        "num_mem_blocks": 1,
    },
}
"""Model type of transformers -> settings that differ from ``COMMON``."""


def tiny_architecture(kind: str) -> PreTrainedModel:
    """A random float32 model of about 100k parameters."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    settings = {**COMMON, **FAMILIES[kind]}
    settings = {k: v for k, v in settings.items() if k != "head_dim" or v is not None}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = AutoConfig.for_model(kind, **settings)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config).eval()
        # What classes initialise to zero or one would hide a leak.
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.dim() == 1 and "norm" not in name and not parameter.any():
                    parameter.uniform_(-0.3, 0.3)
    return model
