"""The exact command of a trainer that is not ours, from the spec and the recorded plan; or why there is none.

A field that such a trainer does nothing with is refused, whichever it is: `HONOURED` lists those that become part of the
command, are kept by the launcher's adapter, or are the operator's own. What a trainer can't do with one, its builder says.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from deepseek_operator.api.v1alpha1.common.accelerator import profiled
from deepseek_operator.api.v1alpha1.common.plan import DegreesStatus
from deepseek_operator.api.v1alpha1.training.data import Dataset
from deepseek_operator.api.v1alpha1.training.spec import TrainingSpec
from deepseek_operator.api.v1alpha1.training.status import TrainingPlanStatus
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.domain.devices.profiles import Profile
from deepseek_operator.domain.layout import Layout, Sharding
from deepseek_operator.domain.models import catalogue
from deepseek_operator.domain.models.model import Architecture
from deepseek_operator.domain.programs.start import Start
from deepseek_operator.domain.programs.trainers import request
from deepseek_operator.domain.programs.trainers.entry import TrainerEntry
from deepseek_operator.domain.programs.trainers.request import TrainerRequest
from deepseek_operator.domain.programs.trainers.table import TRAINERS, USUAL, build
from deepseek_operator.domain.sizing.activations import Recompute
from deepseek_operator.domain.sizing.training_state import Method
from deepseek_operator.domain.values.command import Command, Refusal
from deepseek_operator.kinds.training import tuning
from deepseek_operator.kinds.training.settings import experts_over, freeze_steps, grace_s, processes_per_node

MODEL_PATH = "/model"
DATASETS_PATH = "/datasets"
CPU = "cpu"
"""The profile of a training that names no accelerator."""
HONOURED = (
    *("model.name", "model.source.*", "model.fromTraining.*", "objective", "method.type", "method.lora.*"),
    *("datasets", "lossOn", "chatTemplate.*"),
    *(
        f"hyperparameters.{name}"
        for name in (
            *("globalBatchSize", "microBatchSize", "sequenceLength", "learningRate", "schedule", "warmupSteps"),
            *(
                "maxSteps",
                "moreSteps",
                "epochs",
                "precision",
                "weightDecay",
                "gradientClipNorm",
                "seed",
                "evalEverySteps",
                "gradientCompression.*",
                "activationRecomputation",
                "optimizer",
            ),
        )
    ),
    *("checkpoints.everySteps", "checkpoints.everySeconds", "checkpoints.volume.*", "checkpoints.keepLast"),
    *("checkpoints.keepBest", "checkpoints.onDelete", "checkpoints.resume.*"),
    *("failurePolicy.maxRestarts", "failurePolicy.startTimeoutSeconds", "failurePolicy.stallTimeoutSeconds"),
    "failurePolicy.nodeLostSeconds",
    *("accelerator.*", "nodes.*", "parallelism.*", "trainer.*", "suspend"),
)
"""Fields of the spec, by their names in it; `*` stands for all below."""
_FETCHED = ("source.claimName", "source.credentials", "source.digest")
_DATASET = ("source.uri", *_FETCHED, "split", "format", "weight")


@dataclass(frozen=True)
class Started:
    """What the trainer's container is made of. `is_divided`: its ranks save parts that as many alone put together again."""

    image: str
    command: Command
    is_divided: bool = False


def started(
    spec: TrainingSpec, plan: TrainingPlanStatus | None, configuration: Configuration
) -> Started | Refusal | None:
    """What the trainer runs, or why it can't; None for a trainer whose command is not the operator's to write."""
    entry = TRAINERS[spec.trainer.type]
    if entry.start is not Start.BUILT:
        return None
    if (refusal := _ignored(entry, spec) or _unfit(entry, spec)) is not None:
        return refusal
    profile = _profile(spec, plan, configuration)
    found = catalogue.find(spec.model.name or "")
    assert found.architecture is not None  # or `_unfit` says so
    wanted = asked(entry, spec, plan, profile, found.family, found.architecture)
    built = build(entry.type, wanted)
    if isinstance(built, Refusal):
        return built
    image = spec.trainer.image or profile.image(entry.type, entry.version)
    if image is None:
        return Refusal(
            f"no image of {entry.title} {entry.version} for {profile.name} follows from its release",
            "write trainer.image",
        )
    # A command may be of another program than the usual one, which saves in its own way.
    is_divided = entry.divides and built.program == entry.type and wanted.is_shared_out
    return Started(image, built, is_divided)


