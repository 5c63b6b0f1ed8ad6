"""On how many devices a training under a profile runs: sized, checked, recorded in `status.plan`, and read from there.

The built-in trainer shards over data ranks, deals experts out and recomputes as it is told; what does not fit it is refused.
Of a program of the user's own nothing is known but the model: it is sized as by a trainer with every kind of parallelism,
and that is advice.
"""

import json
from typing import Any

from deepseek_operator.api.v1alpha1.common.accelerator import profiled
from deepseek_operator.api.v1alpha1.common.plan import PlanStatus
from deepseek_operator.api.v1alpha1.training import DeepSeekTraining
from deepseek_operator.api.v1alpha1.training.spec import TrainingSpec
from deepseek_operator.api.v1alpha1.training.status import TrainingPlanStatus
from deepseek_operator.api.v1alpha1.training.trainers import WITH_QLORA
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.names import digest
from deepseek_operator.core.resources import GROUP, Manifest, annotations_of
from deepseek_operator.domain.devices.accelerator import GIB
from deepseek_operator.domain.devices.profiles import Profile, pod_needs
from deepseek_operator.domain.layout import FixedDegrees, Sharding
from deepseek_operator.domain.models.known import known
from deepseek_operator.domain.models.model import Architecture
from deepseek_operator.domain.models.parameters import total
from deepseek_operator.domain.programs.engines.limits import UNQUANTIZED
from deepseek_operator.domain.programs.start import Start
from deepseek_operator.domain.programs.trainers.entry import TrainerEntry
from deepseek_operator.domain.programs.trainers.request import Hyperparameters, Objective, TrainerRequest
from deepseek_operator.domain.programs.trainers.table import TRAINERS, build
from deepseek_operator.domain.sizing import size_training
from deepseek_operator.domain.sizing.activations import Recompute
from deepseek_operator.domain.sizing.alternatives import CHUNKED, RECOMPUTED, SHARED_BY_ALL, SMALL_MOMENTS
from deepseek_operator.domain.sizing.checkpoint_size import CheckpointSize
from deepseek_operator.domain.sizing.fit import Alternative, Refused, Sized
from deepseek_operator.domain.sizing.request import TrainingRequest
from deepseek_operator.domain.sizing.training_state import Method, Optimizer, Precision
from deepseek_operator.domain.values.command import Refusal
from deepseek_operator.kinds.training import tuning
from deepseek_operator.kinds.training.settings import freeze_steps, is_hybrid
from deepseek_operator.workloads.device_plan import (
    is_offered,
    profile_of,
    reason_of,
    refused_plan,
    sized_plan,
    told,
    unsized_plan,
)
from deepseek_operator.workloads.pod.devices import lacks_memory
from deepseek_operator.workloads.reasons import DOES_NOT_FIT, UNSUPPORTED

PLAN = f"{GROUP}/plan"
"""Annotation of a Job: the plan that it was made by, read back when the status was wiped."""

_OFFERED = ("more devices", "sequences of", CHUNKED, RECOMPUTED, SHARED_BY_ALL, SMALL_MOMENTS, Method.LORA.value)
"""Changes that a user of this API can make; sizing knows more."""
_LARGE_HOST_GIB = 64
"""Host memory that the built-in trainer takes per node above which it is told."""


def reference(spec: TrainingSpec) -> str:
    """Digest of what a plan depends on. What is live or only counts checkpoints is no part of it."""
    wire = spec.to_wire()
    hyper = wire["hyperparameters"]
    return digest(
        {
            "accelerator": wire.get("accelerator"),
            "nodes": spec.nodes.count,
            "model": {key: wire["model"][key] for key in ("name", "custom") if key in wire["model"]},
            "method": wire["method"],
            # Left out where it is the usual one: the plans of earlier releases stay.
            **({"objective": spec.objective} if spec.objective != Objective.SFT.value else {}),
            "own": _is_own(spec),
            # Left out of plans that earlier releases could make.
            **({"trainer": spec.trainer.type} if TRAINERS[spec.trainer.type].start is Start.BUILT else {}),
            "batch": [hyper["globalBatchSize"], hyper.get("microBatchSize"), hyper["sequenceLength"]],
            "precision": hyper["precision"],
            # Left out where they are absent: the plans of earlier releases stay.
            **{
                name: hyper[name]
                for name in ("crossEntropy", "activationRecomputation", "gradientCompression", "optimizer")
                if name in hyper
            },
            **({"parallelism": wire["parallelism"]} if wire.get("parallelism") else {}),
        }
    )


