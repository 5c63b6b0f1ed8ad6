"""Which version of the serving is wanted, under what name, and what its pods look like for ever after.

A revision is named by a digest of what the *user* decided: the resolved model, the names that its engine must know,
engine, accelerator and pod settings, written canonically, with every neutral value left out. So neither the operator's code nor its configuration, nor
replicas, autoscaling or rollout are in it, and a field that arrives in a later release changes no name while it is
unset. The neutral values below are frozen: they are not the schema's defaults, which may move.

The template is rendered once, stored in a ControllerRevision, and read back: an upgraded operator restarts no pod.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from deepseek_operator.api.v1alpha1.common.accelerator import Accelerator
from deepseek_operator.api.v1alpha1.common.pod import PodSettings
from deepseek_operator.api.v1alpha1.common.resources import ComputeResources
from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.serving.engine import Engine
from deepseek_operator.api.v1alpha1.serving.status import ResolvedAdapter, ResolvedModel
from deepseek_operator.core.names import digest, owner_reference, revision_hash
from deepseek_operator.core.ownership import restored
from deepseek_operator.core.resources import GROUP, REVISION, Manifest, is_terminating
from deepseek_operator.core.seen import Seen
from deepseek_operator.domain.values.quantity import canonical
from deepseek_operator.kinds.serving.called import written_names
from deepseek_operator.kinds.serving.labels import revision_labels, revision_named
from deepseek_operator.kinds.serving.names import serving_revision
from deepseek_operator.workloads.replicas.group import Pods, group_named

UPDATE = f"{GROUP}/update"
"""Annotation of the resource: a new value makes a new revision of the same spec, rendered by the present operator."""

_NEUTRAL_ENGINE: Mapping[str, object] = {
    "type": "builtin",
    "args": [],
    "env": [],
    "port": 8000,
    "healthPath": "/health",
    "maxConcurrency": 4,
    "queueLimit": 64,
    "startTimeoutSeconds": 1800,
    "resources": {},
}
_NEUTRAL_POD: Mapping[str, object] = {
    "labels": {},
    "annotations": {},
    "imagePullSecrets": [],
    "nodeSelector": {},
    "tolerations": [],
    "terminationGracePeriodSeconds": 60,
    "runAsUser": 1000,
    "fsGroup": 1000,
}
_NEUTRAL_SHARED_MEMORY = "1Gi"


def user_input(owner: DeepSeekServing, model: ResolvedModel) -> dict[str, Any]:
    """What the user decided about the pods, in canonical form: equal input gives equal names in every release."""
    spec = owner.spec
    parts = {
        "model": _present(
            {
                "claim": model.claim_name,
                "path": model.sub_path,
                "digest": model.digest,
                "name": spec.model.name,
                "quantization": spec.model.quantization,
                "custom": digest(spec.model.custom) if spec.model.custom is not None else None,
            }
        ),
        "models": list(written_names(owner)),
        "adapters": [_present(adapter_input(adapter)) for adapter in model.adapters or ()],
        "engine": _engine(spec.engine),
        "accelerator": _accelerator(spec.accelerator),
        "parallelism": spec.parallelism.to_wire() if spec.parallelism is not None else {},
        "nodes": spec.nodes.to_wire(),
        "pod": _pod(spec.pod),
        "update": update_token(owner),
    }
    return {key: part for key, part in parts.items() if part}


def adapter_input(adapter: ResolvedAdapter) -> dict[str, str | None]:
    """What of an adapter another one would be: its name, its folder with what it holds, and the room that it takes."""
    place = {"claim": adapter.claim_name, "path": adapter.sub_path, "digest": adapter.digest}
    return {"name": adapter.name, **place, "rank": str(adapter.rank)}


def update_token(owner: DeepSeekServing) -> str:
    """Which update of the operator's defaults was taken, as a digest; empty: none."""
    token = owner.metadata.annotations.get(UPDATE)
    return digest(token) if token else ""


def revision_name(owner: DeepSeekServing, model: ResolvedModel) -> str:
    """Ten hex digits that name the revision of this input."""
    return revision_hash(user_input(owner, model))


def _engine(engine: Engine) -> dict[str, Any]:
    wire = {**engine.to_wire(), "resources": _resources(engine.resources)}
    return _without(wire, _NEUTRAL_ENGINE)


def _resources(resources: ComputeResources) -> dict[str, str]:
    amounts = {key: canonical(amount) for key, amount in resources.to_wire().items()}
    return {k: v for k, v in amounts.items() if (k, v) != ("sharedMemory", _NEUTRAL_SHARED_MEMORY)}


def _accelerator(accelerator: Accelerator | None) -> dict[str, Any]:
    if accelerator is None or (accelerator.resource is None and accelerator.profile is None):
        return {}
    if accelerator.profile is not None:
        return accelerator.to_wire()  # one device as written is another wish than as many as fit
    return _without(accelerator.to_wire(), {"perNode": 1})


def _pod(pod: PodSettings) -> dict[str, Any]:
    tolerations = [_without(toleration.to_wire(), {"operator": "Equal"}) for toleration in pod.tolerations]
    return _without({**pod.to_wire(), "tolerations": tolerations}, _NEUTRAL_POD)


