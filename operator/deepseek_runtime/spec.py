"""What the built-in trainer is asked to do, read from DEEPSEEK_TRAINING_SPEC.

The operator checks the same fields in its schema; they are checked again because a pod may be older
or newer than the operator, and because a run by hand has no schema. A field that is not known here is
refused: to train without it would be something else than was asked for. Every refusal says what to write.

So that an older image takes the specification of a newer operator, a new field is left out of it at the value that means
what was done before: absent and that value are the same here.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, assert_never

from deepseek_runtime.contract import Invalid
from deepseek_runtime.evaluation import EarlyStopping, Evaluation, early_stopping, evaluation
from deepseek_runtime.fields import Fields
from deepseek_runtime.objectives import objective_of
from deepseek_runtime.parallelism import Sharding, read_parallelism
from deepseek_runtime.sharing import PowerSGD, read_compression

Objective = Literal["SFT", "Pretrain"]
Schedule = Literal["Cosine", "Linear", "Constant"]
Precision = Literal["fp32", "bf16"]
CrossEntropy = Literal["Whole", "Chunked"]
Recomputation = Literal["None", "Selective", "Full"]
Optimizer = Literal["AdamW", "AdamW8bit", "Muon"]
Split = Literal["Train", "Heldout"]
Format = Literal["PromptCompletion", "Text", "Messages", "Alpaca"]
LossOn = Literal["Completion", "AssistantTurns", "All"]
UnicodeForm = Literal["NFC", "NFKC"]
Duplicates = Literal["Exact", "Near"]
Packing = Literal["Documents"]

OBJECTIVES: tuple[Objective, ...] = ("SFT", "Pretrain")
PromptKind = Literal["PromptTuning", "PTuning"]
METHODS: tuple[Literal["Full", "LoRA"] | PromptKind, ...] = ("Full", "LoRA", "PromptTuning", "PTuning")
AdapterExport = Literal["Merged", "Adapter"]
ADAPTER_EXPORTS: tuple[AdapterExport, ...] = ("Merged", "Adapter")
EXPERTS = "Experts"
SCHEDULES: tuple[Schedule, ...] = ("Cosine", "Linear", "Constant")
CROSS_ENTROPIES: tuple[CrossEntropy, ...] = ("Whole", "Chunked")
RECOMPUTATIONS: tuple[Recomputation, ...] = ("None", "Selective", "Full")
OPTIMIZERS: tuple[Optimizer, ...] = ("AdamW", "AdamW8bit", "Muon")
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
BUILTIN_TASKS = ("uppercase", "reverse")
SPLITS: tuple[Split, ...] = ("Train", "Heldout")
FORMATS: tuple[Format, ...] = ("PromptCompletion", "Text", "Messages", "Alpaca")
LOSSES: tuple[LossOn, ...] = ("Completion", "AssistantTurns", "All")
ANSWERS: tuple[Literal["Stop", "Rollback"], ...] = ("Stop", "Rollback")
UNICODE_FORMS: tuple[UnicodeForm, ...] = ("NFC", "NFKC")
DUPLICATES: tuple[Duplicates, ...] = ("Exact", "Near")
PACKINGS: tuple[Packing, ...] = ("Documents",)
TEMPLATES: tuple[Literal["DeepSeek"], ...] = ("DeepSeek",)
FIELDS = (
    *("model", "objective", "method", "datasets", "hyperparameters", "chatTemplate", "lossOn", "data"),
    *("initFrom", "onDivergence", "earlyStopping", "evaluation", "parallelism"),
)
HYPERPARAMETERS = (
    *("globalBatchSize", "microBatchSize", "sequenceLength", "learningRate", "schedule", "warmupSteps"),
    *("maxSteps", "epochs", "precision", "weightDecay", "gradientClipNorm", "seed"),
    *("evalEverySteps", "evalSamples", "evalSampleTokens"),
    *("crossEntropy", "activationRecomputation", "optimizer", "gradientCompression"),
)


@dataclass(frozen=True)
class Custom:
    """A model built from its configuration (the fields of a config.json), with fresh weights."""

    config: Mapping[str, object]


@dataclass(frozen=True)
class Weights:
    """A model directory: config.json, safetensors, tokenizer. `name` is what its user calls it."""

    path: Path
    name: str | None = None


@dataclass(frozen=True)
class InitFrom:
    """Another training's folder, of which the weights of a checkpoint (Latest, Best or a step) are begun with."""

    path: Path
    checkpoint: str


