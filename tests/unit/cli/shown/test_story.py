"""What `status` and `top` say, of trainings that a real operator brought to where they are on a memory cluster."""

from datetime import UTC, datetime
from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.training.definition import TRAINING as RESOURCE
from deepseek_operator.cli.shown.story import age, story, text
from deepseek_operator.cli.shown.tables import overview, table, top
from deepseek_operator.cli.shown.tables import text as top_text
from deepseek_operator.cli.shown.tree import BAD, BUSY, GOOD, children_of, lines, state_of
from deepseek_operator.core.resources import CLAIM, JOB, POD, SERVICE, uid_of
from deepseek_operator.kinds.registry import KINDS
from tests.support.trainings import NAME, NAMESPACE, Life

TRAINING, SERVING = KINDS
NOW = datetime(2026, 1, 1, 1, tzinfo=UTC)


def owner(life: Life) -> dict[str, Any]:
    return dict(life.cluster.read(RESOURCE, NAMESPACE, NAME) or {})


def objects(life: Life) -> list[Any]:
    return [one for resource in (JOB, POD, SERVICE, CLAIM) for one in life.cluster.all(resource)]


def told(life: Life, events: tuple[dict[str, Any], ...] = ()) -> str:
    return text(story(TRAINING, owner(life), objects(life), events), NOW)


def test_a_running_training_is_a_tree_with_nothing_to_do() -> None:
    said = told(Life().begin().running())
    assert said.startswith(f"training/{NAME} in {NAMESPACE} · Running, attempt 1: all 2 workers run\n")
    assert "✔ Pod/" in said
    assert "   ├─ ✔ Pod/" in said or "│  ├─ ✔ Pod/" in said, "pods hang under their Job"
    assert said.endswith("Next\n  Nothing: every worker runs.\n")


def test_a_failed_training_says_how_to_read_why_and_what_to_do() -> None:
    life = Life().begin(failurePolicy={"maxRestarts": 0}).running().crash()
    said = story(TRAINING, owner(life), objects(life), ())
    assert said.next[0] == TRAINING.reasons["TooManyRestarts"]
    assert said.next[-1] == f"Read why: kubectl deepseek logs training/{NAME}"
    assert said.phase == "Failed"
    assert "Crash" in said.picture


def test_what_any_true_condition_advises_is_told_once() -> None:
    life = Life().begin().running()
    running = owner(life)
    since = {"message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    warning = {"type": "SaveWarning", "status": "True", "reason": "GraceTooShort", **since}
    over = {"type": "DataWarning", "status": "False", "reason": "ExamplesLeftOut", **since}
    conditions = [*running["status"]["conditions"], warning, {**warning, "type": "Again"}, over]
    told = story(TRAINING, {**running, "status": {**running["status"], "conditions": conditions}}, (), ())
    assert told.next == (TRAINING.reasons["Running"], TRAINING.reasons["GraceTooShort"])


def test_warnings_are_told_with_their_age_and_number() -> None:
    event = {
        "involvedObject": {"kind": "Pod", "name": "a"},
        "reason": "BackOff",
        "message": "no image",
        "lastTimestamp": "2026-01-01T00:55:00Z",
        "count": 7,
    }
    assert "  5m ago  Pod/a  BackOff (×7): no image\n" in told(Life().begin(), (event,))


def test_one_that_nobody_has_looked_at_says_so() -> None:
    new = {"metadata": {"name": "n", "namespace": "team", "uid": "u"}, "spec": {}}
    said = text(story(SERVING, new, (), ()), NOW)
    assert said.splitlines()[0] == "serving/n in team · Pending, nothing was observed yet"
    assert "Wait for the operator" in said


def test_the_plain_form_has_every_part() -> None:
    life = Life().begin().running()
    plain = story(TRAINING, owner(life), objects(life), ()).plain()
    assert plain.keys() == {
        "name", "namespace", "phase", "picture", "conditions", "children", "warnings", "next", "unread",
    }  # fmt: skip
    assert plain["children"][0]["kind"] == "Job"


def child(kind: str, uid: str, by: str = "", name: str = "", **status: Any) -> dict[str, Any]:
    controller = [{"controller": True, "kind": "x", "uid": by, "name": name}] if by else []
    return {"kind": kind, "metadata": {"name": uid, "uid": uid, "ownerReferences": controller}, "status": status}


def test_a_pod_hangs_under_the_deployment_that_its_replica_set_is_named_after() -> None:
    deployments = [child("Deployment", "chat-serve-a", "root"), child("Deployment", "chat-serve-a-b", "root")]
    pods = [
        child("Pod", "p", "rs", "chat-serve-a-b-5d"),
        child("Pod", "loose"),
        child("Pod", "q", "rs", "chat-serve-a-7"),
    ]
    tree = children_of({"metadata": {"uid": "root"}}, [*deployments, *pods])
    names = {one.name: [below.name for below in one.children] for one in tree}
    assert names == {"chat-serve-a": ["q"], "chat-serve-a-b": ["p"], "loose": []}
    assert next(lines(tree)).startswith("├─ … Deployment/chat-serve-a")


@pytest.mark.parametrize(
    ("one", "health", "words"),
    [
        (child("Pod", "p", phase="Pending"), BUSY, "Pending"),
        (child("Pod", "p", phase="Running"), BUSY, "Running, not ready"),
        (child("Pod", "p", phase="Failed", reason="Evicted"), BAD, "Failed: Evicted"),
        (
            child("Pod", "p", phase="Pending", containerStatuses=[{"name": "c", "state": {"waiting": {"reason": "ErrImagePull"}}}]),
            BAD,
            "ErrImagePull in c",
        ),
        (
            child("Pod", "p", phase="Pending", conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]),
            BUSY,
            "Pending: Unschedulable",
        ),
        (child("PersistentVolumeClaim", "c", phase="Bound", capacity={"storage": "1Gi"}), GOOD, "Bound 1Gi"),
        (child("PersistentVolumeClaim", "c", phase="Lost"), BAD, "Lost"),
        (child("Job", "j", conditions=[{"type": "Failed", "status": "True", "reason": "PodFailurePolicy"}]), BAD, "Failed: PodFailurePolicy"),
        (child("HTTPRoute", "r"), BUSY, "no gateway has answered for it"),
        (child("ConfigMap", "m"), GOOD, ""),
    ],
)  # fmt: skip
def test_each_child_says_how_it_does(one: dict[str, Any], health: str, words: str) -> None:
    state = state_of(one)
    assert (state.health, state.words) == (health, words)


