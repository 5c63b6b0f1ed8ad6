"""Replicas over several nodes: who keeps them, what their pods run, what counts, and what is said while one is not whole."""

from dataclasses import replace
from typing import Any

import pytest

from deepseek_operator.core.actions import Apply, Done
from deepseek_operator.core.conditions import find
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.resources import (
    BUDGET,
    DEPLOYMENT,
    JOB,
    LEADER_WORKER_SET,
    POD,
    REVISION,
    SERVICE,
    labels_of,
)
from deepseek_operator.kinds.serving import serving_kind
from deepseek_operator.kinds.serving.labels import is_worker
from tests.support.host_access import EVERYWHERE
from tests.support.serving_life import SERVICE as SERVING_SERVICE
from tests.support.serving_life import ServingLife
from tests.support.servings import NAMESPACE, R1, a_claim, a_replica, seen_of
from tests.support.world import GROUP_INDEX, is_ready

H100 = {"profile": "nvidia-h100-80"}


def a_wide_life(**spec: Any) -> ServingLife:
    """R1 over two nodes of H100, unless `spec` says otherwise."""
    return ServingLife(**a_replica(accelerator=H100, **spec)["spec"])


def the_set(life: ServingLife) -> dict[str, Any]:
    (found,) = life.cluster.all(LEADER_WORKER_SET, NAMESPACE)
    return found


def containers(life: ServingLife) -> tuple[dict[str, Any], dict[str, Any]]:
    """The engine of the leader and that of a worker."""
    spec = the_set(life)["spec"]["leaderWorkerTemplate"]
    leader, worker = (spec[name]["spec"]["containers"][0] for name in ("leaderTemplate", "workerTemplate"))
    return leader, worker


def selected(life: ServingLife, selector: dict[str, Any]) -> set[str]:
    """Names of the pods that a Service or a budget means."""
    wanted = selector.get("matchLabels", selector if "matchExpressions" not in selector else {})
    among = {one["key"]: one["values"] for one in selector.get("matchExpressions", ())}
    return {
        pod["metadata"]["name"]
        for pod in life.pods()
        if wanted.items() <= labels_of(pod).items()
        and all(labels_of(pod).get(key) in values for key, values in among.items())
    }


def test_what_no_node_holds_is_served_over_two_by_one_set_and_no_deployment() -> None:
    life = a_wide_life()
    life.run()
    status = life.status
    assert status.plan is not None
    assert (status.plan.nodes, status.plan.per_node, status.plan.gpus, status.plan.layout) == (
        2,
        8,
        16,
        "TP 8 × PP 2, EP 8",
    )
    spec = the_set(life)["spec"]
    assert (spec["replicas"], spec["leaderWorkerTemplate"]["size"]) == (1, 2)
    assert life.cluster.all(DEPLOYMENT, NAMESPACE) == []
    assert (status.phase, status.replicas, status.ready_replicas) == ("Available", 1, 1)


def test_both_pods_of_a_replica_have_all_devices_of_a_node_and_its_shared_memory() -> None:
    life = a_wide_life()
    for container in containers(life):
        assert container["resources"]["limits"]["nvidia.com/gpu"] == "8"
    templates = the_set(life)["spec"]["leaderWorkerTemplate"]
    for name in ("leaderTemplate", "workerTemplate"):
        volumes = {volume["name"]: volume for volume in templates[name]["spec"]["volumes"]}
        assert volumes["shared-memory"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "16Gi"}


def test_a_profile_with_rdma_gives_each_pod_of_a_wide_replica_its_adapters() -> None:
    life = ServingLife(
        configuration=Configuration(host_access=EVERYWHERE),
        **a_replica(accelerator={"profile": "nvidia-h100-80-rdma"})["spec"],
    )
    assert [container["resources"]["limits"]["rdma/hca"] for container in containers(life)] == ["8", "8"]


def test_vllm_takes_its_rank_and_its_leader_from_the_set_and_its_workers_have_no_server() -> None:
    leader, worker = containers(a_wide_life())
    assert " ".join(leader["command"]).endswith(
        "--nnodes 2 --node-rank $(LWS_WORKER_INDEX) --master-addr $(LWS_LEADER_ADDRESS) --master-port 29501 "
        "--distributed-executor-backend mp"
    )
    assert worker["command"] == [*leader["command"], "--headless"]
    assert leader["readinessProbe"]["httpGet"]["path"] == "/health"
    assert "readinessProbe" not in worker
    assert {"httpGet"}.isdisjoint({*worker["startupProbe"], *worker["livenessProbe"]})
    assert "LWS_LEADER_ADDRESS" in worker["livenessProbe"]["exec"]["command"][-1]


