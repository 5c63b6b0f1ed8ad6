"""What a training left for others, read off its status: an export to serve or to train from, a checkpoint to go on from.

Exports lie on its claim under `[<subPath>/]<training uid>/exports/<step>`. Best and Latest wait until the training has
ended, because a recorded reference is never looked at again; a step is taken as soon as it is exported. A training that
evaluated nothing has no best, and its latest takes that place.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from pydantic import ValidationError

from deepseek_operator.api.base import Manifest
from deepseek_operator.api.v1alpha1.training.method import MATRICES, PROMPTS, Lora, is_of_experts, is_of_latents
from deepseek_operator.api.v1alpha1.training.status import TrainingStatus

WAITING_FOR_TRAINING = "WaitingForTraining"
WAITING_FOR_EXPORT = "WaitingForExport"
TRAINING_FAILED = "TrainingFailed"
NOT_EXPORTED = "NotExported"

ADVICE: Mapping[str, str] = {
    WAITING_FOR_TRAINING: "Create the DeepSeekTraining that the message names, or let it end; or write another.",
    WAITING_FOR_EXPORT: "Wait until the training that the message names has exported a model.",
    TRAINING_FAILED: "Write another training: the one that the message names has failed and exported nothing.",
    NOT_EXPORTED: "Write one of the steps that the message lists, Latest or Best, or another training.",
}
"""What a person does about each, whichever kind refers to the training."""


@dataclass(frozen=True)
class Result:
    """A step of a training, and where the training keeps its files.

    Attributes:
        uid: of the training, the name of its folder.
        sub_path: folder of the claim that holds that folder; empty for the root.
    """

    uid: str
    claim_name: str
    sub_path: str
    step: int

    @property
    def folder(self) -> str:
        """Path of the training's folder inside the volume."""
        return f"{self.sub_path}/{self.uid}" if self.sub_path else self.uid

    @property
    def export_path(self) -> str:
        """Path of the step's export inside the volume."""
        return f"{self.folder}/exports/{self.step}"


@dataclass(frozen=True)
class Missing:
    """There is no such result yet. `final`: a person must edit the reference."""

    reason: str
    message: str
    final: bool = False


Found: TypeAlias = Result | Missing


def export_of(name: str, checkpoint: str, training: Manifest | None) -> Found:
    """The export that `checkpoint` (Best, Latest or a step) names of the training, None where there is none."""
    if training is not None and _exports_adapter(training):
        message = (
            f"training {name} exports its adapter alone ({_why_alone(training)}), which is no model: a serving names it "
            f"under adapters, beside {_base_told(training)}; or name a training of method LoRA with export Merged"
        )
        return Missing(NOT_EXPORTED, message, final=True)
    return _result(name, training, lambda status: _export(name, checkpoint, status))


USUAL_TARGETS = ("Attention",)
"""What a training that names none adapts."""


@dataclass(frozen=True)
class Adapter:
    """An exported adapter.

    Attributes:
        result: where it lies.
        is_prompt: whether it is read before every sequence, where LoRA stands beside the weights.
        has_experts: whether some of it stands beside fused experts.
        has_latents: whether some of it stands beside what latent attention unfolds its cache by, where its base has that.
        named: what its training says of its base's shape: the name, and fields of config.json.
        base: the model that it was trained beside, as pvc://claim/path; None where its training does not tell.
        base_uid: uid of the training that exported that model; None for one that a user brought.
    """

    result: Result
    rank: int
    is_prompt: bool
    has_experts: bool
    has_latents: bool
    named: tuple[str | None, Mapping[str, Any] | None]
    base: str | None
    base_uid: str | None


def adapter_of(name: str, checkpoint: str, training: Manifest | None) -> Adapter | Missing:
    """The adapter that `checkpoint` (Best, Latest or a step) names of the training, None where there is none."""
    if training is not None and not _exports_adapter(training):
        method = (training.get("spec") or {}).get("method") or {}
        what = f"is of method {_method_type(training)} and exports the whole model (method.lora.export Merged)"
        other = what if method.get("type") in MATRICES else "trains the whole model (method.type Full)"
        message = (
            f"training {name} {other}: serve it as model.fromTraining, or name under adapters a training with "
            "method.lora.export Adapter"
        )
        return Missing(NOT_EXPORTED, message, final=True)
    found = _result(name, training, lambda status: _export(name, checkpoint, status))
    if isinstance(found, Missing) or training is None:
        return found if isinstance(found, Missing) else Missing(WAITING_FOR_TRAINING, f"there is no {name}")
    spec = training.get("spec") or {}
    lora, model = (spec.get("method") or {}).get("lora") or {}, spec.get("model") or {}
    origin = _status_of(training).origin if model.get("fromTraining") else None
    uri = (
        f"pvc://{origin.claim_name}/{origin.sub_path}" if origin is not None else (model.get("source") or {}).get("uri")
    )
    return Adapter(
        result=found,
        rank=int(lora.get("rank") or Lora.model_fields["rank"].default),
        is_prompt=_method_type(training) in PROMPTS,
        has_experts=any(is_of_experts(str(target)) for target in lora.get("targets") or ()),
        has_latents=any(is_of_latents(str(target)) for target in lora.get("targets") or USUAL_TARGETS),
        named=(model.get("name"), model.get("custom")),
        base=str(uri).rstrip("/") if uri else None,
        base_uid=origin.training_uid if origin is not None else None,
    )


