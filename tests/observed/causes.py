"""For each alert what makes it fire here, in a real cluster, and of which object it then tells."""

import json
import subprocess
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from examples.local_cluster import daemon
from examples.local_cluster.home import Home, default_root
from tests.main_job.serving import Load
from tests.observed.scene import ROOM_MIB, Scene, failing, written
from tests.support import bed as beds
from tests.support.kubectl import Kubectl, until
from tests.support.monitoring import Monitoring
from tests.support.release import NAME, NAMESPACE

CLIENTS = 24
SECRET, API_SERVICE = f"{NAME}-tls", "v1beta1.external.metrics.k8s.io"
SLOW_S = 0.9


@dataclass(frozen=True)
class Cause:
    """What is done to a scene.

    Attributes:
        labels: of the alert that follows, among others.
        provoke: None where the cause of another alert is this one's too.
    """

    alert: str
    labels: Mapping[str, str]
    provoke: Callable[[Scene], None] | None


def _idle(scene: Scene) -> None:
    (pod,) = scene.steady.pods(1)
    scene.exporter.busy[scene.kubectl.namespace, pod] = 5


def _busy(scene: Scene) -> None:
    scene.exporter.busy[scene.kubectl.namespace, scene.pod("card")["metadata"]["name"]] = 99


def _slow_disk(scene: Scene) -> None:
    scene.exporter.write_s = SLOW_S


def _freeze(scene: Scene) -> None:
    """Every process of the trainer but the launcher: what the pod tells goes on, the steps do not."""
    (pod,) = scene.steady.pods(1)
    scene.steady.signal(pod, "SIGSTOP")


def _kill(scene: Scene) -> None:
    """The engine ends, and again when the kubelet has started it again."""
    for number in (1, 2):
        scene.get("crash", "/die")
        until(f"start {number}", lambda least=number: scene.restarts("crash") >= least, timeout_s=60)  # type: ignore[misc]
        until("it answers", lambda: scene.pod("crash")["status"]["containerStatuses"][0]["ready"], timeout_s=60)


def _fill(scene: Scene) -> None:
    with (scene.room / "filler").open("wb") as file:
        file.write(bytes(int(0.95 * ROOM_MIB * 2**20)))


def _crowd(scene: Scene) -> None:
    """More clients than the engine has places for, each with one request at a time."""
    url = scene.kubectl.json("get", "deepseekserving", "chat")["status"]["url"]
    scene.load = Load(scene.kubectl, url, "chat", beds.RUNTIME_IMAGE, CLIENTS, 900, name="load-chat")


def _worse(scene: Scene) -> None:
    """A version that gives wrong answers."""
    scene.kubectl.apply(written("judged", 2, {"ENGINE_ANSWER": "no idea"}))


def _blind(scene: Scene) -> None:
    """The Prometheus that autoscaling asks dies; the one that observes is another."""
    Monitoring(Home(default_root())).kill()


def _no_image(scene: Scene) -> None:
    scene.kubectl.apply(written("stuck", 2, image="example.com/nosuch:dev"))


def _crash(scene: Scene) -> None:
    """A training whose program ends with an error, and that may not start again."""
    scene.kubectl.apply(json.dumps(failing()))


def _certificate(scene: Scene) -> None:
    """The operator serves with a certificate that ends tomorrow, which the API server believes."""
    system = scene.bed.within(NAMESPACE)
    host = f"{NAME}.{NAMESPACE}.svc"
    with TemporaryDirectory() as folder:
        key, certificate = Path(folder, "tls.key"), Path(folder, "tls.crt")
        subject = ["-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}"]
        options = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
        command = ["openssl", "req", *options, *subject, "-keyout", str(key), "-out", str(certificate)]
        subprocess.run(command, capture_output=True, check=True)
        encoded = {"tls.key": b64encode(key.read_bytes()), "tls.crt": b64encode(certificate.read_bytes())}
    data = {name: value.decode() for name, value in encoded.items()}
    data["ca.crt"] = data["tls.crt"]
    system.run("patch", "secret", SECRET, "--type=merge", f"--patch={json.dumps({'data': data})}")
    trusted = json.dumps({"spec": {"caBundle": data["ca.crt"]}})
    system.run("patch", "apiservice", API_SERVICE, "--type=merge", f"--patch={trusted}")


def _no_deployments(scene: Scene) -> None:
    """The operator may write no Deployment any more, and a revision needs one."""
    _take_away(scene, "deployments")
    scene.kubectl.apply(written("card", 2))


def _no_statuses(scene: Scene) -> None:
    """The operator may write no status any more, and something changes."""
    _take_away(scene, "deepseekservings/status")
    for name in ("crash", "card", "judged"):
        scene.kubectl.apply(written(name, 3))


def _take_away(scene: Scene, resource: str) -> None:
    """The rights to write it, and whatever shares a rule with it."""
    rules: list[dict[str, Any]] = scene.bed.json("get", "clusterrole", NAME)["rules"]
    left = [{**one, "verbs": ["get", "list", "watch"]} if resource in one["resources"] else one for one in rules]
    scene.bed.run("patch", "clusterrole", NAME, "--type=merge", f"--patch={json.dumps({'rules': left})}")


def _nobody_leads(scene: Scene) -> None:
    scene.bed.within(NAMESPACE).run("scale", f"deployment/{NAME}", "--replicas=0")


CAUSES = (
    Cause("DeepSeekDevicesIdle", {"kind": "training", "name": "steady"}, _idle),
    Cause("DeepSeekDevicesSaturated", {"kind": "serving", "name": "card"}, _busy),
    Cause("DeepSeekTrainingStalled", {"name": "steady"}, _freeze),
    Cause("DeepSeekNoCheckpoint", {"name": "steady"}, None),
    Cause("DeepSeekQueueGrowing", {"deepseek_serving": "chat"}, _crowd),
    Cause("DeepSeekLatencyHigh", {"deepseek_serving": "chat"}, None),
    Cause("DeepSeekClaimFilling", {"persistentvolumeclaim": "small"}, _fill),
    Cause("DeepSeekAccuracyDropped", {"name": "judged"}, _worse),
    Cause("DeepSeekAutoscalerBlind", {"name": "blind"}, _blind),
    Cause("DeepSeekRolloutStuck", {"name": "stuck"}, _no_image),
    Cause("DeepSeekObjectStalled", {"kind": "training", "name": "failing"}, _crash),
    Cause("DeepSeekCertificateExpiring", {"use": "external-metrics"}, _certificate),
    Cause("DeepSeekStorageSlow", {"device": "sda"}, _slow_disk),
    Cause("DeepSeekRestartStorm", {"kind": "serving", "name": "crash"}, _kill),
)
"""These at a time."""
LAST = (
    Cause("DeepSeekOperatorFailing", {"controller": "deepseekserving", "reason": "Forbidden"}, _no_deployments),
    Cause("DeepSeekOperatorFailing", {"controller": "deepseekserving", "reason": ""}, _no_statuses),
    Cause("DeepSeekOperatorNotReconciling", {}, _nobody_leads),
)
"""These one after the other when all others have fired: nothing is told of objects any more."""


def put_back(bed: Kubectl) -> None:
    """What whoever uses the cluster next expects: its Prometheus, and the operator as every test of it has it.

    It is installed anew: of what a cause changed, kubectl owns the fields since, and Helm refuses to write another value.
    """
    home = Home(default_root())
    record = daemon.read_record(home, "prometheus")
    if record is None or not record.is_alive():
        daemon.restart(home, "prometheus")
    release = beds.release(bed)
    release.uninstall()
    release.install(*beds.VALUES)
