"""The driver on the memory cluster, with the tiny kind."""

from dataclasses import replace
from datetime import timedelta

import pytest

from deepseek_operator.adapters.memory import Change, Fault, MemoryCluster, Stored
from deepseek_operator.api.crd import UNSEEN
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.controller.key import Key
from deepseek_operator.controller.look import FRESH_S
from deepseek_operator.controller.reconcile import Acted, Failed, Gone, Settled
from deepseek_operator.core.actions import Apply, Plan
from deepseek_operator.core.kind import Decision
from deepseek_operator.core.names import MANAGED_BY, MANAGER, OWNER_UID
from deepseek_operator.core.resources import CLAIM, JOB, POD, SERVICE, uid_of
from deepseek_operator.ports.cluster import Fenced, Forbidden, QuotaExceeded, Rejected, Throttled, Unreachable
from tests.support.faults import Crash, crash_at_write
from tests.support.shell import Operator, finished
from tests.support.tiny import TinyKind, tiny
from tests.support.world import StoppedClock, World

NS = "team"
KEY = Key(TRAINING, NS, "t")


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
def cluster(clock: StoppedClock) -> MemoryCluster:
    return MemoryCluster(clock)


@pytest.fixture
def operator(cluster: MemoryCluster, clock: StoppedClock) -> Operator:
    return Operator(TinyKind(requeue=timedelta(seconds=30)), cluster, clock)


def verbs(cluster: MemoryCluster) -> list[str]:
    return [f"{write.verb} {write.ref}" for write in cluster.writes]


def test_a_record_is_written_before_anything_that_relies_on_it(cluster: MemoryCluster, operator: Operator) -> None:
    cluster.put(tiny())
    operator.pipe.flush()
    assert operator.reconcile(KEY) == Settled(30.0)
    assert verbs(cluster) == [
        "status DeepSeekTraining/t",
        "apply Service/t-train",
        "create Job/t-train-1",
        "status DeepSeekTraining/t",
    ]


def test_what_is_made_in_one_go_is_read_live_once(cluster: MemoryCluster, operator: Operator) -> None:
    """The owner alone: of names that nobody is known to have the server judges."""
    cluster.put(tiny())
    operator.pipe.flush()
    operator.reconcile(KEY)
    assert cluster.reads == {"get": 1}


def test_an_edited_one_has_its_jobs_and_pods_read_by_label(cluster: MemoryCluster, operator: Operator) -> None:
    cluster.put(tiny())
    operator.settle()
    cluster.edit(TRAINING, NS, "t", lambda live: live["spec"].update(attempt=2))
    operator.pipe.flush()
    operator.reconcile(KEY)
    assert cluster.reads["list"] == 2 + 1, "the pods of its Job by the Job's uid too"


def test_one_whose_status_was_taken_away_has_its_children_read_by_label(
    cluster: MemoryCluster, operator: Operator
) -> None:
    """Its Job is no longer recorded, but a watch has told of it; another is not made."""
    cluster.put(tiny())
    operator.settle()
    cluster.edit(TRAINING, NS, "t", lambda live: live.update(status=dict(UNSEEN)))
    operator.settle()
    assert cluster.reads["list"] >= 2
    assert [write.ref.name for write in cluster.writes if write.verb == "create"] == ["t-train-1"]


def test_what_was_read_live_holds_for_a_moment_only(
    cluster: MemoryCluster, operator: Operator, clock: StoppedClock
) -> None:
    cluster.put(tiny())
    operator.pipe.flush()
    cluster.listeners.append(lambda change: clock.advance(FRESH_S + 1))
    operator.reconcile(KEY)
    assert cluster.reads["list"] == 2, "of the second look: the first was at one that is new"
    assert cluster.reads["get"] == 1 + (1 + 2), "and the second reads both names"


