"""`kubectl deepseek` as a user has it: an executable that kubectl finds by its name, a kubeconfig, and what may be less than all
rights."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.local_cluster import kubeconfig
from tests.support.bench import LIMIT_S, TRAINING, Bench
from tests.support.kubectl import find_program

OPERATOR = Path(__file__).parents[2] / "operator"
TWO = {**TRAINING, "nodes": {"count": 2}}


@dataclass(frozen=True)
class Answer:
    """What a command said, and its exit status."""

    out: str
    err: str
    code: int


@dataclass(frozen=True)
class Plugin:
    """The plugin as kubectl runs it: an executable called kubectl-deepseek on the PATH."""

    folder: Path
    kubeconfig: Path

    def __post_init__(self) -> None:
        """Writes what pip would."""
        for name, module in (("kubectl-deepseek", "kubectl"), ("kubectl_complete-deepseek", "completing")):
            script = self.folder / name
            source = f"import sys\nfrom deepseek_operator.cli.{module} import main\nsys.exit(main())\n"
            script.write_text(f"#!{sys.executable}\n{source}")
            script.chmod(0o755)

    def __call__(self, *arguments: str, **variables: str) -> Answer:
        """`kubectl deepseek …`."""
        return self.kubectl("deepseek", *arguments, **variables)

    def completed(self, *words: str) -> list[str]:
        """What a shell is offered for the last of the words behind `kubectl deepseek`."""
        answer = self.kubectl("__complete", "deepseek", *words)
        assert answer.code == 0, answer.err
        return [line for line in answer.out.splitlines() if not line.startswith((":", "Completion ended"))]

    def kubectl(self, *arguments: str, **variables: str) -> Answer:
        """kubectl, with the plugin on its PATH."""
        path = f"{self.folder}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "PYTHONPATH": str(OPERATOR), "KUBECONFIG": str(self.kubeconfig)}
        done = subprocess.run(
            [find_program("kubectl"), *arguments],
            env={**environment, **variables},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        return Answer(done.stdout, done.stderr, done.returncode)

    def said(self, *arguments: str) -> str:
        """Standard output of a command that succeeds."""
        answer = self(*arguments)
        assert answer.code == 0, answer.err
        return answer.out


def tenant(bench: Bench, folder: Path, plugin: Plugin, *rules: Mapping[str, Any]) -> Plugin:
    """The plugin of somebody who may do what the rules say in the namespace, and nothing else."""
    root = f"/api/v1/namespaces/{bench.namespace}/serviceaccounts"
    bench.api.create(root, {"metadata": {"name": "tenant"}})
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{bench.namespace}"
    bench.api.create(f"{rbac}/roles", {"metadata": {"name": "tenant"}, "rules": list(rules)})
    subject = {"kind": "ServiceAccount", "name": "tenant", "namespace": bench.namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "tenant"}
    bench.api.create(f"{rbac}/rolebindings", {"metadata": {"name": "tenant"}, "roleRef": role, "subjects": [subject]})
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = str(bench.api.create(f"{root}/tenant/token", request)["status"]["token"])
    config = folder / "tenant.kubeconfig"
    kubeconfig.with_token(config, bench.cluster.url, bench.cluster.ca, token, bench.namespace)
    return Plugin(plugin.folder, config)


OURS = {"apiGroups": ["deepseek-operator.io"], "resources": ["deepseektrainings", "deepseekservings"]}


def fail(bench: Bench, rank: int, code: int, message: str = "") -> str:
    """A worker of the running attempt ends; its pod's name."""
    index = "batch.kubernetes.io/job-completion-index"
    pod = next(one for one in bench.node.pods() if one["metadata"]["labels"].get(index) == str(rank))
    bench.node.end(pod, code, message)
    return str(pod["metadata"]["name"])