@pytest.mark.parametrize(
    ("since", "told"), [("2026-01-01T00:59:30Z", "30s"), ("2025-12-29T00:00:00Z", "3d"), ("?", "-")]
)
def test_ages_are_told_as_kubectl_does(since: str, told: str) -> None:
    assert age(since, NOW) == told


def placed(life: Life, devices: int) -> list[dict[str, Any]]:
    limits = {"resources": {"limits": {"nvidia.com/gpu": str(devices), "cpu": "4"}}}
    return [{**one, "spec": {"nodeName": "n", "containers": [limits]}} for one in life.cluster.all(POD)]


def test_top_tells_who_holds_which_devices_of_how_many() -> None:
    life = Life().begin().running()
    found = [(TRAINING, owner(life))]
    nodes = [{"status": {"allocatable": {"nvidia.com/gpu": "8", "cpu": "64"}}}] * 2
    told = top(found, placed(life, 4), nodes)
    (device,) = told.devices
    assert device == {
        "RESOURCE": "nvidia.com/gpu", "HELD": "8", "ON THE NODES": "16", "NAMESPACE": NAMESPACE, "BY": f"training/{NAME}",
    }  # fmt: skip
    (row,) = told.kinds["trainings"]
    assert (row["PHASE"], row["WORKERS"], row["DEVICES"], row["RESTARTS"]) == ("Running", "2/2", "8", "0")
    said = top_text(told, with_namespace=False)
    assert "NAMESPACE" not in said
    assert "NAMESPACE" in top_text(told, with_namespace=True)
    assert top_text(top([], [], []), with_namespace=True) == "nothing is there\n"


def test_pods_of_others_count_for_nobody() -> None:
    life = Life().begin().running()
    other = [{**one, "metadata": {**one["metadata"], "labels": {}}} for one in placed(life, 4)]
    assert top([(TRAINING, owner(life))], other, []).devices == []
    assert uid_of(owner(life))


def test_the_overview_has_a_row_for_each_of_whatever_kind() -> None:
    life = Life().begin().running()
    new = {"metadata": {"name": "n", "namespace": "team"}}
    rows = overview([(TRAINING, owner(life)), (SERVING, new)], NOW)
    assert [(row["NAME"], row["PHASE"], row["READY"]) for row in rows] == [
        (f"training/{NAME}", "Running", "True"),
        ("serving/n", "Pending", "-"),
    ]
    assert table(rows, with_namespace=False).startswith("NAME")
    assert table([], with_namespace=False) == "nothing is there\n"
