"""Released trainers in pods of a whole cluster, from the spec: evicted, killed, torn, finished.

Their image is the runtime's with what `tests/run trainers` installed in front of it, so that they import their own
transformers; the launcher comes from the operator's image, as into a user's own.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import bed as beds
from tests.support.kubectl import Kubectl, until
from tests.support.watched import Watched
from tests.trainers.installed import TRAINERS

pytestmark = pytest.mark.timeout(1500)

HERE = Path(__file__).parent
SITE = "/opt/trainer/site-packages"
PROGRAMS = {"llama-factory": "llamafactory-cli", "ms-swift": "swift"}
STEPS, EVERY = 2500, 50
START_S = 300
"""Such a trainer imports for half a minute where nothing else runs."""

PREPARE = """
import json, pathlib, subprocess, sys
pathlib.Path("/models/tiny").mkdir()
subprocess.run([sys.executable, "/app/make_model.py", "/models/tiny", "0"], check=True)
turns = [(f"what is {n} plus one?", f"it is {n + 1}.") for n in range(64)]
chats = [{"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]} for q, a in turns]
pathlib.Path("/models/tiny/model.safetensors").chmod(0o644)
pathlib.Path("/models/chats.jsonl").write_text("".join(json.dumps(one) + chr(10) for one in chats))
"""


@pytest.fixture(scope="session", params=TRAINERS)
def trainer(request: pytest.FixtureRequest, bed: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A trainer and the name of its image."""
    name = str(request.param)
    venv, folder = TRAINERS[name], tmp_path_factory.mktemp(name)
    (site,) = venv.glob("lib/python3.*/site-packages")
    # First of all that Python finds, as in an image that was made for it; torchao is the runtime's, and their peft knows no
    # such new one.
    (folder / "trainer.pth").write_text(f"import sys; sys.path.insert(0, '{SITE}'); sys.modules['torchao'] = None\n")
    program = (venv / "bin" / PROGRAMS[name]).read_text().splitlines()
    (folder / "program").write_text("\n".join(["#!/usr/bin/python3", *program[1:]]) + "\n")
    (folder / "program").chmod(0o755)
    image = f"example.com/{name}:dev"
    files = {
        site: SITE,
        folder / "trainer.pth": "/usr/local/lib/python3.11/dist-packages/trainer.pth",
        folder / "program": f"/usr/local/bin/{PROGRAMS[name]}",
        HERE / "make_model.py": "/app/make_model.py",
    }
    added = [word for path, inside in files.items() for word in ("--file", f"{path}={inside}")]
    beds.tests_cluster("images", "--add", image, "--from", "runtime", *added)
    return name, image


@pytest.fixture
def models(kubectl: Kubectl, trainer: tuple[str, str]) -> str:
    """A claim with a tiny model and a file of chats."""
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "models"},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    secure = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "prepare"},
        "spec": {
            "restartPolicy": "Never",
            "securityContext": {"fsGroup": 65532},
            "volumes": [{"name": "models", "persistentVolumeClaim": {"claimName": "models"}}],
            "containers": [
                {
                    "name": "prepare",
                    "image": trainer[1],
                    "imagePullPolicy": "Never",
                    "command": ["python3", "-c", PREPARE],
                    "securityContext": secure,
                    "volumeMounts": [{"name": "models", "mountPath": "/models"}],
                }
            ],
        },
    }
    kubectl.apply(json.dumps({"apiVersion": "v1", "kind": "List", "items": [claim, pod]}))

    def made() -> bool:
        phase = (kubectl.get("pod", "prepare") or {}).get("status", {}).get("phase")
        assert phase != "Failed", kubectl.run("logs", "prepare")
        return bool(phase == "Succeeded")

    until("the model is made", made, timeout_s=START_S)
    return "models"


@pytest.fixture
def tuned(kubectl: Kubectl, trainer: tuple[str, str], models: str) -> Iterator[Watched]:
    """A training by that trainer, of an adapter."""
    kubectl.apply(json.dumps(training(*trainer, models)))
    watched = Watched(kubectl, "tuned")
    yield watched
    watched.close()


def training(name: str, image: str, claim: str) -> dict[str, Any]:
    """What a user would write."""
    return {
        "apiVersion": "deepseek-operator.io/v1alpha1",
        "kind": "DeepSeekTraining",
        "metadata": {"name": "tuned"},
        "spec": {
            "model": {"name": "deepseek-r1-distill-qwen-7b", "source": {"uri": f"pvc://{claim}/tiny"}},
            "method": {"type": "LoRA", "lora": {"rank": 4, "export": "Adapter"}},
            "datasets": [{"source": {"uri": f"pvc://{claim}/chats.jsonl"}, "format": "Messages"}],
            "hyperparameters": {
                "globalBatchSize": 4,
                "sequenceLength": 128,
                "learningRate": "1e-3",
                "precision": "fp32",
                "maxSteps": STEPS,
            },
            "trainer": {
                "type": name,
                "image": image,
                "resources": {"cpu": "100m", "memory": "3Gi"},
                "pod": {"terminationGracePeriodSeconds": 60},
            },
            "checkpoints": {"everySteps": EVERY, "volume": {"size": "1Gi", "accessMode": "ReadWriteMany"}},
        },
    }


def test_an_eviction_saves_and_is_a_disruption_and_a_kill_costs_no_more_than_an_interval(tuned: Watched) -> None:
    def saved(status: dict[str, Any]) -> int:
        return int(status.get("lastCheckpoint", {}).get("step", 0))

    def progress(attempt: int, beyond: int) -> dict[str, Any]:
        return tuned.until(
            f"attempt {attempt} is beyond step {beyond}",
            lambda status: (
                status["attempt"]["number"] == attempt and status.get("progress", {}).get("step", 0) > beyond
            ),
            timeout_s=START_S,
        )

    before = tuned.until("a checkpoint", saved, timeout_s=START_S)
    (pod,) = tuned.pods(1)
    # It exits 0 when it is told to stop, and is not done for that.
    tuned.evict(pod, grace_s=60)
    stopped = tuned.until("attempt 1 has ended", lambda status: status.get("history"), timeout_s=120)
    assert (stopped["history"][0]["verdict"], stopped.get("restarts", 0)) == ("Disruption", 0)
    assert stopped.get("result") is None
    assert saved(stopped) >= saved(before)

    running = progress(2, saved(stopped))
    assert running["progress"]["firstStep"] == saved(stopped) + 1
    (pod,) = tuned.pods(2)
    root = f"/checkpoints/{running['record']['uid']}"
    torn = f'd=$(dirname "$(find {root} -name "checkpoint-*" -type d | head -1)"); mkdir "$d/checkpoint-999999"; echo half > "$d/checkpoint-999999/adapter_model.safetensors"'
    tuned.kubectl.run("exec", pod, "--", "sh", "-c", torn)
    tuned.signal(pod, "SIGKILL")
    crashed = tuned.until("the crash is counted", lambda status: status.get("restarts") == 1, timeout_s=120)
    assert crashed["disruptions"] == 1

    done = tuned.until_result("Complete", timeout_s=START_S)
    assert (done["restarts"], done["disruptions"], done["attempt"]["number"]) == (1, 1, 3)
    assert done["progress"]["firstStep"] > saved(stopped)
    assert done["exports"][-1] == STEPS
