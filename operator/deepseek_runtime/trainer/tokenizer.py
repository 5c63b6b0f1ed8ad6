"""The tokenizer of a private model that has none: one token per byte.

It needs 259 entries: padding, beginning and end of text, then the 256 bytes. Its chat
template is the bare text of the messages: a model trained on prompts has seen no roles.
"""

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

PAD, BOS, EOS = "<|pad|>", "<|begin|>", "<|end|>"
PAD_ID, BOS_ID, EOS_ID = 0, 1, 2
BYTE_VOCABULARY = 259
PLAIN_TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


def byte_tokenizer() -> PreTrainedTokenizerBase:
    """One token per UTF-8 byte, loadable by AutoTokenizer once saved."""
    entries = [PAD, BOS, EOS, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={entry: number for number, entry in enumerate(entries)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        clean_up_tokenization_spaces=False,
        chat_template=PLAIN_TEMPLATE,
    )
