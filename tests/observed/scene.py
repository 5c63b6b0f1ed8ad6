"""What runs while it is observed: a training on a card, servings of a trained model and of the tests' engine, behind a real Envoy
with a gate and a cache. Each is well until a test provokes it.
"""

import json
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.written import builtin, hyperparameters, scaling, tiny, tune
from tests.e2e.written import manifest as of_the_trained
from tests.gateway.fleet import CLAIM
from tests.gateway.keyring import KEYS, bearer, config_map, entry, new_key
from tests.gateway.load import ask, completion
from tests.gateway.servings import ENGINE, ENGINE_IMAGE, PARENT, serving, writer
from tests.main_job.serving import Load, provide_files, wait_available
from tests.observed.exporter import Exporter
from tests.observed.scraping import real_node
from tests.support import bed as beds
from tests.support import gateway_bed
from tests.support.kubectl import Kubectl, until
from tests.support.nginx_image import NGINX_IMAGE
from tests.support.prometheus import Store
from tests.support.watched import Watched

CARD = "example.com/card"
ROOM_MIB = 32
"""Of the claim `small`: a file system of its own, since a folder of the node's has no room that a kubelet tells."""
KEY = new_key()
READY_S = 240.0
ROUTED = {"parentRef": PARENT, "auth": {"apiKeys": True}}
EXAMINED = """
import json
with open("/data/heldout.jsonl", "w") as file:
    file.writelines(json.dumps({"prompt": f"{number}=", "completion": "OK"}) + "\\n" for number in range(20))
"""
PORT = 8000


@dataclass
class Scene:
    """All of it.

    Attributes:
        room: where the claim `small` lies on this machine.
        began_s: since when all is there, Unix time.
    """

    kubectl: Kubectl
    bed: Kubectl
    store: Store
    exporter: Exporter
    room: Path
    began_s: float = field(default_factory=time.time)
    load: Load | None = None

    @property
    def steady(self) -> Watched:
        """The training."""
        return Watched(self.kubectl, "steady")

    def pod(self, name: str) -> dict[str, Any]:
        """The one pod of a serving."""
        found: dict[str, Any] = self.kubectl.list("pods", f"deepseek-operator.io/serving={name}")[0]
        return found

    def restarts(self, name: str) -> int:
        """Starts over again of the serving's container."""
        return int(self.pod(name)["status"]["containerStatuses"][0]["restartCount"])

    def get(self, name: str, path: str) -> None:
        """A request to the serving's pod; what it answers, or that it does not, is nothing here."""
        with suppress(OSError):
            urllib.request.urlopen(f"http://{self.pod(name)['status']['podIP']}:{PORT}{path}", timeout=5).close()


def _exam() -> dict[str, Any]:
    metric = {"type": "Accuracy", "data": "pvc://models/heldout.jsonl", "samples": 20, "maxDrop": "0.05"}
    analysis = {"intervalSeconds": 10, "failureLimit": 100, "minimumSamples": 0, "metrics": [metric]}
    return {"canary": {"steps": [{"replicas": 1, "weight": 50, "bakeSeconds": 600, "analysis": analysis}]}}


def _routed(name: str, **more: Any) -> dict[str, Any]:
    return {**ROUTED, "hostnames": [f"{name}.example.com"], **more}


_QUICK = {"terminationGracePeriodSeconds": 5}
_PLAIN: dict[str, Any] = {"replicas": 1, "pod": _QUICK}
_SLEEPY = {
    "minReplicas": 0, "maxReplicas": 2, "signals": [{"type": "InFlight", "target": 1000}],
    "scaleDownStabilizationSeconds": 0, "wake": {"idleSeconds": 3600, "holdSeconds": 60},
}  # fmt: skip
FIXED: dict[str, dict[str, Any]] = {
    "crash": _PLAIN,
    "stuck": _PLAIN,
    "card": {**_PLAIN, "accelerator": {"resource": CARD, "perNode": 1}},
    "blind": {"pod": _QUICK, "autoscaling": scaling(2, 4, 30)},
    "judged": {"replicas": 1, "gateway": _routed("judged"), "rollout": _exam()},
    "kept": {
        "replicas": 1,
        "gateway": _routed(
            "kept",
            cache={"image": NGINX_IMAGE, "ttlSeconds": 3600, "maxSize": "16Mi"},
            limits={"maxBodySize": "1Mi"},
            timeouts={"requestSeconds": 60},
        ),
    },
    "idle": {"gateway": _routed("idle"), "autoscaling": _SLEEPY},
}
"""Of each serving of the tests' engine what it has beside its engine."""
CLAIMS = {"card": "small"}
"""Which claim a serving mounts, where that is not `models`."""


def written(name: str, version: int = 1, env: dict[str, str] | None = None, **engine: Any) -> str:
    """A serving of the tests' engine; each version is another revision, `engine` is what its engine has besides."""
    variables = {"LOG_LEVEL": f"v{version}", **(env or {})}
    own = {
        "type": "custom",
        "image": ENGINE_IMAGE,
        "command": ["python3", "/app/engine.py", str(PORT), "0.02"],
        "env": [{"name": key, "value": value} for key, value in variables.items()],
        "resources": {"cpu": "10m", "memory": "128Mi"},
        **engine,
    }
    return serving(name, {"source": {"uri": f"pvc://{CLAIMS.get(name, 'models')}"}}, engine=own, **FIXED[name])


