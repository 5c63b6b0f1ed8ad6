"""Replicas over several pods, kept by LeaderWorkerSet's own controller on a real node: one serving `x`, from its making to its end.

Its engine answers nothing while one of its pods is missing. Whatever happens, clients are led to whole replicas alone, but
for the moments that it takes to be heard of a worker's end. All pods run on the one node that there is.
"""

import signal
import time
from collections.abc import Callable, Iterator

import pytest

from examples.local_cluster.control_plane import Cluster
from tests.e2e.written import scaling
from tests.replicas.team import LIMIT_S, NAMESPACE, SYSTEM, Team, engine
from tests.replicas.watching import Watched
from tests.support.fates import AfterEach, BeforeEach
from tests.support.fault_proxy import Fate
from tests.support.groups import NUMBER, SERVICE, uids
from tests.support.kubectl import Kubectl, until
from tests.support.operator_process import KILLED, RIGHTS, OperatorProcess, rendered_rights
from tests.support.pod_processes import signalled
from tests.support.release import NAME
from tests.support.release import NAMESPACE as OPERATORS

pytestmark = pytest.mark.timeout(600)
HALF_S = 20.0
"""A killed worker is told within seconds on an idle machine; a busy one takes its time."""

Say = Callable[[str], None]


def test_two_pods_answer_as_one_replica(team: Team, say: Say) -> None:
    began_s = time.monotonic()
    team.apply(replicas=2)
    team.serves(2)
    say(f"two replicas of two pods serve after {time.monotonic() - began_s:.1f} s")
    with team.load(2) as load:
        until("requests are answered", lambda: load.statuses[200] > 20, timeout_s=LIMIT_S)
    assert set(load.statuses) == {200}


def test_a_new_version_under_load_fails_no_request(team: Team, watched: Watched, say: Say) -> None:
    team.serves(2)
    before, since_s = {found["metadata"]["name"] for found in team.sets()}, time.monotonic()
    with team.load(4) as load:
        team.apply(replicas=2, engine=engine(version="2"))
        until("the other version is alone", lambda: _is_alone(team, before), timeout_s=LIMIT_S)
        team.serves(2)
        answered = load.statuses[200]
        until("it answers", lambda: load.statuses[200] > answered + 20, timeout_s=LIMIT_S)
    say(f"a new version: {dict(load.statuses)}, by version {dict(load.versions)}")
    assert not load.failures
    assert set(load.versions) == {"1", "2"}
    assert watched.fewest(since_s) >= 2
    assert watched.longest_half_s(since_s) == 0.0


def _is_alone(team: Team, before: set[str]) -> bool:
    now = {found["metadata"]["name"] for found in team.sets()}
    return len(now) == 1 and now.isdisjoint(before)


def test_a_replica_whose_worker_was_killed_is_made_anew_and_never_half_served(
    team: Team, watched: Watched, say: Say
) -> None:
    team.serves(2)
    victim = team.workers()[0]
    number = victim["metadata"]["labels"][NUMBER]
    before = {pod["metadata"]["uid"] for pod in team.all_pods() if pod["metadata"]["labels"][NUMBER] == number}
    (leader,) = [pod for pod in team.leaders() if pod["metadata"]["uid"] in before]
    gone, since_s = leader["metadata"]["uid"], time.monotonic()
    with team.load(4) as load:
        assert signalled(victim, "/app/group.py", signal.SIGKILL) == 1
        until("clients are led past it", lambda: not _is_led_to(watched, gone), timeout_s=LIMIT_S, every_s=0.05)
        away_s = time.monotonic() - since_s
        until("all of it is others", lambda: before.isdisjoint(uids(team.all_pods())), timeout_s=LIMIT_S)
        team.serves(2)
        whole_s = time.monotonic() - since_s
        failed, answered = len(load.failures), load.statuses[200]
        until("it answers", lambda: load.statuses[200] > answered + 20, timeout_s=LIMIT_S)
    say(
        f"a killed worker: its leader answers nobody after {away_s:.1f} s, its replica is whole after {whole_s:.1f} s; {dict(load.statuses)}"
    )
    assert len(load.failures) == failed, "once it is whole, no request fails"
    assert watched.fewest(since_s) == 1, "the other one served on"
    assert watched.longest_half_s(since_s) < HALF_S
    assert {answer.status for _, answer in load.failures} <= {503, 0}, "what is half says so"


def _is_led_to(watched: Watched, leader: str) -> bool:
    *_, last = watched.states()
    return leader in last.led_to


