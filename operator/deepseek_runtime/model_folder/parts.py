"""What the files of a model folder are called, and what to tell whoever has another one."""

CONFIG = "config.json"
GENERATION = "generation_config.json"
SAFETENSORS = "model.safetensors"
SAFETENSORS_INDEX = "model.safetensors.index.json"
PICKLED = "pytorch_model.bin"
PICKLED_INDEX = "pytorch_model.bin.index.json"
# Any one of these groups is a tokenizer.
TOKENIZERS = (("tokenizer.json",), ("tokenizer.model",), ("vocab.json", "merges.txt"), ("tekken.json",))
# What belongs to a model besides weights, configuration and generation settings.
ATTACHED = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.model"),
    *("vocab.json", "merges.txt", "tekken.json", "*.tiktoken", "chat_template.json", "chat_template.jinja"),
    *("additional_chat_templates/*.jinja", "configuration_*.py", "modeling_*.py", "tokenization_*.py"),
    *("LICENSE*", "NOTICE*"),
)
AGAIN = "download the model again (`hf download`) and copy it whole"
BF16 = (
    "trainer and engine here compute with unquantized weights, and read FP8 in blocks alone, as DeepSeek publishes it: give the"
    " bf16 model, or serve this one by engine.type vllm or sglang"
)

# How many names a message holds.
NAMED = 4


def names(found: "list[str] | set[str]") -> str:
    """The first few names and how many there are."""
    ordered = sorted(found)
    more = f" and {len(ordered) - NAMED} more" if len(ordered) > NAMED else ""
    return f"{', '.join(ordered[:NAMED])}{more}"