def test_sglang_is_told_its_rank_and_asks_its_workers_itself() -> None:
    leader, worker = containers(a_wide_life(engine={"type": "sglang"}))
    assert worker["command"] == leader["command"]
    assert " ".join(worker["command"]).endswith(
        "--nnodes 2 --node-rank $(LWS_WORKER_INDEX) --dist-init-addr $(LWS_LEADER_ADDRESS):20000"
    )
    assert worker["livenessProbe"]["httpGet"] == {"path": "/health", "port": 8000}
    assert "readinessProbe" not in worker


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_what_scrapes_replicas_by_the_name_of_their_port_finds_leaders_alone(engine: str) -> None:
    leader, worker = containers(a_wide_life(engine={"type": engine}))
    assert [port["name"] for port in leader["ports"]] == ["http"]
    assert "ports" not in worker


def test_a_worker_stays_until_its_leader_is_gone() -> None:
    leader, worker = containers(a_wide_life())
    assert list(leader["lifecycle"]["preStop"]) == ["sleep"]
    assert "LWS_LEADER_ADDRESS" in worker["lifecycle"]["preStop"]["exec"]["command"][-1]


def test_a_watchdog_watches_the_leader_which_makes_the_tokens_and_its_workers_are_as_patient() -> None:
    life = a_wide_life(engine={"type": "vllm", "watchdog": {"stallSeconds": 900}})
    leader, worker = containers(life)
    plain_leader, plain = containers(a_wide_life())
    assert leader["command"] != plain_leader["command"]
    assert worker["command"] == plain["command"]
    assert "initContainers" not in the_set(life)["spec"]["leaderWorkerTemplate"]["workerTemplate"]["spec"]
    probe = worker["livenessProbe"]
    assert probe["exec"] == plain["livenessProbe"]["exec"]
    assert probe["periodSeconds"] * probe["failureThreshold"] > 900


def test_a_custom_engine_runs_the_same_in_every_pod_and_its_workers_are_not_asked() -> None:
    engine = {"type": "custom", "image": "ours:1", "command": ["serve"]}
    life = ServingLife(engine=engine, nodes={"count": 3})
    leader, worker = containers(life)
    assert the_set(life)["spec"]["leaderWorkerTemplate"]["size"] == 3
    assert leader["command"] == worker["command"] == ["serve"]
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= leader.keys()
    assert {"startupProbe", "readinessProbe", "livenessProbe", "ports"}.isdisjoint(worker)


def test_only_leaders_stand_behind_the_services_and_in_the_count_that_the_autoscaler_reads() -> None:
    life = a_wide_life(replicas=2)
    life.run()
    leaders = {pod["metadata"]["name"] for pod in life.pods() if not is_worker(pod)}
    assert (len(leaders), len(life.pods())) == (2, 4)
    for service in life.cluster.all(SERVICE, NAMESPACE):
        assert selected(life, service["spec"]["selector"]) == leaders
    selector = dict(part.split("=") for part in life.status.selector.split(","))
    assert selected(life, selector) == leaders
    assert life.status.replicas == 2


@pytest.mark.parametrize("replicas", [1, 3])
def test_a_drain_may_take_one_pod_of_all_since_each_takes_its_whole_replica(replicas: int) -> None:
    life = a_wide_life(replicas=replicas)
    life.run()
    spec = life.stored(BUDGET, SERVING_SERVICE)["spec"]
    assert len(selected(life, spec["selector"])) == 2 * replicas
    assert spec["minAvailable"] == 2 * replicas - 1


def test_while_a_version_of_one_node_replaces_one_of_two_the_budget_counts_the_pods_that_serve() -> None:
    life = a_wide_life(replicas=2)
    life.run()
    life.edit(accelerator={"profile": "nvidia-h200-141"})
    spec = life.stored(BUDGET, SERVING_SERVICE)["spec"]
    assert (spec["minAvailable"], len(selected(life, spec["selector"]))) == (3, 4)
    life.run()
    assert life.stored(BUDGET, SERVING_SERVICE)["spec"]["minAvailable"] == 1


