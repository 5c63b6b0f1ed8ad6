"""What to train."""

from functools import cache
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from deepseek_operator.api.base import ApiModel, OneOf, rule, rules, together
from deepseek_operator.api.v1alpha1.common.accelerator import Accelerator
from deepseek_operator.api.v1alpha1.common.programs import is_none, is_one, joined
from deepseek_operator.api.v1alpha1.training.checkpoints import Checkpoints
from deepseek_operator.api.v1alpha1.training.compression import ONE_BIT_ADAM, ONE_BIT_ADAM_OR, POWER_SGD
from deepseek_operator.api.v1alpha1.training.data import ChatTemplate, Dataset, Preparation
from deepseek_operator.api.v1alpha1.training.evaluation import Evaluation
from deepseek_operator.api.v1alpha1.training.failures import FailurePolicy
from deepseek_operator.api.v1alpha1.training.hyperparameters import Hyperparameters
from deepseek_operator.api.v1alpha1.training.init import InitFrom
from deepseek_operator.api.v1alpha1.training.method import FULL, LORA, PROMPT_TUNING, QLORA, TrainingMethod
from deepseek_operator.api.v1alpha1.training.model import TrainingModel
from deepseek_operator.api.v1alpha1.training.nodes import Nodes
from deepseek_operator.api.v1alpha1.training.objectives import LOSS_RULE, OBJECTIVE, OBJECTIVE_RULES, OBJECTIVES
from deepseek_operator.api.v1alpha1.training.parallelism import TrainingParallelism
from deepseek_operator.api.v1alpha1.training.stopping import EarlyStopping
from deepseek_operator.api.v1alpha1.training.tracking import Tracking
from deepseek_operator.api.v1alpha1.training.trainer import Trainer
from deepseek_operator.api.v1alpha1.training.trainers import COMPRESSING, OURS, WITH_QLORA, WRITTEN

_OWN_COMMAND = is_one("self.trainer.type", WRITTEN)
_OURS = is_one("self.trainer.type", OURS)
_NOT_OURS = is_none("self.trainer.type", OURS)
_NOT_HYBRID = "!has(self.parallelism.sharding) || self.parallelism.sharding != 'Hybrid'"
_NOT_EXPERT = "!has(self.parallelism.expert) || self.parallelism.expert == 1"
_PROCESSES = (
    "((has(self.nodes.count) ? self.nodes.count : 1) * "
    "(has(self.accelerator) && has(self.accelerator.perNode) ? self.accelerator.perNode : 1))"
)
_COMPRESSION = "self.hyperparameters.gradientCompression"
_IS_CHAT = "d.format == 'Messages' || d.format == 'Alpaca'"
_MEASURED = "self.checkpoints.best.metric == 'evalLoss' || self.checkpoints.best.metric == 'accuracy'"


def _some(wanted: str) -> str:
    """CEL: a dataset `d` is like that."""
    return f"has(self.datasets) && self.datasets.exists(d, {wanted})"


_TRAIN, _HELDOUT = _some("d.split == 'Train'"), _some("d.split == 'Heldout'")
_ANSWERS = "(!has(self.lossOn) || self.lossOn != 'All') && " + _some("d.split == 'Heldout' && d.format != 'Text'")

