"""The datasets of a training on one rank: read, told of, and compared with the model before anything is learnt."""

from collections.abc import Sequence

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from deepseek_runtime.contract import Invalid
from deepseek_runtime.trainer.data.corpus import Corpus, corpus_of
from deepseek_runtime.trainer.data.dataset import Read, read_examples
from deepseek_runtime.trainer.rank import Rank
from deepseek_runtime.trainer.telling import Telling
from deepseek_runtime.trainer.tokenizer import PLAIN_TEMPLATE

RAW_TEXT = (
    "prompt and completion are trained as they are written, without the model's chat template:"
    " ask the result in the same form by /v1/completions"
)


def read_corpus(rank: Rank, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, resumes: bool) -> Corpus:
    """Reads all of them. Raises Invalid for what can't be read, or is not the model's.

    What a checkpoint was trained on already is not refused for its length.
    """
    length = rank.parameters.sequence_length
    reads = [read_examples(one, tokenizer, length) for one in rank.spec.datasets]
    _tell(rank.telling, reads, tokenizer)
    _check_tokens(reads, model)
    if not resumes:
        _check_lengths(reads, model, length)
    return corpus_of(reads, rank.parameters)


def _tell(telling: Telling, reads: Sequence[Read], tokenizer: PreTrainedTokenizerBase) -> None:
    """What the sequence length costs."""
    for one in reads:
        counts = {"examples": len(one.examples), "dropped": one.dropped, "cut": one.cut, "longest": one.needed}
        telling.log({"event": "data", "dataset": one.name, "split": one.dataset.split, **counts})
    is_chat = tokenizer.chat_template not in (None, PLAIN_TEMPLATE)
    if is_chat and any(one.dataset.format == "PromptCompletion" for one in reads):
        telling.log({"event": "rendering", "chatTemplate": None, "message": RAW_TEXT})
    telling.tell(
        data={
            "examples": sum(len(one.examples) for one in reads),
            "dropped": sum(one.dropped for one in reads),
            "cut": sum(one.cut for one in reads),
            "longest": max(one.needed for one in reads),
        }
    )


def _check_tokens(reads: Sequence[Read], model: PreTrainedModel) -> None:
    largest = max(max(example.tokens) for one in reads for example in one.examples)
    entries = model.get_input_embeddings().weight.shape[0]
    if largest >= entries:
        raise Invalid(
            f"the tokenizer makes token {largest}, and the model's vocabulary has {entries} entries: the tokenizer"
            " in the model folder is another model's; copy the one that belongs to these weights"
        )


def _check_lengths(reads: Sequence[Read], model: PreTrainedModel, length: int) -> None:
    """No example may be longer than what the model was made for."""
    positions = getattr(model.config, "max_position_embeddings", None)
    longest = max(len(example.tokens) for one in reads for example in one.examples)
    if isinstance(positions, int) and longest > positions:
        raise Invalid(
            f"hyperparameters.sequenceLength {length} lets examples of {longest} tokens"
            f" through, and the model was made for {positions} (max_position_embeddings): write {positions} or less"
        )
