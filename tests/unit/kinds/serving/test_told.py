"""What is told of an autoscaler that sees nothing, of which model answers, and of replicas that are ending."""

from datetime import timedelta
from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.status import ResolvedModel, ServingStatus
from deepseek_operator.core.conditions import find
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.resources import Manifest
from deepseek_operator.kinds.serving import serving_kind
from deepseek_operator.kinds.serving.canary import told_share
from deepseek_operator.kinds.serving.events import events
from deepseek_operator.kinds.serving.revision import controller_revision
from deepseek_operator.workloads.replicas.keeper import Pods
from tests.support.moments import START
from tests.support.serving_look import OLD, SCALED, deployment, look, pod, recorded, scaler, target_of, told
from tests.support.servings import seen_of

BLIND = "FailedGetExternalMetric"


def scaled(age_s: int, *conditions: dict[str, str], active: str = "False", **spec: Any) -> ServingStatus:
    """A serving of two ready replicas whose autoscaler says that since `age_s`."""
    serving = recorded(replicas=2, running=2, **{**SCALED, **spec})
    return look(serving, deployment(serving, target_of(serving), 2, 2), since(age_s, *conditions, active=active))


def since(age_s: int, *conditions: dict[str, str], active: str = "False") -> Manifest:
    made = scaler(active, "ValidMetricFound" if active == "True" else BLIND, 2)
    at = f"{START - timedelta(seconds=age_s):%Y-%m-%dT%H:%M:%SZ}"
    stored = [*conditions, *made["status"]["conditions"]]
    return {**made, "status": {**made["status"], "conditions": [{**c, "lastTransitionTime": at} for c in stored]}}


def test_an_autoscaler_without_metrics_is_told_in_its_words() -> None:
    found = scaled(121)
    assert told(found) == ("True", "False", "False", "MetricsUnavailable")
    assert f"{BLIND}: no metrics returned" in found.conditions[0].message
    scaling = find(found.conditions, "ScalingActive")
    assert scaling is not None
    assert (scaling.status, scaling.reason, scaling.message) == ("False", BLIND, "no metrics returned")


def test_its_first_minutes_without_metrics_are_no_failure_and_are_looked_at_again_in_time() -> None:
    assert told(scaled(60))[3] == "Available"
    assert find(scaled(60).conditions, "ScalingActive") is None
    serving = recorded(replicas=2, running=2, **SCALED)
    seen = seen_of(serving, children=[deployment(serving, target_of(serving), 2, 2), since(60)])
    assert serving_kind(Configuration()).decide(seen).plan.requeue_after == timedelta(seconds=60)


def test_one_that_can_not_scale_is_as_blind() -> None:
    unable = {"type": "AbleToScale", "status": "False", "reason": "FailedGetScale", "message": "not found"}
    found = scaled(121, unable, active="True")
    assert told(found)[3] == "MetricsUnavailable"
    assert "FailedGetScale: not found" in found.conditions[0].message


def test_it_warns_once_and_all_is_well_again_when_the_metrics_are_back() -> None:
    before, blind, again = scaled(60), scaled(200), scaled(10, active="True")
    assert [(event.type, event.reason) for event in events(before, blind)] == [("Warning", "MetricsUnavailable")]
    assert events(blind, scaled(400)) == ()
    assert [(event.type, event.reason) for event in events(blind, again)] == [("Normal", "Available")]
    scaling = find(again.conditions, "ScalingActive")
    assert scaling is not None
    assert (scaling.status, scaling.reason) == ("True", "ValidMetricFound")


SELECTOR = (
    "&LabelSelector{MatchLabels:map[string]string{serving: chat,},MatchExpressions:[]LabelSelectorRequirement{},}"
)
COUNTED = "the HPA was able to successfully calculate a replica count from external metric deepseek_wanted_replicas"
NOT_SERVED = (
    "the HPA was unable to compute the replica count: unable to get external metric team/deepseek_wanted_replicas"
)
WHY = ": unable to fetch metrics from external metrics API: the server is currently unable to handle the request"