_BUILT_IN_ALONE = (
    rule(
        "!has(self.initFrom)",
        "initFrom is the built-in trainer's: leave it out, and let your command read the checkpoint",
    ),
    rule(
        "!has(self.evaluation)",
        "evaluation.command is run by the built-in trainer: leave it out, and let your program write metrics of its own "
        "into the manifests of its checkpoints",
    ),
    rule(
        "!has(self.earlyStopping)",
        "earlyStopping is the built-in trainer's: leave it out, and let your command end with exit code 0 when it has learnt enough",
    ),
    rule(
        "!has(self.failurePolicy.onDivergence)",
        "failurePolicy.onDivergence is the built-in trainer's: leave it out, and let your command go back to a checkpoint itself",
    ),
    rule(
        "!(has(self.failurePolicy.preflightTimeoutSeconds) || has(self.failurePolicy.minVolumeMegabytesPerSecond))",
        "failurePolicy.preflightTimeoutSeconds and minVolumeMegabytesPerSecond are the built-in trainer's: leave them out, and let your command try first what it needs",
    ),
    rule(
        "!has(self.failurePolicy.maxInPlaceRestarts)",
        "failurePolicy.maxInPlaceRestarts is the built-in trainer's: leave it out, and write maxRestarts, or let your command start its processes again itself",
    ),
    rule(
        "!has(self.parallelism) || !has(self.parallelism.sharding)",
        "parallelism.sharding is the built-in trainer's: leave it out, what others share out follows from what fits",
    ),
    rule(
        "!has(self.tracking)",
        "tracking is what the built-in trainer does: leave it out, and let your program tell its server itself; "
        "trainer.env takes addresses and Secrets",
    ),
    rule(
        "!has(self.data)",
        "data is what the built-in trainer prepares: leave it out, and have the datasets prepared before",
    ),
    rule(
        "!has(self.datasets) || !self.datasets.exists(d, has(d.source.dvc))",
        "datasets.source.dvc is checked by the built-in trainer: leave it out, and have the data checked before",
    ),
)
"""What other trainers do nothing with."""

_PARALLELISM = (
    rule(
        is_none("self.trainer.type", WRITTEN),
        "parallelism is for trainers whose commands the operator makes: leave it out, and let your command lay itself out",
    ),
    rule(
        f"{_NOT_OURS} || !has(self.parallelism.expert) || (has(self.accelerator) && has(self.accelerator.profile)) || "
        f"{_PROCESSES} % self.parallelism.expert == 0",
        "parallelism.expert must divide the number of processes, nodes.count × accelerator.perNode",
    ),
    rule(
        f"{_NOT_OURS} || {_NOT_EXPERT} || !has(self.method.lora) || !has(self.method.lora.targets) || "
        "!self.method.lora.targets.exists(t, t == 'Experts')",
        "parallelism.expert deals experts out, and adapters of Experts can't be: leave it out, or Experts out of method.lora.targets",
    ),
    rule(
        f"{_NOT_OURS} || {_NOT_EXPERT} || !has(self.hyperparameters.activationRecomputation) || "
        "self.hyperparameters.activationRecomputation != 'Selective'",
        "beside parallelism.expert all or nothing of a layer is computed again: write activationRecomputation Full or None",
    ),
    rule(
        f"{_NOT_HYBRID} || {_NOT_EXPERT}",
        "parallelism.expert deals experts out over all processes: write parallelism.sharding Full, or leave expert out",
    ),
    rule(
        f"{_NOT_HYBRID} || (has(self.nodes.count) ? self.nodes.count > 1 : "
        "has(self.accelerator) && has(self.accelerator.profile))",
        "parallelism.sharding Hybrid keeps a copy on each node: write nodes.count 2 or more, or sharding Full",
    ),
    rule(
        f"{_NOT_HYBRID} || (has(self.accelerator) && (has(self.accelerator.perNode) ? self.accelerator.perNode > 1 : "
        "has(self.accelerator.profile)))",
        "parallelism.sharding Hybrid shares states out within a node: write accelerator.perNode 2 or more, or sharding Full",
    ),
)

_COMPRESSIONS = (
    rule(
        f"{_COMPRESSION}.type != '{POWER_SGD}' || "
        f"({is_one('self.trainer.type', COMPRESSING[POWER_SGD])} && self.method.type == '{LORA}')",
        f"gradientCompression {POWER_SGD} is of the built-in trainer with method LoRA, whose adapter every process can "
        "hold whole: leave it out, or write both",
    ),
    rule(
        f"{_COMPRESSION}.type != '{POWER_SGD}' || !has({_COMPRESSION}.rank) || "
        f"2 * {_COMPRESSION}.rank < (has(self.method.lora) ? self.method.lora.rank : 16)",
        "gradientCompression.rank makes a gradient smaller below half of method.lora.rank only: write less",
    ),
    rule(
        f"{_COMPRESSION}.type != '{ONE_BIT_ADAM}' || "
        f"({is_one('self.trainer.type', COMPRESSING[ONE_BIT_ADAM])} && self.hyperparameters.precision == 'fp32')",
        f"gradientCompression {ONE_BIT_ADAM} is of trainer.type {ONE_BIT_ADAM_OR}, without bf16: write trainer.type "
        f"{ONE_BIT_ADAM_OR} and hyperparameters.precision fp32, or leave it out",
    ),
)