def test_what_happens_within_a_pass_is_seen_by_its_next_round(cluster: MemoryCluster, operator: Operator) -> None:
    """The watch tells while the record is written that the training wants another Job by now."""
    cluster.put(tiny())
    operator.pipe.flush()

    def edited(change: Change) -> None:
        cluster.listeners.remove(edited)
        cluster.edit(TRAINING, NS, "t", lambda live: live["spec"].update(attempt=2))
        operator.pipe.flush()

    cluster.listeners.append(edited)
    operator.settle()
    assert [write.ref.name for write in cluster.writes if write.verb == "create"] == ["t-train-2"]


def test_what_is_told_of_a_write_before_the_next_round_is_no_news_behind_the_pass(
    cluster: MemoryCluster, operator: Operator
) -> None:
    cluster.put(tiny())
    operator.pipe.flush()
    news: list[str] = []

    def flushed(change: Change) -> None:
        operator.pipe.flush()
        news.extend(change.resource.kind for key in operator.woken if key == KEY)

    cluster.listeners.append(flushed)
    operator.reconcile(KEY)
    assert news == [TRAINING.kind, SERVICE.kind, JOB.kind, TRAINING.kind]
    assert KEY not in operator.woken, "of its last status the pass knows: it has written that itself"
    cluster.listeners.remove(flushed)
    cluster.edit(SERVICE, NS, "t-train", lambda live: live["spec"].update(ports=[]))
    cluster.listeners.append(lambda change: operator.pipe.flush() if change.resource == SERVICE else None)
    operator.pipe.flush()
    operator.reconcile(KEY)
    assert KEY not in operator.woken


@pytest.mark.parametrize("is_told_first", [True, False])
def test_what_a_child_tells_beside_the_last_status_of_a_pass_is_looked_at(
    cluster: MemoryCluster, operator: Operator, is_told_first: bool
) -> None:
    cluster.put(tiny())
    operator.pipe.flush()

    def meddled(change: Change) -> None:
        if change.resource != TRAINING or not cluster.all(JOB):
            return
        cluster.listeners.remove(meddled)
        if is_told_first:
            operator.pipe.flush()
        cluster.edit(SERVICE, NS, "t-train", lambda live: live["spec"].update(ports=[]))
        while waiting := sorted(operator.pipe.waiting(), key=lambda one: one[0] == TRAINING):
            operator.pipe.let_through(waiting[0])

    cluster.listeners.append(meddled)
    operator.reconcile(KEY)
    assert verbs(cluster)[3:] == ["status DeepSeekTraining/t"]
    assert KEY in operator.woken


def test_an_owner_that_goes_within_a_pass_is_parted_from_by_it(cluster: MemoryCluster, operator: Operator) -> None:
    """No other pass is due for that news."""
    cluster.put(tiny())
    operator.pipe.flush()

    def gone(change: Change) -> None:
        cluster.listeners.remove(gone)
        cluster.drop(TRAINING, NS, "t")
        operator.pipe.flush()

    cluster.listeners.append(gone)
    operator.reconcile(KEY)
    assert KEY not in operator.woken
    assert operator.mirror.departed(KEY) is None


def test_a_child_that_is_gone_live_is_gone_in_the_mirror(cluster: MemoryCluster, operator: Operator) -> None:
    """Of what is asked for by name as well: nothing is applied to it by its uid, which would fail for a minute."""
    cluster.put(tiny())
    operator.settle()
    cluster.drop(SERVICE, NS, "t-train")
    cluster.edit(TRAINING, NS, "t", lambda live: live["spec"].update(attempt=2))
    operator.pipe.let_through(next(k for k in operator.pipe.waiting() if k[0] == TRAINING))
    operator.reconcile(KEY)
    assert operator.mirror.get(SERVICE, NS, "t-train") == cluster.read(SERVICE, NS, "t-train")