def asked(
    entry: TrainerEntry,
    spec: TrainingSpec,
    plan: TrainingPlanStatus | None,
    profile: Profile,
    family: str,
    architecture: Architecture,
) -> TrainerRequest:
    """The spec in the trainers' words."""
    template = spec.chat_template
    return TrainerRequest(
        model=spec.model.name or "",
        family=family,
        path=MODEL_PATH,
        architecture=architecture,
        layout=_layout(spec, plan),
        nodes=spec.nodes.number,
        profile=profile,
        version=entry.version,
        objective=request.Objective(spec.objective),
        tuning=tuning.tuning(spec.method),
        datasets=tuple(_dataset(index, dataset) for index, dataset in enumerate(spec.datasets)),
        loss_on=request.LossOn(spec.loss_on) if spec.loss_on is not None else request.LossOn.ASSISTANT_TURNS,
        chat_template=None if template is None else template.name or template.text,
        hyper=_hyper(spec, plan),
        optimizer=tuning.optimizer(spec.hyperparameters),
        every_steps=spec.checkpoints.every_steps,
        every_seconds=spec.checkpoints.every_seconds,
        keep_last=spec.checkpoints.keep_last,
        recompute=_recompute(spec, plan),
        grace_seconds=grace_s(spec),
        script=tuple(spec.trainer.command or ()),
        extra_args=tuple(spec.trainer.args),
    )


def _recompute(spec: TrainingSpec, plan: TrainingPlanStatus | None) -> Recompute:
    """As written, else as planned, else nothing."""
    planned = plan.recompute if plan is not None else ""
    return Recompute(spec.hyperparameters.activation_recomputation or planned or Recompute.NONE.value)


def _hyper(spec: TrainingSpec, plan: TrainingPlanStatus | None) -> request.Hyperparameters:
    hyper = spec.hyperparameters
    counted = plan.micro_batch_size if plan is not None else None
    return request.Hyperparameters(
        global_batch=hyper.global_batch_size,
        micro_batch=hyper.micro_batch_size or counted or 1,
        sequence=hyper.sequence_length,
        learning_rate=hyper.learning_rate,
        schedule=request.Schedule(hyper.schedule),
        warmup_steps=hyper.warmup_steps,
        max_steps=hyper.max_steps,
        epochs=hyper.epochs,
        precision=hyper.precision,
        weight_decay=hyper.weight_decay,
        clip_norm=hyper.gradient_clip_norm,
        seed=hyper.seed,
        eval_every_steps=hyper.eval_every_steps,
        freeze_steps=freeze_steps(spec),
    )


def _layout(spec: TrainingSpec, plan: TrainingPlanStatus | None) -> Layout:
    """As planned; without a plan ranks that see other data, which share the state out where they are devices."""
    ranks = spec.nodes.number * processes_per_node(spec)
    if plan is None or not plan.sharding:
        shares = ranks > 1 and spec.accelerator is not None and freeze_steps(spec) is None
        whole = spec.method.type == Method.QLORA.value  # a base in 4 bits can't be cut
        sharding = (Sharding.ZERO2 if whole else Sharding.ZERO3) if shares else Sharding.NONE
        return Layout(data=ranks, expert=experts_over(spec), sharding=sharding, shard=ranks if shares else 1)
    degrees = plan.degrees or DegreesStatus()
    return Layout(
        tensor=degrees.tensor,
        pipeline=degrees.pipeline,
        data=degrees.data,
        expert=degrees.expert,
        context=plan.context or 1,
        sharding=Sharding(plan.sharding),
        shard=plan.shard or 1,
    )


def _profile(spec: TrainingSpec, plan: TrainingPlanStatus | None, configuration: Configuration) -> Profile:
    """The planned devices, or the CPU: what else there is was refused."""
    return configuration.profiles.resolve(plan.profile if plan is not None and plan.profile else CPU)


