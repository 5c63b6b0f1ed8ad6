"""Tiny models of every architecture that the catalogue names, as a user writes them under model.custom."""

from collections.abc import Mapping

_DENSE = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
}
_LATENT = {
    **_DENSE,
    "num_key_value_heads": 2,
    "moe_intermediate_size": 16,
    "n_shared_experts": 1,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "kv_lora_rank": 8,
    "q_lora_rank": 8,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
}
_TIED = {"tie_word_embeddings": True}
# DeepSeek-V2-Lite, and the small models for which a low rank of the queries saves nothing.
_FULL_QUERIES = {"q_lora_rank": None}

FAMILIES: Mapping[str, Mapping[str, object]] = {
    "llama": {"model_type": "llama", **_DENSE},
    "llama-tied": {"model_type": "llama", **_DENSE, **_TIED, "rope_theta": 500000.0},
    "qwen2": {"model_type": "qwen2", **_DENSE},
    "qwen2-tied": {"model_type": "qwen2", **_DENSE, **_TIED},
    "qwen3": {"model_type": "qwen3", **_DENSE, "head_dim": 8},
    "qwen3-tied": {"model_type": "qwen3", **_DENSE, "head_dim": 8, **_TIED},
    "mistral": {"model_type": "mistral", **_DENSE},
    "deepseek_v2": {"model_type": "deepseek_v2", **_LATENT},
    "deepseek_v2-lite": {"model_type": "deepseek_v2", **_LATENT, **_FULL_QUERIES},
    "deepseek_v3": {"model_type": "deepseek_v3", **_LATENT},
    "deepseek_v3-full-queries": {"model_type": "deepseek_v3", **_LATENT, **_FULL_QUERIES},
    "deepseek_v3-tied": {"model_type": "deepseek_v3", **_LATENT, **_TIED},
    "deepseek_v32": {"model_type": "deepseek_v32", **_LATENT},
    "deepseek_v4": {"model_type": "deepseek_v4", **_LATENT},
}
