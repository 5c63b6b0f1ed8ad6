"""What the model writes to a few held-out prompts, for a person to read beside the numbers of an evaluation.

The likeliest token each time, until the end token or a bound: so many passes over so few prompts that no cache of keys
and values is worth its memory. Under FSDP every pass is a meeting of all ranks; each makes the same ones.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from deepseek_runtime.trainer.data.example import Example
from deepseek_runtime.trainer.evaluation import inference
from deepseek_runtime.trainer.gang import Gang, broadcast

LONGEST_TEXT = 2000
"""Characters of a prompt, and of what follows it, that are told: a line of a log is read by people."""


@dataclass(frozen=True)
class Sample:
    """A prompt, what the model wrote after it, and what was meant to follow."""

    prompt: str
    written: str
    meant: str

    def to_json(self) -> dict[str, object]:
        return {
            "prompt": self.prompt[-LONGEST_TEXT:],
            "written": self.written[:LONGEST_TEXT],
            "meant": self.meant[:LONGEST_TEXT],
        }


def sampled(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    gang: Gang,
    beat: Callable[[], None],
    *,
    most_tokens: int,
    wants_stop: Callable[[], bool],
) -> list[Sample] | None:
    """Writes after the prompt of each example, before its first token that is learnt, at most `most_tokens`.

    Runs on all ranks together; every token is a sign of life. None when any rank was asked to stop.
    """
    prompts = [list(one.tokens[: max(1, one.learnt[0][0])]) for one in examples]
    written: list[list[int]] = [[] for _ in prompts]
    end_id, pad_id = tokenizer.eos_token_id, tokenizer.pad_token_id or 0
    with inference(model):
        for _ in range(most_tokens):
            open_ones = [number for number, made in enumerate(written) if end_id not in made]
            if not open_ones:
                break
            texts = [prompts[number] + written[number] for number in open_ones]
            # Rank 0's: where two tokens are as likely, ranks that differ would make another number of passes.
            tokens = broadcast(_next(model, texts, pad_id, gang.device))
            assert isinstance(tokens, list)
            for number, token in zip(open_ones, tokens, strict=True):
                written[number].append(token)
            beat()
            if gang.any(wants_stop()):
                return None
    return [
        Sample(*(str(tokenizer.decode(ids)) for ids in (prompt, made, list(one.tokens[len(prompt) :]))))
        for one, prompt, made in zip(examples, prompts, written, strict=True)
    ]


def _next(model: PreTrainedModel, texts: Sequence[Sequence[int]], pad_id: int, device: torch.device) -> list[int]:
    """The likeliest token after each text. What is padded behind a text is seen by none of its tokens."""
    width = max(map(len, texts))
    ids = torch.tensor([[*text, *[pad_id] * (width - len(text))] for text in texts], device=device)
    logits = model(input_ids=ids, use_cache=False).logits
    ends = torch.tensor([len(text) - 1 for text in texts], device=device)
    likeliest: list[int] = logits[torch.arange(len(texts), device=device), ends].argmax(-1).tolist()
    return likeliest
