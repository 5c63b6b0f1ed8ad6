"""The chapters of the main job, in order, and what each one promises."""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deepseek_runtime.trainer.data.tasks import examples
from tests.main_job import serving, training
from tests.main_job.pictures import Moment, Step, draw_loss, draw_scaling
from tests.main_job.telling import Teller, sparkline
from tests.support import bed
from tests.support.kubectl import Kubectl

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "examples" / "quickstart"
NAMESPACE = "quickstart"
TRAINING, SERVING = "uppercase", "uppercase"

KILL_AFTER_STEP = 60
ACCURACY_GOAL = 0.95
CLIENTS = 12
LOAD_SECONDS = 600


@dataclass
class Told:
    """What happened, for the test that asks questions about it."""

    trained: training.Trained = field(default_factory=training.Trained)
    served_accuracy: float = 0.0
    trainer_accuracy: float = 0.0
    moments: list[Moment] = field(default_factory=list)
    seconds: float = 0.0


def tell(teller: Teller, out: Path) -> Told:
    """The whole story on the cluster that is there, or on one that is brought up.

    Raises:
        NotReached, CommandFailed, AssertionError: something that it promises did not happen.
    """
    told = Told()
    teller.chapter("A Kubernetes with the operator on it")
    kubectl = bed.ready(say=teller.say).within(NAMESPACE)
    bed.fresh_namespace(kubectl, NAMESPACE)
    _train(teller, kubectl, told, out)
    _serve(teller, kubectl, told)
    _scale(teller, kubectl, told, out)
    _look(teller, kubectl)
    told.seconds = teller.seconds
    teller.chapter(f"Done in {teller.seconds:.0f} s; pictures in {out}")
    return told


def _train(teller: Teller, kubectl: Kubectl, told: Told, out: Path) -> None:
    teller.chapter("DeepSeekTraining: two pods learn to write in capitals; one of them is killed")
    manifest = (QUICKSTART / "training.yaml").read_text()
    told.trained = training.run_training(
        kubectl, manifest, TRAINING, kill_after_step=KILL_AFTER_STEP, timeout_s=420, say=teller.say
    )
    steps, status = told.trained.steps, told.trained.status
    draw_loss(steps, told.trained.checkpoints, out / "loss.png")
    for attempt in sorted({step.attempt for step in steps}):
        mine = [step for step in steps if step.attempt == attempt]
        teller.say(
            f"attempt {attempt}: steps {mine[0].step} to {mine[-1].step}, loss {mine[0].loss:.3f} to {mine[-1].loss:.3f}"
        )
        teller.show(sparkline([step.loss for step in mine]))
    teller.say(
        f"checkpoints at steps {', '.join(map(str, told.trained.checkpoints))}; worker killed after step {told.trained.killed_after}"
    )
    teller.say(
        "accuracy on held-out prompts: "
        + ", ".join(f"step {step}: {value:.1%}" for step, value in told.trained.accuracies)
    )
    told.trainer_accuracy = told.trained.accuracies[-1][1]
    assert told.trained.killed_after is not None, "no worker was killed"
    assert status["disruptions"] >= 1, f"the kill should be a disruption: {status}"
    assert not status.get("restarts"), f"a killed worker costs no restart: {status}"
    assert len({step.attempt for step in steps}) >= 2, "the training did not resume"
    repeated = _repeated(steps)
    teller.say(
        f"{len(repeated)} steps were computed twice, before the kill and after the resume; their losses are bit-identical"
    )
    assert repeated, "no step was lost: the kill was no kill"
    assert all(len(losses) == 1 for losses in repeated.values()), f"not the same training: {repeated}"
    assert told.trained.accuracies[0][1] < 0.1, f"it knew the answers before: {told.trained.accuracies[0]}"
    assert told.trainer_accuracy >= ACCURACY_GOAL, f"accuracy {told.trainer_accuracy:.1%} is below {ACCURACY_GOAL:.0%}"