def accepted(owner: DeepSeekTraining) -> TrainingPlanStatus | None:
    """The recorded plan of the present spec; None without a profile, before it is made, and while it is refused."""
    plan = owner.status.plan
    if plan is None or plan.refused or profiled(owner.spec.accelerator) is None:
        return None
    return plan if plan.reference == reference(owner.spec) else None


def as_planned(owner: DeepSeekTraining, plan: TrainingPlanStatus | None) -> DeepSeekTraining:
    """The training with what its spec leaves open filled in from the accepted plan."""
    spec = owner.spec
    if plan is None or spec.accelerator is None:
        return owner
    accelerator = spec.accelerator.model_copy(update={"per_node": spec.accelerator.per_node or plan.per_node})
    nodes = spec.nodes.model_copy(update={"count": spec.nodes.count or plan.nodes})
    update: dict[str, object] = {"accelerator": accelerator, "nodes": nodes}
    volume = spec.checkpoints.volume
    if volume.size is None and volume.claim_name is None and (size := _volume_size(spec, plan)) is not None:
        sized = volume.model_copy(update={"size": size})
        update["checkpoints"] = spec.checkpoints.model_copy(update={"volume": sized})
    return owner.model_copy(update={"spec": spec.model_copy(update=update)})


def _volume_size(spec: TrainingSpec, plan: TrainingPlanStatus) -> str | None:
    """Room for the checkpoints that are kept, one in flight, and an export; None where the model is not known."""
    if plan.checkpoint_bytes is None or plan.export_bytes is None:
        return None
    kept = spec.checkpoints.keep_last + spec.checkpoints.keep_best
    return f"{-(-CheckpointSize(plan.checkpoint_bytes, plan.export_bytes).volume(kept) // GIB)}Gi"


def wanted_plan(
    owner: DeepSeekTraining, kept: TrainingPlanStatus | None, job: Manifest | None, configuration: Configuration
) -> TrainingPlanStatus | None:
    """The plan to record: the one that is `kept`, while its input is the same; that of the attempt's Job; or a new one.

    A profile that the administrator has taken away, or whose access to nodes is no longer allowed here, ends a plan only
    where no Job was made of it.
    """
    if kept is not None and (job is not None or is_offered(kept.profile, owner.metadata.namespace, configuration)):
        return kept
    made = plan_of_job(job) if job is not None else None
    if made is not None and owner.spec.accelerator is not None and made.reference == reference(owner.spec):
        return made
    return planned(owner, configuration)


def plan_of_job(job: Manifest) -> TrainingPlanStatus | None:
    """The plan that a Job was made by, from its annotation; None where it has none."""
    try:
        found = json.loads(annotations_of(job).get(PLAN, "null"))
        return TrainingPlanStatus.model_validate(found) if found is not None else None
    except ValueError:
        return None


def planned(owner: DeepSeekTraining, configuration: Configuration) -> TrainingPlanStatus | None:
    """The plan of the present spec, made anew; None without a profile."""
    plan = _planned(owner, configuration)
    return TrainingPlanStatus.model_validate(plan.to_wire()) if plan is not None else None


