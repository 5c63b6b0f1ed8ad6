"""The datasets of a training on one rank: read, told of, and compared with the model before anything is learnt."""

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from deepseek_runtime.chat.template import text_of
from deepseek_runtime.checkpoint.room import writing
from deepseek_runtime.contract import Invalid
from deepseek_runtime.cpu import threads_per_process
from deepseek_runtime.reading import reading
from deepseek_runtime.spec import Dataset, Preparation, Prompt, TrainingSpec
from deepseek_runtime.trainer.data.cleaning import Cleaning, check_languages
from deepseek_runtime.trainer.data.corpus import Corpus, corpus_of
from deepseek_runtime.trainer.data.dataset import Read, check_end, read_examples
from deepseek_runtime.trainer.data.making import Maker
from deepseek_runtime.trainer.data.preparation import NO_ROOM, Counted, Preparing, Source
from deepseek_runtime.trainer.data.source import contents_of, name_of
from deepseek_runtime.trainer.data.store import FOLDER, Prepared, digest_of, opened_at, prepared
from deepseek_runtime.trainer.data.token_files import Mapped
from deepseek_runtime.trainer.gang import alone, broadcast
from deepseek_runtime.trainer.rank import Rank
from deepseek_runtime.trainer.telling import Telling
from deepseek_runtime.trainer.tokenizer import PLAIN_TEMPLATE

CHATS = ("Messages", "Alpaca")
# Architectures that give packed documents the losses that each has alone. DeepSeek-V4's doesn't: it compresses keys and
# values over all of a sequence.
APART = ("llama", "mistral", "qwen2", "qwen3", "deepseek_v2", "deepseek_v3")
# How long a folder that rank 0 has just made is waited for: longer than NFS remembers a name that was not there.
_LOOKS, _LOOK_S = 90, 1.0
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
    if rank.spec.data is not None:
        _check_packing(rank, rank.spec.data, model)
        found = _prepared(rank, tokenizer, rank.spec.data)
        reads = [_read(found, number, one) for number, one in enumerate(rank.spec.datasets)]
        _tell(rank.telling, reads, tokenizer, {"prepared": _report(found, rank)})
    else:
        reads = [read_examples(one, tokenizer, length, rank.spec.loss_on) for one in rank.spec.datasets]
        _tell(rank.telling, reads, tokenizer, {})
    _check_tokens(reads, model)
    if not resumes:
        _check_lengths(reads, model, length, _virtual_tokens(rank))
    return corpus_of(reads, rank.parameters)


def _prepared(rank: Rank, tokenizer: PreTrainedTokenizerBase, options: Preparation) -> Prepared:
    """Rank 0 finds them on the volume or makes them; all ranks map the files. Raises Invalid and Full on all of them."""
    contract, length, loss_on = rank.contract, rank.parameters.sequence_length, rank.spec.loss_on
    volume = contract.checkpoints.root.parent
    check_end(tokenizer)
    check_languages(options.languages)

    def work(moved: Callable[[], None]) -> str:
        rank.telling.tell(state="Preparing")
        sources = [Source(one, contents_of(one, moved)) for one in rank.spec.datasets]
        digest = digest_of(sources, options, tokenizer, loss_on, length)
        maker, workers = Maker(tokenizer, loss_on, options, Cleaning(options)), threads_per_process(1, os.environ)

        def make(directory: Path) -> list[Counted]:
            rank.telling.log({"event": "preparing", "digest": digest})
            return Preparing(sources, maker, length, directory, workers, moved).run()

        with writing(volume, "the prepared datasets"):
            past = rank.volume.past(contract.pod_uid, contract.ancestry)
            prepared(volume, digest, contract.pod_uid, sorted(past), make)
        return digest

    digest = str(broadcast(alone(rank.gang, work, rank.heartbeat.prepare)))
    return _seen(volume / FOLDER / digest, digest)


def _seen(directory: Path, digest: str) -> Prepared:
    """A volume over the network may show a new folder late to other nodes."""
    for _ in range(_LOOKS):
        try:
            return opened_at(directory, digest)
        except FileNotFoundError:
            time.sleep(_LOOK_S)
    return opened_at(directory, digest)


