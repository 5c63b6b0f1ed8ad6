"""What is done in which order, and what is never done."""

from datetime import timedelta
from typing import Any

from deepseek_operator.api.base import rfc3339
from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.status import ServingStatus
from deepseek_operator.core.actions import Apply, Create, Delete, Plan
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.drift import stamped
from deepseek_operator.core.kind import Kind
from deepseek_operator.core.resources import REVISION, Manifest
from deepseek_operator.core.seen import Seen
from deepseek_operator.kinds.registry import KINDS
from deepseek_operator.kinds.serving import serving_kind
from deepseek_operator.kinds.serving.autoscaler import autoscalers
from deepseek_operator.kinds.serving.fresh import Fresh
from deepseek_operator.kinds.serving.view import View
from tests.support.moments import START
from tests.support.serving_look import SCALED, deployment, recorded, target_of
from tests.support.servings import a_serving, a_training, seen_of

KIND = serving_kind(Configuration())


def plan_of(seen: Seen[DeepSeekServing], kind: Kind[DeepSeekServing, ServingStatus] = KIND) -> Plan[ServingStatus]:
    return kind.decide(seen).plan


def stored(manifest: Manifest, uid: str = "u") -> dict[str, Any]:
    """The object as the API server holds it after an apply."""
    wanted = stamped(manifest)
    return {**wanted, "metadata": {**wanted["metadata"], "uid": uid}}


def revision_of(serving: dict[str, Any]) -> Manifest:
    """The ControllerRevision that the first release of the operator stored."""
    (create,) = plan_of(seen_of(serving)).actions
    assert isinstance(create, Create)
    return stored(create.manifest)


def test_the_model_and_the_replicas_are_recorded_before_anything_is_made() -> None:
    plan = plan_of(seen_of(a_serving(replicas=3)))
    assert plan.record is not None
    assert plan.record.resolved is not None
    assert (plan.record.resolved.claim_name, plan.record.running_replicas) == ("models", 3)
    assert plan.actions == ()
    assert plan.confirm


def test_a_new_revision_is_stored_before_anything_uses_it() -> None:
    (create,) = plan_of(seen_of(recorded(replicas=3))).actions
    assert isinstance(create, Create)
    assert KINDS.ref_of(create.manifest).resource == REVISION


def test_children_are_made_from_the_stored_template_and_confirmed_by_a_live_look() -> None:
    serving = recorded(replicas=3)
    plan = plan_of(seen_of(serving, children=[revision_of(serving)]))
    made = [f"{KINDS.ref_of(a.manifest)}" for a in plan.actions if isinstance(a, Apply)]
    target = target_of(serving)
    assert made == [
        "Service/chat-serve",
        f"Service/chat-serve-{target}",
        f"Deployment/chat-serve-{target}",
        "PodDisruptionBudget/chat-serve",
    ]
    assert plan.confirm


def test_another_default_image_changes_no_template() -> None:
    serving = recorded(replicas=3)
    revision = revision_of(serving)
    upgraded = serving_kind(Configuration(runtime_image="runtime:2", image_pull_policy="Always"))
    seen = seen_of(serving, children=[revision])
    assert plan_of(seen, upgraded).actions == plan_of(seen).actions


def test_a_lost_record_is_restored_from_what_runs_and_never_rendered_anew() -> None:
    serving = recorded(replicas=3)
    live = deployment(serving, target_of(serving), 3, 3)
    upgraded = serving_kind(Configuration(runtime_image="runtime:2"))
    create = plan_of(seen_of(serving, children=[live]), upgraded).actions[0]
    assert isinstance(create, Create)
    assert create.manifest["data"]["template"] == live["spec"]["template"]


def test_a_deleted_serving_is_left_to_the_garbage_collector() -> None:
    serving = recorded()
    serving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    plan = plan_of(seen_of(serving))
    assert (plan.record, plan.actions) == (None, ())


def test_an_object_on_its_way_out_is_left_alone() -> None:
    serving = recorded(replicas=3)
    target = target_of(serving)
    live = {**deployment(serving, target, 3, 3)}
    live["metadata"] = {**live["metadata"], "uid": "u", "deletionTimestamp": "2026-01-01T00:00:00Z"}
    plan = plan_of(seen_of(serving, children=[revision_of(serving), live]))
    assert all(KINDS.ref_of(a.manifest).resource.kind != "Deployment" for a in plan.actions if isinstance(a, Apply))


def test_suspension_takes_the_autoscaler_away_and_the_replicas_to_zero() -> None:
    running = recorded(replicas=2, running=4, **SCALED)
    revision = revision_of(running)
    made = {
        KINDS.ref_of(a.manifest).resource.kind: a.manifest
        for a in plan_of(seen_of(running, children=[revision])).actions
        if isinstance(a, Apply)
    }
    scaler = stored(made["HorizontalPodAutoscaler"])
    suspended = {**running, "spec": {**running["spec"], "suspend": True}}
    live = stored({**deployment(running, target_of(running), 4, 4)})
    plan = plan_of(seen_of(suspended, children=[revision, scaler, live]))
    replicas = [
        a.manifest["spec"]["replicas"]
        for a in plan.actions
        if isinstance(a, Apply) and "replicas" in a.manifest["spec"]
    ]
    deleted = [str(a.ref) for a in plan.actions if isinstance(a, Delete)]
    assert (replicas, deleted) == ([0], ["HorizontalPodAutoscaler/chat-serve"])


