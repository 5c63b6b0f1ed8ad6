"""The headless Service under which the pods of an attempt find rank 0 before they are ready.

It outlives the attempts, and Jobs that somebody deleted, so it also bears in annotations what a wiped status could
not tell any more: the newest attempt's number, the uid of the claim that holds the checkpoints, and how it all ended.
"""

import json

from deepseek_operator.api.v1alpha1.training import DeepSeekTraining
from deepseek_operator.api.v1alpha1.training.status import TrainingStatus
from deepseek_operator.core.names import OWNER_UID
from deepseek_operator.core.resources import GROUP, SERVICE, Manifest, annotations_of
from deepseek_operator.kinds.training.names import training_service
from deepseek_operator.kinds.training.owner import owner_of
from deepseek_operator.workloads.batch.job import attempt_number

LAST_ATTEMPT = f"{GROUP}/last-attempt"
CLAIM_UID = f"{GROUP}/claim-uid"
RESULT = f"{GROUP}/result"
_FINAL = {
    *("uid", "fixed_digest", "attempt", "ancestry", "history", "volume", "origin", "plan", "restarts", "disruptions"),
    *("result", "result_message", "last_checkpoint", "best_checkpoint", "exports"),
}
"""What a status that is read back needs: a result is believed, never judged again from pods that may be gone."""
RENDEZVOUS_PORT = 29500
LAUNCHER_PORT = 29501
"""Where the launchers of a gang agree to start again; a NetworkPolicy keeps it among them, as the rendezvous."""
PROGRESS_PORT = 8090
PROGRESS_PORT_NAME = "progress"


def service(owner: DeepSeekTraining, attempt: int, claim_uid: str) -> Manifest:
    """The Service as wanted from `attempt` on."""
    whose = owner_of(owner)
    annotations = {LAST_ATTEMPT: str(attempt), CLAIM_UID: claim_uid, **_result(owner.status)}
    return {
        **whose.child(SERVICE, training_service(whose.name), annotations=annotations),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {OWNER_UID: whose.uid},
            "ports": [
                {"name": "rendezvous", "port": RENDEZVOUS_PORT, "protocol": "TCP"},
                {"name": PROGRESS_PORT_NAME, "port": PROGRESS_PORT, "protocol": "TCP"},
            ],
        },
    }


def _result(status: TrainingStatus) -> dict[str, str]:
    if status.result is None:
        return {}
    attempt = status.attempt.model_copy(update={"failures": []}) if status.attempt is not None else None
    told = status.model_copy(update={"attempt": attempt, "history": status.history[-1:]})
    final = told.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True, include=_FINAL)
    return {RESULT: json.dumps(final, separators=(",", ":"), sort_keys=True)}


def ended_status(status: TrainingStatus, live: Manifest | None) -> TrainingStatus | None:
    """A wiped status with the end that the living Service tells; None when it tells none that can be read.

    An earlier release told the result alone: `attempt` is then absent.
    """
    try:
        told = TrainingStatus.model_validate_json(annotations_of(live or {}).get(RESULT, "{}"))
    except ValueError:
        return None
    return status.model_copy(update={name: getattr(told, name) for name in _FINAL}) if told.result else None


def last_attempt(live: Manifest | None) -> int:
    """The newest attempt that the living Service tells of; 0 when it tells none."""
    return attempt_number(annotations_of(live or {}).get(LAST_ATTEMPT, ""))
