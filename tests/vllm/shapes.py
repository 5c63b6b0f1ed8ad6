"""Tiny models of the architectures that teams train, in shapes that vLLM's kernels for CPUs take.

Its attention there knows heads of 32 numbers and more, and latent attention of 512 + 64 alone, which is what DeepSeek-V2 and
V3 have: smaller latent shapes would run with VLLM_MLA_DISABLE=1 only, on a path that no GPU takes. One head, since its
rotary kernel for CPUs turns the queries of several wrongly where pairs are interleaved, as theirs are (0.32, held against its own
`forward_native`: off by 4; the key's one head is right).
"""

from collections.abc import Mapping

from tests.runtime.families import FAMILIES

# The byte-level tokenizer has 259 entries: a serving is sized before it has seen the folder.
_LONG = {"vocab_size": 259, "hidden_size": 64, "intermediate_size": 128, "max_position_embeddings": 4096}
_DENSE = {**_LONG, "head_dim": 32}
_ONE_HEAD = {"num_attention_heads": 1, "num_key_value_heads": 1}
_LATENT = {**_LONG, **_ONE_HEAD, "kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 32, "v_head_dim": 32}

SHAPES: Mapping[str, Mapping[str, object]] = {
    name: {**FAMILIES[name], **(_LATENT if "kv_lora_rank" in FAMILIES[name] else _DENSE)}
    for name in (
        *("deepseek_v3", "deepseek_v2", "deepseek_v2-lite", "llama", "llama-tied"),
        *("qwen2", "qwen2-tied", "qwen3", "qwen3-tied"),
    )
}