def training() -> dict[str, Any]:
    """One that would go on for hours: it is evaluated, saves every ten seconds, holds a card and yields to all others."""
    measure = ["python3", "-c", "import json; print(json.dumps({'own': 1}))"]
    return tiny(
        "steady",
        datasets=[
            {"source": {"uri": "builtin://uppercase"}},
            {"source": {"uri": "builtin://uppercase"}, "split": "Heldout"},
        ],
        hyperparameters={**hyperparameters(1_000_000), "evalEverySteps": 500},
        evaluation={"image": ENGINE_IMAGE, "command": measure, "resources": {"cpu": "10m", "memory": "64Mi"}},
        trainer={
            "resources": {"cpu": "10m", "memory": "2Gi"},
            "pod": _QUICK,
        },
        checkpoints={"everySeconds": 10, "volume": {"size": "1Gi", "accessMode": "ReadWriteMany"}},
        accelerator={"resource": CARD, "perNode": 1},
        failurePolicy={"preflightTimeoutSeconds": 0},  # it would look for the card
    )


def failing() -> dict[str, Any]:
    """One whose program can't do what it shall."""
    program = {"type": "custom", "image": ENGINE_IMAGE, "command": ["python3", "-c", "raise SystemExit(1)"]}
    return {
        "apiVersion": "deepseek-operator.io/v1alpha1",
        "kind": "DeepSeekTraining",
        "metadata": {"name": "failing"},
        "spec": {
            "trainer": {**program, "resources": {"cpu": "10m", "memory": "64Mi"}},
            "checkpoints": {"volume": {"claimName": "models", "subPath": "failing"}},
            "failurePolicy": {"maxRestarts": 0},
        },
    }


def set_up(kubectl: Kubectl, room: Path) -> None:
    """Everything is applied, and is there."""
    beds.tests_cluster("images", "--add", ENGINE_IMAGE, "--file", f"{ENGINE}=/app/engine.py")
    kubectl.apply(json.dumps(CLAIM))
    for one in small(kubectl, room):
        kubectl.apply(json.dumps(one))
    kubectl.apply(json.dumps(writer(ENGINE_IMAGE, EXAMINED)))
    provide_files(kubectl, "load-files", [])
    kubectl.apply(config_map(KEYS, "keys", {"alice": entry(KEY, "*")}))
    kubectl.apply(tune())
    for name in FIXED:
        kubectl.apply(written(name))
    complete = "--for=jsonpath={.status.phase}=Complete"
    kubectl.run("wait", complete, "deepseektraining/tune", "--timeout=240s", timeout_s=250)
    kubectl.apply(of_the_trained("chat", engine=builtin(concurrency=1), replicas=1))
    kubectl.apply(json.dumps(training()))
    for name in (*FIXED, "chat"):
        wait_available(kubectl, name, READY_S)
    until("steady runs", lambda: Watched(kubectl, "steady").status().get("phase") == "Running", timeout_s=READY_S)


def small(kubectl: Kubectl, room: Path) -> list[dict[str, Any]]:
    """A volume of the real node, and the claim that has it."""
    on = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [real_node(kubectl)]}]}
    size = {"storage": f"{ROOM_MIB}Mi"}
    volume = {
        "capacity": size,
        "accessModes": ["ReadWriteMany"],
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": "",
        "local": {"path": str(room)},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [on]}},
        "claimRef": {"namespace": kubectl.namespace, "name": "small"},
    }
    claim = {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "",
        "volumeName": VOLUME,
        "resources": {"requests": size},
    }
    return [
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": VOLUME}, "spec": volume},
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "small"}, "spec": claim},
    ]


VOLUME = "observed-small"


@contextmanager
def a_room(path: Path) -> Iterator[Path]:
    """A file system of ROOM_MIB there."""
    path.mkdir(parents=True, exist_ok=True)
    options = f"size={ROOM_MIB}m,mode=0777"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "observed", str(path)], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


@contextmanager
def cards(bed: Kubectl) -> Iterator[None]:
    """The real node claims to have two cards, which no device stands behind."""
    node = real_node(bed)

    def advertise(count: str | None) -> None:
        change = json.dumps({"status": {"capacity": {CARD: count}, "allocatable": {CARD: count}}})
        bed.run("patch", "node", node, "--subresource=status", "--type=merge", "--patch", change)

    advertise("2")
    try:
        yield
    finally:
        advertise(None)


@contextmanager
def asked(kubectl: Kubectl) -> Iterator[None]:
    """Clients that ask three servings through the Gateway, each twice a second, the same again and again."""
    address, ended = gateway_bed.address(kubectl), threading.Event()

    def run() -> None:
        while not ended.wait(0.5):
            for name in ("judged", "kept", "idle"):
                ask(address, f"{name}.example.com", "/v1/completions", completion(model=name), bearer(KEY))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(70)
