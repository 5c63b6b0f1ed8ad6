"""What a resource refers to and nobody has shown: made up for a rehearsal, as it would be once all is well.

A claim is there and shared; a training is complete and has exported the step that is asked for.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from deepseek_operator.core.kind import Kind
from deepseek_operator.core.resources import CLAIM, TRAINING, Manifest, Ref
from deepseek_operator.core.seen import Seen

REFERRED = (CLAIM, TRAINING)
ASSUMED_STEP = 1
_NO_UID = "00000000-0000-4000-8000-000000000000"


def assumptions(
    kind: Kind[Any, Any], manifest: Manifest, known: Mapping[Ref, Manifest], now: datetime
) -> list[Manifest]:
    """Objects of the resource's namespace that it refers to and that are not known; one may lead to the next."""
    made: dict[Ref, Manifest] = {}
    owner = kind.parse(manifest)
    while missing := set(kind.needs(Seen(owner, now, references={**known, **made})).references) - {*known, *made}:
        made |= {ref: _made_up(ref, manifest) for ref in sorted(missing)}
    return list(made.values())


def said(assumed: Manifest) -> str:
    """One line for people."""
    name, status = assumed["metadata"]["name"], assumed.get("status", {})
    if assumed["kind"] == TRAINING.kind:
        return f"{TRAINING.kind} {name} is complete and has exported step {status['exports'][-1]}"
    return f"{assumed['kind']} {name} exists"


def _made_up(ref: Ref, owner: Manifest) -> Manifest:
    """The object of that reference at its best. KeyError for a resource to which no kind refers."""
    metadata = {"name": ref.name, "namespace": owner["metadata"]["namespace"]}
    body = {CLAIM: _claim, TRAINING: _training}[ref.resource](owner)
    return {"apiVersion": ref.resource.api_version, "kind": ref.resource.kind, "metadata": metadata, **body}


def _claim(_: Manifest) -> dict[str, Any]:
    return {"spec": {"accessModes": ["ReadWriteMany"]}, "status": {"phase": "Bound"}}


def _training(owner: Manifest) -> dict[str, Any]:
    spec = owner["spec"]
    resume = (spec.get("checkpoints") or {}).get("resume") or {}
    wanted = (spec.get("model") or {}).get("fromTraining") or {**resume["from"], "name": resume["from"]["training"]}
    checkpoint = str(wanted.get("checkpoint", ""))
    step = int(checkpoint) if checkpoint.isdecimal() else ASSUMED_STEP
    status = {
        "uid": _NO_UID,
        "volume": {"claimName": f"{wanted['name']}-checkpoints"},
        "attempt": {"number": 1, "job": f"{wanted['name']}-train-1", "verdict": "Complete"},
        "result": "Complete",
        "lastCheckpoint": {"step": step},
        "exports": [step],
    }
    return {"spec": {}, "status": status}
