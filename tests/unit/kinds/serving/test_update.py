"""An operator that would make replicas otherwise than they are says so, restarts none, and does it when told to."""

from copy import deepcopy
from typing import Any

import pytest

from deepseek_operator.api.base import Condition
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.core.conditions import find
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.resources import DEPLOYMENT, REVISION
from deepseek_operator.domain.devices.profiles import profiles_from_config
from deepseek_operator.kinds.serving import serving_kind
from deepseek_operator.kinds.serving.names import serving_revision
from deepseek_operator.kinds.serving.revision import UPDATE
from tests.support.serving_life import NAME, ServingLife
from tests.support.servings import NAMESPACE

OLD, NEW = Configuration(runtime_image="runtime:1"), Configuration(runtime_image="runtime:2")
ON_DEVICES: dict[str, Any] = {
    "model": {"name": "deepseek-r1-distill-llama-70b", "source": {"uri": "pvc://models/m"}},
    "engine": {"type": "vllm"},
    "accelerator": {"profile": "nvidia-h200-141"},
}


def announced(life: ServingLife) -> Condition | None:
    return find(life.status.conditions, "UpdateAvailable")


def running(configuration: Configuration = OLD, **spec: Any) -> ServingLife:
    life = ServingLife(configuration=configuration, **spec)
    life.run()
    return life


def annotated(life: ServingLife, token: str | None) -> None:
    def change(live: dict[str, Any]) -> None:
        live["metadata"]["annotations"] = {UPDATE: token} if token is not None else {}

    life.cluster.edit(SERVING, NAMESPACE, NAME, change)
    life.operator.settle()
    life.run()


def image(life: ServingLife) -> str:
    return str(life.template()["spec"]["containers"][0]["image"])


def profile(**node_selector: str) -> Configuration:
    patch = {"nvidia-h200-141": {"nodeSelector": node_selector}} if node_selector else {}
    return Configuration(profiles=profiles_from_config(patch))


def test_the_operator_that_made_the_replicas_announces_nothing() -> None:
    for spec in ({}, ON_DEVICES):
        assert announced(running(**spec)) is None


def test_another_default_image_is_announced_and_restarts_nothing() -> None:
    life = running()
    before = life.deployment(), life.pods()
    life.upgrade(NEW)
    found = announced(life)
    assert found is not None
    assert (found.status, found.reason) == ("True", "NewDefaults")
    assert "image runtime:1 -> runtime:2" in found.message
    assert f"kubectl annotate dss {NAME} -n {NAMESPACE} --overwrite {UPDATE}=" in found.message
    assert (life.deployment(), life.pods()) == before


def test_an_image_that_the_user_wrote_is_no_update() -> None:
    life = running(engine={"type": "custom", "image": "e:1"})
    life.upgrade(NEW)
    assert announced(life) is None


def test_the_announcement_goes_with_its_cause() -> None:
    life = running()
    life.upgrade(NEW)
    life.upgrade(OLD)
    assert announced(life) is None


def test_the_update_is_taken_by_the_command_that_the_message_names() -> None:
    life = running()
    life.upgrade(NEW)
    found = announced(life)
    assert found is not None
    annotated(life, found.message.rpartition(f"{UPDATE}=")[2])
    assert image(life) == "runtime:2"
    assert announced(life) is None
    assert life.status.phase == "Available"


def test_the_annotation_taken_away_goes_back_to_what_ran_before() -> None:
    life = running()
    life.upgrade(NEW)
    annotated(life, "a")
    annotated(life, None)
    assert image(life) == "runtime:1"
    assert announced(life) is not None


def test_a_token_of_any_length_is_kept_out_of_the_record() -> None:
    life = running()
    annotated(life, "a" * 100_000)
    assert all(len(str(record["data"]["input"])) < 1000 for record in life.cluster.all(REVISION))


def test_a_changed_profile_is_announced_and_counts_once_it_is_taken() -> None:
    life = running(profile(), **ON_DEVICES)
    life.upgrade(profile(pool="new"))
    found = announced(life)
    assert found is not None
    assert "nodeSelector" in found.message
    annotated(life, "a")
    assert life.template()["spec"]["nodeSelector"]["pool"] == "new"
    assert announced(life) is None


def test_the_devices_of_a_replica_are_counted_anew_by_an_update() -> None:
    life = running(**ON_DEVICES)
    larger = Configuration(profiles=profiles_from_config({"nvidia-h200-141": {"memoryGiB": 282}}))
    life.upgrade(larger)
    found = announced(life)
    assert found is not None
    assert life.status.plan is not None
    assert life.status.plan.gpus == 2
    annotated(life, "a")
    assert life.status.plan.gpus == 1


def test_what_would_be_refused_is_not_offered() -> None:
    life = running(**ON_DEVICES, nodes={"count": 1})
    life.upgrade(Configuration(profiles=profiles_from_config({"nvidia-h200-141": {"memoryGiB": 8}})))
    assert announced(life) is None
    assert life.status.phase == "Available"


def test_another_number_of_nodes_is_told() -> None:
    life = running(**ON_DEVICES)
    life.upgrade(Configuration(profiles=profiles_from_config({"nvidia-h200-141": {"memoryGiB": 12}})))
    condition = announced(life)
    assert condition is not None
    assert condition.message.startswith(
        "this operator would change engine.command, engine.env, engine.resources, nodes; "
    )


def test_what_differs_in_the_workers_alone_is_told() -> None:
    spec = {**ON_DEVICES, "model": {"name": "deepseek-r1", "source": {"uri": "pvc://models/m"}}}
    life = running(**{**spec, "accelerator": {"profile": "nvidia-h100-80"}})
    assert announced(life) is None
    (stored,) = life.cluster.all(REVISION, NAMESPACE)
    earlier = deepcopy(stored)
    earlier["data"]["workerTemplate"]["spec"]["nodeSelector"] = {"of": "an earlier release"}
    life.cluster.remove(REVISION, NAMESPACE, stored["metadata"]["name"], "Background")
    life.put(earlier)
    life.operator.settle()
    condition = announced(life)
    assert condition is not None
    assert condition.message.startswith("this operator would change worker.nodeSelector; ")


@pytest.mark.parametrize(("configuration", "expected"), [(OLD, False), (NEW, True)])
def test_what_the_api_server_added_to_a_template_is_no_update(configuration: Configuration, expected: bool) -> None:
    """A record that somebody deleted is restored from the Deployment, with the server's defaults and a webhook's sidecar."""
    life = running()
    name = serving_revision(NAME, life.status.stable)

    def default(live: dict[str, Any]) -> None:
        live["spec"]["template"]["spec"] |= {"dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler"}
        live["spec"]["template"]["spec"]["containers"].insert(0, {"name": "sidecar", "image": "proxy:1"})

    life.cluster.edit(DEPLOYMENT, NAMESPACE, name, default)
    life.cluster.drop(REVISION, NAMESPACE, name)
    life.upgrade(configuration)
    assert life.stored(REVISION, name)["data"]["template"]["spec"]["dnsPolicy"] == "ClusterFirst"
    assert (announced(life) is not None) == expected


def test_an_update_is_told_once_as_an_event() -> None:
    life = running()
    before = life.status
    life.upgrade(NEW)
    told = serving_kind(NEW).events(before, life.status)
    assert [(event.type, event.reason) for event in told] == [("Normal", "NewDefaults")]
    assert serving_kind(NEW).events(life.status, life.status) == ()
