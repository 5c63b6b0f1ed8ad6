"""Makes a small model that knows nothing, a shard of 34 MB, in a folder, and puts it below a prefix of a bucket too.

python3 make_model.py FOLDER BUCKET PREFIX
"""

import hashlib
import os
import sys
from pathlib import Path

import obstore
import torch
from obstore.store import S3Store
from transformers import Qwen2Config, Qwen2ForCausalLM

from deepseek_runtime.trainer.tokenizer import BYTE_VOCABULARY, byte_tokenizer

folder, bucket, prefix = Path(sys.argv[1]), *sys.argv[2:]
torch.manual_seed(1)
SHAPE = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 2, "num_attention_heads": 8}
CONFIG = Qwen2Config(vocab_size=BYTE_VOCABULARY, num_key_value_heads=8, max_position_embeddings=1024, **SHAPE)
Qwen2ForCausalLM(CONFIG).save_pretrained(folder)
byte_tokenizer().save_pretrained(folder)
# The rest it reads from the variables that every client of S3 reads.
store = S3Store(bucket, endpoint=os.environ["AWS_ENDPOINT_URL"], client_options={"allow_http": True})
files = sorted(path for path in folder.rglob("*") if path.is_file())
for path in files:
    obstore.put(store, f"{prefix}/{path.relative_to(folder)}", path.read_bytes(), use_multipart=True)
sums = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n" for path in files)
obstore.put(store, f"{prefix}/SHA256SUMS", sums.encode(), use_multipart=False)
