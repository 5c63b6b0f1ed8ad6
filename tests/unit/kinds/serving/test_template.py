"""The pods of a revision."""

from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.status import ResolvedModel
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.kinds.serving.template import render
from tests.support.servings import a_serving

MODEL = ResolvedModel(reference="r", claim_name="work", sub_path="u/exports/300")


def pod(resolved: ResolvedModel = MODEL, /, **spec: Any) -> dict[str, Any]:
    template = render(DeepSeekServing.model_validate(a_serving(**spec)), "rev", resolved, Configuration())
    return dict(template["spec"])


def engine(**spec: Any) -> dict[str, Any]:
    (container,) = pod(**spec)["containers"]
    return dict(container)


def environment(**spec: Any) -> dict[str, str | None]:
    return {variable["name"]: variable.get("value") for variable in engine(**spec)["env"]}


def test_the_export_is_mounted_read_only_and_nothing_else_of_the_volume() -> None:
    volumes, mounts = pod()["volumes"], engine()["volumeMounts"]
    assert volumes[0] == {"name": "model", "persistentVolumeClaim": {"claimName": "work"}}
    assert mounts[0] == {"name": "model", "mountPath": "/model", "readOnly": True, "subPath": "u/exports/300"}


def test_the_root_of_a_volume_needs_no_sub_path() -> None:
    (container,) = pod(ResolvedModel(reference="r", claim_name="work"))["containers"]
    assert "subPath" not in container["volumeMounts"][0]


def test_pods_meet_the_restricted_standard_and_carry_no_token() -> None:
    found = pod()
    assert found["automountServiceAccountToken"] is False
    assert found["securityContext"]["runAsNonRoot"] is True
    assert found["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert engine()["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


@pytest.mark.parametrize(("grace_s", "leaving_s", "drain_s"), [(60, 5, 50), (5, 1, 3), (20, 5, 10), (7200, 5, 7190)])
def test_leaving_draining_and_a_margin_fit_into_the_grace_period(grace_s: int, leaving_s: int, drain_s: int) -> None:
    spec = {"pod": {"terminationGracePeriodSeconds": grace_s}}
    assert engine(**spec)["lifecycle"]["preStop"]["sleep"]["seconds"] == leaving_s
    assert environment(**spec)["DEEPSEEK_DRAIN_SECONDS"] == str(drain_s)


def test_a_busy_engine_leaves_the_service_long_before_it_is_restarted() -> None:
    ready, alive = engine()["readinessProbe"], engine()["livenessProbe"]
    assert ready["periodSeconds"] * ready["failureThreshold"] == 15
    assert alive["periodSeconds"] * alive["failureThreshold"] == 120


def test_loading_may_take_the_start_timeout() -> None:
    probe = engine(engine={"startTimeoutSeconds": 901})["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] == 905


def test_quantities_are_written_as_the_api_server_stores_them() -> None:
    resources = {"cpu": "0.5", "memory": "1024Mi"}
    assert engine(engine={"resources": resources})["resources"] == {
        "requests": {"cpu": "500m", "memory": "1Gi"},
        "limits": {"memory": "1Gi"},
    }


def test_an_empty_variable_has_no_value_field() -> None:
    assert engine(engine={"env": [{"name": "FLAG"}]})["env"][-1] == {"name": "FLAG"}


def test_a_custom_engine_runs_as_written() -> None:
    found = engine(engine={"type": "custom", "image": "a:1", "args": ["-x"], "port": 9000})
    assert (found["image"], found.get("command"), found["args"]) == ("a:1", None, ["-x"])
    assert found["ports"] == [{"name": "http", "containerPort": 9000, "protocol": "TCP"}]


def test_devices_are_asked_for_by_their_resource() -> None:
    resources = engine(accelerator={"resource": "nvidia.com/gpu", "perNode": 2})["resources"]
    assert resources["limits"] == resources["requests"] == {"nvidia.com/gpu": "2"}
