"""A canary run from its start to its end, and everything that may come in between."""

from itertools import pairwise
from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.serving.status import CanaryStatus
from deepseek_operator.core.conditions import find
from deepseek_operator.core.kind import Event
from deepseek_operator.core.resources import DEPLOYMENT
from deepseek_operator.kinds.serving.events import events
from deepseek_operator.kinds.serving.verbs import PAUSE, PROMOTE, ROLLBACK
from tests.support.serving_life import NAME, ServingLife
from tests.support.servings import NAMESPACE, a_training

BAKE_S = 60
STEPS = [{"weight": 25, "bakeSeconds": BAKE_S}, {"weight": 50, "bakeSeconds": BAKE_S}]
Stored = dict[str, Any]


class Canary(ServingLife):
    """Four replicas of a first version, rolled out, and a second one that is asked for."""

    def __init__(self, *, steps: list[Stored] | None = None, replicas: int = 4, **canary: Any) -> None:
        rollout = {"strategy": "RollingUpdate", "canary": {"steps": steps or STEPS, **canary}}
        super().__init__(replicas=replicas, rollout=rollout)
        self.run()
        self.first = self.status.stable
        self.edit(engine={"maxConcurrency": 8})

    def after(self, seconds: float) -> None:
        """Time passes, and then all have their turns."""
        self.clock.advance(seconds)
        self.operator.settle()
        self.run()

    def annotate(self, *, turns: bool = True, **values: str) -> None:
        full = {{"promote": PROMOTE, "pause": PAUSE, "rollback": ROLLBACK}[key]: value for key, value in values.items()}
        self.cluster.edit(SERVING, NAMESPACE, NAME, lambda live: live["metadata"].update(annotations=full))
        self.operator.settle()
        if turns:
            self.run()

    @property
    def target(self) -> str:
        assert self.status.canary is not None
        return self.status.canary.target

    @property
    def at(self) -> tuple[str, int]:
        assert self.status.canary is not None
        return self.status.canary.phase, self.status.canary.step

    def specified(self) -> dict[str, int]:
        deployments = self.cluster.all(DEPLOYMENT, NAMESPACE)
        return {d["metadata"]["name"].rpartition("-")[2]: d["spec"]["replicas"] for d in deployments}

    def message(self, type_: str) -> str:
        """Of a condition."""
        condition = find(self.status.conditions, type_)
        assert condition is not None
        return condition.message

    def told(self) -> list[str]:
        """Reasons of all events of the run, in order."""
        return [event.reason for event in self.events() if event.action == "Canary"]

    def events(self) -> list[Event]:
        """All of its life, in order."""
        manifests = [change.manifest for change in self.changes if change.resource == SERVING]
        kind = self.operator.kind
        states = [kind.parse(manifest).status for manifest in manifests]
        pairs = pairwise(states)
        return [event for was, now in pairs for event in events(was, now)]


def test_the_first_version_is_none() -> None:
    life = ServingLife(rollout={"strategy": "RollingUpdate", "canary": {"steps": STEPS}})
    life.run()
    assert life.status.canary is None
    assert life.status.phase == "Available"


def test_a_run_goes_from_step_to_step_and_is_promoted() -> None:
    life = Canary()
    life.run()
    second = life.target
    assert (life.at, life.specified()) == (("Baking", 1), {life.first: 4, second: 1})
    assert (life.status.phase, life.reason("Ready"), life.status.stable) == ("Canary", "Canary", life.first)
    life.after(BAKE_S - 1)
    assert life.at == ("Baking", 1)
    life.after(1)
    assert (life.at, life.specified()) == (("Baking", 2), {life.first: 4, second: 2})
    life.after(BAKE_S)
    life.run(rounds=8)
    assert (life.at, life.specified()) == (("Completed", 2), {second: 4})
    assert (life.status.phase, life.status.stable) == ("Available", second)
    assert life.told() == ["CanaryStarted", "CanaryStep", "CanaryStep", "CanaryPromoted"]


@pytest.mark.parametrize(
    ("replicas", "step", "capacity"),
    [
        (4, {"weight": 25}, 1),
        (4, {"weight": 26}, 2),
        (1, {"weight": 1}, 1),
        (3, {"weight": 100}, 3),
        (4, {"replicas": 2}, 2),
        (4, {"replicas": 9}, 4),
        (8, {"replicas": 1, "weight": 50}, 4),
    ],
)
def test_a_step_has_so_many_replicas(replicas: int, step: Stored, capacity: int) -> None:
    life = Canary(steps=[step], replicas=replicas)
    life.run()
    assert life.specified() == {life.first: replicas, life.target: capacity}