def _repeated(steps: list[Step]) -> dict[int, set[float]]:
    """Losses of the steps that more than one attempt computed."""
    by_step: dict[int, list[float]] = {}
    for step in steps:
        by_step.setdefault(step.step, []).append(step.loss)
    return {step: set(losses) for step, losses in by_step.items() if len(losses) > 1}


def _serve(teller: Teller, kubectl: Kubectl, told: Told) -> None:
    teller.chapter("DeepSeekServing: the trained weights over HTTP")
    kubectl.apply((QUICKSTART / "serving.yaml").read_text())
    found = serving.wait_available(kubectl, SERVING, timeout_s=120)
    url, model = found["status"]["url"], found["status"]["summary"]["model"]
    teller.say(f"{url} serves {model}")
    prompts = [{"prompt": prompt, "completion": answer} for prompt, answer in examples("uppercase", "Heldout")]
    serving.provide_files(kubectl, "load-files", prompts)
    answer = serving.measure_accuracy(kubectl, url, SERVING, bed.RUNTIME_IMAGE, timeout_s=180)
    told.served_accuracy = answer["accuracy"]
    teller.say(
        f"the served model answers {answer['right']} of {answer['asked']} held-out prompts: {answer['accuracy']:.1%}"
    )
    assert abs(told.served_accuracy - told.trainer_accuracy) < 1e-9, (
        f"served {told.served_accuracy:.4f}, trainer {told.trainer_accuracy:.4f}: {answer['wrong']}"
    )


def _scale(teller: Teller, kubectl: Kubectl, told: Told, out: Path) -> None:
    teller.chapter("Load: the HorizontalPodAutoscaler goes 1 → 3 → 1")
    url, since = kubectl.json("get", "deepseekserving", SERVING)["status"]["url"], time.monotonic()
    load = serving.Load(kubectl, url, SERVING, bed.RUNTIME_IMAGE, CLIENTS, LOAD_SECONDS)
    try:
        serving.watch_replicas(
            kubectl, SERVING, load, lambda m: m.ready >= 3, told.moments, since=since, timeout_s=150, say=teller.say
        )
        held = time.monotonic()
        serving.watch_replicas(
            kubectl,
            SERVING,
            load,
            lambda _: time.monotonic() - held > 10,
            told.moments,
            since=since,
            timeout_s=60,
            say=teller.say,
        )
    finally:
        load.stop()
    teller.say(f"load ends: {load.answered} answered, {load.refused} refused (queue full), {load.failed} failed")
    serving.watch_replicas(
        kubectl,
        SERVING,
        None,
        lambda m: m.wanted == 1 and m.ready == 1,
        told.moments,
        since=since,
        timeout_s=180,
        say=teller.say,
    )
    draw_scaling(told.moments, out / "scaling.png")
    teller.show("replicas ready  " + sparkline([float(m.ready) for m in told.moments]))
    teller.show("in flight       " + sparkline([m.in_flight or 0.0 for m in told.moments]))
    teller.say("what the autoscaler said:")
    teller.show(_autoscaler_events(kubectl))


def _autoscaler_events(kubectl: Kubectl) -> str:
    events: list[dict[str, Any]] = kubectl.json(
        "get", "events", "--field-selector=involvedObject.kind=HorizontalPodAutoscaler"
    )["items"]
    rescales = [event for event in events if event["reason"] == "SuccessfulRescale"]
    return "\n".join(event["message"] for event in rescales) or json.dumps([event["message"] for event in events[-3:]])


def _look(teller: Teller, kubectl: Kubectl) -> None:
    teller.chapter("What a person sees")
    teller.show("$ kubectl get deepseek")
    teller.show(kubectl.run("get", "deepseek"))
    teller.show(f"$ kubectl describe deepseektraining {TRAINING}")
    teller.show(kubectl.run("describe", "deepseektraining", TRAINING))
