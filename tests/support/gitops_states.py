"""Trainings and servings in every phase, as they are stored: what Argo CD and kstatus are asked about.

Each name begins with the health that Argo CD is meant to show, as the files of its own repository are named.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from deepseek_operator.adapters.memory import Stored
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.kinds.serving.verbs import PAUSE, ROLLBACK
from tests.support.argocd import acted, enabled
from tests.support.serving_life import NAME as SERVING_NAME
from tests.support.serving_life import ServingLife
from tests.support.serving_states import STATES as SERVING_STATES
from tests.support.servings import NAMESPACE as SERVING_NAMESPACE
from tests.support.sleep_life import SleepLife
from tests.support.training_states import REFUSED
from tests.support.trainings import NAME, NAMESPACE, Life

State: TypeAlias = Callable[[], Stored]

STEPS = [{"weight": 25, "bakeSeconds": 60}, {"weight": 50, "bakeSeconds": 60, "pause": True}]
NO_CLAIM = [{"source": {"uri": "pvc://nosuch/a.jsonl"}}]


def _training(live: Callable[[Life], Any]) -> State:
    def state() -> Stored:
        life = Life()
        live(life)
        found = life.cluster.read(TRAINING, NAMESPACE, NAME)
        assert found is not None
        return found

    return state


def _suspended(life: Life) -> Life:
    return life.begin().running().edit(lambda spec: spec.update(suspend=True))


TRAININGS: Mapping[str, State] = {
    "progressing_pending": _training(lambda life: life.begin(datasets=NO_CLAIM)),
    "progressing_starting": _training(lambda life: life.begin()),
    "progressing_restarting": _training(lambda life: life.begin().running().crash()),
    "progressing_stopping": _training(_suspended),
    "healthy_running": _training(lambda life: life.begin().running()),
    "healthy_complete": _training(lambda life: life.begin().running().complete()),
    "suspended_as_asked": _training(lambda life: _suspended(life).gone()),
    "degraded_refused_input": _training(lambda life: life.begin().running().crash(code=64, message=REFUSED)),
    "degraded_too_many_restarts": _training(
        lambda life: life.begin(failurePolicy={"maxRestarts": 0}).running().crash()
    ),
    "degraded_unknown_profile": _training(lambda life: life.begin(accelerator={"profile": "nosuch"})),
}


class Canary(ServingLife):
    """Four replicas of a first version, rolled out, and a second one that is asked for."""

    namespace, name = SERVING_NAMESPACE, SERVING_NAME

    def __init__(self, **canary: Any) -> None:
        rollout = {"strategy": "RollingUpdate", "canary": {"steps": STEPS, **canary}}
        super().__init__(replicas=4, rollout=rollout)
        self.run()
        self.edit(engine={"maxConcurrency": 8})
        self.run()

    def after(self, seconds: float) -> "Canary":
        self.clock.advance(seconds)
        self.operator.settle()
        self.run(rounds=8)
        return self

    def act(self, action: str) -> None:
        """A person takes an action of Argo CD's, that it offers."""
        before = self.serving()
        assert action in enabled(before)
        after = acted(before, action)
        self.cluster.edit(SERVING, self.namespace, self.name, lambda live: live.update(metadata=after["metadata"]))
        self.operator.settle()
        self.run()

    @property
    def at(self) -> tuple[str, int]:
        """Phase and step of the run."""
        assert self.status.canary is not None
        return self.status.canary.phase, self.status.canary.step

    def annotated(self, key: str) -> "Canary":
        """The verb's annotation, as `kubectl deepseek` writes it."""
        run = self.status.canary
        assert run is not None
        value = f"{run.stable}/1" if key == ROLLBACK else run.target
        changed = {**self.serving()["metadata"].get("annotations", {}), key: value}
        self.cluster.edit(SERVING, self.namespace, self.name, lambda live: live["metadata"].update(annotations=changed))
        self.operator.settle()
        self.run()
        return self


def _compared() -> Stored:
    life = Canary(steps=[{"replicas": 1, "bakeSeconds": 60}], match={"percent": 20})
    return life.after(60).after(130).serving()


def _stuck(**canary: Any) -> ServingLife:
    """Replicas of the second version never run."""
    rollout = {"strategy": "RollingUpdate", "canary": {"steps": STEPS, "stallSeconds": 30, **canary}}
    life = ServingLife(replicas=4, rollout=rollout)
    life.run()
    life.edit(engine={"maxConcurrency": 8})
    life.clock.advance(31)
    life.operator.settle()
    return life


def _rejected() -> Stored:
    life = _stuck(onInconclusive="Rollback")
    life.run()
    return life.serving()


def _asleep() -> SleepLife:
    life = SleepLife()
    life.falls_asleep()
    return life


def _waking() -> Stored:
    life = _asleep()
    life.somebody_waits()
    return life.serving()


def _scaling() -> Stored:
    life = ServingLife(replicas=1)
    life.run()
    life.edit(replicas=3)
    return life.serving()


def _deleting() -> Stored:
    life = _scaling()
    return {**life, "metadata": {**life["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}}


def _life(**spec: Any) -> State:
    def state() -> Stored:
        life = ServingLife(**spec)
        life.run()
        return life.serving()

    return state


def _one_look(name: str) -> State:
    """A look of tests/support/serving_states.py."""
    (found,) = (state.values[0] for state in SERVING_STATES if state.id == name)
    made: State = found
    return made


SERVINGS: Mapping[str, State] = {
    "progressing_pending": _one_look("no claim"),
    "progressing_loading": _one_look("loading"),
    "progressing_rolling": _one_look("rolling"),
    "progressing_scaling": _scaling,
    "progressing_without_room": _one_look("rolling without room"),
    "progressing_failing": _one_look("rolling to what crashes"),
    "progressing_canary": lambda: Canary().serving(),
    "progressing_waking": _waking,
    "healthy_available": _life(replicas=2),
    "healthy_asleep": lambda: _asleep().serving(),
    "healthy_canary_completed": lambda: _promoted().serving(),
    "healthy_canary_rolled_back_by_annotation": lambda: Canary().annotated(ROLLBACK).after(60).serving(),
    "healthy_rolled_back_by_name": lambda: _promoted().annotated(ROLLBACK).after(60).serving(),
    "suspended_as_asked": _life(suspend=True),
    "suspended_canary_paused_by_annotation": lambda: Canary().annotated(PAUSE).serving(),
    "suspended_canary_waits_for_a_person": lambda: Canary().after(60).after(60).serving(),
    "suspended_canary_held": lambda: _stuck().serving(),
    "suspended_canary_compared": _compared,
    "degraded_canary_rejected": _rejected,
    "degraded_model_not_found": _one_look("a first version that can't be"),
}


def _promoted() -> Canary:
    life = Canary(steps=[{"weight": 100, "bakeSeconds": 1}])
    return life.after(2).after(1).after(1)


STATES: Mapping[tuple[str, str], State] = {
    **{(TRAINING.kind, name): state for name, state in TRAININGS.items()},
    **{(SERVING.kind, name): state for name, state in SERVINGS.items()},
}
"""By kind and name."""