def test_rolled_back_by_annotation_it_is_not_tried_again_until_another_is_asked_for() -> None:
    life = Canary()
    life.run()
    second = life.target
    life.annotate(rollback=life.first)
    assert (life.at, life.specified()) == (("RolledBack", 1), {life.first: 4})
    life.annotate()
    life.edit(replicas=6)
    life.run()
    assert life.specified() == {life.first: 6}
    assert (life.status.phase, life.reason("Stalled"), life.reason("RolledBack")) == (
        "RolledBack",
        *["CanaryRejected"] * 2,
    )
    life.edit(engine={"maxConcurrency": 9})
    life.run()
    assert life.at == ("Baking", 1)
    assert life.target not in (life.first, second)
    assert life.status.canary is not None
    assert life.status.canary.run == 2


def test_the_revision_that_is_tried_may_be_named_too() -> None:
    life = Canary()
    life.run()
    life.annotate(rollback=life.target)
    assert (life.at, life.specified()) == (("RolledBack", 1), {life.first: 4})
    life.after(3600)
    assert (life.at, life.specified()) == (("RolledBack", 1), {life.first: 4})


@pytest.mark.parametrize(("choice", "phase", "left"), [("Hold", "Held", 2), ("Rollback", "RolledBack", 1)])
def test_one_that_never_gets_ready_is_held_or_rolled_back(choice: str, phase: str, left: int) -> None:
    life = Canary(onInconclusive=choice, stallSeconds=120)
    life.run(room=4)
    assert life.at == ("Preparing", 1)
    life.clock.advance(120)
    life.operator.settle()
    life.run(room=4)
    assert life.at == (phase, 1)
    assert len(life.specified()) == left
    assert life.specified()[life.first] == 4
    message = life.status.canary.message if life.status.canary is not None else ""
    assert message == "0 of its 1 replicas serve after 120 s"
    if phase == "Held":
        life.run()
        assert life.at == ("Baking", 1)


def test_a_step_that_pauses_waits_for_its_promotion_and_one_token_is_one_step() -> None:
    life = Canary(steps=[{**STEPS[0], "pause": True}, {**STEPS[1], "pause": True}])
    life.run()
    life.after(BAKE_S)
    assert (life.at, life.reason("Ready")) == (("Paused", 1), "CanaryPaused")
    life.after(86400)
    assert life.at == ("Paused", 1)
    life.annotate(promote=f"{life.target}/1")
    assert life.at == ("Baking", 2)
    life.after(BAKE_S)
    assert life.at == ("Paused", 2)
    life.annotate(promote=f"{life.target}/2")
    life.run(rounds=8)
    assert (life.at, life.status.phase) == (("Completed", 2), "Available")


def test_each_verb_is_told_with_the_revision_that_it_is_about() -> None:
    life = Canary(steps=[{**STEPS[0], "pause": True}, STEPS[1]])
    life.run()
    life.annotate(pause=life.target)
    assert life.reason("Ready") == "CanaryPaused"
    assert f"{life.target} serve beside {life.first}; it is kept at its step by annotation" in life.message("Ready")
    assert f"{PAUSE}-" in life.message("Ready")
    life.annotate()
    assert life.reason("Ready") == "Canary"
    life.annotate(promote=f"{life.target}/1")
    life.annotate(rollback=life.first)
    verbs = [
        event for event in life.events() if event.reason in ("CanaryPaused", "CanaryPromoteAsked", "CanaryRolledBack")
    ]
    assert [event.reason for event in verbs] == ["CanaryPaused", "CanaryPromoteAsked", "CanaryRolledBack"]
    assert [life.target in event.note for event in verbs] == [True, True, True]
    assert f"{PROMOTE}={life.target}/1" in verbs[1].note


@pytest.mark.parametrize("verb", ["promote", "pause"])
def test_a_verb_of_another_revision_is_inert(verb: str) -> None:
    life = Canary()
    life.run()
    if verb == "promote":
        life.annotate(promote=life.first)
    else:
        life.annotate(pause=life.first)
    assert (life.at, life.reason("Ready")) == (("Baking", 1), "Canary")
    life.after(BAKE_S)
    assert life.at == ("Baking", 2)


def test_a_paused_revision_stays_at_its_step() -> None:
    life = Canary()
    life.run()
    life.annotate(pause=life.target)
    life.after(86400)
    assert life.at == ("Baking", 1)
    life.annotate()
    assert life.at == ("Baking", 2)


def test_a_third_version_supersedes_the_run_and_keeps_the_original_stable() -> None:
    life = Canary()
    life.run()
    second = life.target
    life.edit(engine={"maxConcurrency": 9})
    life.run()
    assert life.status.canary is not None
    assert (life.status.canary.stable, life.status.canary.run) == (life.first, 2)
    assert life.target != second
    assert life.specified() == {life.first: 4, life.target: 1}
    assert "CanarySuperseded" in life.told()


def test_a_spec_that_is_reverted_ends_the_run() -> None:
    life = Canary()
    life.run()
    life.edit(engine={})
    life.run()
    assert life.status.canary is None
    assert (life.specified(), life.status.phase) == ({life.first: 4}, "Available")


