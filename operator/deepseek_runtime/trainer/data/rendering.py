"""How a record of a dataset becomes token ids: prompt and completion as they are written, texts packed into pieces."""

from array import array
from collections.abc import Iterator

from transformers import PreTrainedTokenizerBase

from deepseek_runtime.contract import Invalid
from deepseek_runtime.reading import reading
from deepseek_runtime.trainer.data.example import Example


def pair(place: str, prompt: str, completion: str, tokenizer: PreTrainedTokenizerBase) -> Example:
    """A prompt, which is read, and its completion with the end token, which is predicted. Raises Invalid.

    `place` names the record for a person.
    """
    with reading(place, "write other characters, or leave the line out"):
        head = tokenizer(prompt).input_ids
        tail = tokenizer(completion, add_special_tokens=False).input_ids
    if not head:
        raise Invalid(f"{place} has an empty prompt; write one, or use format: Text")
    return Example(array("i", [*head, *tail, tokenizer.eos_token_id]), len(head))


def packed(texts: Iterator[tuple[str, str]], tokenizer: PreTrainedTokenizerBase, length: int) -> Iterator[Example]:
    """Texts one after the other, an end token between them, in pieces of `length`; the last may be shorter."""
    rest = array("i")
    for place, text in texts:
        with reading(place, "write other characters, or leave it out"):
            rest.extend([*tokenizer(text).input_ids, tokenizer.eos_token_id])
        whole = len(rest) - len(rest) % length
        yield from (Example(rest[start : start + length], 0) for start in range(0, whole, length))
        rest = rest[whole:]
    if len(rest) > 1:
        yield Example(rest, 0)
