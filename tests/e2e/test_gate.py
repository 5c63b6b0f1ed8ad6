"""The gate in its image, from the chart, as two pods under the restricted standard: a key's life, asked as Envoy asks."""

import json
import subprocess
import sys

from examples.local_cluster import programs
from tests.support.gate import OPERATOR, models_map
from tests.support.kubectl import Kubectl, until
from tests.support.output import output_of

CHART = OPERATOR.parent / "charts" / "deepseek-operator"
NAME = "gated"
ASK = """
import sys, urllib.error, urllib.request
url, key = sys.argv[1:]
headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
try:
    print(urllib.request.urlopen(urllib.request.Request(url, b'{"model": "chat", "prompt": "a prompt"}', headers)).status)
except urllib.error.HTTPError as error:
    print(error.status)
"""


def _key(kubectl: Kubectl, *arguments: str) -> str:
    command = [sys.executable, "-m", "deepseek_operator", "key", *arguments, "-n", kubectl.namespace]
    done = subprocess.run(
        [*command, "--kubeconfig", str(kubectl.kubeconfig)],
        cwd=OPERATOR, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def _rendered(namespace: str) -> str:
    values = [f"fullnameOverride={NAME}", "gate.enabled=true", f"gate.namespaces={{{namespace}}}"]
    values += ["gate.referenceGrant=false", "networkPolicy.enabled=true"]
    sets = [argument for value in values for argument in ("--set", value)]
    return output_of(
        [programs.built("helm"), "template", NAME, str(CHART), "-n", namespace, "-s", "templates/gate.yaml", *sets]
    )


def test_a_key_opens_a_model_until_it_is_revoked(kubectl: Kubectl) -> None:
    gate = f"deployment/{NAME}-gate"
    kubectl.apply(_rendered(kubectl.namespace))
    models = models_map()
    kubectl.apply(json.dumps({**models, "metadata": {key: models["metadata"][key] for key in ("name", "labels")}}))
    kubectl.run("rollout", "status", gate, "--timeout=120s", timeout_s=130)
    key = _key(kubectl, "new", "alice", "--serving", "chat")
    url = f"http://{NAME}-gate:9001/authorize/{kubectl.namespace}/keys/v1/chat/completions"

    def status() -> int:
        return int(kubectl.run("exec", gate, "--", "python3", "-c", ASK, url, key))

    until("both gates know the key", lambda: [status() for _ in range(4)] == [200] * 4, timeout_s=30)
    _key(kubectl, "revoke", "alice")
    until("both gates have forgotten it", lambda: [status() for _ in range(4)] == [401] * 4, timeout_s=30)
    pods = kubectl.list("pods", f"app.kubernetes.io/instance={NAME}")
    logs = [kubectl.run("logs", pod["metadata"]["name"]) for pod in pods]
    assert len(logs) == 2
    assert not [log for log in logs if key in log or "a prompt" in log]