class TrainingSpec(ApiModel):
    """What to train, on what, and how failures are met."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                f"has(self.model.source) || has(self.model.custom) || has(self.model.fromTraining) || {_OWN_COMMAND}",
                "the trainer needs a model: write model.source (weights on a claim), model.fromTraining (another "
                "training's export) or model.custom (config.json fields)",
                fieldPath=".model",
            ),
            rule(
                f"!has(self.model.custom) || self.method.type == '{FULL}' || {_OWN_COMMAND}",
                "a method other than Full learns beside a base that stays as it is, and model.custom begins at random weights: write "
                "model.source or model.fromTraining, or method.type Full",
                fieldPath=".model.custom",
            ),
            rule(
                f"self.method.type != '{QLORA}' || {_NOT_OURS}",
                f"the built-in trainer has no QLoRA: write trainer.type {joined(WITH_QLORA, 'or')} with an image that holds "
                "bitsandbytes, or method.type LoRA",
                fieldPath=".method.type",
            ),
            rule(
                f"({_TRAIN}) || {_OWN_COMMAND}",
                "the trainer needs something to learn from: write datasets with at least one of split Train",
            ),
            rule(
                "has(self.hyperparameters.maxSteps) || has(self.hyperparameters.epochs) || "
                f"has(self.hyperparameters.moreSteps) || {_OWN_COMMAND}",
                "the trainer needs an end: write hyperparameters.maxSteps or hyperparameters.epochs",
                fieldPath=".hyperparameters",
            ),
            rule(
                "!has(self.hyperparameters.moreSteps) || (has(self.checkpoints.resume.from) && "
                "(has(self.checkpoints.resume.from.training) || self.checkpoints.resume.from.checkpoint.matches('^[0-9]+$')))",
                "hyperparameters.moreSteps counts from a checkpoint of checkpoints.resume.from: name that training, or "
                "beside trainingUID a step as checkpoint; without resume.from write maxSteps",
                fieldPath=".hyperparameters.moreSteps",
            ),
            rule(
                "!(has(self.model.fromTraining) && has(self.checkpoints.resume.from))",
                "write model.fromTraining (weights alone, steps from 0) or checkpoints.resume.from (goes on with optimizer "
                "and steps), not both",
                fieldPath=".model.fromTraining",
            ),
            rule(
                f"(!has(self.accelerator) && !has(self.nodes.count)) || {_OWN_COMMAND} || "
                f"self.hyperparameters.globalBatchSize % {_PROCESSES} == 0",
                "hyperparameters.globalBatchSize must be divisible by the number of processes, nodes.count × accelerator.perNode",
                fieldPath=".hyperparameters.globalBatchSize",
            ),
            rule(
                f"self.method.type != '{PROMPT_TUNING}' || !has(self.hyperparameters.optimizer) || "
                f"self.hyperparameters.optimizer != 'Muon' || {_OWN_COMMAND}",
                f"Muon turns matrices, and method.type {PROMPT_TUNING} learns vectors that are read before a sequence: write "
                "hyperparameters.optimizer AdamW",
                fieldPath=".hyperparameters.optimizer",
            ),
            rule(
                f"!has(self.hyperparameters.evalEverySteps) || has(self.evaluation) || {_OWN_COMMAND} || ({_HELDOUT})",
                "hyperparameters.evalEverySteps needs something to evaluate on: write a dataset with split Heldout, or evaluation.command",
                fieldPath=".hyperparameters.evalEverySteps",
            ),
            rule(
                f"!has(self.hyperparameters.evalSamples) || {_OWN_COMMAND} || ({_ANSWERS})",
                "hyperparameters.evalSamples answers prompts: write a dataset with split Heldout that holds prompts or chats, "
                "or leave it out",
                fieldPath=".hyperparameters.evalSamples",
            ),
            together(
                "!has(self.initFrom)",
                rule(
                    "!has(self.checkpoints.resume.from)",
                    "write initFrom (weights alone, steps from 0) or checkpoints.resume.from (goes on with optimizer and steps), not both",
                ),
                rule(
                    "!(has(self.initFrom.training) && has(self.model.fromTraining))",
                    "initFrom.training puts weights into the model that its checkpoint was trained as: write that as model.source or "
                    "model.custom; model.fromTraining alone takes an export",
                ),
                at=".initFrom",
            ),
            together(
                f"!has(self.checkpoints.best) || {_OWN_COMMAND}",
                rule(
                    f"{_MEASURED} || has(self.evaluation)",
                    "the built-in trainer measures evalLoss and accuracy: write one of them as checkpoints.best.metric, or the program "
                    "that measures another as evaluation.command",
                ),
                rule(
                    f"!({_MEASURED}) || ({_HELDOUT})",
                    "checkpoints.best needs something to be measured on: write a dataset with split Heldout",
                ),
                rule(
                    f"self.checkpoints.best.metric != 'accuracy' || ({_ANSWERS})",
                    "accuracy counts answers that are right, and the Heldout datasets hold texts alone: write checkpoints.best.metric evalLoss",
                ),
                at=".checkpoints.best",
            ),
            together(
                "!has(self.earlyStopping)",
                rule(
                    f"{_OWN_COMMAND} || has(self.hyperparameters.evalEverySteps)",
                    "earlyStopping counts evaluations: write hyperparameters.evalEverySteps, the steps between them",
                ),
                rule(
                    "self.checkpoints.keepBest > 0",
                    "earlyStopping exports the best checkpoint, which must be kept: write checkpoints.keepBest 1 or more",
                ),
                at=".earlyStopping",
            ),
            together(_OURS, *_BUILT_IN_ALONE, at=".trainer.type"),
            together("!has(self.parallelism)", *_PARALLELISM, at=".parallelism"),
            together(f"!has({_COMPRESSION})", *_COMPRESSIONS, at=".hyperparameters.gradientCompression"),
            rule(
                f"!has(self.chatTemplate) || ({_some(_IS_CHAT)})",
                "chatTemplate is how chats are written: write a dataset of format Messages or Alpaca, or leave it out",
                fieldPath=".chatTemplate",
            ),
            rule(
                f"!has(self.model.custom) || has(self.chatTemplate) || !({_some(_IS_CHAT)}) || {_OWN_COMMAND}",
                "a model made of model.custom has no chat template: write chatTemplate, for example {name: DeepSeek}",
            ),
            together(
                "!has(self.lossOn)",
                rule(
                    _some("d.format != 'Text'"),
                    "lossOn is for chats and pairs, and a text is learnt throughout: leave lossOn out",
                ),
                LOSS_RULE,
                at=".lossOn",
            ),
            rule(
                f"!has(self.data) || !has(self.data.decontaminateWords) || ({_HELDOUT})",
                "data.decontaminateWords keeps Train apart from Heldout: write a dataset with split Heldout, or leave it out",
                fieldPath=".data.decontaminateWords",
            ),
            rule(
                "!has(self.nodes.count) || self.nodes.count == 1 || !has(self.checkpoints.volume.accessMode) || "
                "self.checkpoints.volume.accessMode == 'ReadWriteMany'",
                "with nodes.count above 1 every node writes the volume: write checkpoints.volume.accessMode ReadWriteMany, or leave it out",
                fieldPath=".checkpoints.volume.accessMode",
            ),
            *OBJECTIVE_RULES,
        )
    )

    model: TrainingModel = Field(
        default_factory=cache(TrainingModel),
        description="The model that is trained. Required unless the program is your own.",
        json_schema_extra=rules(
            rule(
                "!(has(self.source) && has(self.custom))",
                "write model.source (weights on a claim) or model.custom (config.json fields), not both",
            ),
            rule(
                "!(has(self.fromTraining) && (has(self.source) || has(self.custom)))",
                "write model.fromTraining (another training's export), model.source or model.custom, one of them",
            ),
        ),
    )
    init_from: InitFrom | None = Field(
        default=None,
        description="Weights of another training's checkpoint to begin with, in place of the model's own. Absent: the model's own.",
    )
    objective: Annotated[str, OneOf(OBJECTIVES)] = Field(default="SFT", description=OBJECTIVE)
    method: TrainingMethod = Field(default_factory=cache(TrainingMethod), description="Which parameters are trained.")
    datasets: list[Dataset] = Field(
        default_factory=list,
        max_length=16,
        description="What is learnt from and evaluated on. Required unless the program is your own.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    chat_template: ChatTemplate | None = Field(
        default=None,
        description="How datasets of format Messages and Alpaca are written; exports carry it, and engines answer by it. Absent: the model's own chat template.",
    )
    loss_on: Literal["Completion", "AssistantTurns", "All"] | None = Field(
        default=None,
        description="What is learnt of chats and pairs. Completion: the last answer. AssistantTurns: every answer with its end token, but those of weight 0. All: every token. Texts are learnt throughout. Absent: AssistantTurns.",
    )
    data: Preparation | None = Field(
        default=None,
        description="How datasets are prepared before they are learnt from: once for content, settings, tokenizer and template, kept on the checkpoint volume under datasets/ for every training that uses it, and reported in status.data.prepared. {} prepares without dropping anything. Absent: every pod reads the files at each start, which holds their tokens in memory.",
    )
    hyperparameters: Hyperparameters = Field(
        default_factory=cache(Hyperparameters),
        description="How the built-in trainer runs.",
        json_schema_extra=rules(
            rule(
                "!(has(self.maxSteps) && has(self.epochs))",
                "write hyperparameters.maxSteps or hyperparameters.epochs, not both",
            ),
            rule(
                "!(has(self.moreSteps) && (has(self.maxSteps) || has(self.epochs)))",
                "write hyperparameters.moreSteps or maxSteps or epochs, one of them",
            ),
            rule(
                "!has(self.evalSampleTokens) || has(self.evalSamples)",
                "hyperparameters.evalSampleTokens is how long the answers of evalSamples are: write that, or leave it out",
                fieldPath=".evalSampleTokens",
            ),
            rule(
                "!has(self.maxSteps) || self.warmupSteps < self.maxSteps",
                "hyperparameters.warmupSteps must be less than hyperparameters.maxSteps",
            ),
        ),
    )
    evaluation: Evaluation | None = Field(
        default=None,
        description="Metrics of your own, at every evaluation (hyperparameters.evalEverySteps, and the last step). Absent: evalLoss and accuracy alone. An edit counts from the next attempt on.",
    )
    early_stopping: EarlyStopping | None = Field(
        default=None,
        description="When the built-in trainer ends before its last step. Absent: never. An edit counts from the next attempt on.",
    )
    tracking: Tracking | None = Field(
        default=None,
        description="Who is told of the built-in trainer's numbers. Absent: none; the curve is on the checkpoint volume, and /progress has the latest. An edit counts from the next attempt on.",
    )
    accelerator: Accelerator | None = Field(
        default=None, description="Devices of each pod. Absent: the CPU, one process per pod."
    )
    nodes: Nodes = Field(default_factory=cache(Nodes), description="Size of the gang.")
    parallelism: TrainingParallelism | None = Field(
        default=None,
        description="How processes divide the model beside sharing its states out. Absent: in no other way, or as found by sizing. An edit is another attempt, which goes on from the checkpoint.",
    )
    trainer: Trainer = Field(
        default_factory=cache(Trainer),
        description="The program that trains, and its container. Absent: the built-in trainer.",
    )
    checkpoints: Checkpoints = Field(
        default_factory=cache(Checkpoints),
        description="When checkpoints are saved, where, and how many are kept.",
    )
    failure_policy: FailurePolicy = Field(
        default_factory=cache(FailurePolicy), description="Which failures are tolerated."
    )
    suspend: bool = Field(
        default=False,
        description="True: save, stop the pods and wait. False again: go on from the checkpoint. Default false.",
    )

    @property
    def evaluation_image(self) -> str | None:
        """The image in which a program of the user's own measures; None where there is none, or it runs beside the trainer."""
        return self.evaluation.image if self.evaluation is not None else None
