"""Groups of replicas say the same whichever resource keeps them; a sham one that spans nodes shows the seam."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from deepseek_operator.core.resources import DEPLOYMENT, LEADER_WORKER_SET, Manifest, Ref, Resource
from deepseek_operator.core.seen import Seen
from deepseek_operator.domain.policy.rollout import Replicas
from deepseek_operator.workloads.obstacles import Obstacle
from deepseek_operator.workloads.replicas.deployment import DeploymentKeeper
from deepseek_operator.workloads.replicas.group import Group, Pods, Wanted, group_named, groups, keeper_for, names
from deepseek_operator.workloads.replicas.keeper import Keeper
from deepseek_operator.workloads.replicas.leader_worker_set import LeaderWorkerSetKeeper

SET = Resource("sets.example.com/v1", "SpanningSet", "spanningsets")
TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "engine"}]}}
LOADING = {"startupProbe": {"periodSeconds": 10, "failureThreshold": 10}}
LEADER = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "engine", **LOADING}]}}
WORKER = {"metadata": {"labels": {"a": "c"}}, "spec": {"containers": [{"name": "engine"}]}}
ONE, TWO = Pods(TEMPLATE), Pods(LEADER, WORKER, 2)


class SpanningSet:
    """Replicas of several pods, with field paths of its own."""

    resource = SET

    def keeps(self, nodes: int) -> bool:
        return nodes > 1

    def spec(self, wanted: Wanted) -> dict[str, Any]:
        return {
            "replicas": wanted.replicas,
            "pods": {"size": wanted.pods.nodes, "templates": wanted.pods.templates},
            "within": wanted.deadline_s,
        }

    def named(self, group: str) -> str:
        return f"{group}-set"

    def pods(self, live: Manifest) -> Pods:
        leader, worker = live["spec"]["pods"]["templates"]
        return Pods(leader, worker, live["spec"]["pods"]["size"])

    def specified(self, live: Manifest) -> int:
        return int(live["spec"]["replicas"])

    def made(self, live: Manifest) -> int:
        return int(live["status"]["groups"])

    def ready(self, live: Manifest) -> int:
        return int(live["status"]["readyGroups"])

    def deadline_s(self, live: Manifest) -> int:
        return int(live["spec"]["within"])

    def refused(self, live: Manifest) -> Obstacle | None:
        return Obstacle("Forbidden", live["status"]["says"]) if "says" in live["status"] else None


KEEPERS: tuple[Keeper, ...] = (DeploymentKeeper(), SpanningSet())
REAL: tuple[Keeper, ...] = (DeploymentKeeper(), LeaderWorkerSetKeeper())
STATUS = {
    "LeaderWorkerSet": {"replicas": 2, "readyReplicas": 1},
    "Deployment": {"replicas": 2, "readyReplicas": 1},
    "SpanningSet": {"groups": 2, "readyGroups": 1},
}
REFUSED: dict[str, dict[str, Any]] = {
    "Deployment": {"conditions": [{"type": "ReplicaFailure", "status": "True", "message": "no"}]},
    "SpanningSet": {"says": "no"},
}


def living(keeper: Keeper, name: str = "x", **status: Any) -> dict[str, Any]:
    """An object as it lives once that was asked for: three replicas, ready within 700 s."""
    wanted = Wanted(3, {"a": "b"}, ONE if keeper.keeps(1) else TWO, 700)
    told = {**STATUS[keeper.resource.kind], **status}
    return {"metadata": {"name": keeper.named(name), "uid": "u"}, "spec": keeper.spec(wanted), "status": told}


def seen(**by_kind: dict[str, Any]) -> Seen[None]:
    children = {
        Ref(keeper.resource, by_kind[keeper.resource.kind]["metadata"]["name"]): by_kind[keeper.resource.kind]
        for keeper in KEEPERS
        if keeper.resource.kind in by_kind
    }
    return Seen(None, datetime(2026, 1, 1, tzinfo=UTC), children=children)


@pytest.mark.parametrize("keeper", [*KEEPERS, REAL[1]])
def test_what_was_asked_for_is_read_back_from_what_lives(keeper: Keeper) -> None:
    group = Group(living(keeper), keeper)
    pods = ONE if keeper.keeps(1) else TWO
    assert (group.name, group.specified, group.deadline_s, group.pods) == (keeper.named("x"), 3, 700, pods)
    assert (group.is_going, group.refused) == (False, None)


@pytest.mark.parametrize("keeper", [*KEEPERS, REAL[1]])
@pytest.mark.parametrize(("pods", "total"), [(0, 2), (2, 2), (4, 4)])
def test_replicas_that_are_seen_count_although_the_status_lags_behind(keeper: Keeper, pods: int, total: int) -> None:
    assert Group(living(keeper), keeper).counted(pods) == Replicas(specified=3, total=total, ready=1)


@pytest.mark.parametrize("keeper", KEEPERS)
def test_pods_that_are_not_let_in_are_told_in_the_servers_words(keeper: Keeper) -> None:
    refused = Group(living(keeper, **REFUSED[keeper.resource.kind]), keeper).refused
    assert refused == Obstacle("Forbidden", "no")


@pytest.mark.parametrize("keeper", KEEPERS)
def test_a_group_is_found_by_its_name_whatever_keeps_it(keeper: Keeper) -> None:
    looked = seen(**{keeper.resource.kind: living(keeper)})
    assert group_named(looked, "x", KEEPERS) == Group(living(keeper), keeper)
    assert group_named(looked, "y", KEEPERS) is None


def test_all_groups_are_found_and_ordered_by_name() -> None:
    deployment, spanning = KEEPERS
    looked = seen(Deployment=living(deployment, "b"), SpanningSet=living(spanning, "a"))
    assert [(group.name, group.keeper) for group in groups(looked, KEEPERS)] == [("a-set", spanning), ("b", deployment)]


def test_a_replica_of_several_pods_has_a_keeper_that_spans_nodes() -> None:
    assert [keeper_for(nodes, KEEPERS).resource for nodes in (1, 2, 8)] == [DEPLOYMENT, SET, SET]
    assert [keeper_for(nodes).resource for nodes in (1, 2)] == [DEPLOYMENT, LEADER_WORKER_SET]
    with pytest.raises(ValueError, match="2 pods"):
        keeper_for(2, KEEPERS[:1])


@pytest.mark.parametrize(
    ("spec", "specified", "deadline"), [({}, 1, 600), ({"replicas": 0}, 0, 600), ({"progressDeadlineSeconds": 7}, 1, 7)]
)
def test_what_a_deployment_leaves_out_is_what_kubernetes_takes_for_it(
    spec: dict[str, int], specified: int, deadline: int
) -> None:
    group = Group({"metadata": {"name": "x"}, "spec": spec}, DeploymentKeeper())
    assert (group.specified, group.deadline_s, group.counted(0)) == (specified, deadline, Replicas(specified, 0, 0))


def test_no_kind_names_the_resource_that_keeps_its_replicas() -> None:
    kinds = Path(__file__).parents[4] / "operator" / "deepseek_operator" / "kinds"
    sources = list(kinds.rglob("*.py"))
    assert len(sources) > 40
    named = {ref for path in sources for ref in re.findall(r"\bDEPLOYMENT\b|DeploymentKeeper", path.read_text())}
    assert named == set(), "ask workloads.replicas.group, or another keeper will be overlooked"


@pytest.mark.parametrize("nodes", [1, 2])
def test_a_replica_has_workers_where_it_has_several_pods_and_only_there(nodes: int) -> None:
    with pytest.raises(ValueError, match=f"{nodes} pods"):
        Pods(TEMPLATE, WORKER if nodes == 1 else None, nodes)


def test_a_leader_worker_set_makes_a_group_anew_whole_and_starts_workers_beside_their_leader() -> None:
    assert LeaderWorkerSetKeeper().spec(Wanted(3, {"a": "b"}, TWO, 700)) == {
        "replicas": 3,
        "startupPolicy": "LeaderCreated",
        "networkConfig": {"subdomainPolicy": "Shared"},
        "leaderWorkerTemplate": {
            "size": 2,
            "restartPolicy": "RecreateGroupOnPodRestart",
            "leaderTemplate": LEADER,
            "workerTemplate": WORKER,
        },
    }


def test_a_set_that_makes_its_leader_like_its_workers_is_read_so() -> None:
    spec = {"leaderWorkerTemplate": {"size": 3, "workerTemplate": WORKER}}
    assert LeaderWorkerSetKeeper().pods({"spec": spec}) == Pods(WORKER, WORKER, 3)


@pytest.mark.parametrize("serving", ["r1", "x" * 40, "y" * 26 + "-" + "z" * 13])
def test_names_of_a_set_leave_room_for_what_its_controllers_add_and_are_never_the_services(serving: str) -> None:
    name = LeaderWorkerSetKeeper().named(f"{serving}-serve-0123456789")
    assert len(f"{name}-999-1234567890") <= 63
    assert re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", name)
    assert name.rpartition("-")[2] == "0123456789"
    assert name != f"{serving}-serve-0123456789"
    assert "--" not in name


def test_sets_of_two_servings_whose_names_begin_alike_differ() -> None:
    keeper = LeaderWorkerSetKeeper()
    assert len({keeper.named(f"{'x' * 39}{end}-serve-0123456789") for end in "ab"}) == 2


def test_every_keeper_says_what_a_group_of_that_name_may_be() -> None:
    assert names("x-serve-1", keepers=KEEPERS) == (Ref(DEPLOYMENT, "x-serve-1"), Ref(SET, "x-serve-1-set"))