def test_autoscaling_in_place_of_six_replicas_holds_six() -> None:
    scaled = {"autoscaling": {"maxReplicas": 8, "signals": [{"type": "InFlight", "target": 4}]}}
    serving = recorded(replicas=1, running=6, **scaled)
    assert plan_of(seen_of(serving)).record is None


def test_a_wiped_status_is_taken_from_the_deployments() -> None:
    serving = recorded(
        replicas=1, running=6, autoscaling={"maxReplicas": 8, "signals": [{"type": "InFlight", "target": 4}]}
    )
    live = deployment(serving, target_of(serving), 6, 6)
    wiped = {**serving, "status": {"observedGeneration": -1}}
    record = plan_of(seen_of(wiped, children=[live])).record
    assert record is not None
    assert record.running_replicas == 6


def test_only_the_newest_revisions_and_those_that_run_are_kept() -> None:
    serving = recorded(replicas=3)
    current = {**revision_of(serving), "revision": 1}
    template = current["data"]["template"]
    others: list[Manifest] = []
    for number in range(2, 9):
        name, labels = f"chat-serve-000000000{number}", {**current["metadata"]["labels"]}
        labels["deepseek-operator.io/revision"] = f"000000000{number}"
        others.append(
            {
                **current,
                "metadata": {"name": name, "labels": labels, "uid": "u"},
                "revision": number,
                "data": {"template": template},
            }
        )
    plan = plan_of(seen_of(serving, children=[current, *others]))
    deleted = [a.ref.name for a in plan.actions if isinstance(a, Delete)]
    assert deleted == ["chat-serve-0000000002", "chat-serve-0000000003"]


def made(serving: dict[str, Any], *found: Manifest) -> list[Manifest]:
    """What a pass applies, as the API server then holds it."""
    return [stored(a.manifest) for a in plan_of(seen_of(serving, children=found)).actions if isinstance(a, Apply)]


def test_a_revision_without_replicas_loses_its_deployment_and_its_service() -> None:
    before = recorded(replicas=3)
    old_record = revision_of(before)
    old = [child for child in made(before, old_record) if child["metadata"]["name"] != "chat-serve"]
    spent = [{**c, "spec": {**c["spec"], "replicas": 0}} if c["kind"] == "Deployment" else c for c in old]
    after = recorded(replicas=3, engine={"maxConcurrency": 8})
    plan = plan_of(seen_of(after, children=[old_record, revision_of(after), *spent]))
    name = old_record["metadata"]["name"]
    assert [str(a.ref) for a in plan.actions if isinstance(a, Delete)] == [f"Deployment/{name}", f"Service/{name}"]


def test_a_pinned_export_stays_when_the_status_is_lost() -> None:
    model = {"fromTraining": {"name": "tune", "checkpoint": "Latest"}}
    first = plan_of(seen_of(a_serving(model=model), references=[a_training(exports=[1], result="Complete")])).record
    assert first is not None
    serving = a_serving(model=model, status=first.to_wire())
    wiped = a_serving(model=model)
    moved = a_training(exports=[1, 2], result="Complete")
    record = plan_of(seen_of(wiped, children=[revision_of(serving)], references=[moved])).record
    assert record is not None
    assert record.resolved == first.resolved


def test_a_new_autoscaler_takes_nothing_before_it_has_looked_for_its_window() -> None:
    """It read the register's default, and its first wish was of a lull."""
    serving = recorded(replicas=2, running=6, **SCALED)
    owner = DeepSeekServing.model_validate(serving)
    assert owner.spec.autoscaling is not None
    scaler = stored(autoscalers(Seen(owner, START), Configuration(), owner.spec.autoscaling.bounds(START))[0])
    scaler["metadata"]["creationTimestamp"] = rfc3339(START)
    scaler["status"] = {"desiredReplicas": 2, "conditions": [{"type": "ScalingActive", "status": "True"}]}
    window = timedelta(seconds=300)
    early = seen_of(serving, children=[scaler], now=START + window - timedelta(seconds=1))
    assert View(early, Fresh(Configuration())).replicas == 6
    assert plan_of(early).requeue_after == timedelta(seconds=1)
    assert View(seen_of(serving, children=[scaler], now=START + window), Fresh(Configuration())).replicas == 2


def test_a_deployment_is_no_failure_while_its_engine_may_still_load() -> None:
    """`kubectl rollout status` and Argo CD call a Deployment failed once its progress deadline is over."""
    slow = recorded(replicas=3, engine={"startTimeoutSeconds": 7200})
    (live,) = [child for child in made(slow, revision_of(slow)) if child["kind"] == "Deployment"]
    assert live["spec"]["progressDeadlineSeconds"] == 7200 + 600
