"""What the schema cannot refuse because it takes a look at other objects, or at two fields far apart.

A complaint never stops an attempt that runs: it only keeps the next one from starting.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from deepseek_operator.api.v1alpha1.training import DeepSeekTraining
from deepseek_operator.api.v1alpha1.training.hyperparameters import Hyperparameters
from deepseek_operator.api.v1alpha1.training.spec import TrainingSpec
from deepseek_operator.core.resources import CLAIM, Ref, is_terminating
from deepseek_operator.core.seen import Seen
from deepseek_operator.domain.models import catalogue
from deepseek_operator.domain.models.known import known
from deepseek_operator.kinds.training.claim import access_mode
from deepseek_operator.kinds.training.names import training_claim
from deepseek_operator.kinds.training.needs import claims_read, existing_claim
from deepseek_operator.kinds.training.origin import step_of
from deepseek_operator.kinds.training.pod import is_ours, is_told
from deepseek_operator.kinds.training.reasons import Reason
from deepseek_operator.kinds.training.settings import experts_over, is_hybrid, processes_per_node
from deepseek_operator.workloads.batch.claim import is_for_one_node

CUSTOM_LIMIT = 64 * 1024
"""Bytes of model.custom as JSON."""

USUAL_LENGTH: int = Hyperparameters.model_fields["sequence_length"].default
_UNKNOWN = 1 << 40
"""Positions of a model whose config.json only the pod sees: more than the schema lets anybody write."""


Claims: TypeAlias = Sequence[tuple[str, str]]
"""Names of claims that are read, each with the field that names it."""


@dataclass(frozen=True)
class Complaint:
    """Why nothing new starts. `waits`: it is not this object that must change."""

    reason: Reason
    message: str
    waits: bool = False


def complaint(seen: Seen[DeepSeekTraining], fixed_digest: str, is_unlearnt: bool) -> Complaint | None:
    """The first thing that keeps the next attempt from starting; None when nothing does.

    `fixed_digest`: of the spec as it is; `is_unlearnt`: nothing was learnt yet.
    """
    owner = seen.owner
    refused = owner.status.plan
    if refused is not None and refused.refused:
        return Complaint(Reason(refused.refused), refused.reason)
    claims = claims_read(owner)
    wrong = (
        _too_long(owner.spec)
        or _impossible(owner.spec)
        or _nothing_to_deal_out(owner.spec)
        or _nothing_to_copy(owner.spec)
        or _too_long_for_the_model(owner, is_unlearnt)
        or _no_steps_left(owner)
        or _volume_for_one(seen)
        or _data_for_one(seen, claims)
    )
    if wrong is not None:
        return Complaint(Reason.INVALID_SPEC, wrong)
    recorded = owner.status.fixed_digest
    if recorded and recorded != fixed_digest and not is_unlearnt:
        return Complaint(
            Reason.FIXED_FIELD_CHANGED,
            "model, initFrom, objective, method, datasets, chatTemplate, lossOn, data, hyperparameters, the checkpoint volume and resume are fixed once "
            "started: undo the edit, or make a new training with checkpoints.resume.from",
        )
    return _missing_claim(seen, claims)


def _too_long(spec: TrainingSpec) -> str | None:
    """One variable of the environment carries the config; Linux takes 128 KiB of one, the rest of the spec included."""
    size = len(json.dumps(spec.model.custom)) if spec.model.custom is not None else 0
    if size <= CUSTOM_LIMIT:
        return None
    return (
        f"model.custom is {size:,} bytes of JSON and travels in one environment variable: write at most "
        f"{CUSTOM_LIMIT:,} bytes, or put config.json and weights on a claim and name it as model.source"
    )


def _impossible(spec: TrainingSpec) -> str | None:
    if not is_told(spec.trainer):
        return None
    if not any(dataset.split == "Train" for dataset in spec.datasets):
        return "the trainer has nothing to learn from: write one of datasets with split Train"
    parameters = spec.hyperparameters
    ends = (parameters.max_steps, parameters.more_steps, parameters.epochs)
    if sum(end is not None for end in ends) != 1:
        return "write exactly one of hyperparameters.maxSteps, moreSteps and epochs"
    world = spec.nodes.number * processes_per_node(spec)
    if parameters.global_batch_size % world:
        return (
            f"hyperparameters.globalBatchSize {parameters.global_batch_size} is not divisible by the {world} processes "
            f"(nodes.count × accelerator.perNode): write {-(-parameters.global_batch_size // world) * world}"
        )
    return None


def _nothing_to_copy(spec: TrainingSpec) -> str | None:
    """A copy on each node, of one node, or nothing to share out within one: as written, or as a plan came out."""
    nodes, processes = spec.nodes.number, processes_per_node(spec)
    if not is_hybrid(spec) or (nodes > 1 and processes > 1):
        return None
    what = "there is one node" if nodes == 1 else "a node has one process"
    return (
        f"parallelism.sharding is Hybrid, a copy on each node that its processes share out, and {what}: write Full, or "
        "nodes.count and accelerator.perNode of 2 or more"
    )


def _nothing_to_deal_out(spec: TrainingSpec) -> str | None:
    """Experts over processes, of a model that is known to have none, or not such a number. Of a folder only the pod sees."""
    over = experts_over(spec)
    if over == 1 or not is_ours(spec.trainer):
        return None
    found = known(spec.model.name, spec.model.custom).architecture
    if found is None:
        return None
    if found.experts is None:
        return (
            f"parallelism.expert is {over}, and {spec.model.name or 'model.custom'} has no routed experts: leave it out"
        )
    if found.experts.routed % over:
        return (
            f"parallelism.expert {over} does not divide the {found.experts.routed} experts of a layer: write a divisor"
        )
    return None


def _too_long_for_the_model(owner: DeepSeekTraining, is_unlearnt: bool) -> str | None:
    """Positions that the model was never shown. The trainer refuses only examples that are that long; so it does where
    nobody wrote a length, and what has learnt already goes on."""
    wanted = owner.spec.hyperparameters.sequence_length
    has_begun = owner.status.attempt is not None and not is_unlearnt
    if has_begun or not is_told(owner.spec.trainer) or wanted == USUAL_LENGTH:
        return None
    made_for, where = _positions(owner.spec)
    if wanted <= made_for:
        return None
    return (
        f"hyperparameters.sequenceLength {wanted:,} is more than the {made_for:,} positions of {where}: "
        f"write {made_for} or less"
    )


def _positions(spec: TrainingSpec) -> tuple[int, str]:
    """How long a sequence the model was made for, and where it says so; longer than any where that is not known."""
    written = (spec.model.custom or {}).get("max_position_embeddings")
    if isinstance(written, int) and written > 0:
        return written, "model.custom.max_position_embeddings"
    try:
        architecture = catalogue.find(spec.model.name).architecture if spec.model.name else None
    except catalogue.UnknownModel:
        architecture = None
    if architecture is None or spec.model.custom is not None:
        return _UNKNOWN, ""
    return architecture.context, f"{spec.model.name} (leave model.name out if the source's config.json has more)"


def _no_steps_left(owner: DeepSeekTraining) -> str | None:
    begun, end = step_of(owner.spec), owner.spec.hyperparameters.max_steps
    if begun is None or end is None or end > begun:
        return None
    return (
        f"hyperparameters.maxSteps {end} counts the {begun} steps of the checkpoint that checkpoints.resume.from names: "
        f"write more than {begun}, or in its place moreSteps, the steps beyond them"
    )


def _volume_for_one(seen: Seen[DeepSeekTraining]) -> str | None:
    nodes = seen.owner.spec.nodes.number
    modes, name, advice = _modes(seen)
    if nodes == 1 or not is_for_one_node(modes):
        return None
    return f"{name} is {'/'.join(modes)}, which one node can write, but nodes.count is {nodes}: write 1, or {advice}"


def _data_for_one(seen: Seen[DeepSeekTraining], claims: Claims) -> str | None:
    """Weights or data that the second node could never mount: its pod would wait until the start's timeout."""
    nodes = seen.owner.spec.nodes.number
    for name, field in claims:
        claim = seen.references.get(Ref(CLAIM, name), {})
        # A bound claim tells what its volume can do, which may be more than was asked for.
        modes = claim.get("status", {}).get("accessModes") or claim.get("spec", {}).get("accessModes") or []
        if nodes > 1 and is_for_one_node(modes):
            return (
                f"{field} names the PersistentVolumeClaim {name}, which is {'/'.join(modes)}, so one node alone can mount it, but "
                f"nodes.count is {nodes}: write 1, or a claim with ReadOnlyMany or ReadWriteMany"
            )
    return None


