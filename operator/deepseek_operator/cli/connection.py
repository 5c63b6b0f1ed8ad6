"""How a command reaches the cluster: by your kubeconfig, without metrics of its own."""

import os
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from kubernetes.config import list_kube_config_contexts

from deepseek_operator.adapters.api_server import ApiServer
from deepseek_operator.adapters.clock import SystemClock
from deepseek_operator.adapters.credentials import load


class _Uncounted:
    def requested(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """A command has no metrics."""


def api_server(options: Namespace) -> ApiServer:
    """The API server of a command's `kubeconfig` and `context`, to be entered.

    Raises:
        ConfigException: there is no kubeconfig.
        ValueError: it has no such context; names those that it has.
    """
    _context(options)
    return ApiServer(load(options.kubeconfig, options.context), SystemClock(), _Uncounted())


def namespace_of(options: Namespace) -> str:
    """The namespace that a command names, else that of its context. Raises as `api_server` does."""
    return str(options.namespace or _context(options).get("namespace") or "default")


def _context(options: Namespace) -> Mapping[str, Any]:
    """That of the kubeconfig; empty inside a pod, which has none."""
    if options.kubeconfig is None and options.context is None and os.environ.get("KUBERNETES_SERVICE_HOST"):
        return {}
    contexts, active = list_kube_config_contexts(config_file=options.kubeconfig)
    if options.context is not None:
        active = next((one for one in contexts if one["name"] == options.context), None)
        if active is None:
            known = ", ".join(sorted(one["name"] for one in contexts))
            raise ValueError(f"the kubeconfig has no context {options.context}; known are {known}")
    return dict(active["context"])
