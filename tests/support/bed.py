"""A cluster with the operator on it: brought up, images loaded, chart installed. Repeatable and quick when warm."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from examples.local_cluster import programs
from tests.support.kubectl import Kubectl, until
from tests.support.release import Release

ROOT = Path(__file__).parents[2]
OPERATOR_IMAGE = "deepseek-operator.io/operator:dev"
RUNTIME_IMAGE = "deepseek-operator.io/runtime:dev"
PROMETHEUS = "http://prometheus.monitoring.svc:9090"
VALUES = ("externalMetrics.enabled=true", f"prometheus.url={PROMETHEUS}")
"""Of the operator's chart here."""


def tests_cluster(*arguments: str) -> str:
    """Runs `python -m examples.local_cluster`, its progress on standard error, and returns standard output."""
    done = subprocess.run(
        [sys.executable, "-m", "examples.local_cluster", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def ready(
    say: Callable[[str], None] = lambda _: None, *, fake_nodes: int = 0, values: tuple[str, ...] = VALUES
) -> Kubectl:
    """kubectl for a cluster on which the operator of this tree runs; `values` are its chart's."""
    tests_cluster("ensure", "e2e")
    tests_cluster("up", *(["--fake-nodes", str(fake_nodes)] if fake_nodes else []))
    say("the cluster is up")
    tests_cluster("images")
    say("the images are loaded")
    kubectl = Kubectl(Path(os.environ.get("KUBECONFIG") or tests_cluster("kubeconfig")))
    release(kubectl).install(*values)
    restart_operator(kubectl)
    say("the operator is installed and ready")
    return kubectl


def release(kubectl: Kubectl) -> Release:
    """The Helm release of this tree's chart."""
    return Release(kubectl, Path(programs.built("helm")))


def restart_operator(kubectl: Kubectl) -> None:
    """Starts the operator from the image that was loaded last; a tag does not tell the cluster that it moved."""
    system = kubectl.within("deepseek-system")
    system.run("rollout", "restart", "deployment/deepseek-operator")
    system.run("rollout", "status", "deployment/deepseek-operator", "--timeout=120s", timeout_s=130)


def fresh_namespace(kubectl: Kubectl, name: str) -> None:
    """An empty namespace under the restricted Pod Security Standard."""
    kubectl.run("delete", "namespace", name, "--ignore-not-found", "--wait=true", timeout_s=180)
    until("the namespace is gone", lambda: kubectl.get("namespace", name) is None, timeout_s=60)
    kubectl.run("create", "namespace", name)
    kubectl.run("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
