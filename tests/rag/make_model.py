"""Makes a tiny model that knows nothing, with room for a prompt of some texts, in the folder that is named."""

import sys
from pathlib import Path

from transformers import Qwen2Config, Qwen2ForCausalLM

from deepseek_runtime.trainer.tokenizer import BYTE_VOCABULARY, byte_tokenizer

FOLDER = Path(sys.argv[1])
SHAPE = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
CONFIG = Qwen2Config(vocab_size=BYTE_VOCABULARY, num_key_value_heads=2, max_position_embeddings=4096, **SHAPE)
Qwen2ForCausalLM(CONFIG).save_pretrained(FOLDER)
byte_tokenizer().save_pretrained(FOLDER)
