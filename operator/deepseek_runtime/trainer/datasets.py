"""The datasets of a training on one rank: read, told of, and compared with the model before anything is learnt."""

from collections.abc import Sequence

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from deepseek_runtime.chat.template import text_of
from deepseek_runtime.contract import Invalid
from deepseek_runtime.spec import TrainingSpec
from deepseek_runtime.trainer.data.corpus import Corpus, corpus_of
from deepseek_runtime.trainer.data.dataset import Read, read_examples
from deepseek_runtime.trainer.rank import Rank
from deepseek_runtime.trainer.telling import Telling
from deepseek_runtime.trainer.tokenizer import PLAIN_TEMPLATE

CHATS = ("Messages", "Alpaca")
RAW_TEXT = (
    "prompt and completion are trained as they are written, without the model's chat template: ask the result in the same"
    " form by /v1/completions, or train on format: Messages"
)
NO_TEMPLATE = (
    "the model has no chat template, so nothing says how messages become text: write chatTemplate: {name: DeepSeek}, or the"
    " model's own as chatTemplate: {text: …}"
)


def read_corpus(rank: Rank, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, resumes: bool) -> Corpus:
    """Reads all of them. Raises Invalid for what can't be read, or is not the model's.

    What a checkpoint was trained on already is not refused for its length.
    """
    length = rank.parameters.sequence_length
    _use_template(rank.spec, tokenizer)
    reads = [read_examples(one, tokenizer, length, rank.spec.loss_on) for one in rank.spec.datasets]
    _tell(rank.telling, reads, tokenizer)
    _check_tokens(reads, model)
    if not resumes:
        _check_lengths(reads, model, length)
    return corpus_of(reads, rank.parameters)


def _use_template(spec: TrainingSpec, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raises Invalid for chats without a template."""
    if spec.chat_template is not None:
        tokenizer.chat_template = text_of(spec.chat_template)
    elif any(one.format in CHATS for one in spec.datasets) and tokenizer.chat_template in (None, PLAIN_TEMPLATE):
        raise Invalid(NO_TEMPLATE)


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
    largest = max(one.examples.largest_token for one in reads)
    entries = model.get_input_embeddings().weight.shape[0]
    if largest >= entries:
        raise Invalid(
            f"the tokenizer makes token {largest}, and the model's vocabulary has {entries} entries: the tokenizer"
            " in the model folder is another model's; copy the one that belongs to these weights"
        )


def _check_lengths(reads: Sequence[Read], model: PreTrainedModel, length: int) -> None:
    """No example may be longer than what the model was made for."""
    positions = getattr(model.config, "max_position_embeddings", None)
    longest = max(one.examples.longest for one in reads)
    if isinstance(positions, int) and longest > positions:
        raise Invalid(
            f"hyperparameters.sequenceLength {length} lets examples of {longest} tokens"
            f" through, and the model was made for {positions} (max_position_embeddings): write {positions} or less"
        )