@dataclass(frozen=True)
class Full:
    """The method that trains all parameters."""


@dataclass(frozen=True)
class LoRA:
    """The method that trains two narrow matrices beside each target, W + alpha/rank · B·A (arXiv 2106.09685).

    `dropout` is the share of what A sees that is left out in training; `targets` are Attention, Linear, Experts and
    names of layers; `export` says whether the adapter is added into the base's weights or stays one.
    """

    rank: int
    alpha: int
    dropout: float
    targets: tuple[str, ...]
    export: AdapterExport


@dataclass(frozen=True)
class Prompt:
    """The methods that train what is read before every sequence, `virtual_tokens` vectors as wide as the embeddings.

    `encoder_hidden` is the width of the network that makes them in P-tuning; None: they are learnt themselves.
    """

    kind: PromptKind
    virtual_tokens: int
    encoder_hidden: int | None


Method = Full | LoRA | Prompt
"""Which parameters are trained, with the settings of that method."""


@dataclass(frozen=True)
class Pin:
    """What DVC has recorded of a dataset: in a .dvc file, as an md5 (of a folder with .dir at its end), or both alike."""

    file: Path | None
    md5: str | None


@dataclass(frozen=True)
class Dataset:
    """Examples from files or made by code; `weight` is how often each is seen per epoch, 1 where none is learnt."""

    path: Path | None
    builtin: str | None
    split: Split
    weight: float
    format: Format
    pin: Pin | None = None


@dataclass(frozen=True)
class ChatTemplate:
    """How chats are written, by name or as Jinja text, in place of the model's own way; exactly one of them is set."""

    name: Literal["DeepSeek"] | None
    text: str | None


@dataclass(frozen=True)
class Preparation:
    """What is done to the datasets once, before they are learnt from; what is None or empty is not done.

    Attributes:
        normalize: the Unicode form of every text, with lines ended by a line feed and without control characters.
        deduplicate: whether only texts that are the same are dropped, or those that are `near_similarity` alike as well.
        min_tokens, max_tokens: of an example as it is rendered.
        languages: ISO 639 codes.
        min_letters, max_repetition: shares from 0 to 1, of characters and of lines.
        decontaminate_words: how many words in a row that a Heldout dataset holds make an example contaminated.
        packing: whether short examples share a sequence, without seeing each other.
    """

    normalize: UnicodeForm | None = None
    deduplicate: Duplicates | None = None
    near_similarity: float = 0.8
    min_tokens: int | None = None
    max_tokens: int | None = None
    languages: tuple[str, ...] = ()
    min_letters: float | None = None
    max_repetition: float | None = None
    decontaminate_words: int | None = None
    packing: Packing | None = None


@dataclass(frozen=True)
class Hyperparameters:
    """Exactly one of `epochs` (default 1) and `max_steps` is set; lengths in tokens, `micro_batch_size` per process.

    `eval_every_steps` None means only at the end; each evaluation writes `eval_samples` answers of so many tokens at most. `cross_entropy` says whether all logits of a pass are there at once,
    `activation_recomputation` what of a layer is computed again in place of being kept.
    """

    global_batch_size: int
    micro_batch_size: int | None
    sequence_length: int
    learning_rate: float
    schedule: Schedule
    warmup_steps: int
    epochs: int | None
    max_steps: int | None
    precision: Precision
    weight_decay: float
    gradient_clip_norm: float
    seed: int
    eval_every_steps: int | None
    eval_samples: int = 0
    eval_sample_tokens: int = 64
    cross_entropy: CrossEntropy = "Whole"
    activation_recomputation: Recomputation = "None"
    optimizer: Optimizer = "AdamW"


