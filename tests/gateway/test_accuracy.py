"""A version that is worse at what it was trained for goes back by itself: both were trained by the operator, serve by the
built-in engine behind a real Envoy, and are asked held-out prompts by a real examiner at their own Services.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.gateway.fleet import CLAIM, LOOK_S
from tests.gateway.load import Load, completion
from tests.gateway.servings import LIMIT_S, PARENT, available, events, serving, status, writer
from tests.support import bed as beds
from tests.support import gateway_bed
from tests.support.kubectl import Kubectl, until

pytestmark = pytest.mark.timeout(900)

TRAINING = Path(__file__).parents[2] / "examples/quickstart/training.yaml"
NAME, HOST = "examined", "examined.example.com"
STEPS = {"good": 300, "poor": 30}
"""Of each training: one that has learnt it, and one that has begun to."""
SAMPLES, MOST_DROP = 100, 0.05
INTERVAL_S, FAILURE_LIMIT = 10, 2
EXAMS_S = 120
"""Two exams of a hundred prompts, whose pods import torch, on a busy machine."""
HELD_OUT = """
import json
from deepseek_runtime.trainer.data.tasks import examples
with open("/data/heldout.jsonl", "w") as file:
    file.writelines(json.dumps({"prompt": p, "completion": c}) + "\\n" for p, c in examples("uppercase", "Heldout"))
"""


def training(name: str) -> str:
    """The quickstart's, in one pod."""
    found: dict[str, Any] = yaml.safe_load(TRAINING.read_text())
    spec = found["spec"]
    spec["hyperparameters"] |= {"maxSteps": STEPS[name], "evalEverySteps": STEPS[name], "warmupSteps": 10}
    spec["checkpoints"]["everySteps"] = STEPS[name]
    return json.dumps({**found, "metadata": {"name": name}, "spec": {**spec, "nodes": {"count": 1}}})


def examined(of: str, version: int) -> str:
    """One replica of what a training exported; each version is another revision."""
    metric = {"type": "Accuracy", "data": "pvc://models/heldout.jsonl", "samples": SAMPLES, "maxDrop": str(MOST_DROP)}
    analysis = {"intervalSeconds": INTERVAL_S, "failureLimit": FAILURE_LIMIT, "minimumSamples": 0, "metrics": [metric]}
    engine = {"resources": {"cpu": "50m", "memory": "1Gi"}, "env": [{"name": "LOG_LEVEL", "value": f"v{version}"}]}
    steps = [{"replicas": 1, "weight": 50, "bakeSeconds": 20, "analysis": analysis}]
    return serving(
        NAME, {"fromTraining": {"name": of}, "name": "uppercase"}, engine=engine, replicas=1,
        gateway={"parentRef": PARENT, "hostnames": [HOST]}, rollout={"canary": {"steps": steps, "stallSeconds": 300}},
    )  # fmt: skip


@pytest.fixture(scope="module")
def team(kubectl: Kubectl, say: Callable[[str], None]) -> Iterator[Kubectl]:
    """Held-out prompts on a claim, both trainings complete, and the good one served."""
    kubectl.apply(json.dumps(CLAIM))
    for name in STEPS:
        kubectl.apply(training(name))
    kubectl.apply(json.dumps(writer(beds.RUNTIME_IMAGE, HELD_OUT)))
    for name in STEPS:
        kubectl.run(
            "wait",
            "--for=jsonpath={.status.phase}=Complete",
            f"deepseektraining/{name}",
            "--timeout=300s",
            timeout_s=310,
        )
        say(
            f"{name} is trained: {json.dumps(kubectl.json('get', 'deepseektraining', name)['status'].get('checkpoints'))}"
        )
    kubectl.apply(examined("good", 1))
    available(kubectl, NAME)
    yield kubectl
    kubectl.run("delete", "deepseekserving", NAME)
    kubectl.run("delete", "deepseektraining", *STEPS)


def run(kubectl: Kubectl) -> dict[str, Any]:
    return dict(status(kubectl, NAME).get("canary") or {})


def ends(kubectl: Kubectl, after: int) -> dict[str, Any]:
    """The run with a higher number than `after`, once it is over."""

    def look() -> dict[str, Any] | None:
        found = run(kubectl)
        over = found.get("phase") in ("Completed", "RolledBack", "Held")
        return found if found.get("run", 0) > after and over else None

    found: dict[str, Any] = until(f"run {after + 1} is over", look, timeout_s=LIMIT_S + EXAMS_S, every_s=LOOK_S)
    return found


def test_a_version_that_answers_fewer_held_out_prompts_goes_back_and_one_as_good_takes_its_place(
    team: Kubectl, say: Callable[[str], None]
) -> None:
    address, first = gateway_bed.address(team), str(status(team, NAME)["stable"])
    with Load(address, HOST, 1, 0.2, body=completion(model="uppercase", prompt="hello=", max_tokens=8)) as load:
        until("it answers", lambda: load.statuses[200] > 0, timeout_s=60)
        failed = len(load.failures)
        team.apply(examined("poor", 2))
        seen: dict[str, dict[str, Any]] = {}

        def is_judged() -> bool:
            seen.update({exam["revision"]: exam for exam in run(team).get("exams", ())})
            return run(team).get("phase") in ("Completed", "RolledBack", "Held")

        until("it is judged", is_judged, timeout_s=LIMIT_S + EXAMS_S, every_s=LOOK_S)
        worse = ends(team, 0)
        say(f"{worse['phase']}: {worse['message']}; exams: {json.dumps(seen)}")
        assert (worse["phase"], worse["analysis"]["failures"]) == ("RolledBack", FAILURE_LIMIT)
        marks = {revision: float(exam["accuracy"]) for revision, exam in seen.items() if exam["phase"] == "Complete"}
        assert marks.keys() == {first, worse["target"]}
        assert marks[worse["target"]] < marks[first] - MOST_DROP
        until("it is told", lambda: status(team, NAME).get("phase") == "RolledBack", timeout_s=LIMIT_S)
        until("no exam is left", lambda: exams(team) == [], timeout_s=60)
        team.run("annotate", "deepseekserving", NAME, "looked-at=again")
        team.apply(examined("poor", 2))
        told = events(team, NAME)
        say(f"told: {told}")
        team.apply(examined("good", 3))
        better = ends(team, int(worse["run"]))
        say(f"{better['phase']}: {better.get('message', '')}")
        assert (better["run"], better["phase"]) == (worse["run"] + 1, "Completed"), "the worse one was tried once"
        available(team, NAME)
    say(f"{sum(load.statuses.values())} requests, {load.failures[failed:]} failed")
    assert status(team, NAME)["stable"] not in (first, worse["target"])
    assert load.failures[failed:] == []


def exams(kubectl: Kubectl) -> list[str]:
    """Jobs that examine."""
    return [
        one["metadata"]["name"]
        for one in kubectl.list("jobs")
        if "deepseek-operator.io/exam" in one["metadata"].get("annotations", {})
    ]