def _without(wire: Mapping[str, Any], neutral: Mapping[str, object]) -> dict[str, Any]:
    return {key: value for key, value in wire.items() if key not in neutral or value != neutral[key]}


def _present(values: Mapping[str, str | None]) -> dict[str, str]:
    return {key: value for key, value in values.items() if value}


def stored_revisions(seen: Seen[DeepSeekServing]) -> tuple[Manifest, ...]:
    """The ControllerRevisions, oldest first."""
    return tuple(sorted(seen.all(REVISION), key=_number))


def _number(revision: Manifest) -> int:
    return int(revision.get("revision") or 0)


def numbers(stored: Iterable[Manifest]) -> dict[str, int]:
    """Age of each stored revision: a higher number was made later."""
    return {revision_named(revision): _number(revision) for revision in stored}


def stored_revision(seen: Seen[DeepSeekServing], revision: str) -> Manifest | None:
    """The ControllerRevision of that name; None when there is none, or it is on its way out."""
    stored = seen.child(REVISION, serving_revision(seen.owner.metadata.name, revision))
    return stored if stored is not None and not is_terminating(stored) else None


def pods_of(seen: Seen[DeepSeekServing], revision: str) -> Pods | None:
    """The pods of a replica of that revision, as they were rendered once.

    Should its ControllerRevision have been deleted by somebody, what runs is the record: rendering anew would
    restart the pods. None when neither is there.
    """
    if (stored := stored_revision(seen, revision)) is not None:
        data = stored["data"]
        return Pods(data["template"], data.get("workerTemplate"), int(data.get("nodes") or 1))
    live = group_named(seen, serving_revision(seen.owner.metadata.name, revision))
    return live.pods if live is not None else None


def template_of(seen: Seen[DeepSeekServing], revision: str) -> Manifest | None:
    """Of these, the template of the pod that answers requests; None when there is no record."""
    pods = pods_of(seen, revision)
    return pods.leader if pods is not None else None


def record_of(seen: Seen[DeepSeekServing], revision: str) -> Mapping[str, Any]:
    """What is recorded of a revision beside its name; empty where its ControllerRevision is gone."""
    return (stored_revision(seen, revision) or {}).get("data") or {}


def model_of(seen: Seen[DeepSeekServing], revision: str) -> ResolvedModel | None:
    """The model folder that a revision mounts, by its record; None where the record is gone or was made from what ran."""
    resolved = record_of(seen, revision).get("resolved")
    return ResolvedModel.model_validate(resolved) if isinstance(resolved, Mapping) else None


def claims_mounted(template: Manifest) -> tuple[str, ...]:
    """Names of the claims that a rendered template mounts."""
    volumes = (template.get("spec") or {}).get("volumes") or ()
    claims = (volume.get("persistentVolumeClaim") or {} for volume in volumes)
    return tuple(claim["claimName"] for claim in claims if "claimName" in claim)


def controller_revision(
    owner: DeepSeekServing,
    revision: str,
    number: int,
    pods: Pods,
    model: ResolvedModel | None,
    restored: bool = False,
) -> Manifest:
    """The write-once record of a revision: its pods' templates, the input it is named by, and what the model resolved to.

    `restored`: the templates are those of what ran, with what the API server added; `model` is None when the input is
    no longer known either.
    """
    known: dict[str, Any] = {"restored": True} if restored else {}
    if model is not None:
        known |= {"input": user_input(owner, model), "resolved": model.to_wire()}
    if model is not None and owner.status.plan is not None:
        known["plan"] = owner.status.plan.to_wire()
    return {
        "apiVersion": REVISION.api_version,
        "kind": REVISION.kind,
        "metadata": {
            "name": serving_revision(owner.metadata.name, revision),
            "labels": revision_labels(owner, revision),
            "ownerReferences": [owner_reference(SERVING, owner.metadata.name, owner.metadata.uid)],
        },
        "revision": number,
        "data": {"template": pods.leader, **_beside(pods), **known},
    }


def _beside(pods: Pods) -> dict[str, Any]:
    """What is recorded of a replica over several nodes beside its leader."""
    return {"workerTemplate": pods.worker, "nodes": pods.nodes} if pods.worker is not None else {}


def marks(owner: DeepSeekServing, stored: Manifest) -> Manifest | None:
    """Labels and owner of a record that somebody took away or changed, to be put back; None when all are there."""
    references = [owner_reference(SERVING, owner.metadata.name, owner.metadata.uid)]
    return restored(REVISION, stored, revision_labels(owner, revision_named(stored)), references)


def is_restored(stored: Manifest) -> bool:
    """The record was made from what ran, not when it was rendered."""
    return bool((stored.get("data") or {}).get("restored"))


def superfluous(stored: Sequence[Manifest], kept: int, used: frozenset[str]) -> tuple[Manifest, ...]:
    """Stored revisions to delete, of all from the oldest on: neither among the `kept` newest nor in use."""
    return tuple(r for r in stored[:-kept] if revision_named(r) not in used and not is_terminating(r))