def _modes(seen: Seen[DeepSeekTraining]) -> tuple[list[str], str, str]:
    """Access modes of the volume, how to name it, and what to do when they don't do."""
    meta = seen.owner.metadata
    name = existing_claim(seen.owner)
    if name is not None:
        claim = seen.references.get(Ref(CLAIM, name))
        modes = claim["spec"].get("accessModes", []) if claim is not None else []
        return list(modes), f"checkpoints.volume.claimName {name}", "name a claim with ReadWriteMany"
    made = seen.child(CLAIM, training_claim(meta.name, meta.uid))
    if made is not None:
        advice = "make a new training with checkpoints.volume.accessMode ReadWriteMany"
        return list(made["spec"]["accessModes"]), f"the claim {made['metadata']['name']}", advice
    return [access_mode(seen.owner.spec)], "checkpoints.volume.accessMode", "ReadWriteMany"


def _missing_claim(seen: Seen[DeepSeekTraining], claims: Claims) -> Complaint | None:
    for name, field in claims:
        claim = seen.references.get(Ref(CLAIM, name))
        if claim is None or is_terminating(claim):
            state = "does not exist" if claim is None else "is being deleted"
            message = f"{field} names the PersistentVolumeClaim {name}, which {state} in this namespace"
            return Complaint(Reason.WAITING_FOR_CLAIM, message, waits=True)
    return None
