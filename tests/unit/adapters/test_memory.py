"""The memory cluster has the semantics that bite."""

from collections.abc import Callable
from typing import Any

import pytest

from deepseek_operator.adapters.memory import Change, Fault, MemoryCluster
from deepseek_operator.api.crd import UNSEEN
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.core.names import MANAGED_BY, MANAGER, OWNER_UID
from deepseek_operator.core.resources import CLAIM, DEPLOYMENT, JOB, POD, SERVICE
from deepseek_operator.ports.cluster import Conflict, Rejected, Unreachable
from tests.support.faults import Crash, EventPipe, crash_at_write
from tests.support.world import StoppedClock, World, phase_of

NS = "team"


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
def cluster(clock: StoppedClock) -> MemoryCluster:
    return MemoryCluster(clock)


@pytest.fixture
def world(cluster: MemoryCluster, clock: StoppedClock) -> World:
    return World(cluster, clock)


def training(**spec: Any) -> dict[str, Any]:
    metadata = {"name": "t", "namespace": NS}
    return {
        "apiVersion": "deepseek-operator.io/v1alpha1",
        "kind": "DeepSeekTraining",
        "metadata": metadata,
        "spec": spec,
    }


def job(name: str = "j", owner_uid: str = "", nodes: int = 2, **spec: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "labels": {MANAGED_BY: MANAGER, OWNER_UID: owner_uid}}
    template = {
        "metadata": {"labels": {MANAGED_BY: MANAGER}},
        "spec": {"containers": [{"name": "trainer", "image": "i"}]},
    }
    body = {"completionMode": "Indexed", "completions": nodes, "parallelism": nodes, "backoffLimit": 0, **spec}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {**body, "template": template}}


def service(**spec: Any) -> dict[str, Any]:
    metadata = {"name": "s", "labels": {MANAGED_BY: MANAGER}}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def claim(size: str = "1Gi") -> dict[str, Any]:
    metadata = {"name": "c", "labels": {MANAGED_BY: MANAGER}}
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}


def edit_spec(**values: Any) -> Callable[[dict[str, Any]], None]:
    def change(live: dict[str, Any]) -> None:
        live["spec"].update(values)

    return change


async def test_generation_counts_changes_of_the_spec_and_nothing_else(cluster: MemoryCluster) -> None:
    stored = cluster.put(training(steps=1))
    assert stored["metadata"]["generation"] == 1
    assert stored["status"] == UNSEEN
    after = await cluster.put_status(TRAINING, {**stored, "status": {"phase": "Running"}})
    assert after["metadata"]["generation"] == 1
    labelled = cluster.edit(TRAINING, NS, "t", lambda live: live["metadata"].update(labels={"a": "b"}))
    assert labelled["metadata"]["generation"] == 1
    assert cluster.edit(TRAINING, NS, "t", edit_spec(steps=2))["metadata"]["generation"] == 2


async def test_a_status_write_from_an_old_read_conflicts(cluster: MemoryCluster) -> None:
    old = cluster.put(training(steps=1))
    cluster.edit(TRAINING, NS, "t", edit_spec(steps=2))
    with pytest.raises(Conflict):
        await cluster.put_status(TRAINING, {**old, "status": {"phase": "Running"}})


async def test_a_status_write_never_reaches_a_successor_of_the_same_name(cluster: MemoryCluster) -> None:
    old = cluster.put(training(steps=1))
    cluster.remove(TRAINING, NS, "t")
    cluster.put(training(steps=1))
    with pytest.raises(Conflict):
        await cluster.put_status(TRAINING, {**old, "status": {"phase": "Running"}})


async def test_a_write_that_changes_nothing_is_not_an_event(cluster: MemoryCluster) -> None:
    seen: list[Change] = []
    cluster.listeners.append(seen.append)
    await cluster.apply(SERVICE, NS, service(clusterIP="None"))
    version = cluster.version
    await cluster.apply(SERVICE, NS, service(clusterIP="None"))
    assert (cluster.version, len(seen)) == (version, 1)
    assert [write.changed for write in cluster.writes] == [True, False]


async def test_apply_removes_a_field_that_is_no_longer_named(cluster: MemoryCluster) -> None:
    await cluster.apply(SERVICE, NS, service(selector={"a": "1", "b": "2"}, publishNotReadyAddresses=True))
    after = await cluster.apply(SERVICE, NS, service(selector={"a": "1"}))
    assert after["spec"]["selector"] == {"a": "1"}
    assert "publishNotReadyAddresses" not in after["spec"]