@pytest.mark.parametrize(
    ("active", "message", "expected"),
    [
        ("True", f"{COUNTED}({SELECTOR})", COUNTED),
        ("False", f"{NOT_SERVED}/{SELECTOR}{WHY}", f"{NOT_SERVED}{WHY}"),
        ("False", "an unknown one (&LabelSelector{})", "an unknown one (&LabelSelector{})"),
    ],
)
def test_its_words_are_told_without_a_selector_in_the_notation_of_its_program(
    active: str, message: str, expected: str
) -> None:
    """The messages are those of Kubernetes 1.36."""
    serving = recorded(replicas=2, running=2, **SCALED)
    made = since(300, active=active)
    made["status"]["conditions"][0]["message"] = message
    found = look(serving, deployment(serving, target_of(serving), 2, 2), made)
    scaling = find(found.conditions, "ScalingActive")
    assert (scaling and scaling.message, found.autoscaling and found.autoscaling.message) == (expected, expected)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [(None, 1, "to 1 replica"), (1, 3, "from 1 to 3 replicas"), (3, 1, "from 3 to 1 replica")],
)
def test_another_number_of_replicas_is_told_from_which_to_which(before: int | None, after: int, expected: str) -> None:
    (event,) = events(ServingStatus(running_replicas=before), ServingStatus(running_replicas=after))
    assert (event.type, event.reason, event.note) == ("Normal", "ReplicasSet", expected)


@pytest.mark.parametrize(
    ("weight", "replicas", "expected"), [(50, 2, "50 % or 2 replicas"), (None, 1, "1 replica"), (100, None, "100 %")]
)
def test_a_canarys_step_is_told_by_its_share(weight: int | None, replicas: int | None, expected: str) -> None:
    assert told_share(weight, replicas) == expected


@pytest.mark.parametrize("spec", [{"autoscaling": None}, {"suspend": True}], ids=["without", "suspended"])
def test_nothing_is_told_where_nothing_is_scaled(spec: dict[str, Any]) -> None:
    found = scaled(999, **spec)
    assert find(found.conditions, "ScalingActive") is None
    assert found.conditions[0].reason != "MetricsUnavailable"


def export(step: int) -> ResolvedModel:
    return ResolvedModel(reference=str(step), claim_name="models", training="uppercase", step=step)


def record(serving: dict[str, Any], revision: str, model: ResolvedModel, number: int = 1) -> Manifest:
    return controller_revision(
        DeepSeekServing.model_validate(serving), revision, number, Pods({"spec": {"containers": []}}), model
    )


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (1, 0, "uppercase@200 → models/v2"),
        (1, 1, "uppercase@200 → models/v2"),
        (0, 1, "models/v2"),
        (0, 0, "models/v2"),
    ],
)
def test_the_model_of_what_answers_is_told_beside_the_wanted_one(old: int, new: int, expected: str) -> None:
    serving = recorded(replicas=1, running=1)
    children = [deployment(serving, OLD, 1, old), deployment(serving, target_of(serving), 1, new)]
    found = look(serving, *children, record(serving, OLD, export(200)))
    assert found.summary.model == expected


def test_another_engine_for_the_same_model_is_one_model() -> None:
    serving = recorded(replicas=1, running=1)
    model = ResolvedModel.model_validate(serving["status"]["resolved"])
    children = [deployment(serving, OLD, 1, 1), deployment(serving, target_of(serving), 1, 0)]
    assert look(serving, *children, record(serving, OLD, model)).summary.model == "models/v2"


def test_while_the_wanted_model_is_not_known_it_tells_what_answers() -> None:
    serving = recorded(replicas=1, running=1)
    serving["spec"] = {**serving["spec"], "model": {"fromTraining": {"name": "next"}}}
    found = look(serving, deployment(serving, OLD, 1, 1), record(serving, OLD, export(200)))
    assert told(found)[3] == "WaitingForTraining"
    assert found.summary.model == "uppercase@200"


@pytest.mark.parametrize(("ending", "expected"), [(2, "Available"), (1, "Scaling"), (0, "Scaling")])
def test_replicas_that_are_ending_are_no_reason_to_be_scaling(ending: int, expected: str) -> None:
    """They finish their requests for up to the grace period; the number that was asked for serves."""
    serving = recorded(replicas=1, running=1)
    target = target_of(serving)
    serving["status"]["stable"] = target
    pods = [pod(serving, target, phase="Running") for _ in range(3)]
    for number, one in enumerate(pods):
        gone = {"deletionTimestamp": "2026-01-01T00:01:00Z"} if number < ending else {}
        one["metadata"] = {**one["metadata"], "name": f"p{number}", **gone}  # type: ignore[index]
    found = look(serving, deployment(serving, target, 1, 1), *pods)
    assert found.phase == expected