def test_a_stranger_that_took_a_name_within_a_pass_is_never_touched(cluster: MemoryCluster, operator: Operator) -> None:
    stranger = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "t-train", "namespace": NS}, "spec": {}}
    before = cluster.put(stranger)
    cluster.put(tiny())
    operator.pipe.flush()
    operator.reconcile(KEY)
    assert cluster.read(SERVICE, NS, "t-train") == before


@pytest.mark.parametrize("ours", [False, True], ids=["a stranger's", "of our own labels"])
def test_a_name_that_was_taken_since_it_was_read_is_left_as_it_is(
    cluster: MemoryCluster, operator: Operator, ours: bool
) -> None:
    """Behind the first look: the watch of it comes too late for this pass."""
    metadata = {"name": "t-train", "namespace": NS, "labels": {MANAGED_BY: MANAGER, OWNER_UID: "1"} if ours else {}}
    before: list[Stored] = []

    def took(change: Change) -> None:
        if change.resource == TRAINING and not before and cluster.reads["get"]:
            before.append(cluster.put({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {}}))

    cluster.listeners.append(took)
    cluster.put(tiny())
    operator.pipe.let_through((TRAINING, NS, "t"))
    operator.reconcile(KEY)
    assert before
    assert cluster.read(SERVICE, NS, "t-train") == before[0]
    assert "apply Service/t-train" not in verbs(cluster)


def test_what_never_shows_is_done_once_a_pass(cluster: MemoryCluster, clock: StoppedClock) -> None:
    class Undone(TinyKind):
        def decide(self, seen):  # type: ignore[no-untyped-def]
            decision = super().decide(seen)
            service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "t-train"}, "spec": {"ports": []}}
            found = seen.child(SERVICE, "t-train")
            return replace(decision, plan=Plan(actions=(Apply(service, uid_of(found)),))) if found else decision

    cluster.put(tiny())
    Operator(TinyKind(), cluster, clock).settle()
    operator = Operator(Undone(), cluster, clock)
    writes = len(cluster.writes)
    assert operator.reconcile(KEY) == Acted()
    assert verbs(cluster)[writes:] == ["apply Service/t-train"]


def test_a_settled_owner_costs_neither_reads_nor_writes(cluster: MemoryCluster, operator: Operator) -> None:
    cluster.put(tiny())
    operator.settle()
    reads, writes = cluster.reads.copy(), len(cluster.writes)
    assert operator.reconcile(KEY) == Settled(30.0)
    assert (cluster.reads, len(cluster.writes)) == (reads, writes)


def test_events_follow_the_status_write_and_tell_transitions_only(cluster: MemoryCluster, operator: Operator) -> None:
    cluster.put(tiny())
    operator.settle()
    operator.settle()
    assert [event.note for _, event in cluster.events] == ["1 jobs"]


def test_a_stale_mirror_never_starts_a_job_twice(
    cluster: MemoryCluster, operator: Operator, clock: StoppedClock
) -> None:
    cluster.put(tiny())
    operator.settle()
    operator.restart()
    stale = Operator(TinyKind(), cluster, clock)
    for resource in (JOB, SERVICE):
        for item in cluster.all(resource):
            stale.mirror.forget(resource, item)
    stale.reconcile(KEY)
    assert [write.ref.name for write in cluster.writes if write.verb == "create"] == ["t-train-1"]


def test_an_owner_that_is_gone_live_stops_the_pass(cluster: MemoryCluster, operator: Operator) -> None:
    cluster.put(tiny())
    operator.pipe.flush()
    cluster.remove(TRAINING, NS, "t")
    assert operator.reconcile(KEY) == Gone()
    assert cluster.writes == []
    assert operator.mirror.owners() == ()


def test_a_stranger_at_the_services_name_is_never_touched(cluster: MemoryCluster, operator: Operator) -> None:
    stranger = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "t-train", "namespace": NS},
        "spec": {"ports": []},
    }
    before = cluster.put(stranger)
    cluster.put(tiny())
    operator.settle()
    assert cluster.read(SERVICE, NS, "t-train") == before
    assert cluster.read(TRAINING, NS, "t")["status"]["message"] == "Conflict"  # type: ignore[index]