def test_the_autoscaler_counts_replicas_and_not_pods(team: Team, watched: Watched, say: Say) -> None:
    busy = engine(seconds="1", version="3")
    team.apply(engine=busy, autoscaling=scaling(3, 2, 5))
    until("without load there is one", lambda: team.is_serving(1), timeout_s=LIMIT_S)
    since_s = time.monotonic()
    with team.load(6) as load:
        until("three serve", lambda: team.is_serving(3), timeout_s=LIMIT_S)
        say(f"three replicas after {time.monotonic() - since_s:.1f} s of load")
        until("it counts three", lambda: _counted(team) == 3, timeout_s=LIMIT_S)
    with team.load(1) as little:
        until("one is left", lambda: team.is_serving(1), timeout_s=LIMIT_S)
    say(f"and one again: {dict(load.statuses)} {dict(little.statuses)}")
    assert not load.failures
    assert not little.failures, "what goes finishes what it has begun, with its workers"
    assert watched.longest_half_s(since_s) == 0.0


def _counted(team: Team) -> int:
    found = team.kubectl.json("get", "horizontalpodautoscaler", SERVICE)
    assert found["spec"]["scaleTargetRef"]["kind"] == "DeepSeekServing"
    return int(found["status"]["currentReplicas"])


def test_suspended_nothing_runs_and_back_it_serves(team: Team) -> None:
    team.apply(replicas=1, suspend=True)
    until("no pod is left", lambda: not team.all_pods(), timeout_s=LIMIT_S)
    until("it says so", lambda: team.status().get("phase") == "Suspended", timeout_s=LIMIT_S)
    team.apply(replicas=1)
    team.serves(1)


def test_a_deleted_serving_leaves_nothing(team: Team) -> None:
    team.serves(1)
    team.kubectl.run("delete", "deepseekserving", "x", "--wait=true", timeout_s=LIMIT_S)
    until("nothing is left", team.is_bare, timeout_s=LIMIT_S)


@pytest.fixture(scope="module")
def killed(
    team: Team, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory, bed: Kubectl
) -> Iterator[OperatorProcess]:
    """The operator as a process of this machine, in place of the cluster's own, which waits meanwhile."""
    deployment = bed.within(OPERATORS)
    wanted = deployment.json("get", "deployment", NAME)["spec"]["replicas"]
    deployment.run("scale", f"deployment/{NAME}", "--replicas=0")
    own = f"--selector=app.kubernetes.io/name={NAME}"
    deployment.run("wait", "--for=delete", "pod", own, "--timeout=90s", timeout_s=100)
    system = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}}
    cluster.api.apply(f"/api/v1/namespaces/{SYSTEM}", system)
    try:
        with OperatorProcess(cluster, tmp_path_factory.mktemp("operator"), SYSTEM, NAMESPACE, forks=True) as operator:
            yield operator
    finally:
        # First of all: no namespace goes while the API that the operator serves is not there.
        deployment.run("scale", f"deployment/{NAME}", f"--replicas={wanted}")
        deployment.run("rollout", "status", f"deployment/{NAME}", "--timeout=120s", timeout_s=130)
        for found in rendered_rights(SYSTEM, NAMESPACE, "externalMetrics.enabled=true"):
            place = ("-n", found["metadata"]["namespace"]) if "namespace" in found["metadata"] else ()
            bed.run("delete", RIGHTS[found["kind"]], found["metadata"]["name"], *place, "--ignore-not-found")
        bed.run("delete", "namespace", SYSTEM, "--ignore-not-found", "--wait=false")


@pytest.mark.parametrize("fate", [BeforeEach, AfterEach])
def test_an_operator_that_is_killed_around_each_write_loses_nothing(
    team: Team, killed: OperatorProcess, watched: Watched, fate: type[BeforeEach | AfterEach], say: Say
) -> None:
    team.apply(replicas=1)
    decided = fate()
    killed.exits.clear()
    killed.decide(decided)
    team.serves(1)
    (first,), since_s = team.sets(), time.monotonic()
    with team.load(2) as load:
        team.apply(replicas=1, engine=engine(version="2"))
        until("the other version is alone", lambda: _is_alone(team, {first["metadata"]["name"]}), timeout_s=LIMIT_S)
        team.serves(1)
        team.apply(replicas=2, engine=engine(version="2"))
        team.serves(2)
    say(f"{fate.__name__}: killed {len(decided.killed)} times, {dict(load.statuses)}")
    assert not load.failures
    assert watched.fewest(since_s) >= 1
    assert watched.longest_half_s(since_s) == 0.0
    team.kubectl.run("delete", "deepseekserving", "x", "--wait=true", timeout_s=LIMIT_S)
    until("nothing is left", team.is_bare, timeout_s=LIMIT_S)
    killed.decide(lambda _number, _write: Fate.PASS)
    assert decided.killed
    assert set(killed.exits) == {KILLED}