async def test_apply_leaves_what_others_wrote_beside_our_fields(cluster: MemoryCluster) -> None:
    await cluster.apply(SERVICE, NS, service(selector={"a": "1"}))
    cluster.edit(SERVICE, NS, "s", edit_spec(sessionAffinity="ClientIP"))
    after = await cluster.apply(SERVICE, NS, service(selector={"a": "2"}))
    assert after["spec"]["sessionAffinity"] == "ClientIP"
    assert after["spec"]["selector"] == {"a": "2"}


async def test_a_container_that_is_no_longer_named_goes_whole(cluster: MemoryCluster) -> None:
    def deployment(*names: str) -> dict[str, Any]:
        template = {
            "metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": n, "image": n} for n in names]},
        }
        spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
        return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}

    await cluster.apply(DEPLOYMENT, NS, deployment("engine", "proxy"))

    def default(live: dict[str, Any]) -> None:
        for container in live["spec"]["template"]["spec"]["containers"]:
            container["terminationMessagePath"] = "/dev/termination-log"

    cluster.edit(DEPLOYMENT, NS, "d", default, "defaults")
    cluster._managed[cluster.read(DEPLOYMENT, NS, "d")["metadata"]["uid"]].pop("defaults")  # type: ignore[index]
    after = await cluster.apply(DEPLOYMENT, NS, deployment("engine"))
    assert [c["name"] for c in after["spec"]["template"]["spec"]["containers"]] == ["engine"]


async def test_omitting_an_applied_suspend_starts_the_job(cluster: MemoryCluster) -> None:
    await cluster.apply(JOB, NS, job(suspend=True))
    after = await cluster.apply(JOB, NS, job())
    assert after["spec"]["suspend"] is False


async def test_apply_with_another_uid_or_of_an_absent_object_with_uid_conflicts(cluster: MemoryCluster) -> None:
    manifest = service(clusterIP="None")
    manifest["metadata"]["uid"] = "other"
    with pytest.raises(Conflict):
        await cluster.apply(SERVICE, NS, manifest)
    await cluster.apply(SERVICE, NS, service(clusterIP="None"))
    with pytest.raises(Conflict):
        await cluster.apply(SERVICE, NS, manifest)


async def test_a_taken_name_conflicts_and_a_nameless_object_is_rejected(cluster: MemoryCluster) -> None:
    await cluster.create(JOB, NS, job())
    with pytest.raises(Conflict):
        await cluster.create(JOB, NS, job())
    with pytest.raises(Rejected):
        await cluster.create(JOB, NS, job(name="x" * 64))


async def test_a_jobs_template_and_a_claims_class_are_immutable_and_a_bound_claim_only_grows(
    cluster: MemoryCluster, world: World
) -> None:
    await cluster.create(JOB, NS, job())
    changed = job()
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = "other"
    with pytest.raises(Rejected, match="immutable"):
        await cluster.apply(JOB, NS, changed)
    await cluster.create(CLAIM, NS, claim("2Gi"))
    with pytest.raises(Rejected, match="bound claims"):
        await cluster.apply(CLAIM, NS, claim("3Gi"))
    world.bind_claim(NS, "c")
    with pytest.raises(Rejected, match="less than"):
        await cluster.apply(CLAIM, NS, claim("1Gi"))
    grown = await cluster.apply(CLAIM, NS, claim("3Gi"))
    assert grown["spec"]["resources"]["requests"]["storage"] == "3Gi"


async def test_a_delete_with_another_uid_conflicts_and_absence_is_success(cluster: MemoryCluster) -> None:
    await cluster.create(SERVICE, NS, service())
    with pytest.raises(Conflict):
        await cluster.delete(SERVICE, NS, "s", "other", "Background")
    await cluster.delete(SERVICE, NS, "nothing", "other", "Background")


async def test_a_job_deleted_without_a_policy_leaves_its_pods_running(cluster: MemoryCluster, world: World) -> None:
    uid = (await cluster.create(JOB, NS, job()))["metadata"]["uid"]
    world.run_job_controller()
    for pod in cluster.all(POD):
        world.run(pod)
    await cluster.delete(JOB, NS, "j", uid)
    world.run_garbage_collector()
    assert [phase_of(pod) for pod in cluster.all(POD)] == ["Running", "Running"]