def _read(found: Prepared, number: int, dataset: Dataset) -> Read:
    counted = found.counted[number]
    with reading(f"{found.directory}/{number}.*", "delete the folder: it is made anew"):
        examples = Mapped(found.directory, str(number), largest_token=counted.largest_token, longest=counted.longest)
    return Read(
        dataset,
        examples,
        counted.sha256,
        dropped=counted.reasons.get(NO_ROOM, 0),
        cut=counted.cut,
        needed=counted.needed,
        has_answers=counted.has_answers,
        fingerprint=f"{found.digest}/{number}",
        kept=None if dataset.format == "Text" else counted.read - sum(counted.reasons.values()),
    )


def _report(found: Prepared, rank: Rank) -> dict[str, object]:
    """What became of the Train datasets together; the log has each dataset on its own."""
    learnt, reasons = list[Counted](), Counter[str]()
    for dataset, counted in zip(rank.spec.datasets, found.counted, strict=True):
        counts = {name: getattr(counted, name) for name in ("read", "examples", "tokens", "cut")}
        told = {"dataset": name_of(dataset), "split": dataset.split, **counts, "dropped": dict(counted.reasons)}
        rank.telling.log({"event": "prepared", "digest": found.digest, **told})
        if dataset.split == "Train":
            learnt.append(counted)
            reasons.update(counted.reasons)
    return {
        "digest": found.digest,
        "read": sum(one.read for one in learnt),
        "sequences": sum(one.examples for one in learnt),
        "tokens": sum(one.tokens for one in learnt),
        "dropped": dict(sorted(reasons.items())),
    }


def _use_template(spec: TrainingSpec, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raises Invalid for chats without a template."""
    if spec.chat_template is not None:
        tokenizer.chat_template = text_of(spec.chat_template)
    elif any(one.format in CHATS for one in spec.datasets) and tokenizer.chat_template in (None, PLAIN_TEMPLATE):
        raise Invalid(NO_TEMPLATE)


def _check_packing(rank: Rank, options: Preparation, model: PreTrainedModel) -> None:
    kind = str(model.config.model_type)
    if options.packing is not None and isinstance(rank.spec.method, Prompt):
        raise Invalid(
            f"data.packing puts documents side by side, and method {rank.spec.method.kind} reads virtual tokens before one"
            " whole sequence: leave data.packing out, or write method.type LoRA"
        )
    if options.packing is not None and kind not in APART:
        raise Invalid(
            f"data.packing puts documents side by side that must not see each other, which {', '.join(APART)} are known to"
            f" hold apart and {kind} is not: leave data.packing out"
        )


def _tell(
    telling: Telling, reads: Sequence[Read], tokenizer: PreTrainedTokenizerBase, more: Mapping[str, object]
) -> None:
    """What the sequence length costs."""
    for one in reads:
        counts = {"examples": one.count, "dropped": one.dropped, "cut": one.cut, "longest": one.needed}
        telling.log({"event": "data", "dataset": one.name, "split": one.dataset.split, **counts})
    is_chat = tokenizer.chat_template not in (None, PLAIN_TEMPLATE)
    if is_chat and any(one.dataset.format == "PromptCompletion" for one in reads):
        telling.log({"event": "rendering", "chatTemplate": None, "message": RAW_TEXT})
    telling.tell(
        data={
            "examples": sum(one.count for one in reads),
            "dropped": sum(one.dropped for one in reads),
            "cut": sum(one.cut for one in reads),
            "longest": max(one.needed for one in reads),
            **more,
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


def _virtual_tokens(rank: Rank) -> int:
    method = rank.spec.method
    return method.virtual_tokens if isinstance(method, Prompt) else 0


def _check_lengths(reads: Sequence[Read], model: PreTrainedModel, length: int, virtual: int) -> None:
    """No example may be longer than what the model was made for, behind the `virtual` tokens that it reads first."""
    positions = getattr(model.config, "max_position_embeddings", None)
    longest = max(one.examples.longest for one in reads)
    if isinstance(positions, int) and virtual and longest + virtual > positions:
        raise Invalid(
            f"method.prompt.virtualTokens {virtual} and examples of {longest} tokens exceed what the model was made for,"
            f" {positions} (max_position_embeddings): write fewer virtualTokens, or a smaller hyperparameters.sequenceLength"
        )
    if isinstance(positions, int) and longest > positions:
        raise Invalid(
            f"hyperparameters.sequenceLength {length} lets examples of {longest} tokens"
            f" through, and the model was made for {positions} (max_position_embeddings): write {positions} or less"
        )