def _planned(owner: DeepSeekTraining, configuration: Configuration) -> PlanStatus | None:
    spec, accelerator = owner.spec, profiled(owner.spec.accelerator)
    if accelerator is None:
        return None
    asked = reference(spec)
    profile = profile_of(accelerator, owner.metadata.namespace, configuration, asked)
    if isinstance(profile, PlanStatus):
        return profile
    resources = spec.trainer.resources
    if (pages := lacks_memory(pod_needs(profile, 1), resources.memory, resources.cpu)) is not None:
        message = f"{profile.name} needs {pages}, which pods get only beside memory: write trainer.resources.memory"
        return refused_plan(asked, UNSUPPORTED, message)
    model = known(spec.model.name, spec.model.custom)
    if model.architecture is None:
        return _unsized(asked, spec, profile, model.unknown)
    if model.stored_as not in (None, *UNQUANTIZED) and not _is_own(spec):
        message = f"model.name {spec.model.name} names {model.stored_as} weights, which can't be trained: write the name and source of the 16-bit ones"
        return refused_plan(asked, UNSUPPORTED, message)
    if not profile.memory_known:
        return _unsized(asked, spec, profile, f"nothing is known of the memory of {profile.name}")
    return _sized(asked, spec, profile, model.architecture)


def _unsized(asked: str, spec: TrainingSpec, profile: Profile, why: str) -> PlanStatus:
    per_node = spec.accelerator.per_node if spec.accelerator is not None else None
    return unsized_plan(asked, profile.name, spec.nodes.number, per_node or profile.accelerator.per_node, why)


def _sized(asked: str, spec: TrainingSpec, profile: Profile, architecture: Architecture) -> PlanStatus:
    found = size_training(_request(spec, profile, architecture))
    is_own = _is_own(spec)
    match found:
        case Refused() if is_own:
            return _unsized(asked, spec, profile, f"a full fine-tune with {tuning.optimizer(spec.hyperparameters).value} would not fit ({found.message}), but "
                            "trainer.command is your own program")  # fmt: skip
        case Refused():
            options = tuple(option for option in found.alternatives if _is_offered(option, spec))
            return refused_plan(asked, reason_of(found), told(found, options), found)
        case Sized():
            if is_hybrid(spec) and found.nodes < spec.nodes.number:
                message = (f"{spec.nodes.number} nodes don't hold a copy of all states each, which parallelism.sharding Hybrid keeps there: "
                           "write parallelism.sharding Full, or what takes less memory")  # fmt: skip
                return refused_plan(asked, DOES_NOT_FIT, message)
            # Of a command that the operator writes, `command` says more, with all of the spec.
            is_ours = TRAINERS[spec.trainer.type].start is Start.OURS
            refusal = None if not is_ours else _refusal(spec, profile, architecture, found)
            if refusal is not None:
                message = f"{refusal}. A trainer of your own is written as trainer.image and trainer.command"
                return refused_plan(asked, UNSUPPORTED, message)
            plan = sized_plan(asked, profile.name, found, _host_warning(architecture, found) if is_ours else ())
            return _with_figures(plan, found, TRAINERS[spec.trainer.type])


def _is_own(spec: TrainingSpec) -> bool:
    """The program is the user's: nothing is known of it but the model."""
    return TRAINERS[spec.trainer.type].start is Start.WRITTEN


def _with_figures(plan: PlanStatus, found: Sized, trainer: TrainerEntry) -> PlanStatus:
    """The plan with what its memory was counted with."""
    figures = found.training
    if figures is None:
        return plan
    chosen = {} if trainer.start is not Start.BUILT else _choices(found)
    return TrainingPlanStatus(
        **plan.model_dump(),
        **chosen,
        micro_batch_size=figures.micro_batch,
        checkpoint_bytes=figures.checkpoint_bytes,
        export_bytes=figures.export_bytes,
    )


def _choices(found: Sized) -> dict[str, Any]:
    """What sizing decided that the trainer must be told."""
    layout = found.layout
    recompute = found.training.recompute if found.training is not None else ""
    return {"sharding": layout.sharding.value, "shard": layout.shard, "context": layout.context, "recompute": recompute}


def _is_offered(option: Alternative, spec: TrainingSpec) -> bool:
    """An adapter needs a base to stand beside, which random weights are none of, and 8 bits a trainer that has them; the
    built-in trainer alone is told of the loss."""
    if option.change == SMALL_MOMENTS and Optimizer.ADAMW_8BIT not in TRAINERS[spec.trainer.type].optimizers:
        return False
    if CHUNKED in option.change and TRAINERS[spec.trainer.type].start is not Start.OURS:
        return False
    if option.change == Method.QLORA.value:
        return spec.model.custom is None and spec.trainer.type in WITH_QLORA
    offered = _OFFERED if spec.model.custom is None else _OFFERED[:-1]
    return option.change.startswith(offered)