def checkpoint_of(name: str, checkpoint: str, training: Manifest | None) -> Found:
    """The checkpoint to go on from; the training must have ended or rest, so that nothing is added to it meanwhile."""
    if training is not None and _checkpoints(training).get("onDelete") == "Delete":
        message = f"training {name} has onDelete Delete, so its claim would go with it: write Retain there first"
        return Missing(WAITING_FOR_TRAINING, message)
    return _result(name, training, lambda status: _checkpoint(name, checkpoint, status))


def _result(name: str, training: Manifest | None, step_of: Callable[[TrainingStatus], int | Missing]) -> Found:
    if training is None:
        return Missing(WAITING_FOR_TRAINING, f"there is no DeepSeekTraining {name} here")
    status = _status_of(training)
    step = step_of(status)
    if isinstance(step, Missing):
        return step
    if status.volume is None:
        return Missing(WAITING_FOR_EXPORT, f"training {name} has recorded no volume yet")
    return Result(
        status.uid or str(training.get("metadata", {}).get("uid") or ""),
        status.volume.claim_name,
        _sub_path(training, status),
        step,
    )


def _status_of(training: Manifest) -> TrainingStatus:
    """Its status; an empty one where it can't be read, which has nothing to give."""
    try:
        return TrainingStatus.model_validate(training.get("status") or {})
    except ValidationError:
        return TrainingStatus()


def _sub_path(training: Manifest, status: TrainingStatus) -> str:
    """The folder of the claim that it uses; one that goes on from another training uses that one's."""
    checkpoints = _checkpoints(training)
    goes_on = ((checkpoints.get("resume") or {}).get("from") or {}).get("training")
    if goes_on and status.origin is not None:
        return status.origin.sub_path
    return str((checkpoints.get("volume") or {}).get("subPath") or "")


def _exports_adapter(training: Manifest) -> bool:
    method = (training.get("spec") or {}).get("method") or {}
    is_alone = method.get("type") in MATRICES and (method.get("lora") or {}).get("export") == "Adapter"
    return is_alone or method.get("type") in PROMPTS


def _why_alone(training: Manifest) -> str:
    kind = _method_type(training)
    return f"method.type {kind}" if kind in PROMPTS else "method.lora.export Adapter"


def _base_told(training: Manifest) -> str:
    """What a serving writes to serve the model that an adapter was trained beside."""
    model = (training.get("spec") or {}).get("model") or {}
    origin = _status_of(training).origin
    if model.get("fromTraining") and origin is not None:
        return f'model.fromTraining: {{name: {origin.training}, checkpoint: "{origin.step}"}}'
    uri = (model.get("source") or {}).get("uri")
    return f"model.source: {{uri: {uri}}}" if uri else "the model that it was trained from"


def _method_type(training: Manifest) -> str:
    return str(((training.get("spec") or {}).get("method") or {}).get("type") or "")


def _checkpoints(training: Manifest) -> Mapping[str, Any]:
    return (training.get("spec") or {}).get("checkpoints") or {}


def _export(name: str, wanted: str, status: TrainingStatus) -> int | Missing:
    exports = sorted(status.exports)
    if wanted.isdecimal() and int(wanted) in exports:
        return int(wanted)
    if status.result is None:
        return Missing(WAITING_FOR_EXPORT, f"training {name} has not exported {wanted}")
    if not exports and status.result == "Failed":
        message = f"training {name} failed and exported nothing: {status.result_message}"
        return Missing(TRAINING_FAILED, message, final=True)
    if not exports:
        return Missing(NOT_EXPORTED, f"training {name} is complete and exported nothing", final=True)
    best = status.best_checkpoint
    if wanted == "Latest" or (wanted == "Best" and best is None):
        return exports[-1]
    if wanted == "Best" and best is not None and best.step in exports:
        return best.step
    listed = ", ".join(map(str, exports))
    message = f"training {name} ended without exporting {wanted}; exported are {listed}"
    return Missing(NOT_EXPORTED, message, final=True)


def _checkpoint(name: str, wanted: str, status: TrainingStatus) -> int | Missing:
    attempt = status.attempt
    rests = status.result is not None or status.phase == "Suspended"
    if attempt is None or not rests:
        return Missing(WAITING_FOR_TRAINING, f"training {name} has not ended: wait, or suspend it")
    if wanted.isdecimal():
        return int(wanted)
    latest, best = status.last_checkpoint, status.best_checkpoint
    if wanted == "Best" and best is not None:
        return best.step
    if latest is not None:
        return latest.step
    return Missing(NOT_EXPORTED, f"training {name} has told of no checkpoint to go on from", final=True)


ASSUMED_STEP = 1
_NO_UID = "00000000-0000-4000-8000-000000000000"


def assumed(name: str, checkpoint: str) -> tuple[Manifest, str]:
    """The training of that name, once it is complete and has exported what `checkpoint` (Best, Latest or a step) names:
    its body without its identity, and the rest of a sentence that begins with its kind and name.
    """
    step = int(checkpoint) if checkpoint.isdecimal() else ASSUMED_STEP
    status = {
        "uid": _NO_UID,
        "volume": {"claimName": f"{name}-checkpoints"},
        "attempt": {"number": 1, "job": f"{name}-train-1", "verdict": "Complete"},
        "result": "Complete",
        "lastCheckpoint": {"step": step},
        "exports": [step],
    }
    return {"spec": {}, "status": status}, f"is complete and has exported step {step}"