def test_a_drifted_field_is_put_back_and_a_foreign_one_is_left(cluster: MemoryCluster, operator: Operator) -> None:
    cluster.put(tiny())
    operator.settle()

    def meddle(live: dict) -> None:  # type: ignore[type-arg]
        live["spec"]["clusterIP"] = "10.0.0.1"
        live["spec"]["sessionAffinity"] = "ClientIP"

    cluster.edit(SERVICE, NS, "t-train", meddle)
    operator.settle()
    spec = cluster.read(SERVICE, NS, "t-train")["spec"]  # type: ignore[index]
    assert (spec["clusterIP"], spec["sessionAffinity"]) == ("None", "ClientIP")


def test_a_service_recreated_by_somebody_else_is_not_applied_over(cluster: MemoryCluster, operator: Operator) -> None:
    cluster.put(tiny())
    operator.settle()
    cluster.remove(SERVICE, NS, "t-train")
    foreign = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "t-train", "namespace": NS},
        "spec": {"ports": []},
    }
    cluster.put(foreign)
    cluster.edit(TRAINING, NS, "t", lambda live: live["spec"].update(port=81))
    key = next(k for k in operator.pipe.waiting() if k[0] == TRAINING)
    operator.pipe.let_through(key)
    operator.reconcile(KEY)
    operator.settle()
    assert cluster.read(SERVICE, NS, "t-train")["spec"]["ports"] == []  # type: ignore[index]


@pytest.mark.parametrize(
    ("error", "word", "outcome"),
    [
        (QuotaExceeded("exceeded quota: gpus"), "Quota", Settled(30.0)),
        (Forbidden("jobs is forbidden"), "Forbidden", Settled(30.0)),
        (Rejected("spec: Invalid value"), "Rejected", Settled(30.0)),
        (Throttled("too many requests", 7.0), "Throttled", Failed("Throttled", 7.0)),
        (Unreachable("timeout"), "Failed", Failed("Failed")),
        (Fenced('the Lease names "another"'), "Failed", Failed("Failed")),
    ],
)
def test_what_the_server_refuses_surfaces_in_the_status(
    cluster: MemoryCluster, operator: Operator, error: Exception, word: str, outcome: object
) -> None:
    cluster.put(tiny())
    cluster.refuse = lambda verb, namespace, ref: error if verb == "create" else None  # type: ignore[assignment,return-value]
    operator.pipe.flush()
    operator.reconcile(KEY)
    assert operator.reconcile(KEY) == outcome
    assert cluster.read(TRAINING, NS, "t")["status"]["message"] == word  # type: ignore[index]
    assert operator.reconcile(KEY) == outcome


def test_a_generation_bump_is_followed_in_the_same_pass(cluster: MemoryCluster, operator: Operator) -> None:
    cluster.put(tiny())
    operator.settle()
    cluster.edit(TRAINING, NS, "t", lambda live: live["spec"].update(claim="c"))
    operator.pipe.flush()
    operator.reconcile(KEY)
    live = cluster.read(TRAINING, NS, "t")
    assert live is not None
    assert live["status"]["observedGeneration"] == live["metadata"]["generation"] == 2


def test_a_status_conflict_makes_the_next_pass_see_the_newer_owner(cluster: MemoryCluster, operator: Operator) -> None:
    cluster.put(tiny())
    operator.settle()
    cluster.edit(TRAINING, NS, "t", lambda live: live["spec"].update(claim="c"))
    cluster.put(
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c", "namespace": NS}, "spec": {}}
    )
    operator.pipe.let_through(next(k for k in operator.pipe.waiting() if k[0] == TRAINING))
    cluster.edit(TRAINING, NS, "t", lambda live: live["spec"].update(port=82))
    assert operator.reconcile(KEY) == Acted()
    operator.reconcile(KEY)
    live = cluster.read(TRAINING, NS, "t")
    assert live is not None
    assert live["status"]["observedGeneration"] == 3