def _request(spec: TrainingSpec, profile: Profile, architecture: Architecture) -> TrainingRequest:
    is_own, hyper, trainer = _is_own(spec), spec.hyperparameters, TRAINERS[spec.trainer.type]
    assert spec.accelerator is not None
    return TrainingRequest(
        architecture,
        profile.accelerator,
        precision=Precision(hyper.precision),
        sequence=hyper.sequence_length,
        # A program of the user's own has its own batch.
        global_batch=None if is_own else hyper.global_batch_size,
        micro_batch=hyper.micro_batch_size,
        recompute=None if is_own else recomputation(spec) or trainer.recomputation,
        fused_loss=hyper.cross_entropy == "Chunked",
        optimizer=tuning.optimizer(hyper),
        pairs=spec.objective == Objective.DPO.value,
        has_reference=spec.objective in (Objective.DPO.value, Objective.GRPO.value),
        **tuning.sizing(spec.method),
        axes=trainer.axes,
        compressed=hyper.gradient_compression is not None and spec.method.adapter is not None,
        sharding=_sharding(spec),
        fixed=FixedDegrees(expert=_expert(spec, trainer)),
        nodes=spec.nodes.count,
        per_node=spec.accelerator.per_node,
        keep=spec.checkpoints.keep_last + spec.checkpoints.keep_best,
    )


def recomputation(spec: TrainingSpec) -> Recompute | None:
    """What the spec says of it; None where it says nothing."""
    said = spec.hyperparameters.activation_recomputation
    return Recompute(said) if said is not None else None


def _sharding(spec: TrainingSpec) -> Sharding:
    """Over what states are shared out: 1-bit Adam goes with none, and a base in 4 bits can't be cut."""
    if freeze_steps(spec) is not None:
        return Sharding.NONE
    if spec.method.type == Method.QLORA.value:
        return Sharding.ZERO2
    return Sharding.HSDP if is_hybrid(spec) else Sharding.FSDP


def _expert(spec: TrainingSpec, trainer: TrainerEntry) -> int | None:
    """As written; without a word the built-in trainer deals no experts out, and for others sizing decides."""
    written = spec.parallelism.expert if spec.parallelism is not None else None
    return written or (1 if trainer.start is Start.OURS else None)


def _refusal(spec: TrainingSpec, profile: Profile, architecture: Architecture, sized: Sized) -> Refusal | None:
    """Why the trainer can't run what fits."""
    hyper = spec.hyperparameters
    trainer = spec.trainer.type
    built = build(
        trainer,
        TrainerRequest(
            model=spec.model.name or "model.custom",
            family="",
            path="",
            architecture=architecture,
            layout=sized.layout,
            nodes=sized.nodes,
            profile=profile,
            version=TRAINERS[trainer].version,
            objective=Objective(spec.objective),
            hyper=Hyperparameters(
                global_batch=hyper.global_batch_size,
                micro_batch=hyper.micro_batch_size or 1,
                precision=hyper.precision,
            ),
            tuning=tuning.tuning(spec.method),
            recompute=recomputation(spec) or Recompute.NONE,
            optimizer=tuning.optimizer(hyper),
        ),
    )
    return built if isinstance(built, Refusal) else None


def _host_warning(architecture: Architecture, sized: Sized) -> tuple[str, ...]:
    """What the built-in trainer holds on the host at once. Weights are read by shares, straight to their devices; a save
    copies its states before it writes them, and the first node gathers an export, in fp32 and in bf16."""
    if (figures := sized.training) is None:
        return ()
    save, export = figures.checkpoint_bytes / sized.nodes, 0.0
    if figures.export_bytes >= 2 * total(architecture):
        export = 6.0 * total(architecture)
    if (most := max(save, export) / GIB) <= _LARGE_HOST_GIB:
        return ()
    return (f"HostMemory: up to {most:,.0f} GiB of host memory a node, {save / GIB:,.0f} for a save on each and "
            f"{export / GIB:,.0f} for the export on the first",)  # fmt: skip
