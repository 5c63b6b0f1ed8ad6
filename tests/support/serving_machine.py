"""One serving in a hostile cluster: whatever happens, once it is quiet again everything is as asked for.

On the way, at every pass: no replica that serves is taken away below what is wanted while the operator sees the
present (RollingUpdate); the number of replicas falls only for a reason that the downward gate knows; a revision's template is
the one that was rendered first, whatever release of the operator runs; a pinned model stays pinned.
"""

from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from deepseek_operator.adapters.memory import Fault, MemoryCluster
from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.controller.key import Key
from deepseek_operator.controller.reconcile import MOST_ROUNDS, Acted
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.names import OWNER_UID
from deepseek_operator.core.resources import (
    AUTOSCALER,
    BUDGET,
    CLAIM,
    DEPLOYMENT,
    POD,
    REVISION,
    SERVICE,
    controller_of,
    is_terminating,
    labels_of,
    uid_of,
)
from deepseek_operator.kinds.registry import KINDS
from deepseek_operator.kinds.serving import serving_kind
from deepseek_operator.kinds.serving.names import serving_revision
from deepseek_operator.kinds.serving.revision import revision_name
from deepseek_operator.kinds.serving.sources import reference_digest
from deepseek_operator.ports.cluster import ClusterError, Conflict, Throttled, Unreachable
from tests.support.faults import Crash, crash_at_write
from tests.support.gateways import GATE
from tests.support.marks import LOSSES, STRANGER, is_marked, strangers
from tests.support.servings import NAMESPACE, a_claim, a_serving, a_training
from tests.support.shell import Operator
from tests.support.world import StoppedClock, World, is_ready

NAME = "chat"
KEY = Key(SERVING, NAMESPACE, NAME)
SCALER = f"{NAME}-serve"
DEMAND = 2
WINDOW_S = 300
"""The default window for scaling down: a new autoscaler is followed down only after it."""
ROUNDS_TO_REST = 80
Stored = dict[str, Any]
WHICH = st.integers(0, 20)
ERRORS: dict[str, Callable[[], Exception]] = {
    "409": lambda: Conflict("modified"),
    "429": lambda: Throttled("slow down", 1.0),
    "500": lambda: Unreachable("internal error"),
}
MODELS = (
    {"source": {"uri": "pvc://models/v2"}},
    {"fromTraining": {"name": "tune", "checkpoint": "Latest"}},
    {"fromTraining": {"name": "tune", "checkpoint": "Best"}},
)


THEN = ("", "p", "o", "od", "odo", "oodw", "owow", "owowow", "owodowod")
"""What may follow a step: o: the operator passes with the news, p: without; d: Deployments sync, w: and pods run."""


def step(**arguments: Any) -> Callable[[Callable[..., None]], Any]:
    """A rule after which the operator and the cluster have a few turns: most faults need something half done."""

    def decorate(method: Callable[..., None]) -> Any:
        def run(self: "ServingMachine", then: str, **drawn: Any) -> None:
            method(self, **drawn)
            for turn in then:
                self._turn(turn)

        run.__name__ = method.__name__
        made: Callable[..., Any] = rule(then=st.sampled_from(THEN), **arguments)
        return made(run)

    return decorate


