"""One training in a hostile cluster: whatever happens, once it is quiet again everything is as asked for.

On the way, at every step: no two attempts have pods that may write at once; no Job name (attempt number) is made
twice; the claim is made once and a lost one never again; after a final result no Job is made.

Faults planted in the kind that a run of this machine caught: an attempt that reuses the newest number; a result that
is not final; old Jobs that are kept; a wiped status that is not read back; a Service that is not kept; spec edits that
are ignored; a status that changes with the time; with other seeds also a lost claim that is made again and an attempt
that starts beside pods of another. Those two, a verdict that does not wait for the pods, a verdict taken from the
mirror, a number taken from status alone and orphaned pods that are left to run are caught by the tests of the life.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from deepseek_operator.adapters.memory import Change, Fault, MemoryCluster, Stored
from deepseek_operator.api.v1alpha1.training import DeepSeekTraining
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.controller.key import Key
from deepseek_operator.controller.reconcile import MOST_ROUNDS, Acted
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.drift import covers
from deepseek_operator.core.ownership import job_uid_of
from deepseek_operator.core.resources import (
    CLAIM,
    JOB,
    POD,
    SERVICE,
    controller_of,
    is_terminating,
    uid_of,
)
from deepseek_operator.kinds.registry import KINDS
from deepseek_operator.kinds.training import training_kind
from deepseek_operator.kinds.training.anew import is_changed, is_unlearnt
from deepseek_operator.kinds.training.program import TRAINER
from deepseek_operator.kinds.training.service import last_attempt, service
from deepseek_operator.kinds.training.settings import digests, fixed_digest
from deepseek_operator.ports.cluster import ClusterError, Conflict, Throttled, Unreachable
from deepseek_operator.workloads.batch.job import ended, has_failed, number_of
from deepseek_operator.workloads.pod.state import is_active, is_running
from tests.support.faults import Crash, crash_at_write, happens_before_request
from tests.support.marks import LOSSES, STRANGER, is_marked, strangers
from tests.support.search import search
from tests.support.shell import Operator
from tests.support.trainings import NAME, NAMESPACE, training
from tests.support.world import StoppedClock, World

KEY = Key(TRAINING, NAMESPACE, NAME)
WHICH = st.integers(0, 5)
ERRORS: dict[str, Callable[[], ClusterError]] = {
    "409": lambda: Conflict("modified"),
    "429": lambda: Throttled("slow down", 1.0),
    "500": lambda: Unreachable("internal error"),
}
ROUNDS_TO_REST = 60
SERVICE_NAME = f"{NAME}-train"
SHARED = {"accessMode": "ReadWriteMany"}
EDITS: tuple[dict[str, Any], ...] = (
    {"nodes": {"count": 1}},
    {"nodes": {"count": 2}},
    {"nodes": {"count": 4}},
    {"trainer": {"env": [{"name": "LOG", "value": "INFO"}]}},
    {"trainer": {"env": [{"name": "LOG", "value": "DEBUG"}]}},
    {"suspend": True},
    {"suspend": False},
    {"checkpoints": {"volume": SHARED, "onDelete": "Delete"}},
    {"checkpoints": {"volume": SHARED, "onDelete": "Retain"}},
)


class TrainingMachine(RuleBasedStateMachine):
    """Edits, faults and time; `at_rest` is the oracle."""

    @initialize(
        nodes=st.sampled_from([1, 2]),
        restarts=st.sampled_from([1, 30, 30]),
        rounds=st.sampled_from([0, 1, 2, 2]),
        rounds_of_pass=st.sampled_from([1, MOST_ROUNDS]),
    )
    def start(self, nodes: int, restarts: int, rounds: int, rounds_of_pass: int) -> None:
        self.clock = StoppedClock()
        self.cluster = MemoryCluster(self.clock)
        self.world = World(self.cluster, self.clock)
        self.operator = Operator(training_kind(Configuration()), self.cluster, self.clock, rounds_of_pass)
        self.claim_lost = False
        self.learnt = False
        self.jobs_at_result: int | None = None
        self.job_uids: set[str] = set()
        self.strangers: list[Stored | None] = [None, None]
        self.cluster.listeners.append(self._hear)
        volume = {"volume": SHARED}
        failures = {"maxRestarts": restarts, "startTimeoutSeconds": 600}
        self.cluster.put(training(nodes={"count": nodes}, checkpoints=volume, failurePolicy=failures))
        self.life_goes_on(rounds)

    # --- what users do ------------------------------------------------------------------------------------------

    @rule(fields=st.sampled_from(EDITS))
    def edit_the_spec(self, fields: dict[str, Any]) -> None:
        self._spec(**fields)

    @rule(steps=st.sampled_from([40, 60]))
    def edit_what_is_fixed(self, steps: int) -> None:
        """As the rules of the resource let it in: while the status says that nothing was learnt."""
        if self._status().attempt is None or is_unlearnt(self._status()):
            self._spec(hyperparameters={"maxSteps": steps})

    @rule(policy=st.sampled_from(["Background", "Foreground", None]), which=WHICH)
    def delete_a_job(self, policy: Any, which: int) -> None:
        if self._status().attempt is None or self._is_result_lost():
            return
        if (job := _pick(self.cluster.all(JOB), which)) is not None:
            self.cluster.remove(JOB, NAMESPACE, job["metadata"]["name"], policy)

    @rule(drift=st.booleans())
    def meddle_with_the_service(self, drift: bool) -> None:
        is_missing = self.cluster.read(SERVICE, NAMESPACE, SERVICE_NAME) is None
        if is_missing or self._status().attempt is None or self._is_result_lost():
            return
        if drift:
            self.cluster.edit(SERVICE, NAMESPACE, SERVICE_NAME, lambda live: live["spec"].update(clusterIP="10.0.0.1"))
        else:
            self.cluster.remove(SERVICE, NAMESPACE, SERVICE_NAME, "Background")

    @rule()
    def wipe_the_status(self) -> None:
        """Only while a Job or the Service still knows of the attempts, and one of them of the last."""
        status = self._status()
        jobs, services = [job for job in self.cluster.all(JOB) if not is_terminating(job)], self._services()
        numbers = [number_of(job) for job in jobs] + [last_attempt(live) for live in services if status.result]
        is_told = status.result is None or (status.attempt is not None and status.attempt.number in numbers)
        if (jobs or services) and is_told and not self._is_result_lost() and self._all_are_marked():
            self.cluster.edit(TRAINING, NAMESPACE, NAME, lambda live: live.update(status={"observedGeneration": -1}))

    def _is_result_lost(self) -> bool:
        """True while a wiped status does not bear its result again: nobody takes away what alone still tells of it."""
        return self.jobs_at_result is not None and self._status().result is None

    @rule(which=WHICH, how=st.sampled_from([*LOSSES, "owner"]))
    def somebody_takes_a_mark_away(self, which: int, how: str) -> None:
        """Of a child that is recorded, and that bears all its marks: of one without any only its uid would tell."""
        attempt = self._status().attempt
        if attempt is None or not attempt.job_uid or self._is_result_lost() or not self._all_are_marked():
            return
        child = _pick([child for child in self._children() if not is_terminating(child)], which)
        if child is not None and how != "owner":
            self._edit(child, LOSSES[how])
        elif child is not None and KINDS.ref_of(child).resource != CLAIM:
            self._edit(child, lambda live: live["metadata"].pop("ownerReferences", None))

    @rule()
    def a_stranger_wears_our_labels(self) -> None:
        for manifest in strangers(TRAINING, NAME, NAMESPACE, self._owner().metadata.uid):
            self.cluster.put(manifest)
            self._edit(manifest, lambda live: live.update(status={"phase": "Running"}))
        self.strangers = self._strangers()

    def _strangers(self) -> list[Stored | None]:
        return [self.cluster.read(resource, NAMESPACE, STRANGER) for resource in (POD, SERVICE)]

    def _services(self) -> list[Stored]:
        return [live for live in self.cluster.all(SERVICE) if live["metadata"]["name"] != STRANGER]

    def _children(self) -> list[Stored]:
        """Jobs, the Service and the claim."""
        found = (child for resource in (JOB, SERVICE, CLAIM) for child in self.cluster.all(resource))
        return [child for child in found if child["metadata"]["name"] != STRANGER]

    def _all_are_marked(self) -> bool:
        uid = self._owner().metadata.uid
        owned = (child for child in self._children() if KINDS.ref_of(child).resource != CLAIM)
        return all(is_marked(child, uid) for child in self._children()) and all(map(controller_of, owned))

    def _edit(self, child: Stored, change: Callable[[Stored], Any]) -> None:
        self.cluster.edit(KINDS.ref_of(child).resource, NAMESPACE, child["metadata"]["name"], change)

    @rule(really=st.integers(0, 11))
    def lose_the_claim(self, really: int) -> None:
        claims = self.cluster.all(CLAIM)
        if not really and claims and self._services() and self._status().attempt is not None:
            self.claim_lost = True
            self.cluster.drop(CLAIM, NAMESPACE, claims[0]["metadata"]["name"])

    # --- what the cluster does ----------------------------------------------------------------------------------

    @rule(rounds=st.integers(1, 3), seconds=st.sampled_from([0, 15]))
    def life_goes_on(self, rounds: int, seconds: int = 0) -> None:
        """The operator, the controllers and the kubelet do their work, as they do most of the time."""
        for _ in range(rounds):
            self.events_come_and_passes_follow()
            self._controllers_run()
            self._all_pods_run()
            self.clock.advance(seconds)

    @rule()
    def a_gang_recovers(self) -> None:
        """Time enough for the last pods to go, the wait to pass, and the next attempt to run."""
        for _ in range(2):
            self.life_goes_on(2)
            self.world.reap_all()
            self.clock.advance(700)
        self.life_goes_on(2)

    @rule(what=st.sampled_from(["controllers", "pods", "reaping"]))
    def the_cluster_moves(self, what: str) -> None:
        match what:
            case "controllers":
                self._controllers_run()
            case "pods":
                self._all_pods_run()
            case _:
                self.world.reap_all()

    @rule(which=WHICH, how=st.sampled_from([1, 1, 75, 76, 137, "evicted", "deleted"]))
    def a_pod_fails(self, which: int, how: Any) -> None:
        if (pod := _pick(self._placed(), which)) is None:
            return
        match how:
            case "evicted":
                self.world.evict(pod)
            case "deleted":
                self.cluster.remove(POD, NAMESPACE, pod["metadata"]["name"], "Background")
            case code:
                self.world.end(pod, code, "last words")

    def _controllers_run(self) -> None:
        self.world.run_job_controller()
        self.world.run_garbage_collector()

    def _all_pods_run(self) -> None:
        for pod in self._living():
            if not is_running(pod, TRAINER.container):
                self.world.run(pod)

    @rule(code=st.sampled_from([0, 0, 64]), really=st.integers(0, 3))
    def the_training_ends(self, code: int, really: int) -> None:
        if not really:
            self._all_end(code, '{"formatVersion":1,"step":9,"exports":[9],"latest":{"step":9}}')

    @rule()
    def the_trainer_refuses_what_it_was_given(self) -> None:
        self._all_end(64, '{"formatVersion":1,"message":"no such file"}')

    def _all_end(self, code: int, words: str) -> None:
        placed = self._placed()
        if len(placed) == len(self._living()) and not any(map(is_terminating, placed)):
            for pod in placed:
                self.world.end(pod, code, words)
            self.learnt |= "latest" in words and bool(placed)

    @rule(seconds=st.sampled_from([1, 15, 700, 4000]), jump=st.sampled_from([0, 0, -300, 300]))
    def time_passes(self, seconds: int, jump: int) -> None:
        self.clock.advance(seconds)
        self.clock.jump(jump)

    # --- what happens to the operator ---------------------------------------------------------------------------

    @rule()
    def a_pass(self) -> None:
        self._pass()

    @rule()
    def events_come_and_passes_follow(self) -> None:
        self.operator.pipe.flush()
        for _ in range(10):
            if not isinstance(self._pass(), Acted):
                return
            self.operator.pipe.flush()

    @rule()
    def the_watch_is_faster_than_answers_or_no_more(self) -> None:
        self.operator.pipe.is_eager ^= True

    @rule(which=WHICH, fate=st.sampled_from(["let_through", "drop", "repeat", "swap"]))
    def an_event(self, which: int, fate: str) -> None:
        if (key := _pick(self.operator.pipe.waiting(), which)) is not None:
            getattr(self.operator.pipe, fate)(key)

    @rule()
    def the_audit_runs(self) -> None:
        with suppress(ClusterError):
            self.operator.audit()

    @rule(
        nth=st.integers(1, 8),
        what=st.sampled_from(["suspend", "edit", "delete_a_job", "lose_the_claim", "controllers", "pods", "time"]),
        heard=st.booleans(),
    )
    def it_happens_within_the_next_pass(self, nth: int, what: str, heard: bool) -> None:
        """Before its n-th request; `heard`: the watches tell of it at once."""
        happenings: dict[str, Callable[[], object]] = {
            "suspend": partial(self._spec, suspend=True),
            "edit": partial(self._spec, trainer={"env": [{"name": "A", "value": "2"}]}),
            "delete_a_job": partial(self.delete_a_job, "Background", 0),
            "lose_the_claim": partial(self.lose_the_claim, 0),
            "controllers": self._controllers_run,
            "pods": self._all_pods_run,
            "time": partial(self.clock.advance, 4),
        }

        def happens() -> None:
            happenings[what]()
            if heard:
                self.operator.pipe.flush()

        happens_before_request(self.cluster, nth, happens)
        self._pass()
        self.cluster.refuse = lambda verb, namespace, ref: None

    @rule(which=WHICH)
    def a_pass_on_a_stale_mirror(self, which: int) -> None:
        """Everything that the mirror has not heard of yet stays unheard."""
        self.an_event(which, "let_through")
        self._pass()

    @rule(nth=st.integers(1, 3), error=st.sampled_from(sorted(ERRORS)), committed=st.booleans())
    def a_write_fails(self, nth: int, error: str, committed: bool) -> None:
        self.cluster.faults[self.cluster.attempts + nth] = Fault(ERRORS[error](), committed and error == "500")

    @rule(error=st.sampled_from(["429", "500"]))
    def a_request_fails(self, error: str) -> None:
        def refuse(verb: str, namespace: str, ref: object) -> ClusterError | None:
            self.cluster.refuse = lambda verb, namespace, ref: None
            return ERRORS[error]()

        self.cluster.refuse = refuse

    @rule(nth=st.integers(1, 4), committed=st.booleans())
    def the_operator_is_killed_at_a_write(self, nth: int, committed: bool) -> None:
        crash_at_write(self.cluster, nth, committed)

    @rule()
    def the_operator_restarts(self) -> None:
        self.operator.restart()

    # --- what is always true ------------------------------------------------------------------------------------

    @invariant()
    def always(self) -> None:
        if hasattr(self, "cluster"):
            self._no_two_attempts_may_write_at_once()
            self._nothing_is_made_twice()
            self._a_result_is_final()
            self._what_was_learnt_is_not_given_up()

    def _no_two_attempts_may_write_at_once(self) -> None:
        writers = {job_uid_of(pod) for pod in self._pods() if is_active(pod)}
        assert len(writers) <= 1, f"pods of the Jobs {sorted(writers)} are active at once"

    def _hear(self, change: Change) -> None:
        if change.resource == TRAINING and change.type != "DELETED":
            status = DeepSeekTraining.model_validate(change.manifest).status
            self.job_uids |= {status.attempt.job_uid} if status.attempt is not None else set()
            told = {says.type for says in status.conditions if says.status == "True"}
            is_final = status.result is not None and not is_unlearnt(status)
            assert not is_final or told & {"Complete", "Failed"}, f"{status.result} is written beside {told}"

    def _nothing_is_made_twice(self) -> None:
        """A Job that somebody deleted before its uid was recorded, of which no pod is there, has not been."""
        made = [write for write in self.cluster.writes if write.verb == "create"]
        counted = [write.ref for write in made if write.ref.resource != JOB or write.uid in self.job_uids]
        assert len(counted) == len(set(counted)), f"made twice: {sorted(counted)}"

    def _a_result_is_final(self) -> None:
        made = sum(write.verb == "create" and write.ref.resource == JOB for write in self.cluster.writes)
        status = self._status()
        if self.jobs_at_result is None and status.result is not None and not is_unlearnt(status):
            self.jobs_at_result = made
        assert self.jobs_at_result in (None, made), "a Job was made after the final result"

    def _what_was_learnt_is_not_given_up(self) -> None:
        """Once words of a checkpoint were judged, nothing counts as unlearnt; a wiped status knows of none."""
        status = self._status()
        judged = status.last_checkpoint is not None and status.attempt is not None
        assert not (self.learnt and judged and is_unlearnt(status)), status

    def teardown(self) -> None:
        """The oracle: once it is quiet, everything is as asked for and the next pass writes nothing."""
        if hasattr(self, "cluster"):
            self._quiet()
            self._at_rest()
            if self._owner().spec.suspend:
                self._spec(suspend=False)
                self._quiet()
                self._at_rest()

    # --- inside -------------------------------------------------------------------------------------------------

    def _quiet(self) -> None:
        self.cluster.faults.clear()
        self.cluster.refuse = lambda verb, namespace, ref: None
        self.operator.pipe.flush()
        self.operator.audit()
        for _ in range(ROUNDS_TO_REST):
            version = self.cluster.version
            self.operator.settle()
            self._controllers_run()
            self.world.reap_all()
            self._all_pods_run()
            self.always()
            until = self._status().not_before
            if version == self.cluster.version and (until is None or self._attempt_runs()):
                return
            self.clock.advance(61)
        raise AssertionError(f"not at rest after {ROUNDS_TO_REST} rounds: {self._status()}")

    def _attempt_runs(self) -> bool:
        status = self._status()
        if status.fixed_digest not in ("", fixed_digest(self._owner().spec)):
            return True  # An edit that was let in a moment too late: nothing starts until it is undone.
        return self.claim_lost or status.result is not None or self._owner().spec.suspend or bool(self._living())

    def _at_rest(self) -> None:
        owner, status = self._owner(), self._status()
        told = {condition.type: (condition.status, condition.reason) for condition in status.conditions}
        jobs = self.cluster.all(JOB)
        live_jobs = [job for job in jobs if not ended(job) and not has_failed(job)]
        uids = {uid_of(job) for job in jobs}
        assert all(job_uid_of(pod) in uids for pod in self._pods()), "a pod outlived its Job"
        assert self._strangers() == self.strangers, "a stranger's object was touched"
        is_kept = not (self.claim_lost or owner.spec.suspend or owner.status.attempt is None)
        assert self._all_are_marked() or not is_kept, self._children()
        assert status.observed_generation == owner.metadata.generation
        is_stuck = is_unlearnt(status) and is_changed(status, digests(owner.spec)) and not owner.spec.suspend
        assert self.claim_lost or not is_stuck, "an edit of what nothing was learnt from was not taken up"
        if status.result is not None:
            expected = "Complete" if status.result == "Complete" else told["Ready"][1]
            assert told["Ready"] == ("True" if status.result == "Complete" else "False", expected)
            assert (told["Stalled"][0] == "True") == (status.result == "Failed")
            assert live_jobs == []
        elif owner.spec.suspend and not live_jobs:
            assert (told.get("Ready"), told["Suspended"][0], told["Stalled"][0]) == (None, "True", "False")
            assert self._living() == []
        elif self.claim_lost:
            assert told["Stalled"] == ("True", "CheckpointVolumeLost")
        else:
            self._runs_as_asked_for(owner, live_jobs, told)
        assert len(jobs) <= 2, [job["metadata"]["name"] for job in jobs]
        assert len(self.cluster.all(CLAIM)) <= 1
        self._next_pass_writes_nothing()

    def _runs_as_asked_for(self, owner: DeepSeekTraining, live: list[Stored], told: dict[str, tuple[str, str]]) -> None:
        if owner.status.fixed_digest != fixed_digest(owner.spec):
            # The edit was let in before it ran, and seen afterwards.
            assert told["Stalled"] == ("True", "FixedFieldChanged"), told
            return
        assert told["Ready"] == ("True", "Running"), told
        assert len(live) == 1
        attempt, volume = owner.status.attempt, owner.status.volume
        assert attempt is not None
        assert volume is not None
        assert (uid_of(live[0]), number_of(live[0])) == (attempt.job_uid, attempt.number)
        assert live[0]["spec"]["parallelism"] == owner.spec.nodes.count == len(self._living())
        environment = {e["name"]: e.get("value") for e in live[0]["spec"]["template"]["spec"]["containers"][0]["env"]}
        assert all(environment[variable.name] == variable.value for variable in owner.spec.trainer.env)
        assert covers(self.cluster.read(SERVICE, NAMESPACE, SERVICE_NAME), service(owner, attempt.number, volume.uid))
        claim = self.cluster.read(CLAIM, NAMESPACE, volume.claim_name)
        assert claim is not None
        assert uid_of(claim) == volume.uid
        assert bool(claim["metadata"].get("ownerReferences")) == (owner.spec.checkpoints.on_delete == "Delete")

    def _next_pass_writes_nothing(self) -> None:
        writes = len(self.cluster.writes)
        self.operator.restart()
        self.operator.settle()
        assert len(self.cluster.writes) == writes, self.cluster.writes[writes:]

    def _pass(self) -> object:
        try:
            return self.operator.reconcile(KEY)
        except Crash:
            self.operator.restart()
            return None

    def _owner(self) -> DeepSeekTraining:
        return DeepSeekTraining.model_validate(self.cluster.read(TRAINING, NAMESPACE, NAME))

    def _status(self) -> Any:
        return self._owner().status

    def _spec(self, **fields: Any) -> None:
        self.cluster.edit(TRAINING, NAMESPACE, NAME, lambda live: live["spec"].update(fields))

    def _pods(self) -> list[Stored]:
        return [pod for pod in self.cluster.all(POD) if pod["metadata"]["name"] != STRANGER]

    def _living(self) -> list[Stored]:
        return [pod for pod in self._pods() if is_active(pod) and not is_terminating(pod)]

    def _placed(self) -> list[Stored]:
        return [pod for pod in self._living() if pod["spec"].get("nodeName")]


def _pick(items: list[Any], which: int) -> Any:
    return items[which % len(items)] if items else None


TestTraining = TrainingMachine.TestCase
TestTraining.settings = search(40, steps=40)