def test_a_group_that_lost_a_pod_serves_nothing_until_it_is_whole_again() -> None:
    life = a_wide_life()
    life.run()
    (worker,) = [pod for pod in life.pods() if is_worker(pod)]
    life.world.end(worker, 1)
    life.world.run_leader_worker_set_controller()
    life.operator.settle()
    assert life.status.ready_replicas == 0
    assert [pod["metadata"]["name"] for pod in life.pods() if is_ready(pod) and not is_worker(pod)] == []
    life.run()
    assert (life.status.phase, life.status.ready_replicas, len(life.pods())) == ("Available", 1, 2)


def test_a_leader_alone_is_no_replica() -> None:
    life = a_wide_life()
    life.world.run_leader_worker_set_controller()
    (leader,) = [pod for pod in life.pods() if not is_worker(pod)]
    life.world.run(leader)
    life.world.run_leader_worker_set_controller()
    life.operator.settle()
    assert (life.status.phase, life.status.replicas, life.status.ready_replicas) == ("Loading", 1, 0)


def test_a_new_version_has_a_set_of_its_own_and_the_old_one_goes_once_that_serves() -> None:
    life = a_wide_life()
    life.run()
    before = the_set(life)["metadata"]["name"]
    life.edit(engine={"type": "vllm", "env": [{"name": "A", "value": "1"}]})
    names = {found["metadata"]["name"]: found["spec"]["replicas"] for found in life.cluster.all(LEADER_WORKER_SET)}
    assert names.pop(before) == 1, "the old one serves until the new one does"
    assert list(names.values()) == [1]
    life.run()
    assert [the_set(life)["metadata"]["name"]] == list(names)
    assert life.status.phase == "Available"


def test_versions_of_one_node_and_of_two_replace_each_other() -> None:
    life = a_wide_life()
    life.run()
    life.edit(accelerator={"profile": "nvidia-h200-141"})
    life.run()
    assert [len(life.cluster.all(resource, NAMESPACE)) for resource in (DEPLOYMENT, LEADER_WORKER_SET)] == [1, 0]
    assert (life.status.phase, len(life.pods())) == ("Available", 1)
    assert life.stored(BUDGET, SERVING_SERVICE)["spec"]["minAvailable"] == 0
    life.edit(accelerator=H100)
    life.run()
    assert [len(life.cluster.all(resource, NAMESPACE)) for resource in (DEPLOYMENT, LEADER_WORKER_SET)] == [0, 1]
    assert (life.status.phase, len(life.pods())) == ("Available", 2)


def test_a_revision_whose_record_was_deleted_is_read_back_with_its_workers() -> None:
    life = a_wide_life()
    life.run()
    (stored,) = life.cluster.all(REVISION, NAMESPACE)
    data, before = stored["data"], the_set(life)["spec"]
    assert data["nodes"] == 2
    life.cluster.remove(REVISION, NAMESPACE, stored["metadata"]["name"], "Background")
    life.operator.settle()
    life.run()
    (restored,) = life.cluster.all(REVISION, NAMESPACE)
    assert {**restored["data"], "restored": True}["workerTemplate"] == data["workerTemplate"]
    assert restored["data"]["nodes"] == 2
    assert the_set(life)["spec"] == before


def test_what_a_replica_lacks_is_told_with_how_far_it_has_come() -> None:
    life = a_wide_life()
    life.run(room=1)
    condition = find(life.status.conditions, "Reconciling")
    assert condition is not None
    assert (life.status.phase, condition.reason) == ("WaitingForCapacity", "WaitingForCapacity")
    assert "replica 0 has a node for 1 of its 2 pods, which start together: " in condition.message
    assert "Insufficient" in condition.message or "nodes are available" in condition.message


def test_suspension_and_deletion_leave_no_pod() -> None:
    life = a_wide_life(replicas=2)
    life.run()
    life.edit(suspend=True)
    life.run()
    assert (life.pods(), life.status.phase) == ([], "Suspended")
    life.edit(suspend=False)
    life.run()
    assert (len(life.pods()), life.status.phase) == (4, "Available")


