"""Starting from another training by its name: what is waited for, what is refused, and that a record stays."""

import json
from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.api.v1alpha1.training.spec import TrainingSpec
from deepseek_operator.core.resources import JOB
from deepseek_operator.kinds.training.origin import reference
from deepseek_operator.kinds.training.reasons import Reason
from tests.support.trainings import NAMESPACE, Life, claim, ended

GO_ON: dict[str, Any] = {
    "checkpoints": {"resume": {"from": {"training": "elder"}}},
    "hyperparameters": {"moreSteps": 50},
}
MORE_DATA: dict[str, Any] = {"model": {"fromTraining": {"name": "elder"}}}


def beside(**status: Any) -> Life:
    """A life beside a training `elder` on the claim `mine`, complete unless `status` says otherwise."""
    life = Life()
    life.cluster.put(claim("mine"))
    ended(life.cluster, "elder", "mine", **status)
    return life


def spec_of(life: Life) -> dict[str, Any]:
    return dict(json.loads(life.environment()["DEEPSEEK_TRAINING_SPEC"]))


def test_more_steps_are_counted_from_the_checkpoint_and_saved_beside_it() -> None:
    life = beside().begin(**GO_ON)
    uid = life.cluster.read(TRAINING, NAMESPACE, "elder")["metadata"]["uid"]  # type: ignore[index]
    assert json.loads(life.environment()["DEEPSEEK_RESUME_FROM"]) == {"trainingUID": uid, "checkpoint": "200"}
    assert spec_of(life)["hyperparameters"]["maxSteps"] == 250
    assert "moreSteps" not in spec_of(life)["hyperparameters"]
    assert life.owner.status.volume.claim_name == "mine"  # type: ignore[union-attr]


@pytest.mark.parametrize(("checkpoint", "step"), [("Latest", "200"), ("Best", "100"), ("150", "150")])
def test_each_way_to_name_a_checkpoint_becomes_a_step(checkpoint: str, step: str) -> None:
    resume = {"resume": {"from": {"training": "elder", "checkpoint": checkpoint}}}
    life = beside().begin(**{**GO_ON, "checkpoints": resume})
    assert json.loads(life.environment()["DEEPSEEK_RESUME_FROM"])["checkpoint"] == step


def test_more_data_starts_from_the_exported_weights_at_step_0() -> None:
    life = beside().begin(**MORE_DATA)
    assert "DEEPSEEK_RESUME_FROM" not in life.environment()
    assert spec_of(life)["model"] == {"path": "/model"}
    assert life.owner.status.volume.made  # type: ignore[union-attr]


def test_a_training_that_still_runs_is_waited_for_and_then_followed() -> None:
    life = beside(result=None, attempt={"number": 1, "job": "j"}).begin(**GO_ON)
    assert life.told == ("Reconciling", Reason.WAITING_FOR_TRAINING)
    assert "suspend it" in life.message

    def end(live: dict[str, Any]) -> None:
        live["status"].update(result="Complete", attempt={"number": 1, "job": "j", "verdict": "Complete"})

    life.cluster.edit(TRAINING, NAMESPACE, "elder", end)
    assert life.later(30).running().told == ("Ready", "Running")


@pytest.mark.parametrize(
    ("status", "spec", "told"),
    [
        ({"exports": [], "result": "Failed", "resultMessage": "boom"}, MORE_DATA, ("Stalled", "TrainingFailed")),
        ({"exports": []}, MORE_DATA, ("Stalled", "NotExported")),
        ({"exports": [], "result": None}, MORE_DATA, ("Reconciling", "WaitingForExport")),
        ({"lastCheckpoint": None, "bestCheckpoint": None}, GO_ON, ("Stalled", "NotExported")),
        ({"exports": [100]}, {"model": {"fromTraining": {"name": "elder", "checkpoint": "7"}}}, ("Stalled", "NotExported")),
    ],
)  # fmt: skip
def test_what_a_training_has_not_is_told(status: dict[str, Any], spec: dict[str, Any], told: tuple[str, str]) -> None:
    life = beside(**status).begin(**spec)
    assert (life.told, [j for j in life.cluster.all(JOB) if "elder" not in j["metadata"]["name"]]) == (told, [])


def test_an_adapter_alone_is_no_base_for_more_data() -> None:
    life = beside()
    method = {"type": "LoRA", "lora": {"export": "Adapter"}}
    life.cluster.edit(TRAINING, NAMESPACE, "elder", lambda live: live["spec"].update(method=method))
    life.begin(**MORE_DATA)
    assert life.told == ("Stalled", "NotExported")
    assert "name a training of method LoRA with export Merged" in life.message


def test_a_training_that_is_not_there_is_waited_for() -> None:
    life = Life().begin(**GO_ON)
    assert life.told == ("Reconciling", Reason.WAITING_FOR_TRAINING)
    life.cluster.put(claim("mine"))
    ended(life.cluster, "elder", "mine")
    assert life.later(30).running().told == ("Ready", "Running")


def test_a_claim_that_would_go_with_its_training_is_not_built_on() -> None:
    life = beside()
    life.cluster.edit(TRAINING, NAMESPACE, "elder", lambda live: live["spec"]["checkpoints"].update(onDelete="Delete"))
    life.begin(**GO_ON)
    assert (life.told[1], "write Retain there first" in life.message) == (Reason.WAITING_FOR_TRAINING, True)


@pytest.mark.parametrize("steps", [150, 200])
def test_too_few_steps_are_refused_with_the_number(steps: int) -> None:
    life = beside().begin(**{**GO_ON, "hyperparameters": {"maxSteps": steps}})
    assert life.told == ("Stalled", Reason.INVALID_SPEC)
    assert "write more than 200" in life.message
    life.edit(lambda spec: spec["hyperparameters"].update(maxSteps=201))
    assert life.running().told == ("Ready", "Running")