@pytest.mark.parametrize("policy", ["Background", "Foreground"])
async def test_a_job_deleted_with_a_policy_takes_its_pods_along(
    cluster: MemoryCluster, world: World, policy: Any
) -> None:
    uid = (await cluster.create(JOB, NS, job()))["metadata"]["uid"]
    world.run_job_controller()
    for pod in cluster.all(POD):
        world.run(pod)
    await cluster.delete(JOB, NS, "j", uid, policy)
    world.run_garbage_collector()
    assert all(pod["metadata"]["deletionTimestamp"] for pod in cluster.all(POD))
    assert len(cluster.all(POD)) == 2
    assert len(cluster.all(JOB)) == (1 if policy == "Foreground" else 0)
    world.reap_all()
    world.run_garbage_collector()
    assert cluster.all(POD) == cluster.all(JOB) == []


async def test_a_claim_in_use_stays_until_its_last_pod_ends(cluster: MemoryCluster, world: World) -> None:
    uid = (await cluster.create(CLAIM, NS, claim()))["metadata"]["uid"]
    manifest = job(nodes=1)
    manifest["spec"]["template"]["spec"]["volumes"] = [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]
    await cluster.create(JOB, NS, manifest)
    world.run_job_controller()
    world.run(cluster.all(POD)[0])
    await cluster.delete(CLAIM, NS, "c", uid, "Background")
    world.run_garbage_collector()
    assert cluster.all(CLAIM)[0]["metadata"]["deletionTimestamp"]
    world.end(cluster.all(POD)[0], 0)
    world.run_garbage_collector()
    assert cluster.all(CLAIM) == []


async def test_failure_target_comes_at_once_and_failed_when_the_last_pod_is_gone(
    cluster: MemoryCluster, world: World
) -> None:
    await cluster.create(JOB, NS, job())
    world.run_job_controller()
    first, second = cluster.all(POD)
    world.run(first)
    world.run(second)
    world.end(first, 1)
    world.run_job_controller()
    assert [c["type"] for c in cluster.all(JOB)[0]["status"]["conditions"]] == ["FailureTarget"]
    world.reap_all()
    world.run_job_controller()
    assert [c["type"] for c in cluster.all(JOB)[0]["status"]["conditions"]] == ["FailureTarget", "Failed"]
    assert len(cluster.all(POD)) == 1


async def test_a_job_completes_when_every_index_succeeded(cluster: MemoryCluster, world: World) -> None:
    await cluster.create(JOB, NS, job())
    world.run_job_controller()
    world.run_job_controller()
    assert len(cluster.all(POD)) == 2
    for pod in cluster.all(POD):
        world.run(pod)
        world.end(pod, 0)
    world.run_job_controller()
    assert [c["type"] for c in cluster.all(JOB)[0]["status"]["conditions"]] == ["SuccessCriteriaMet", "Complete"]


async def test_a_removed_label_ends_the_watch_of_a_living_object(cluster: MemoryCluster) -> None:
    seen: list[Change] = []
    cluster.listeners.append(seen.append)
    await cluster.create(SERVICE, NS, service())
    cluster.edit(SERVICE, NS, "s", lambda live: live["metadata"].update(labels={}))
    assert [change.type for change in seen] == ["ADDED", "DELETED"]
    assert cluster.read(SERVICE, NS, "s") is not None
    assert (await cluster.list_metadata(SERVICE)).items == []


async def test_a_write_can_fail_before_or_after_it_was_committed(cluster: MemoryCluster) -> None:
    cluster.faults[1] = Fault(Unreachable("timeout"))
    cluster.faults[2] = Fault(Unreachable("timeout"), committed=True)
    for _ in range(2):
        with pytest.raises(Unreachable):
            await cluster.create(SERVICE, NS, service())
    assert [write.verb for write in cluster.writes] == ["create"]
    crash_at_write(cluster, 1, committed=False)
    with pytest.raises(Crash):
        await cluster.apply(SERVICE, NS, service())


async def test_a_pipe_can_hold_back_drop_repeat_and_reorder_events(cluster: MemoryCluster) -> None:
    seen: list[str] = []
    pipe = EventPipe(cluster, lambda change: seen.append(change.manifest["metadata"]["resourceVersion"]))
    cluster.put(training(steps=1))
    for step in (2, 3, 4):
        cluster.edit(TRAINING, NS, "t", edit_spec(steps=step))
    (key,) = pipe.waiting()
    pipe.repeat(key)
    pipe.swap(key)
    pipe.let_through(key)
    pipe.drop(key)
    pipe.flush()
    assert seen == ["2", "3", "4", "5"]


async def test_what_is_read_can_not_change_what_is_stored(cluster: MemoryCluster) -> None:
    cluster.put(training(nested={"a": 1}))
    read = await cluster.get(TRAINING, NS, "t")
    assert read is not None
    read["spec"]["nested"]["a"] = 2
    assert cluster.all(TRAINING)[0]["spec"]["nested"] == {"a": 1}