def test_an_event_of_a_referenced_claim_wakes_the_owner(cluster: MemoryCluster, operator: Operator) -> None:
    cluster.put(tiny(claim="c"))
    operator.settle()
    operator.woken.clear()
    cluster.put(
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c", "namespace": NS}, "spec": {}}
    )
    operator.pipe.flush()
    assert operator.woken == {KEY}
    operator.settle()
    assert cluster.read(TRAINING, NS, "t")["status"]["claims"] == ["c"]  # type: ignore[index]
    cluster.put(tiny(claim=None))
    operator.settle()
    operator.woken.clear()
    cluster.drop(CLAIM, NS, "c")
    operator.pipe.flush()
    assert operator.woken == set()


def test_a_pod_whose_label_was_removed_is_still_seen_by_a_live_look(
    cluster: MemoryCluster, operator: Operator, clock: StoppedClock
) -> None:
    cluster.put(tiny())
    operator.settle()
    World(cluster, clock).run_job_controller()
    pod = cluster.all(POD)[0]["metadata"]["name"]
    cluster.edit(POD, NS, pod, lambda live: live["metadata"]["labels"].pop(OWNER_UID))
    view = finished(Operator(operator.kind, cluster, clock).look.live(KEY))
    assert view is not None
    assert len(view.seen.all(POD)) == 2


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize("nth", range(1, 13))
def test_a_crash_at_any_write_leaves_the_undisturbed_end(nth: int, committed: bool) -> None:
    undisturbed, _, writes = life(0, committed)
    disturbed, crashes, _ = life(nth, committed)
    assert disturbed == undisturbed
    assert crashes == (1 if nth <= writes else 0)
    assert writes == 7


def life(nth: int, committed: bool) -> tuple[object, int, int]:
    """Create, settle, next attempt, settle: the end without versions, how often the process died, its write attempts."""
    clock = StoppedClock()
    cluster = MemoryCluster(clock)
    world = World(cluster, clock)
    operator = Operator(TinyKind(), cluster, clock)
    if nth:
        crash_at_write(cluster, nth, committed)
    crashes = 0
    for attempt in (1, 2):
        cluster.put(tiny(attempt=attempt))
        for _ in range(6):
            try:
                operator.settle()
            except Crash:
                crashes += 1
                operator.restart()
            world.run_job_controller()
            world.run_garbage_collector()
            world.reap_all()
    names = {r.kind: [i["metadata"]["name"] for i in cluster.all(r)] for r in (JOB, SERVICE)}
    creates = [write.ref.name for write in cluster.writes if write.verb == "create"]
    return (names, creates, cluster.all(TRAINING)[0]["status"], len(cluster.all(POD))), crashes, cluster.attempts


def test_a_timeout_after_the_commit_does_not_create_twice(cluster: MemoryCluster, operator: Operator) -> None:
    cluster.put(tiny())
    cluster.faults[3] = Fault(Unreachable("timeout"), committed=True)
    operator.settle()
    assert [write.ref.name for write in cluster.writes if write.verb == "create"] == ["t-train-1"]
    assert cluster.read(TRAINING, NS, "t")["status"]["message"] == "1 jobs"  # type: ignore[index]


def test_a_plan_that_records_the_same_for_ever_is_an_error_not_a_loop(
    cluster: MemoryCluster, operator: Operator
) -> None:
    class Forgetful(TinyKind):
        def decide(self, seen):  # type: ignore[no-untyped-def]
            return Decision(Plan(record=seen.owner.status), lambda done: seen.owner.status)

    cluster.put(tiny())
    looping = Operator(Forgetful(), cluster, StoppedClock())
    looping.pipe.flush()
    with pytest.raises(RuntimeError, match="never end"):
        looping.reconcile(KEY)