def test_a_step_beside_a_uid_is_counted_from_too() -> None:
    uid = "00000000-0000-4000-8000-000000000001"
    resume = {"volume": {"claimName": "mine"}, "resume": {"from": {"trainingUID": uid, "checkpoint": "40"}}}
    life = beside().begin(checkpoints=resume, hyperparameters={"moreSteps": 2})
    assert spec_of(life)["hyperparameters"]["maxSteps"] == 42


def test_what_was_resolved_stays_when_the_other_training_goes_on_or_goes() -> None:
    life = beside().begin(**GO_ON).running()
    before = life.owner.status.origin
    life.cluster.edit(TRAINING, NAMESPACE, "elder", lambda live: live["status"].update(lastCheckpoint={"step": 900}))
    life.turn()
    life.cluster.remove(TRAINING, NAMESPACE, "elder", "Background")
    life.gone().crash().later(10)
    assert (life.owner.status.origin, spec_of(life)["hyperparameters"]["maxSteps"]) == (before, 250)
    assert life.running().told == ("Ready", "Running")


def test_a_wiped_status_finds_its_origin_in_the_job() -> None:
    life = beside().begin(**GO_ON).running()
    before = life.owner.status.origin
    life.cluster.remove(TRAINING, NAMESPACE, "elder", "Background")
    life.gone().wipe_status()
    assert (life.owner.status.origin, life.told) == (before, ("Ready", "Running"))


def test_another_name_is_resolved_anew_while_nothing_was_learnt() -> None:
    life = beside().begin(**GO_ON)
    life.cluster.put(claim("theirs"))
    ended(life.cluster, "younger", "theirs", (300,))
    life.edit(lambda spec: spec["checkpoints"]["resume"]["from"].update(training="younger")).gone()
    assert spec_of(life)["hyperparameters"]["maxSteps"] == 350
    assert life.owner.status.volume.claim_name == "theirs"  # type: ignore[union-attr]


def test_a_chain_of_trainings_keeps_the_folder_of_the_first() -> None:
    life = beside()
    life.cluster.edit(
        TRAINING, NAMESPACE, "elder", lambda live: live["spec"]["checkpoints"]["volume"].update(subPath="a")
    )
    origin = {"reference": "r", "training": "elder", "trainingUID": "u", "claimName": "mine", "subPath": "a", "step": 1}
    ended(life.cluster, "middle", "mine", (300,), origin=origin)

    def chained(live: dict[str, Any]) -> None:
        live["spec"]["checkpoints"] = {"resume": {"from": {"training": "elder"}}}

    life.cluster.edit(TRAINING, NAMESPACE, "middle", chained)
    life.begin(**{**GO_ON, "checkpoints": {"resume": {"from": {"training": "middle"}}}})
    (job,) = [job for job in life.cluster.all(JOB) if job["metadata"]["name"].startswith("t-")]
    mounts = job["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    assert next(mount["subPath"] for mount in mounts if mount["mountPath"] == "/checkpoints") == "a"


INIT = {"initFrom": {"training": "elder"}}


@pytest.mark.parametrize(("checkpoint", "step"), [("Latest", "200"), ("Best", "100"), ("150", "150")])
def test_weights_of_a_checkpoint_are_read_from_its_trainings_folder_and_saved_elsewhere(
    checkpoint: str, step: str
) -> None:
    life = beside().begin(initFrom={"training": "elder", "checkpoint": checkpoint})
    uid = life.cluster.read(TRAINING, NAMESPACE, "elder")["metadata"]["uid"]  # type: ignore[index]
    assert spec_of(life)["initFrom"] == {"path": "/init", "checkpoint": step}
    assert "DEEPSEEK_RESUME_FROM" not in life.environment()
    (job,) = [job for job in life.cluster.all(JOB) if "elder" not in job["metadata"]["name"]]
    pod = job["spec"]["template"]["spec"]
    (mount,) = [mount for mount in pod["containers"][0]["volumeMounts"] if mount["mountPath"] == "/init"]
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == mount["name"]]
    assert (volume["persistentVolumeClaim"]["claimName"], mount["subPath"], mount["readOnly"]) == ("mine", uid, True)
    assert life.owner.status.volume.made  # type: ignore[union-attr]


def test_weights_of_a_training_that_still_runs_are_waited_for() -> None:
    life = beside(result=None, attempt={"number": 1, "job": "j"}).begin(**INIT)
    assert life.told == ("Reconciling", Reason.WAITING_FOR_TRAINING)


def test_folder_of_a_training_is_that_of_the_claims_folder_that_it_uses() -> None:
    life = beside()
    life.cluster.edit(
        TRAINING, NAMESPACE, "elder", lambda live: live["spec"]["checkpoints"]["volume"].update(subPath="a/b")
    )
    life.begin(**INIT)
    assert life.owner.status.origin.sub_path.startswith("a/b/")  # type: ignore[union-attr]


def test_claim_of_the_weights_that_is_not_there_is_waited_for() -> None:
    life = Life().begin(initFrom={"source": {"uri": "pvc://nobody/uid"}})
    assert life.told == ("Reconciling", Reason.WAITING_FOR_CLAIM)
    assert "initFrom.source.uri names the PersistentVolumeClaim nobody, which does not exist" in life.message


def test_reference_that_was_recorded_before_weights_could_be_named_is_still_the_same() -> None:
    """Else a running training would be resolved anew."""
    written = {"model": {"fromTraining": {"name": "first"}}}
    assert reference(TrainingSpec.model_validate(written)) == "8e7fde4878abe496"