def test_steps_that_are_edited_on_the_way_are_for_the_next_run() -> None:
    life = Canary()
    life.run()
    life.edit(rollout={"strategy": "RollingUpdate", "canary": {"steps": [{"weight": 100, "bakeSeconds": 0}]}})
    life.run()
    assert (life.at, life.reason("PlanDrift")) == (("Baking", 1), "CanaryEdited")
    life.edit(rollout={"strategy": "RollingUpdate"})
    life.after(BAKE_S)
    assert (life.at, life.reason("PlanDrift")) == (("Baking", 2), "CanaryEdited")
    life.after(BAKE_S)
    life.run(rounds=8)
    assert (life.at, life.status.phase) == (("Completed", 2), "Available")
    assert find(life.status.conditions, "PlanDrift") is None


def test_suspended_it_rests_and_begins_its_step_anew() -> None:
    life = Canary()
    life.run()
    life.edit(suspend=True)
    life.run()
    assert life.at == ("Suspended", 1)
    assert sum(life.specified().values()) == 0
    life.clock.advance(86400)
    life.edit(suspend=False)
    life.run()
    assert (life.at, life.specified()) == (("Baking", 1), {life.first: 4, life.target: 1})


def test_scaled_on_the_way_each_revision_has_its_share_of_the_total() -> None:
    life = Canary()
    life.run()
    for wanted, share in ((8, 2), (12, 3), (4, 1)):
        life.edit(replicas=wanted)
        life.run()
        assert life.specified() == {life.first: wanted, life.target: share}
    assert life.at == ("Baking", 1)


def test_the_stable_replicas_are_back_before_the_others_go() -> None:
    life = Canary(steps=[{"weight": 100, "bakeSeconds": 3600}])
    life.run()
    second = life.target
    for pod in [pod for pod in life.pods() if pod["metadata"]["labels"]["deepseek-operator.io/revision"] == life.first]:
        life.world.run(pod, ready=False)
    life.world.run_deployment_controller()
    life.annotate(turns=False, rollback=life.first)
    assert life.specified() == {life.first: 4, second: 4}
    life.run()
    assert life.specified() == {life.first: 4}


def test_a_wiped_status_begins_the_run_anew_beside_what_serves() -> None:
    life = Canary()
    life.run()
    life.after(BAKE_S)
    life.cluster.edit(SERVING, NAMESPACE, NAME, lambda live: live.update(status={"observedGeneration": -1}))
    life.operator.settle()
    life.run()
    assert life.status.canary is not None
    assert (life.at, life.status.canary.stable) == (("Baking", 1), life.first)
    assert life.specified()[life.first] == 4


def test_nothing_is_written_while_it_bakes() -> None:
    life = Canary()
    life.run()
    written = sum(change.resource == SERVING for change in life.changes)
    life.after(BAKE_S / 2)
    assert sum(change.resource == SERVING for change in life.changes) == written


def test_the_longest_canary_is_recorded_whole() -> None:
    metric = {"type": "PromQL", "name": "a" * 63, "query": "ü" * 1024, "max": "1"}
    steps = [{"weight": 25, "bakeSeconds": 3600, "analysis": {"metrics": [metric] * 8}}] * 10
    life = Canary(steps=steps)
    life.run()
    record = life.serving()["status"]["record"]["canary"]
    (bound,) = [one.max_length for one in CanaryStatus.model_fields["pinned"].metadata]
    assert 80_000 < len(record["pinned"]) <= bound
    assert life.at == ("Baking", 1)


def test_a_new_best_of_a_training_that_is_followed_begins_a_run() -> None:
    model = {"fromTraining": {"name": "tune", "checkpoint": "Best", "update": "OnNewBest"}}
    rollout = {"strategy": "RollingUpdate", "canary": {"steps": STEPS}}
    ended = a_training(exports=[100, 200], result="Complete", bestCheckpoint={"step": 100})
    life = ServingLife(ended, model=model, replicas=4, rollout=rollout)
    life.run()
    life.train(exports=[], bestCheckpoint={"step": 200})
    life.run()
    assert (life.status.summary.model, life.status.canary) == ("tune@100", None)
    life.train(exports=[100, 200], result="Complete", bestCheckpoint={"step": 200})
    life.run()
    assert life.status.canary is not None
    assert (life.status.canary.phase, life.status.summary.model) == ("Baking", "tune@100 → tune@200")


@pytest.mark.parametrize("promoted", [False, True])
def test_a_rollback_to_another_kept_revision_stays_there_without_its_annotation(promoted: bool) -> None:
    life = Canary(steps=[{"weight": 25, "bakeSeconds": 0}])
    life.run(rounds=8)
    second = life.status.stable
    steps = [{"weight": 25, "bakeSeconds": 0 if promoted else 86400}]
    life.edit(engine={"maxConcurrency": 9}, rollout={"strategy": "RollingUpdate", "canary": {"steps": steps}})
    life.run(rounds=8)
    third = life.target
    assert (life.at[0] == "Completed") == promoted
    life.annotate(rollback=life.first)
    life.annotate()
    life.after(3600)
    assert len({life.first, second, third}) == 3
    assert (life.specified(), life.status.stable, life.at[0]) == ({life.first: 4}, life.first, "RolledBack")
