"""The operator as a real process under the chart's rights, behind a fault proxy, started again whenever it dies.

What a kubelet does with the operator's pod: the same name (so the Lease is its own again), the ServiceAccount's token,
the rules of the chart. Only the address of the API server differs: it is the proxy.
"""

import json
import os
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any

import yaml

from examples.local_cluster import kubeconfig, programs
from examples.local_cluster.api import Manifest
from examples.local_cluster.control_plane import Cluster
from examples.local_cluster.progress import wait_for
from tests.support.fault_proxy import Fate, FaultProxy, Write
from tests.support.output import output_of

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "deepseek-operator"
RIGHTS = {
    "ServiceAccount": "serviceaccounts",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "ClusterRole": "clusterroles",
    "ClusterRoleBinding": "clusterrolebindings",
}
KILLED = -9


class OperatorProcess:
    """`python -m deepseek_operator run`, which sees one namespace (None: all of them).

    Attributes:
        proxy: counts the requests and decides the fate of the writes.
        process: the present one; None before the first.
        is_wanted: it is started again after its end.
        exits: exit codes of the processes that ended unasked; SIGKILL is -9.
        source: folder of the package that the next process runs; environment: its settings without their prefix.
        log: what all of them wrote.

    With `pod` it signs in as a pod of that name, which is made for it, and leads under it; else with a token of no pod.
    `values` are the chart's, as `helm --set` takes them, for the rights. With `forks` each process but the first is a fork of
    one that has imported the operator, for tests that kill it dozens of times: a start takes a second of the CPU else.
    """

    def __init__(
        self,
        cluster: Cluster,
        folder: Path,
        system: str,
        watched: str | None,
        environment: Mapping[str, str] = {},
        values: tuple[str, ...] = (),
        forks: bool = False,
        pod: str | None = None,
    ) -> None:
        self._forks = forks
        self._pod = pod
        self._cluster = cluster
        self._system = system
        self._watched = watched
        self.environment = dict(environment)
        self.source = ROOT / "operator"
        self.log = folder / "operator.log"
        self.exits: list[int] = []
        self.is_wanted = False
        self.process: subprocess.Popen[bytes] | Fork | None = None
        self._supervisor: threading.Thread | None = None
        tls = ssl.create_default_context(cafile=str(cluster.ca))
        self.proxy = FaultProxy(cluster.url, tls, self.kill).start()
        grant(cluster, system, watched, values)
        self._kubeconfig = self._signed_in(folder / "operator.kubeconfig")

    def __enter__(self) -> "OperatorProcess":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.proxy.stop()

    def start(self) -> "OperatorProcess":
        """Starts it, and from now on again after every end."""
        self.is_wanted = True
        self._supervisor = threading.Thread(target=self._supervise, daemon=True)
        self._supervisor.start()
        return self

    def stop(self) -> None:
        """SIGTERM, and not started again; returns when it is gone."""
        self.is_wanted = False
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
        if self._supervisor is not None:
            self._supervisor.join(40)
            assert not self._supervisor.is_alive(), "the operator does not stop on SIGTERM"

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            self.process.kill()

    @property
    def pid(self) -> int | None:
        """Of the process that runs now or ran last; None before the first."""
        return self.process.pid if self.process is not None else None

    def send(self, number: signal.Signals) -> None:
        """A signal; nothing if the process is gone."""
        if self.process is not None:
            self.process.send_signal(number)

    def decide(self, fate: Callable[[int, Write], Fate]) -> None:
        """From now on `fate` judges each counted write."""
        self.proxy.decide = fate

    def _supervise(self) -> None:
        with ExitStack() as stack:
            log = stack.enter_context(self.log.open("ab"))
            forks = None
            while self.is_wanted:
                if forks is None:
                    command = [sys.executable, "-m", "deepseek_operator", "run"]
                    self.process = subprocess.Popen(
                        command, cwd=self.source, env=self._environment(), stdout=log, stderr=log
                    )
                else:
                    self.process = forks.begin(self._environment(), self.log)
                code = self.process.wait()
                if self.is_wanted:
                    self.exits.append(code)
                    if self._forks and forks is None:
                        forks = stack.enter_context(Forks(self.source))

    def _environment(self) -> dict[str, str]:
        own = {
            "NAMESPACE": self._system,
            "POD_NAME": self._pod or "operator-0",
            "LEASE_NAME": self._system,
            "WATCH_NAMESPACES": self._watched or "",
            "HEALTH_PORT": "0",
            "METRICS_PORT": "0",
            "EXTERNAL_METRICS_PORT": "0",
            "BIND_HOST": "127.0.0.1",
            **self.environment,
        }
        # Compiled modules are kept, as in an image: a test starts the process dozens of times.
        unwanted = ("DEEPSEEK_", "PYTHONDONTWRITEBYTECODE")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
        prefixed = {f"DEEPSEEK_OPERATOR_{name}": value for name, value in own.items()}
        return {**inherited, "KUBECONFIG": str(self._kubeconfig), **prefixed}

    def _signed_in(self, path: Path) -> Path:
        spec = {"boundObjectRef": self._made_pod(self._pod)} if self._pod else {}
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        account = f"/api/v1/namespaces/{self._system}/serviceaccounts/{self._system}"
        token = self._cluster.api.create(f"{account}/token", request)["status"]["token"]
        return kubeconfig.with_token(path, self.proxy.url, self._cluster.ca, token, self._system)

    def _made_pod(self, name: str) -> dict[str, str]:
        """A pod that no kubelet starts, as a token names it."""
        container = {"name": "operator", "image": "x:1"}
        spec = {"serviceAccountName": self._system, "containers": [container]}
        pod = {"metadata": {"name": name}, "spec": spec}
        made = self._cluster.api.create(f"/api/v1/namespaces/{self._system}/pods", pod)
        return {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": made["metadata"]["uid"]}


class Forks:
    """Processes of the operator in `source`, one after the other, each a fork of one that has imported it."""

    def __init__(self, source: Path) -> None:
        path = os.pathsep.join((str(source), str(ROOT)))
        environment = {**os.environ, "PYTHONPATH": path}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [sys.executable, "-m", "tests.support.operator_forks"]
        self._popen = subprocess.Popen(
            command, cwd=source, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> "Forks":
        return self

    def __exit__(self, *_: object) -> None:
        self._popen.communicate()

    def begin(self, environment: Mapping[str, str], log: Path) -> "Fork":
        """The next one; the one before has ended."""
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        print(json.dumps({"environment": dict(environment), "log": str(log)}), file=self._popen.stdin, flush=True)
        return Fork(int(self._popen.stdout.readline()), self._popen.stdout)


class Fork:
    """One of them, as subprocess.Popen shows one; `ends` tells its exit code."""

    def __init__(self, pid: int, ends: IO[str]) -> None:
        self.pid = pid
        self._ends = ends
        self._code: int | None = None

    def wait(self) -> int:
        """Its exit code. To be called once, by whoever has begun it."""
        self._code = int(self._ends.readline())
        return self._code

    def poll(self) -> int | None:
        return self._code

    def send_signal(self, number: int) -> None:
        if self._code is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def rendered(system: str, watched: str | None, *values: str) -> list[Manifest]:
    """The chart's objects for a release called as its namespace."""
    given = [f"fullnameOverride={system}", "rbac.aggregate=false", *values]
    given += [f"watchNamespaces={{{watched}}}"] if watched is not None else []
    sets = [argument for value in given for argument in ("--set", value)]
    command = [programs.built("helm"), "template", system, str(CHART), "--namespace", system, *sets]
    return [document for document in yaml.safe_load_all(output_of(command)) if document]


def rendered_rights(system: str, watched: str | None, *values: str) -> list[Manifest]:
    """The chart's ServiceAccount, Roles and bindings for such a release."""
    return [document for document in rendered(system, watched, *values) if document["kind"] in RIGHTS]


def grant(cluster: Cluster, system: str, watched: str | None, values: tuple[str, ...] = ()) -> None:
    """The chart's rights, in force when this returns."""
    for manifest in rendered_rights(system, watched, "externalMetrics.enabled=true", *values):
        metadata: dict[str, Any] = manifest["metadata"]
        group = manifest["apiVersion"]
        root = f"/apis/{group}" if "/" in group else f"/api/{group}"
        place = f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
        cluster.api.apply(f"{root}{place}/{RIGHTS[manifest['kind']]}/{metadata['name']}", manifest)
    user = f"system:serviceaccount:{system}:{system}"
    asked = {"verb": "delete", "group": "", "resource": "pods", **({"namespace": watched} if watched else {})}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "resourceAttributes": asked},
    }
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    wait_for("the rights count", lambda: bool(cluster.api.create(path, review)["status"]["allowed"]), timeout_s=30)
