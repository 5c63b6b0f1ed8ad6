"""The training that this one starts from: its name is resolved once, recorded, and then filled into the spec.

`checkpoints.resume.from.training` goes on from a checkpoint, in that training's claim. `model.fromTraining` takes the
weights of an export, `initFrom.training` those of a checkpoint. What follows, digests included, sees a spec in which the claim, the uid and the step are written.
"""

from deepseek_operator.api.v1alpha1.common.source import ClaimSource
from deepseek_operator.api.v1alpha1.training import DeepSeekTraining
from deepseek_operator.api.v1alpha1.training.checkpoints import ResumeFrom
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.api.v1alpha1.training.init import InitFrom
from deepseek_operator.api.v1alpha1.training.result import Missing, checkpoint_of, export_of
from deepseek_operator.api.v1alpha1.training.spec import TrainingSpec
from deepseek_operator.api.v1alpha1.training.status import OriginStatus
from deepseek_operator.core.names import digest
from deepseek_operator.core.resources import Ref
from deepseek_operator.core.seen import Seen


def named_training(spec: TrainingSpec) -> str | None:
    """Name of the training that the spec starts from; None when it names none."""
    if spec.model.from_training is not None:
        return spec.model.from_training.name
    if spec.init_from is not None and spec.init_from.training is not None:
        return spec.init_from.training
    resume = spec.checkpoints.resume.from_
    return resume.training if resume is not None else None


def reference(spec: TrainingSpec) -> str:
    """Digest of what is referred to."""
    model, resume = spec.model.from_training, spec.checkpoints.resume.from_
    named = {"model": model and model.to_wire(), "resume": resume and resume.to_wire()}
    # Digests that were recorded before this could be named stay what they were.
    return digest(named if spec.init_from is None else {**named, "init": spec.init_from.to_wire()})


def recorded(owner: DeepSeekTraining) -> OriginStatus | None:
    """The record of the present reference; None when there is none, or it is not resolved yet."""
    origin = owner.status.origin
    if origin is None or named_training(owner.spec) is None or origin.reference != reference(owner.spec):
        return None
    return origin


def found(seen: Seen[DeepSeekTraining], known: OriginStatus | None) -> OriginStatus | Missing | None:
    """What is still to be recorded, or why it can't be; None when nothing is. `known`: the record (`recorded`)."""
    spec, name = seen.owner.spec, named_training(seen.owner.spec)
    if name is None or known is not None:
        return None
    training, model, begin = (
        seen.references.get(Ref(TRAINING, name)),
        spec.model.from_training,
        spec.init_from or spec.checkpoints.resume.from_,
    )
    if model is not None:
        result = export_of(name, model.checkpoint, training)
    else:
        result = checkpoint_of(name, begin.checkpoint if begin is not None else "Latest", training)
    if isinstance(result, Missing):
        return result
    folder = result.folder if spec.init_from is not None else result.sub_path
    return OriginStatus(
        reference=reference(spec),
        training=name,
        training_uid=result.uid,
        claim_name=result.claim_name,
        sub_path=result.export_path if model is not None else folder,
        step=result.step,
    )


def as_resolved(owner: DeepSeekTraining, origin: OriginStatus | None) -> DeepSeekTraining:
    """The training with the recorded origin filled in, and the steps counted in all."""
    spec = owner.spec
    update: dict[str, object] = {}
    if origin is not None and spec.model.from_training is not None:
        source = ClaimSource(uri=f"pvc://{origin.claim_name}/{origin.sub_path}")
        update["model"] = spec.model.model_copy(update={"source": source, "from_training": None})
    elif origin is not None and spec.init_from is not None:
        source = ClaimSource(uri=f"pvc://{origin.claim_name}/{origin.sub_path}")
        update["init_from"] = InitFrom(source=source, checkpoint=str(origin.step))
    elif origin is not None:
        begin = ResumeFrom(training_uid=origin.training_uid, checkpoint=str(origin.step))
        resume = spec.checkpoints.resume.model_copy(update={"from_": begin})
        place = {"claim_name": origin.claim_name, "sub_path": origin.sub_path or None}
        volume = spec.checkpoints.volume.model_copy(update=place)
        update["checkpoints"] = spec.checkpoints.model_copy(update={"resume": resume, "volume": volume})
    more, begun = spec.hyperparameters.more_steps, step_of(spec, origin)
    if more is not None and begun is not None:
        counted = {"max_steps": begun + more, "more_steps": None}
        update["hyperparameters"] = spec.hyperparameters.model_copy(update=counted)
    return owner.model_copy(update={"spec": spec.model_copy(update=update)}) if update else owner


def step_of(spec: TrainingSpec, origin: OriginStatus | None = None) -> int | None:
    """The step of another training that this one goes on from; None when it goes on from none, or which is not known.

    `origin`: the record, where it is not filled into the spec yet.
    """
    resume = spec.checkpoints.resume.from_
    if resume is None:
        return None
    if origin is not None:
        return origin.step
    return int(resume.checkpoint) if resume.checkpoint.isdecimal() and resume.training is None else None