def test_without_leader_worker_sets_nothing_is_made_and_it_is_said_what_to_install() -> None:
    kind = serving_kind(Configuration())
    seen = seen_of(a_replica(accelerator=H100))
    why = "this cluster serves no LeaderWorkerSet; install LeaderWorkerSet, https://lws.sigs.k8s.io"
    seen = replace(seen, unserved={LEADER_WORKER_SET: why})
    for _ in range(4):
        record = kind.decide(seen).plan.record
        if record is None:
            break
        seen = replace(seen, owner=seen.owner.model_copy(update={"status": record}))
    decision = kind.decide(seen)
    assert not [action for action in decision.plan.actions if isinstance(action, Apply)]
    condition = find(decision.status(Done()).conditions, "Reconciling")
    assert condition is not None
    assert (condition.status, condition.reason) == ("True", "WaitingForAPI")
    assert why in condition.message


def test_a_claim_of_one_node_is_told_before_pods_of_two_wait_for_it() -> None:
    claim = a_claim("once")
    claim["spec"]["accessModes"] = ["ReadWriteOnce"]
    model = {**R1, "source": {"uri": "pvc://once/m"}}
    life = ServingLife(claim, **a_replica(accelerator=H100, model=model)["spec"])
    assert life.cluster.all(LEADER_WORKER_SET, NAMESPACE) == []
    assert life.reason("Stalled") == "ClaimNotShared"


FETCHED: dict[str, Any] = {**R1, "source": {"uri": "hf://deepseek-ai/DeepSeek-R1@main", "claimName": "hub"}}


def test_a_claim_of_one_node_is_told_before_anything_is_fetched_to_it() -> None:
    claim = a_claim("hub")
    claim["spec"]["accessModes"] = ["ReadWriteOnce"]
    life = ServingLife(claim, **a_replica(accelerator=H100, model=FETCHED)["spec"])
    life.run()
    assert life.reason("Stalled") == "ClaimNotShared"
    assert (life.cluster.all(JOB, NAMESPACE), life.status.sources) == ([], [])
    life.edit(model={**FETCHED, "source": {**FETCHED["source"], "claimName": "models"}})
    life.run()
    assert life.reason("Reconciling") == "Fetching"
    assert len(life.cluster.all(JOB, NAMESPACE)) == 1


def test_what_to_install_is_told_before_anything_is_fetched() -> None:
    kind, why = serving_kind(Configuration()), "this cluster serves no LeaderWorkerSet"
    seen = seen_of(a_replica(accelerator=H100, model=FETCHED), references=[a_claim("hub")])
    seen = replace(seen, unserved={LEADER_WORKER_SET: why})
    while (record := kind.decide(seen).plan.record) is not None:
        seen = replace(seen, owner=seen.owner.model_copy(update={"status": record}))
    decision = kind.decide(seen)
    assert (decision.plan.actions, seen.owner.status.sources) == ((), [])
    condition = find(decision.status(Done()).conditions, "Reconciling")
    assert condition is not None
    assert condition.reason == "WaitingForAPI"
    assert why in condition.message


@pytest.mark.parametrize(
    ("spec", "reason", "words"),
    [
        pytest.param({"nodes": {"count": 1}}, "DoesNotFit", "lacks 17.9 GiB", id="one node is too small"),
        pytest.param(
            {"nodes": {"count": 2}, "parallelism": {"tensor": 7}},
            "DoesNotFit",
            "7",
            id="degrees that do not divide",
        ),
    ],
)
def test_what_can_not_be_is_refused(spec: dict[str, Any], reason: str, words: str) -> None:
    life = a_wide_life(**spec)
    condition = find(life.status.conditions, "Stalled")
    assert condition is not None
    assert (condition.status, condition.reason) == ("True", reason)
    assert words in condition.message


def test_a_model_that_is_not_known_gets_a_stage_on_each_of_the_written_nodes() -> None:
    model = {**R1, "name": "ours"}
    life = a_wide_life(model=model, nodes={"count": 2}, parallelism={"tensor": 8, "pipeline": 2})
    plan = life.status.plan
    assert plan is not None
    assert (plan.refused, plan.nodes, plan.per_node, plan.layout) == ("", 2, 8, "TP 8 × PP 2")


def test_pods_carry_the_number_of_their_replica() -> None:
    life = a_wide_life(replicas=2)
    life.run()
    assert sorted(labels_of(pod)[GROUP_INDEX] for pod in life.cluster.all(POD, NAMESPACE)) == ["0", "0", "1", "1"]