@dataclass(frozen=True)
class Rollback:
    """What follows when numbers cease to be finite: the newest checkpoint, and `skip_steps` batches left out; `most` times."""

    skip_steps: int
    most: int


@dataclass(frozen=True)
class TrainingSpec:
    """`rollback` None means that a training ends whose numbers cease to be finite, `early_stopping` None that it ends with
    its last step. `expert` is over how many processes the experts of a layer are dealt out, 1 for all on each; `sharding`
    Hybrid keeps a copy of the training's states on each node."""

    model: Custom | Weights
    objective: Objective
    method: Method
    datasets: tuple[Dataset, ...]
    hyperparameters: Hyperparameters
    chat_template: ChatTemplate | None = None
    loss_on: LossOn = "AssistantTurns"
    init_from: InitFrom | None = None
    rollback: Rollback | None = None
    data: Preparation | None = None
    early_stopping: EarlyStopping | None = None
    expert: int = 1
    evaluation: Evaluation | None = None
    compression: PowerSGD | None = None
    sharding: Sharding = "Full"


def read_spec(text: str) -> TrainingSpec:
    """Reads the specification. Raises Invalid with the path of the field and what to write."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"DEEPSEEK_TRAINING_SPEC is not JSON ({error})") from None
    root = Fields(value, "")
    root.only(*FIELDS)
    datasets = tuple(_dataset(fields) for fields in root.list("datasets"))
    if not any(dataset.split == "Train" for dataset in datasets):
        raise Invalid("datasets hold nothing to train on; give one of them split: Train")
    hyperparameters = _hyperparameters(root.fields("hyperparameters"))
    expert, sharding = read_parallelism(root, hyperparameters.activation_recomputation)
    model, method = _model(root.fields("model")), _method(root.fields("method")) if root.has("method") else Full()
    if not isinstance(method, Full) and isinstance(model, Custom):
        kind = "LoRA" if isinstance(method, LoRA) else method.kind
        raise Invalid(
            f"method.type is {kind}, which learns beside a base that stays as it is, and model.custom begins at random"
            " weights: give the base as model.path, or write method.type Full"
        )
    return TrainingSpec(
        model=model,
        objective=objective_of(
            root, OBJECTIVES, [one.format for one in datasets], all_parameters=isinstance(method, Full)
        ),
        method=method,
        datasets=datasets,
        hyperparameters=hyperparameters,
        chat_template=_chat_template(root.fields("chatTemplate")) if root.has("chatTemplate") else None,
        loss_on=root.choice("lossOn", LOSSES, "AssistantTurns"),
        init_from=_init_from(root.fields("initFrom")) if root.has("initFrom") else None,
        rollback=_rollback(root.fields("onDivergence")) if root.has("onDivergence") else None,
        data=_preparation(root.fields("data")) if root.has("data") else None,
        early_stopping=early_stopping(root) if root.has("earlyStopping") else None,
        evaluation=evaluation(root.fields("evaluation")) if root.has("evaluation") else None,
        compression=read_compression(root.fields("hyperparameters"), is_lora=isinstance(method, LoRA)),
        expert=expert,
        sharding=sharding,
    )


def _model(fields: Fields) -> Custom | Weights:
    fields.only("name", "custom", "path")
    if fields.has("custom") == fields.has("path"):
        raise Invalid("model needs exactly one of custom (a config.json's fields) and path (a model directory)")
    if fields.has("path"):
        return Weights(Path(fields.text("path")), fields.text("name") if fields.has("name") else None)
    config = fields.mapping("custom")
    return Custom(config if "model_type" in config else {"model_type": "deepseek_v3", **config})


def _init_from(fields: Fields) -> InitFrom:
    fields.only("path", "checkpoint")
    checkpoint = fields.text("checkpoint") if fields.has("checkpoint") else "Latest"
    if checkpoint not in ("Latest", "Best") and not (checkpoint.isascii() and checkpoint.isdigit()):
        raise fields.wrong("checkpoint", "write Latest, Best or a step")
    return InitFrom(Path(fields.text("path")), checkpoint)


def _method(fields: Fields) -> Method:
    fields.only("type", "lora", "prompt")
    kind = fields.choice("type", METHODS, "Full")
    for block, kinds in (("lora", ("LoRA",)), ("prompt", ("PromptTuning", "PTuning"))):
        if fields.has(block) and kind not in kinds:
            whose = " and ".join(kinds)
            raise Invalid(
                f"{fields.path}.{block} is of method {whose}: write {fields.path}.type {kinds[0]}, or leave it out"
            )
    match kind:
        case "Full":
            return Full()
        case "LoRA":
            return _lora(fields.fields("lora") if fields.has("lora") else Fields({}, f"{fields.path}.lora"))
        case "PromptTuning" | "PTuning":
            return _prompt(
                kind, fields.fields("prompt") if fields.has("prompt") else Fields({}, f"{fields.path}.prompt")
            )
        case other:
            assert_never(other)


def _chat_template(fields: Fields) -> ChatTemplate:
    fields.only("name", "text")
    if fields.has("name") == fields.has("text"):
        raise Invalid(f"chatTemplate needs exactly one of name ({', '.join(TEMPLATES)}) and text (a Jinja template)")
    if fields.has("text"):
        return ChatTemplate(None, fields.text("text"))
    return ChatTemplate(fields.choice("name", TEMPLATES, "DeepSeek"), None)


def _rollback(fields: Fields) -> Rollback | None:
    fields.only("action", "skipSteps", "max")
    if fields.choice("action", ANSWERS, "Stop") == "Rollback":
        return Rollback(fields.integer("skipSteps", 1, least=1), fields.integer("max", 3, least=1))
    for name in ("skipSteps", "max"):
        if fields.has(name):
            raise fields.wrong(name, f"it is of action Rollback: write {fields.path}.action Rollback, or leave it out")
    return None


def _preparation(fields: Fields) -> Preparation:
    fields.only(
        *("normalize", "deduplicate", "nearSimilarity", "minTokens", "maxTokens", "languages", "minLetters"),
        *("maxRepetition", "decontaminateWords", "packing"),
    )
    return Preparation(
        normalize=fields.optional("normalize", UNICODE_FORMS),
        deduplicate=fields.optional("deduplicate", DUPLICATES),
        near_similarity=fields.decimal("nearSimilarity", 0.8, least=0.1),
        min_tokens=fields.integer("minTokens", 0, least=1) or None,
        max_tokens=fields.integer("maxTokens", 0, least=1) or None,
        languages=fields.texts("languages", ()),
        min_letters=fields.decimal("minLetters", 0.0, least=0.0) if fields.has("minLetters") else None,
        max_repetition=fields.decimal("maxRepetition", 0.0, least=0.0) if fields.has("maxRepetition") else None,
        decontaminate_words=fields.integer("decontaminateWords", 0, least=1) or None,
        packing=fields.optional("packing", PACKINGS),
    )


def _lora(fields: Fields) -> LoRA:
    fields.only("rank", "alpha", "dropout", "targets", "export")
    rank = fields.integer("rank", 16, least=1)
    dropout = fields.decimal("dropout", 0.0, least=0.0)
    targets = fields.texts("targets", ("Attention",))
    if dropout >= 1:
        raise fields.wrong("dropout", 'all of the input would be left out: write a decimal below 1, for example "0.05"')
    if dropout and EXPERTS in targets:
        raise fields.wrong("dropout", f"adapters of {EXPERTS} know none: leave it out, or {EXPERTS} out of targets")
    return LoRA(
        rank=rank,
        alpha=fields.integer("alpha", 2 * rank, least=1),
        dropout=dropout,
        targets=targets,
        export=fields.choice("export", ADAPTER_EXPORTS, "Merged"),
    )


def _prompt(kind: PromptKind, fields: Fields) -> Prompt:
    fields.only("virtualTokens", "encoderHiddenSize")
    if kind == "PromptTuning" and fields.has("encoderHiddenSize"):
        raise fields.wrong(
            "encoderHiddenSize", "only PTuning has an encoder: leave it out, or write method.type PTuning"
        )
    tokens = fields.integer("virtualTokens", 20, least=1)
    return Prompt(kind, tokens, fields.integer("encoderHiddenSize", 128, least=1) if kind == "PTuning" else None)


def _dataset(fields: Fields) -> Dataset:
    fields.only("source", "split", "format", "weight")
    source = fields.fields("source")
    source.only("uri", "path", "builtin", "dvc")
    if source.has("path") == source.has("builtin"):
        raise Invalid(f"{source.path} needs exactly one of path (a file) and builtin ({', '.join(BUILTIN_TASKS)})")
    split = fields.choice("split", SPLITS, "Train")
    weight = fields.decimal("weight", 1.0, least=0.0)
    if split == "Heldout" and weight != 1:
        raise fields.wrong("weight", "only what is learnt from has a weight: leave it out of a Heldout dataset")
    return Dataset(
        path=Path(source.text("path")) if source.has("path") else None,
        builtin=source.choice("builtin", BUILTIN_TASKS, "") if source.has("builtin") else None,
        split=split,
        weight=weight,
        format=fields.choice("format", FORMATS, "PromptCompletion"),
        pin=_pin(source.fields("dvc")) if source.has("dvc") else None,
    )


def _pin(fields: Fields) -> Pin:
    fields.only("file", "md5")
    if not fields.has("file") and not fields.has("md5"):
        raise Invalid(f"{fields.path} needs file (a .dvc file), md5 (what it records), or both")
    file = Path(fields.text("file")) if fields.has("file") else None
    return Pin(file, fields.text("md5") if fields.has("md5") else None)


def _hyperparameters(fields: Fields) -> Hyperparameters:
    fields.only(*HYPERPARAMETERS)
    if fields.has("epochs") and fields.has("maxSteps"):
        raise Invalid("hyperparameters.epochs and maxSteps are both set; write one of them")
    return Hyperparameters(
        global_batch_size=fields.integer("globalBatchSize", 32, least=1),
        micro_batch_size=fields.integer("microBatchSize", 0, least=1) or None,
        sequence_length=fields.integer("sequenceLength", 2048, least=2),
        learning_rate=fields.decimal("learningRate", 1e-5, least=0.0),
        schedule=fields.choice("schedule", SCHEDULES, "Cosine"),
        warmup_steps=fields.integer("warmupSteps", 0, least=0),
        epochs=None if fields.has("maxSteps") else fields.integer("epochs", 1, least=1),
        max_steps=fields.integer("maxSteps", 0, least=1) or None,
        precision=fields.choice("precision", PRECISIONS, "bf16"),
        weight_decay=fields.decimal("weightDecay", 0.0, least=0.0),
        gradient_clip_norm=fields.decimal("gradientClipNorm", 1.0, least=0.0),
        seed=fields.integer("seed", 0, least=0),
        eval_every_steps=fields.integer("evalEverySteps", 0, least=1) or None,
        eval_samples=fields.integer("evalSamples", 0, least=0),
        eval_sample_tokens=fields.integer("evalSampleTokens", 64, least=1),
        cross_entropy=fields.choice("crossEntropy", CROSS_ENTROPIES, "Whole"),
        activation_recomputation=fields.choice("activationRecomputation", RECOMPUTATIONS, "None"),
        optimizer=fields.choice("optimizer", OPTIMIZERS, "AdamW"),
    )