def _dataset(index: int, dataset: Dataset) -> request.Dataset:
    source = dataset.source
    path = (
        f"{DATASETS_PATH}/{index}/{source.path or source.selection}"
        if source.claim
        else str(source.uri).partition("://")[2]
    )
    return request.Dataset(
        path, request.DataFormat(dataset.format), float(dataset.weight), held_out=dataset.split == "Heldout"
    )


def _unfit(entry: TrainerEntry, spec: TrainingSpec) -> Refusal | None:
    """What every trainer but the built-in one needs, or can't take."""
    accelerator = spec.accelerator
    if accelerator is not None and profiled(accelerator) is None and accelerator.resource is not None:
        return Refusal(f"the command of {entry.title} depends on the devices, and accelerator.resource names none of them",
                       "write accelerator.profile")  # fmt: skip
    try:
        known = catalogue.find(spec.model.name or "").architecture is not None
    except catalogue.UnknownModel:
        known = False
    if not known:
        return Refusal(f"{entry.title} needs to be told the form of the model's chats and layers, which model.name gives",
                       "write model.name, a name of the catalogue, for example deepseek-r1-distill-qwen-7b")  # fmt: skip
    for index, dataset in enumerate(spec.datasets):
        uri = str(dataset.source.uri)
        if uri.startswith("builtin://") or set(uri) & set("*?["):
            return Refusal(f"datasets[{index}].source.uri {uri}: only the built-in trainer makes tasks and reads patterns",
                           f"write a file of a claim, or trainer.type {USUAL.type}")  # fmt: skip
    return _unfit_recomputation(entry, spec) or _unfit_method(entry, spec)


def _unfit_recomputation(entry: TrainerEntry, spec: TrainingSpec) -> Refusal | None:
    said, known = spec.hyperparameters.activation_recomputation, entry.recomputations
    if said is None or Recompute(said) in known:
        return None
    levels = " or ".join(level.value for level in Recompute if level in known)
    field = "hyperparameters.activationRecomputation"
    if not levels:
        return Refusal(f"what {entry.title} computes again is for the program to say, not for {field}", "leave it out")
    return Refusal(f"{field} of {entry.title} is {levels}, not {said}", f"write {levels}, or trainer.type {USUAL.type}")


def _unfit_method(entry: TrainerEntry, spec: TrainingSpec) -> Refusal | None:
    lora = spec.method.adapter
    if lora is None:
        return None
    if sorted(lora.targets) not in (["Attention"], ["Linear"]):
        return Refusal(f"method.lora.targets of {entry.title} are [Attention] or [Linear], not {list(lora.targets)}",
                       f"write one of both, or trainer.type {USUAL.type}")  # fmt: skip
    if lora.export != "Adapter":
        return Refusal(f"{entry.title} leaves the adapter beside its base, not merged with it",
                       f"write method.lora.export: Adapter, or trainer.type {USUAL.type}")  # fmt: skip
    return None


def _ignored(entry: TrainerEntry, spec: TrainingSpec) -> Refusal | None:
    """The first field that the built-in trainer alone does something with."""
    wire = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    datasets = wire.pop("datasets", [])
    leaves = [path for path in _leaves(wire, "") if not any(_is_below(path, known) for known in HONOURED)]
    leaves += [
        f"datasets[{index}].{path}"
        for index, dataset in enumerate(datasets)
        for path in _leaves(dataset, "")
        if path not in _DATASET
    ]
    if not leaves:
        return None
    return Refusal(f"{leaves[0]} is read by the built-in trainer alone, not by {entry.title}",
                   f"leave it out, or write trainer.type {USUAL.type}")  # fmt: skip


def _is_below(path: str, known: str) -> bool:
    return fnmatchcase(path, known) or path == known.removesuffix(".*")


def _leaves(value: Any, path: str) -> Iterator[str]:
    """Names of all that is said, maps by their keys; a list is one thing."""
    if not isinstance(value, dict) or not value:
        yield path
        return
    for key, item in value.items():
        yield from _leaves(item, f"{path}.{key}" if path else key)
