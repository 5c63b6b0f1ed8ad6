"""How a command reaches the cluster: by your kubeconfig, without metrics of its own."""

import os

from kubernetes.config import list_kube_config_contexts

from deepseek_operator.adapters.api_server import ApiServer
from deepseek_operator.adapters.clock import SystemClock
from deepseek_operator.adapters.credentials import load


class _Uncounted:
    def requested(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """A command has no metrics."""


def api_server(kubeconfig: str | None) -> ApiServer:
    """The API server of that kubeconfig, to be entered. Raises ConfigException: there is none."""
    return ApiServer(load(kubeconfig), SystemClock(), _Uncounted())


def namespace_of(kubeconfig: str | None) -> str:
    """The namespace that the kubeconfig's context names."""
    if kubeconfig is None and os.environ.get("KUBERNETES_SERVICE_HOST"):
        return "default"
    _, active = list_kube_config_contexts(config_file=kubeconfig)
    return str(active["context"].get("namespace") or "default")