class ServingMachine(RuleBasedStateMachine):
    """Edits, faults and time; `at_rest` is the oracle."""

    most_revisions = 6
    """Five newest ones and the one that runs."""

    @initialize(
        model=st.sampled_from(MODELS),
        replicas=st.integers(1, 4),
        strategy=st.sampled_from(["RollingUpdate", "RollingUpdate", "Recreate"]),
        autoscaled=st.booleans(),
        rested=st.booleans(),
        rounds_of_pass=st.sampled_from([1, MOST_ROUNDS]),
    )
    def start(
        self, model: Stored, replicas: int, strategy: str, autoscaled: bool, rested: bool, rounds_of_pass: int
    ) -> None:
        self.clock = StoppedClock()
        self.cluster = MemoryCluster(self.clock)
        self.world = World(self.cluster, self.clock)
        self.image = Configuration().runtime_image
        self.operator = Operator(serving_kind(Configuration(gate=GATE)), self.cluster, self.clock, rounds_of_pass)
        self.templates: dict[tuple[str, str], Stored] = {}
        self.pins: dict[tuple[str, str, int], int | None] = {}
        self.epoch = 0
        self.blind = False
        self.strangers: list[Stored | None] = [None, None]
        self.cluster.put(a_claim())
        self.cluster.put(a_training(exports=[100], result="Complete", bestCheckpoint={"step": 100}))
        scaled = {"maxReplicas": 6, "minReplicas": 1, "signals": [{"type": "InFlight", "target": 4}]}
        self._create(model=model, replicas=replicas, rollout={"strategy": strategy})
        if autoscaled:
            self._spec(autoscaling=scaled)
        if rested:
            self.at_rest()

    # --- what users do ------------------------------------------------------------------------------------------

    @step(concurrency=st.integers(1, 4))
    def edit_the_engine(self, concurrency: int) -> None:
        self._spec(engine={"maxConcurrency": concurrency})

    @step(model=st.sampled_from(MODELS))
    def edit_the_model(self, model: Stored) -> None:
        if self._owner()["spec"]["model"] != model:
            self.epoch += 1
            self._spec(model=model)

    @step(replicas=st.integers(0, 5))
    def write_replicas(self, replicas: int) -> None:
        self._spec(replicas=replicas)

    @step(strategy=st.sampled_from(["RollingUpdate", "Recreate"]))
    def edit_the_strategy(self, strategy: str) -> None:
        self._spec(rollout={"strategy": strategy})

    @step(suspend=st.booleans())
    def suspend(self, suspend: bool) -> None:
        self._spec(suspend=suspend)

    @step(minimum=st.integers(1, 3), more=st.integers(0, 4), replicas=st.integers(1, 6))
    def switch_to_autoscaling(self, minimum: int, more: int, replicas: int) -> None:
        signals = [{"type": "InFlight", "target": 4}]
        bounds = {"minReplicas": minimum, "maxReplicas": minimum + more}
        self._spec(autoscaling={**bounds, "signals": signals}, replicas=replicas)

    @step(replicas=st.integers(1, 4))
    def switch_autoscaling_off(self, replicas: int) -> None:
        self._spec(autoscaling=None, replicas=replicas)

    @step(step=st.sampled_from([100, 200, 300]))
    def export_another_step(self, step: int) -> None:
        if self.cluster.read(TRAINING, NAMESPACE, "tune") is not None:
            self._training(exports=sorted({100, step}), result="Complete", bestCheckpoint={"step": step})

    @step()
    def train_anew(self) -> None:
        self._training(exports=[])

    @step()
    def delete_the_training(self) -> None:
        self.cluster.remove(TRAINING, NAMESPACE, "tune", "Background")

    @step()
    def delete_the_claim(self) -> None:
        self.cluster.drop(CLAIM, NAMESPACE, "models")

    @step()
    def delete_and_create_anew(self) -> None:
        spec = self._owner()["spec"]
        self.cluster.remove(SERVING, NAMESPACE, NAME, "Background")
        self._create(**spec)

    @step()
    def wipe_the_status(self) -> None:
        if not self._all_are_marked():
            return
        references = {(r.get("data") or {}).get("resolved", {}).get("reference") for r in self.cluster.all(REVISION)}
        if reference_digest(self._parsed().spec.model) not in references:
            self.epoch += 1

        def change(live: Stored) -> None:
            live["status"] = {"observedGeneration": -1}

        self.cluster.edit(SERVING, NAMESPACE, NAME, change)

    # --- what the rest of the cluster does ----------------------------------------------------------------------

    @step()
    def deployments_sync(self) -> None:
        self.world.run_deployment_controller()

    @step(which=WHICH, ready=st.booleans())
    def a_pod_runs(self, which: int, ready: bool) -> None:
        if pods := self._pods():
            self.world.run(pods[which % len(pods)], ready)

    @step()
    def all_pods_run(self) -> None:
        self._run_pods()

    @step(which=WHICH)
    def a_pod_finds_no_place(self, which: int) -> None:
        if waiting := [pod for pod in self._pods() if not pod["spec"].get("nodeName")]:
            self.world.unschedulable(waiting[which % len(waiting)])

    @step(which=WHICH)
    def a_pod_is_evicted(self, which: int) -> None:
        if pods := self._pods():
            self.world.evict(pods[which % len(pods)])

    @step()
    def ending_pods_are_gone(self) -> None:
        self.world.reap_all()

    @step()
    def the_garbage_is_collected(self) -> None:
        self.world.run_garbage_collector()

    @step(desired=st.integers(1, 6), scales=st.booleans(), tells=st.booleans())
    def the_autoscaler_syncs(self, desired: int, scales: bool, tells: bool) -> None:
        scaler = self._scaler()
        if scaler is not None and self._owner()["spec"]["replicas"] > 0:
            desired = min(max(desired, scaler["spec"]["minReplicas"]), scaler["spec"]["maxReplicas"])
            if scales:
                self.world.scale(NAMESPACE, NAME, desired)
            if tells:
                self.world.set_autoscaler(NAMESPACE, SCALER, True, desired)

    @step(clamps=st.booleans())
    def the_metrics_are_gone(self, clamps: bool) -> None:
        scaler = self._scaler()
        if scaler is not None:
            desired = (scaler.get("status") or {}).get("desiredReplicas", 1)
            self.world.set_autoscaler(NAMESPACE, SCALER, False, desired, "FailedGetExternalMetric")
            if clamps:
                self.world.scale(NAMESPACE, NAME, scaler["spec"]["minReplicas"])

    @step(which=WHICH)
    def a_child_is_lost(self, which: int) -> None:
        kept = [c for c in self._children() if not self._is_last_record(c)]
        if kept:
            ref = KINDS.ref_of(kept[which % len(kept)])
            self.cluster.remove(ref.resource, NAMESPACE, ref.name, "Background")

    @step(which=WHICH, what=st.sampled_from(["replicas", "image", "labels"]))
    def a_deployment_drifts(self, which: int, what: str) -> None:
        recorded = {r["metadata"]["name"] for r in self.cluster.all(REVISION)}
        if deployments := [d for d in self.cluster.all(DEPLOYMENT) if d["metadata"]["name"] in recorded]:
            name = deployments[which % len(deployments)]["metadata"]["name"]
            self.cluster.edit(DEPLOYMENT, NAMESPACE, name, DRIFTS[what])

    @step(which=WHICH, how=st.sampled_from(sorted(LOSSES)))
    def somebody_changes_a_childs_labels(self, which: int, how: str) -> None:
        children = [c for c in self._children() if not is_terminating(c)]
        if children and self._all_are_marked():
            ref = KINDS.ref_of(children[which % len(children)])
            self.cluster.edit(ref.resource, NAMESPACE, ref.name, LOSSES[how])

    @step()
    def a_stranger_wears_our_labels(self) -> None:
        for manifest in strangers(SERVING, NAME, NAMESPACE, self._owner()["metadata"]["uid"]):
            self.cluster.put(manifest)
        self.strangers = self._strangers()

    def _strangers(self) -> list[Stored | None]:
        return [self.cluster.read(resource, NAMESPACE, STRANGER) for resource in (POD, SERVICE)]

    def _children(self) -> list[Stored]:
        resources = (DEPLOYMENT, SERVICE, BUDGET, AUTOSCALER, REVISION)
        found = [child for resource in resources for child in self.cluster.all(resource)]
        return [child for child in found if child["metadata"]["name"] != STRANGER]

    def _all_are_marked(self) -> bool:
        return all(is_marked(child, self._owner()["metadata"]["uid"]) for child in self._children())

    @step()
    def a_service_drifts(self) -> None:
        if self.cluster.read(SERVICE, NAMESPACE, SCALER) is not None:
            self.cluster.edit(SERVICE, NAMESPACE, SCALER, lambda live: live["spec"]["selector"].update(role="none"))

    @step()
    def the_budget_drifts(self) -> None:
        if self.cluster.read(BUDGET, NAMESPACE, SCALER) is not None:
            self.cluster.edit(BUDGET, NAMESPACE, SCALER, lambda live: live["spec"].update(minAvailable=9))

    # --- what happens to the operator ---------------------------------------------------------------------------

    @step(passes=st.integers(1, 6))
    def the_operator_passes(self, passes: int) -> None:
        for _ in range(passes):
            self._pass()

    @step()
    def events_arrive(self) -> None:
        self.operator.pipe.flush()

    @step()
    def the_watch_is_faster_than_answers_or_no_more(self) -> None:
        self.operator.pipe.is_eager ^= True

    @step(which=WHICH, how=st.sampled_from(["let_through", "drop", "repeat", "swap"]))
    def one_event(self, which: int, how: str) -> None:
        if waiting := self.operator.pipe.waiting():
            self.blind |= how in ("drop", "swap")
            getattr(self.operator.pipe, how)(waiting[which % len(waiting)])

    @step()
    def the_mirror_is_audited(self) -> None:
        self.operator.pipe.flush()
        self.operator.audit()

    @step(nth=st.integers(1, 4), committed=st.booleans())
    def the_operator_is_killed(self, nth: int, committed: bool) -> None:
        crash_at_write(self.cluster, nth, committed)
        for _ in range(4):
            self._pass()

    @step(nth=st.integers(1, 4), error=st.sampled_from(sorted(ERRORS)), committed=st.booleans())
    def the_api_server_fails(self, nth: int, error: str, committed: bool) -> None:
        commits = committed and error == "500"
        self.cluster.faults[self.cluster.attempts + nth] = Fault(ERRORS[error](), commits)
        for _ in range(3):
            self._pass()

    @step(image=st.sampled_from(["runtime:1", "runtime:2"]))
    def the_operator_is_upgraded(self, image: str) -> None:
        self.image = image
        self.operator.kind = serving_kind(Configuration(runtime_image=image, gate=GATE))
        self._restart()

    @step(token=st.sampled_from(["", "a", "b"]))
    def an_update_is_taken(self, token: str) -> None:
        change = {"deepseek-operator.io/update": token} if token else {}
        self.cluster.edit(SERVING, NAMESPACE, NAME, lambda live: live["metadata"].update(annotations=change))

    @step(seconds=st.sampled_from([1, 60, 86400, -86400]))
    def the_clock_jumps(self, seconds: int) -> None:
        self.clock.jump(seconds)

    # --- oracle -------------------------------------------------------------------------------------------------

    @rule()
    def it_is_quiet_for_a_while(self) -> None:
        self.at_rest()

    def teardown(self) -> None:
        if hasattr(self, "cluster"):
            self.at_rest()

    def at_rest(self) -> None:
        """Faults and edits stop; everything becomes as the spec says, and stays without a write."""
        self._undo_outages()
        for _ in range(ROUNDS_TO_REST):
            before = self.cluster.version
            self._quiet_round()
            if self.cluster.version == before:
                break
        else:
            raise AssertionError(f"no rest after {ROUNDS_TO_REST} rounds: {self._owner()['status']}")
        self._check_children()
        self._check_status()
        self._check_nothing_is_left_over()

    def _undo_outages(self) -> None:
        self.cluster.faults.clear()
        if self.cluster.read(CLAIM, NAMESPACE, "models") is None:
            self.cluster.put(a_claim())
        training = self.cluster.read(TRAINING, NAMESPACE, "tune")
        if training is None or not training["status"].get("exports"):
            self._training(exports=[100], result="Complete", bestCheckpoint={"step": 100})
        if self._owner()["spec"].get("autoscaling") and self._owner()["spec"]["replicas"] == 0:
            self._spec(replicas=1)

    def _quiet_round(self) -> None:
        self.clock.jump(WINDOW_S)
        self.operator.pipe.flush()
        self.operator.audit()
        self.blind = False
        for _ in range(ROUNDS_TO_REST):
            if not isinstance(self._pass(), Acted):
                break
            self.operator.pipe.flush()
        else:
            raise AssertionError(f"the operator never stops: {self.cluster.writes[-6:]}")
        self.world.run_garbage_collector()
        self.world.reap_all()
        self.world.run_deployment_controller()
        self._run_pods()
        self.world.run_deployment_controller()
        if (scaler := self._scaler()) is not None:
            wish = min(max(DEMAND, scaler["spec"]["minReplicas"]), scaler["spec"]["maxReplicas"])
            self.world.scale(NAMESPACE, NAME, wish)
            self.world.set_autoscaler(NAMESPACE, SCALER, True, wish)

    def _wanted(self) -> int:
        spec = self._parsed().spec
        return 0 if spec.suspend else spec.replicas

    def _check_children(self) -> None:
        owner = self._parsed()
        assert owner.status.resolved is not None
        child = serving_revision(NAME, self._expected())
        deployments = {d["metadata"]["name"]: d for d in self.cluster.all(DEPLOYMENT)}
        assert {name: d["spec"]["replicas"] for name, d in deployments.items()} == {child: self._wanted()}
        record = self.cluster.read(REVISION, NAMESPACE, child)
        assert record is not None
        assert deployments[child]["spec"]["template"] == record["data"]["template"]
        assert {s["metadata"]["name"] for s in self.cluster.all(SERVICE)} - {STRANGER} == {SCALER, child}
        assert self._strangers() == self.strangers, "a stranger's object was touched"
        assert self._all_are_marked(), self._children()
        assert "role" not in self._selector() or self._drifted_is_ours()
        (budget,) = self.cluster.all(BUDGET)
        assert budget["spec"]["minAvailable"] == max(self._wanted() - 1, 0)
        selector = budget["spec"]["selector"]["matchLabels"]
        assert selector == dict(pair.split("=") for pair in owner.status.selector.split(","))
        scaled = owner.spec.autoscaling is not None and not owner.spec.suspend
        assert (self._scaler() is not None) == scaled
        assert len(self.cluster.all(REVISION)) <= self.most_revisions

    def _expected(self) -> str:
        """The revision that runs once all is quiet."""
        owner = self._parsed()
        assert owner.status.resolved is not None
        return revision_name(owner, owner.status.resolved)

    def _drifted_is_ours(self) -> bool:
        """A key that somebody added to the selector is theirs under server-side apply; ours must be whole."""
        return bool(self._selector()[OWNER_UID] == self._owner()["metadata"]["uid"])

    def _selector(self) -> dict[str, str]:
        """Of the Service that users call."""
        service = self.cluster.read(SERVICE, NAMESPACE, SCALER)
        assert service is not None
        selector: dict[str, str] = service["spec"]["selector"]
        return selector

    def _check_status(self) -> None:
        owner, wanted = self._parsed(), self._wanted()
        status = owner.status
        told = [(condition.type, condition.status, condition.reason) for condition in status.conditions]
        quiet = [("Reconciling", "False", "Settled"), ("Stalled", "False", "Settled")]
        if owner.spec.autoscaling is not None and not owner.spec.suspend:
            quiet.append(("ScalingActive", "True", "ValidMetricFound"))
        quiet += self._also_told()
        if self._renders_otherwise():
            quiet.append(("UpdateAvailable", "True", "NewDefaults"))
        if owner.spec.suspend:
            assert told == [("Suspended", "True", "Suspended"), *quiet]
        else:
            assert told == [("Ready", "True", "Available"), *quiet]
        assert (status.replicas, status.ready_replicas) == (wanted, wanted)
        assert status.observed_generation == owner.metadata.generation
        assert all(condition.observed_generation == owner.metadata.generation for condition in status.conditions)
        selector = dict(pair.split("=") for pair in status.selector.split(","))
        assert sum(selector.items() <= labels_of(pod).items() for pod in self._pods()) == wanted

    def _also_told(self) -> list[tuple[str, str, str]]:
        """Conditions at rest of what a machine adds to this one."""
        return []

    def _renders_otherwise(self) -> bool:
        """The present operator's default image is not the one that runs."""
        (deployment,) = self.cluster.all(DEPLOYMENT)
        return bool(deployment["spec"]["template"]["spec"]["containers"][0]["image"] != self.image)

    def _check_nothing_is_left_over(self) -> None:
        uid = self._owner()["metadata"]["uid"]
        left = [i for r in KINDS.children for i in self.cluster.all(r) if labels_of(i).get(OWNER_UID, uid) != uid]
        assert [item for item in left if item["metadata"]["name"] != STRANGER] == []
        attempts = self.cluster.attempts
        assert not isinstance(self._pass(), Acted)
        assert self.cluster.attempts == attempts

    def _turn(self, turn: str) -> None:
        if turn == "o":
            self.operator.pipe.flush()
        if turn in "op":
            self._pass()
        if turn in "dw":
            self.world.run_garbage_collector()
            self.world.reap_all()
            self.world.run_deployment_controller()
        if turn == "w":
            self._run_pods()
            self.world.run_deployment_controller()

    # --- one pass, and what must hold after each ----------------------------------------------------------------

    def _pass(self) -> object:
        before, fresh = self._picture(), self._is_fresh()
        try:
            outcome = self.operator.reconcile(KEY)
        except Crash:
            self._restart()
            outcome = None
        except ClusterError:
            outcome = None
        after = self._picture()
        self._check_templates()
        self._check_pin()
        if before["uid"] == after["uid"]:
            self._check_gate(before, after)
            self._check_floor(before, after, fresh)
        return outcome

    def _picture(self) -> Stored:
        owner = self._owner()
        deployments = [d for d in self.cluster.all(DEPLOYMENT) if not is_terminating(d)]
        mine = [d for d in deployments if (controller_of(d) or {}).get("uid") == owner["metadata"]["uid"]]
        return {
            "uid": owner["metadata"]["uid"],
            "spec": owner["spec"],
            "register": self._parsed().status.running_replicas,
            "specified": {d["metadata"]["name"]: d["spec"]["replicas"] for d in mine},
            "ready": {d["metadata"]["name"]: self._ready(d) for d in mine},
            "scaler": self._scaler(),
        }

    def _ready(self, deployment: Stored) -> int:
        uid = uid_of(deployment)
        owned = [p for p in self._pods() if any(o["uid"] == uid for o in p["metadata"].get("ownerReferences", ()))]
        return sum(is_ready(pod) for pod in owned)

    def _check_gate(self, before: Stored, after: Stored) -> None:
        """Under autoscaling the recorded number falls only to what the autoscaler wants, or to its maximum."""
        autoscaling, was, is_now = before["spec"].get("autoscaling"), before["register"], after["register"]
        if autoscaling is None or was is None or is_now is None or is_now >= was:
            return
        status = (before["scaler"] or {}).get("status") or {}
        active = any(c["type"] == "ScalingActive" and c["status"] == "True" for c in status.get("conditions", ()))
        register = before["spec"]["replicas"]
        follows = active and status.get("desiredReplicas") == register and is_now >= register
        assert follows or is_now == autoscaling["maxReplicas"], (was, is_now, status, register)

    def _check_floor(self, before: Stored, after: Stored, fresh: bool) -> None:
        """Under RollingUpdate no pass takes replicas below the wanted number; with a fresh mirror, no serving ones."""
        spec = before["spec"]
        if spec["rollout"]["strategy"] != "RollingUpdate" or spec.get("suspend") or after["register"] is None:
            return
        wanted = after["register"]
        assert sum(after["specified"].values()) >= min(wanted, sum(before["specified"].values()))
        if fresh:
            stay = sum(min(ready, after["specified"].get(name, 0)) for name, ready in before["ready"].items())
            counted = sum(min(ready, before["specified"][name]) for name, ready in before["ready"].items())
            assert stay >= min(wanted, counted), (before, after)

    def _check_templates(self) -> None:
        records = {_identity(record): record["data"]["template"] for record in self.cluster.all(REVISION)}
        living = {*records, *(_identity(deployment) for deployment in self.cluster.all(DEPLOYMENT))}
        self.templates = {name: template for name, template in self.templates.items() if name in living}
        for name, template in records.items():
            assert self.templates.setdefault(name, template) == template

    def _check_pin(self) -> None:
        owner = self._parsed()
        resolved = owner.status.resolved
        if resolved is not None and resolved.reference == reference_digest(owner.spec.model):
            pin = (owner.metadata.uid, resolved.reference, self.epoch)
            assert self.pins.setdefault(pin, resolved.step) == resolved.step

    # --- the pieces ---------------------------------------------------------------------------------------------

    def _create(self, **spec: Any) -> None:
        self.epoch += 1
        self.cluster.put(a_serving(NAME, **{"suspend": False, "engine": {}, **spec}))

    def _owner(self) -> Stored:
        owner = self.cluster.read(SERVING, NAMESPACE, NAME)
        assert owner is not None
        return owner

    def _parsed(self) -> DeepSeekServing:
        return DeepSeekServing.model_validate(self._owner())

    def _spec(self, **changes: Any) -> None:
        def change(live: Stored) -> None:
            live["spec"].update(changes)
            live["spec"] = {key: value for key, value in live["spec"].items() if value is not None}

        self.cluster.edit(SERVING, NAMESPACE, NAME, change)

    def _training(self, **status: Any) -> None:
        manifest = a_training(**status)
        self.cluster.put(manifest)

        def change(live: Stored) -> None:
            live["status"] = manifest["status"]

        self.cluster.edit(TRAINING, NAMESPACE, "tune", change, "operator")

    def _scaler(self) -> Stored | None:
        live = self.cluster.read(AUTOSCALER, NAMESPACE, SCALER)
        mine = live is not None and labels_of(live).get(OWNER_UID) == self._owner()["metadata"]["uid"]
        return live if mine else None

    def _pods(self) -> list[Stored]:
        pods = [pod for pod in self.cluster.all(POD) if pod["metadata"]["name"] != STRANGER]
        return [pod for pod in pods if not is_terminating(pod)]

    def _run_pods(self) -> None:
        for pod in self._pods():
            if not is_ready(pod):
                self.world.run(pod)

    def _is_last_record(self, child: Mapping[str, Any]) -> bool:
        """A revision's record whose template runs drifted: with it the last word on the template would be lost."""
        if child["kind"] != REVISION.kind:
            return False
        live = self.cluster.read(DEPLOYMENT, NAMESPACE, child["metadata"]["name"])
        return live is not None and live["spec"]["template"] != child["data"]["template"]

    def _restart(self) -> None:
        self.operator.restart()
        self.blind = False

    def _is_fresh(self) -> bool:
        return not self.blind and not self.operator.pipe.waiting() and self._counts_are_true()

    def _counts_are_true(self) -> bool:
        """The Deployments' status says how many pods are ready: their controller is as fast as the operator."""
        return all(
            (d.get("status") or {}).get("readyReplicas", 0) <= self._ready(d) for d in self.cluster.all(DEPLOYMENT)
        )


def _identity(child: Mapping[str, Any]) -> tuple[str, str]:
    """The owner's uid and the name; labels come and go."""
    return str((controller_of(child) or {}).get("uid")), child["metadata"]["name"]


def _other_replicas(live: Stored) -> None:
    live["spec"]["replicas"] = (live["spec"]["replicas"] + 1) % 3


def _other_image(live: Stored) -> None:
    live["spec"]["template"]["spec"]["containers"][0]["image"] = "stranger:1"


def _other_labels(live: Stored) -> None:
    live["metadata"]["labels"]["app.kubernetes.io/instance"] = "stranger"


DRIFTS = {"replicas": _other_replicas, "image": _other_image, "labels": _other_labels}
