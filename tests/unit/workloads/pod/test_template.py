"""Every pod of ours is restricted, bears no token, and runs where its user says."""

from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.common.pod import PodSettings
from deepseek_operator.workloads.pod.reach import asked
from deepseek_operator.workloads.pod.security import container_security
from deepseek_operator.workloads.pod.template import pod_spec, with_settings

PLACED = ("nodeSelector", "tolerations", "priorityClassName")


def _spec(**settings: object) -> dict[str, Any]:
    return pod_spec(
        PodSettings.model_validate(settings), 30, [{"name": "c", "securityContext": container_security()}], []
    )


@pytest.mark.parametrize("settings", [{}, {"runAsUser": 7, "fsGroup": 8}, {"nodeSelector": {"zone": "a"}}])
def test_no_pod_asks_anything_of_its_node_or_of_the_api_server(settings: dict[str, object]) -> None:
    spec = _spec(**settings)
    assert asked({"spec": spec}) == ()
    assert (spec["automountServiceAccountToken"], spec["enableServiceLinks"]) == (False, False)
    user = (spec["securityContext"]["runAsNonRoot"], spec["securityContext"]["runAsUser"])
    assert user == (True, settings.get("runAsUser", 1000))


@pytest.mark.parametrize(
    ("written", "rendered"),
    [
        ({}, {}),
        ({"nodeSelector": {"zone": "a", "disk": "ssd"}}, {"nodeSelector": {"disk": "ssd", "zone": "a"}}),
        ({"tolerations": [{"key": "gpu", "operator": "Exists"}]}, {"tolerations": [{"key": "gpu", "operator": "Exists"}]}),
        ({"tolerations": [{"key": "gpu", "value": ""}]}, {"tolerations": [{"key": "gpu", "operator": "Equal"}]}),
        ({"priorityClassName": "high"}, {"priorityClassName": "high"}),
    ],
)  # fmt: skip
def test_placement_is_as_written_and_nothing_else(written: dict[str, object], rendered: dict[str, object]) -> None:
    spec = _spec(**written)
    assert {field: spec[field] for field in PLACED if field in spec} == rendered


def test_labels_that_the_operator_finds_its_pods_by_can_not_be_overwritten() -> None:
    settings = PodSettings(labels={"a": "theirs", "b": "theirs"}, image_pull_secrets=["pull"])
    found = with_settings({"metadata": {"labels": {"a": "ours"}}, "spec": {}}, settings)
    assert found == {
        "metadata": {"labels": {"a": "ours", "b": "theirs"}},
        "spec": {"imagePullSecrets": [{"name": "pull"}]},
    }
